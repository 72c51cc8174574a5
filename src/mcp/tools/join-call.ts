/**
 * Inline calls that wait for their result. If an equal call is repeated while its client is connected, it is a call of
 * its own. If the client of the first call is gone, the repeat joins its task.
 */

/** True if the client of a call is connected. Each call has its own function, which identifies it. */
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

  /** True if any call waits for the task's result, even if its client is gone. */
  has(taskId: string): boolean {
    return this.#calls.has(taskId)
  }

  /** True if a connected client waits for the task's result. */
  isHeard(taskId: string): boolean {
    return [...(this.#calls.get(taskId) ?? [])].some((isHeard) => isHeard())
  }
}
