/**
 * Tasks in the order of their IDs. To add or delete one costs nearly the same for a hundred tasks and a million: the
 * tasks are kept in blocks of limited size, so that no call moves or copies more than one block.
 */
import type { IdRange, ListOrder } from './list-query.js'

const BLOCK_MAX = 256

export class SortedTasks<T extends { readonly taskId: string }> {
  /** No block is empty, and every ID of a block sorts before those of the next one. */
  readonly #blocks: T[][] = []
  #size = 0

  constructor(tasks: readonly T[] = []) {
    for (const task of tasks) this.add(task)
  }

  get size(): number {
    return this.#size
  }

  /** Adds a task, in the place of one with the same ID. */
  add(task: T): void {
    const { taskId } = task
    const last = this.#blocks.at(-1)
    // Most tasks are added in the order of their IDs.
    if (!last || (last[last.length - 1] as T).taskId < taskId) {
      if (last && last.length < BLOCK_MAX) last.push(task)
      else this.#blocks.push([task])
      this.#size++
      return
    }
    const at = this.#blockAt(taskId)
    const block = this.#blocks[at] as T[]
    const place = placeIn(block, taskId)
    if (block[place]?.taskId === taskId) {
      block[place] = task
      return
    }
    block.splice(place, 0, task)
    this.#size++
    if (block.length > BLOCK_MAX) this.#blocks.splice(at + 1, 0, block.splice(BLOCK_MAX >> 1))
  }

  /** Deletes a task. One that is not there is ignored. */
  delete({ taskId }: Pick<T, 'taskId'>): void {
    const at = this.#blockAt(taskId)
    const block = this.#blocks[at]
    if (!block) return
    const place = placeIn(block, taskId)
    if (block[place]?.taskId !== taskId) return
    block.splice(place, 1)
    this.#size--
    if (block.length === 0) this.#blocks.splice(at, 1)
  }

  /** The tasks of a range of IDs, in this order. No task may be added or deleted meanwhile. */
  *inOrder({ gte, lt }: IdRange, order: ListOrder): Generator<T> {
    const step = order === 'oldest' ? 1 : -1
    const start = order === 'oldest' ? this.#blockAt(gte) : Math.min(this.#blockAt(lt), this.#blocks.length - 1)
    for (let at = start; ; at += step) {
      const block = this.#blocks[at]
      if (!block) return
      const from = placeIn(block, gte)
      const to = placeIn(block, lt)
      // Newest first, the block that `lt` is in may have nothing before it.
      if (from >= to && (at !== start || order === 'oldest')) return
      if (order === 'oldest') for (let place = from; place < to; place++) yield block[place] as T
      else for (let place = to - 1; place >= from; place--) yield block[place] as T
    }
  }

  /** The index of the block where the ID is, or would be; the number of blocks for an ID behind all of them. */
  #blockAt(taskId: string): number {
    let from = 0
    let to = this.#blocks.length
    while (from < to) {
      const middle = (from + to) >> 1
      const block = this.#blocks[middle] as T[]
      if ((block[block.length - 1] as T).taskId < taskId) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** The index of the first task whose ID is not before `taskId`. */
function placeIn(block: readonly { readonly taskId: string }[], taskId: string): number {
  let from = 0
  let to = block.length
  while (from < to) {
    const middle = (from + to) >> 1
    if ((block[middle] as { taskId: string }).taskId < taskId) from = middle + 1
    else to = middle
  }
  return from
}
