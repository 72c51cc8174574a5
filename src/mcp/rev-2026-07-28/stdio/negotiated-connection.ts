/**
 * A connection whose client has not chosen a revision yet. A `server/discover` is answered and chooses nothing: a
 * client may still send an `initialize` of an earlier revision after it. Any other message chooses.
 */
import {
  type JSONRPCMessage,
  PROTOCOL_VERSION_META_KEY,
  type Transport,
  type TransportSendOptions,
} from '@modelcontextprotocol/server'

type Revision = 'this' | 'earlier'

/** Functions that serve a client of each revision over a transport. */
export type Servers = Readonly<Record<Revision, (transport: Transport) => unknown>>

export class NegotiatedConnection {
  readonly #parts = new Map<Revision, Part>()
  #chosen?: Revision

  constructor(
    private readonly wire: Transport,
    private readonly servers: Servers,
    private readonly onerror: (error: Error) => void,
  ) {}

  /** Starts to read. */
  async open(): Promise<void> {
    const { wire } = this
    wire.onmessage = (message) => this.#receive(message)
    wire.onclose = () => {
      for (const part of this.#parts.values()) part.onclose?.()
    }
    wire.onerror = (error) => {
      this.onerror(error)
      for (const part of this.#parts.values()) part.onerror?.(error)
    }
    await wire.start()
  }

  close(): Promise<void> {
    return this.wire.close()
  }

  #receive(message: JSONRPCMessage): void {
    const { method } = message as { method?: string }
    const revision = this.#chosen ?? revisionOf(message)
    if (method !== 'server/discover') this.#chosen = revision
    this.#partOf(revision).receive(message)
  }

  #partOf(revision: Revision): Part {
    const known = this.#parts.get(revision)
    if (known) return known
    const part = new Part(this.wire)
    this.#parts.set(revision, part)
    const serve = async () => this.servers[revision](part)
    serve().catch(this.onerror)
    return part
  }
}

function revisionOf(message: JSONRPCMessage): Revision {
  const { params } = message as { params?: { _meta?: Record<string, unknown> } }
  return params?._meta?.[PROTOCOL_VERSION_META_KEY] === undefined ? 'earlier' : 'this'
}

/** The transport of one revision's server. It keeps the messages until that server has started it. */
class Part implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport['onmessage']
  #early: JSONRPCMessage[] | undefined = []

  constructor(private readonly wire: Transport) {}

  receive(message: JSONRPCMessage): void {
    if (this.#early) this.#early.push(message)
    else this.onmessage?.(message)
  }

  async start(): Promise<void> {
    // The server has more to set up before it can receive the first message.
    queueMicrotask(() => {
      const early = this.#early ?? []
      this.#early = undefined
      for (const message of early) this.onmessage?.(message)
    })
  }

  send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    return this.wire.send(message, options)
  }

  close(): Promise<void> {
    return this.wire.close()
  }
}
