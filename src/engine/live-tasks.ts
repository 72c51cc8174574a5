/** Every live task in memory, by ID. Whoever comes and goes is counted: for his owner, and for the budgets. */
import type { LiveTask } from './live-task.js'
import type { Usage } from './usage.js'

/** A map like any other, that also counts. Tasks without an owner are counted for nobody. */
export class LiveTasks extends Map<string, LiveTask> {
  // Fields are set after `Map`'s own constructor, which adds nothing here.
  readonly #byOwner = new Map<string, number>()
  readonly #usage: Usage

  constructor(usage: Usage) {
    super()
    this.#usage = usage
  }

  /** How many tasks of that owner are in it. */
  countOf(owner: string): number {
    return this.#byOwner.get(owner) ?? 0
  }

  override set(taskId: string, task: LiveTask): this {
    this.delete(taskId)
    this.#count(task, 1)
    this.#usage.note(task)
    return super.set(taskId, task)
  }

  override delete(taskId: string): boolean {
    const task = this.get(taskId)
    if (task) {
      this.#count(task, -1)
      this.#usage.leave(task)
    }
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
