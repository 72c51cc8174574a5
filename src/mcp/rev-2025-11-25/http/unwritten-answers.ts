/**
 * Answers that were sent and whose write has not begun: each waits until its response was handed to the socket, so that
 * one write says both that the request is answered and that the answer is delivered (mcp-core-4).
 */

/** Writes an answer. Called once. `isDelivered` is true if its response was handed to the socket. */
export type WriteAnswer = (isDelivered: boolean) => void

export class UnwrittenAnswers {
  readonly #waiting = new Map<string, WriteAnswer>()

  /** True if the answer of this stream waits; without an argument, true if any answer does. */
  has(stream?: string): boolean {
    return stream === undefined ? this.#waiting.size > 0 : this.#waiting.has(stream)
  }

  add(stream: string, write: WriteAnswer): void {
    this.#waiting.set(stream, write)
  }

  /** Writes the answer of a stream, if it waits. */
  write(stream: string, isDelivered: boolean): void {
    const write = this.#waiting.get(stream)
    this.#waiting.delete(stream)
    write?.(isDelivered)
  }

  /** Writes all answers that wait. Their clients may not have them. */
  writeAll(): void {
    for (const stream of [...this.#waiting.keys()]) this.write(stream, false)
  }
}
