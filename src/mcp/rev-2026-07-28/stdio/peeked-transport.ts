/** A transport whose first message has been read already, and is handed on with the rest to whoever serves it. */
import type { JSONRPCMessage, Transport, TransportSendOptions } from '@modelcontextprotocol/server'

export class PeekedTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: Transport['onmessage']
  /** Resolves with the first message, or with `undefined` if the connection is over before it. */
  readonly first: Promise<JSONRPCMessage | undefined>
  readonly #early: JSONRPCMessage[] = []
  #isStarted = false

  constructor(private readonly wire: Transport) {
    this.first = new Promise((resolve) => {
      wire.onmessage = (message) => {
        resolve(message)
        if (this.#isStarted) this.onmessage?.(message)
        else this.#early.push(message)
      }
      wire.onclose = () => {
        resolve(undefined)
        this.onclose?.()
      }
      wire.onerror = (error) => this.onerror?.(error)
    })
  }

  /** Begins to read. */
  open(): Promise<void> {
    return this.wire.start()
  }

  async start(): Promise<void> {
    if (this.#isStarted) throw new Error('The transport is started already')
    this.#isStarted = true
    // Whoever starts it has more to set up before it can take the first message.
    queueMicrotask(() => {
      for (const message of this.#early.splice(0)) this.onmessage?.(message)
    })
  }

  send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    return this.wire.send(message, options)
  }

  close(): Promise<void> {
    return this.wire.close()
  }
}
