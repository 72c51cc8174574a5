/** Every unfinished task in memory, by ID, and how many of them each owner has. */
import type { LiveTask } from './live-task.js'

/** A map like any other, that also counts. Tasks without an owner are counted for nobody. */
export class LiveTasks extends Map<string, LiveTask> {
  readonly #byOwner = new Map<string, number>()

  /** How many tasks of that owner are in it. */
  countOf(owner: string): number {
    return this.#byOwner.get(owner) ?? 0
  }

  override set(taskId: string, task: LiveTask): this {
    this.delete(taskId)
    this.#count(task, 1)
    return super.set(taskId, task)
  }

  override delete(taskId: string): boolean {
    const task = this.get(taskId)
    if (task) this.#count(task, -1)
    return super.delete(taskId)
  }

  override clear(): void {
    this.#byOwner.clear()
    super.clear()
  }

  #count({ head: { owner } }: LiveTask, by: 1 | -1): void {
    if (owner === undefined) return
    const count = this.countOf(owner) + by
    if (count === 0) this.#byOwner.delete(owner)
    else this.#byOwner.set(owner, count)
  }
}
