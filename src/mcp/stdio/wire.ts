/**
 * The transport of a stdio server, around the SDK's own of either revision. Sees which message needs the store and which
 * requests are open, and stops writing when the client is gone. Knows no SDK: a transport is what has these members.
 */

// biome-ignore-start lint/suspicious/noExplicitAny: each SDK has types of its own for the same messages
/** A transport of either SDK. */
export interface TransportLike {
  onclose?: (() => void) | undefined
  onerror?: ((error: Error) => void) | undefined
  onmessage?: ((message: any, extra?: any) => void) | undefined
  start(): Promise<void>
  send(message: any, options?: any): Promise<void>
  close(): Promise<void>
}

type Message = { readonly id?: unknown; readonly method?: unknown }

/** What the life of a server wants to know. */
export interface WireEvents {
  /** A message came that needs the store. */
  readonly onNeed: () => void
  /** The connection is over. */
  readonly onClosed: () => void
  readonly mute?: (() => void) | undefined
  readonly flushed?: (() => Promise<void>) | undefined
}

// Sent by clients that only look what a server is.
const PROBES = new Set<unknown>(['server/discover', 'initialize'])
// A client that never reads its answers makes more of them than anybody waits for.
const OPEN_MAX = 10_000

export class StdioWire implements TransportLike {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: any, extra?: any) => void
  readonly #open = new Set<unknown>()
  #isMuted = false
  #isNeeded = false

  constructor(
    private readonly inner: TransportLike,
    private readonly events: WireEvents,
  ) {}

  /** True if a request has no answer yet. */
  get hasOpenRequests(): boolean {
    return !this.#isMuted && this.#open.size > 0
  }

  async start(): Promise<void> {
    this.inner.onmessage = (message, extra) => {
      this.#look(message)
      this.onmessage?.(message, extra)
    }
    this.inner.onerror = (error) => this.onerror?.(error)
    this.inner.onclose = () => {
      this.#isMuted = true
      this.onclose?.()
      this.events.onClosed()
    }
    await this.inner.start()
  }

  async send(message: any, options?: any): Promise<void> {
    const { id, method } = message as Message
    if (method === undefined) this.#open.delete(id)
    if (!this.#isMuted) await this.inner.send(message, options)
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  /** Drops what is sent from here on: the client is gone. */
  mute(): void {
    this.#isMuted = true
    this.events.mute?.()
  }

  /** Resolves once what was sent has left the process. */
  async flushed(): Promise<void> {
    await this.events.flushed?.()
  }

  #look({ id, method }: Message): void {
    if (id === undefined) return
    if (method !== undefined && this.#open.size < OPEN_MAX) this.#open.add(id)
    if (this.#isNeeded || PROBES.has(method)) return
    this.#isNeeded = true
    this.events.onNeed()
  }
}
// biome-ignore-end lint/suspicious/noExplicitAny: see above
