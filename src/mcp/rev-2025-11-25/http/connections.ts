/**
 * The streams of a session that a client is reading. A session with a reader is in use, even if there are no requests.
 * An answer on a stream without a reader is not delivered.
 */

export class Connections {
  readonly #open = new Map<string, number>()

  /** @param onLeave called when the last reader of a stream disconnects */
  constructor(private readonly onLeave: (stream: string) => void) {}

  /** True if a client reads this stream; without an argument, true if a client reads any stream. */
  has(stream?: string): boolean {
    return stream === undefined ? this.#open.size > 0 : this.#open.has(stream)
  }

  /**
   * Wraps a response, with `first` before it. The stream counts as read until the response ends or its reader
   * disconnects.
   * @param onHangUp called if the reader disconnects before the end
   */
  watch(
    stream: string,
    response: Response,
    { first, onHangUp }: { first?: string; onHangUp?: () => void } = {},
  ): Response {
    const reader = response.body?.getReader()
    if (!reader) return response
    this.#open.set(stream, (this.#open.get(stream) ?? 0) + 1)
    let isOver = false
    const over = () => {
      if (isOver) return
      isOver = true
      const left = (this.#open.get(stream) ?? 1) - 1
      if (left > 0) this.#open.set(stream, left)
      else {
        this.#open.delete(stream)
        this.onLeave(stream)
      }
    }
    const body = new ReadableStream<Uint8Array>(
      {
        start(controller) {
          if (first !== undefined) controller.enqueue(Buffer.from(first))
        },
        async pull(controller) {
          const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
          if (!done && value) return controller.enqueue(value)
          over()
          controller.close()
        },
        cancel(reason) {
          over()
          onHangUp?.()
          return reader.cancel(reason)
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, { status: response.status, headers: response.headers })
  }
}
