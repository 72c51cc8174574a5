/**
 * The streams of a session that a client is reading. A session with a reader is in use, even if there are no requests.
 * An answer on a stream without a reader is not delivered.
 */

/** Callbacks of the connections of a session. */
export interface ConnectionEvents {
  /**
   * The newest response of a stream was read to its end, and its reader asked for more: everything was handed to the
   * socket, or to the framework that reads the response.
   */
  readonly onEnd: (stream: string) => void
  /** The last reader of a stream has disconnected, or has read the stream to its end. */
  readonly onLeave: (stream: string) => void
}

export class Connections {
  readonly #open = new Map<string, number>()
  /** The newest response of each stream that is read: the one that messages are sent on. */
  readonly #newest = new Map<string, Response>()

  constructor(private readonly events: ConnectionEvents) {}

  /** True if a client reads this stream; without an argument, true if a client reads any stream. */
  has(stream?: string): boolean {
    return stream === undefined ? this.#open.size > 0 : this.#open.has(stream)
  }

  /**
   * Wraps a response, with `first` before it. The stream counts as read until the response ends or its reader
   * disconnects.
   * @param onEnd called if the response is read to its end
   * @param onHangUp called if the reader disconnects before
   */
  watch(
    stream: string,
    response: Response,
    { first, onEnd, onHangUp }: { first?: string; onEnd?: () => void; onHangUp?: () => void } = {},
  ): Response {
    const reader = response.body?.getReader()
    if (!reader) {
      onEnd?.()
      return response
    }
    this.#open.set(stream, (this.#open.get(stream) ?? 0) + 1)
    this.#newest.set(stream, response)
    let isOver = false
    const over = (isEnd: boolean) => {
      if (isOver) return
      isOver = true
      if (isEnd && this.#newest.get(stream) === response) this.events.onEnd(stream)
      const left = (this.#open.get(stream) ?? 1) - 1
      if (left > 0) this.#open.set(stream, left)
      else {
        this.#open.delete(stream)
        this.#newest.delete(stream)
        this.events.onLeave(stream)
      }
    }
    const body = new ReadableStream<Uint8Array>(
      {
        start(controller) {
          if (first !== undefined) controller.enqueue(Buffer.from(first))
        },
        // Called only when the reader asks for more, because of `highWaterMark`.
        async pull(controller) {
          const read = await reader.read().catch(() => undefined)
          if (read?.value) return controller.enqueue(read.value)
          over(read !== undefined)
          if (read) onEnd?.()
          else onHangUp?.()
          controller.close()
        },
        cancel(reason) {
          over(false)
          onHangUp?.()
          return reader.cancel(reason)
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, { status: response.status, headers: response.headers })
  }
}
