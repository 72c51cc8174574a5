/**
 * The transport of a stdio server, around the SDK's transport of either revision. Observes which message needs the
 * store and which requests are open, and stops writing when the client is gone. Imports no SDK: a transport is any
 * object with these members.
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

/** Callbacks for the start and end of a server. */
export interface WireEvents {
  /** Called at the first message that needs the store. */
  readonly onNeed: () => void
  /** Called when the connection is over. */
  readonly onClosed: () => void
  readonly mute?: (() => void) | undefined
  readonly flushed?: (() => Promise<void>) | undefined
}

// Methods of clients that only probe a server.
const PROBES = new Set<unknown>(['server/discover', 'initialize'])
// Number of open requests that are remembered. A client that never reads its answers could make any number.
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

  /** Drops all later messages, because the client is gone. */
  mute(): void {
    this.#isMuted = true
    this.events.mute?.()
  }

  /** Resolves once all messages have left the process. */
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
