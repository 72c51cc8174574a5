/**
 * Inline calls that wait for their result. A repeat of one whose client is there is a call of its own; a repeat of one
 * whose client is gone joins its task.
 */

/** True if the client of a call is there to hear of its end. Told apart by identity: one for each call. */
export type IsHeard = () => boolean

export class OpenCalls {
  readonly #calls = new Map<string, Set<IsHeard>>()

  add(taskId: string, isHeard: IsHeard): void {
    const calls = this.#calls.get(taskId) ?? new Set()
    this.#calls.set(taskId, calls.add(isHeard))
  }

  remove(taskId: string, isHeard: IsHeard): void {
    const calls = this.#calls.get(taskId)
    if (calls?.delete(isHeard) && calls.size === 0) this.#calls.delete(taskId)
  }

  /** True if anybody called for the task's result, there or not. */
  has(taskId: string): boolean {
    return this.#calls.has(taskId)
  }

  /** True if somebody waits for the task's result. */
  isHeard(taskId: string): boolean {
    return [...(this.#calls.get(taskId) ?? [])].some((isHeard) => isHeard())
  }
}
