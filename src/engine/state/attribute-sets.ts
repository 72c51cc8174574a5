/** Live tasks by attribute, for lists. A value that one task has, such as the number of an order, needs no set of its own. */
import { type AttributeValue, attributeText, type TaskAttributes } from '../../task/attributes.js'
import { SortedTasks } from '../../task/sorted-tasks.js'

export class AttributeSets<T extends { readonly taskId: string }> {
  readonly #sets = new Map<string, T | SortedTasks<T>>()

  /** The tasks with this value. */
  of(name: string, value: AttributeValue): SortedTasks<T> {
    const found = this.#sets.get(keyOf(name, value))
    if (found instanceof SortedTasks) return found
    return new SortedTasks(found ? [found] : [])
  }

  /** Moves a task from its attributes to those that it has now. */
  move(task: T, before: TaskAttributes | undefined, now: TaskAttributes | undefined): void {
    if (before === now) return
    for (const [name, value] of Object.entries(before ?? {})) this.#delete(keyOf(name, value), task)
    for (const [name, value] of Object.entries(now ?? {})) this.#add(keyOf(name, value), task)
  }

  #add(key: string, task: T): void {
    const there = this.#sets.get(key)
    if (there instanceof SortedTasks) there.add(task)
    else this.#sets.set(key, there ? new SortedTasks([there, task]) : task)
  }

  #delete(key: string, task: T): void {
    const there = this.#sets.get(key)
    if (there === task) this.#sets.delete(key)
    if (!(there instanceof SortedTasks)) return
    there.delete(task)
    if (there.size === 0) this.#sets.delete(key)
  }
}

// No name has a line break.
function keyOf(name: string, value: AttributeValue): string {
  return `${name}\n${attributeText(value)}`
}
