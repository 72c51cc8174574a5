/**
 * All live tasks in memory, by ID. Counts them by owner and account, for the limits, and by status. Keeps them sorted
 * in sets by owner, type, parent, status and attribute, so that a list looks only at the smallest set that has all its tasks.
 */

import { isSettled } from '../../task/head.js'
import type { ListFilter } from '../../task/list-query.js'
import { SortedTasks } from '../../task/sorted-tasks.js'
import type { ByteBudget } from '../scheduling/byte-budget.js'
import type { LiveTask } from './live-task.js'
import { TaskCounts } from './task-counts.js'

interface Count {
  all: number
  /** Number of session tasks among them, which have no body. */
  sessions: number
}

const NO_TASKS = new SortedTasks<LiveTask>()
const NONE: Readonly<Count> = { all: 0, sessions: 0 }

/** Sorted tasks by a name; there is no set without a task. A task without a name is in none. */
class SortedSets {
  readonly #sets = new Map<string, SortedTasks<LiveTask>>()

  get(name: string): SortedTasks<LiveTask> {
    return this.#sets.get(name) ?? NO_TASKS
  }

  add(name: string | undefined, task: LiveTask): void {
    if (name === undefined) return
    const set = this.#sets.get(name)
    if (set) set.add(task)
    else this.#sets.set(name, new SortedTasks([task]))
  }

  delete(name: string | undefined, task: LiveTask): void {
    const set = name === undefined ? undefined : this.#sets.get(name)
    set?.delete(task)
    if (set?.size === 0) this.#sets.delete(name as string)
  }
}

/** A `Map` that also counts its tasks. Tasks without an owner count for no owner. */
export class LiveTasks extends Map<string, LiveTask> {
  // Fields are set after the constructor of `Map` has run, which does not call `set` here.
  readonly #byOwner = new Map<string, Count>()
  readonly #byAccount = new Map<string, Count>()
  /** Tasks on disk by status. */
  readonly counts = new TaskCounts<LiveTask>()
  readonly #sorted = new SortedTasks<LiveTask>()
  readonly #sortedOf = { owner: new SortedSets(), type: new SortedSets(), parent: new SortedSets() }
  readonly #usage: ByteBudget

  constructor(usage: ByteBudget) {
    super()
    this.#usage = usage
  }

  /** Number of live tasks of the owner. */
  countOf(owner: string): number {
    return (this.#byOwner.get(owner) ?? NONE).all
  }

  /** Counts for an account, if one is given, else for the owner. */
  countsOf(owner: string | undefined, account: string | undefined): Readonly<Count> {
    if (account !== undefined) return this.#byAccount.get(account) ?? NONE
    return (owner === undefined ? undefined : this.#byOwner.get(owner)) ?? NONE
  }

  /** The tasks of an owner, in the order of their IDs. */
  ofOwner(owner: string): SortedTasks<LiveTask> {
    return this.#sortedOf.owner.get(owner)
  }

  /**
   * The set, or sets, with the fewest tasks that have all tasks of a list. They may have others too.
   * @param severalMax several sets have at most so many tasks together
   */
  smallest(
    { owner, type, parent, statuses, attributes = [] }: ListFilter,
    severalMax: number,
  ): readonly SortedTasks<LiveTask>[] {
    const { owner: ofOwner, type: ofType, parent: ofParent } = this.#sortedOf
    const choices = [[this.#sorted]]
    if (owner !== undefined) choices.push([ofOwner.get(owner)])
    if (type !== undefined) choices.push([ofType.get(type)])
    if (parent !== undefined) choices.push([ofParent.get(parent)])
    for (const [name, value] of attributes) choices.push([this.counts.byAttribute.of(name, value)])
    const byStatus = [...new Set(statuses)].map((status) => this.counts.of(status))
    const isFew = byStatus.length === 1 || sizeOf(byStatus) <= severalMax
    if (statuses && isFew) choices.push(byStatus)
    return choices.reduce((best, sets) => (sizeOf(sets) < sizeOf(best) ? sets : best))
  }

  override set(taskId: string, task: LiveTask): this {
    this.delete(taskId)
    this.#count(task, 1)
    this.#usage.note(task)
    task.countIn(this.counts)
    this.#sorted.add(task)
    this.#sortedOf.type.add(task.head.type, task)
    this.#sortedOf.owner.add(task.head.owner, task)
    this.#sortedOf.parent.add(task.head.parentId, task)
    return super.set(taskId, task)
  }

  override delete(taskId: string): boolean {
    const task = this.get(taskId)
    if (task) {
      this.#count(task, -1)
      this.#usage.leave(task)
      task.countIn(undefined)
      this.#sorted.delete(task)
      this.#sortedOf.type.delete(task.head.type, task)
      this.#sortedOf.owner.delete(task.head.owner, task)
      this.#sortedOf.parent.delete(task.head.parentId, task)
    }
    return super.delete(taskId)
  }

  override clear(): void {
    for (const taskId of [...this.keys()]) this.delete(taskId)
  }

  /** The unfinished task that was created first. Tasks are added in that order. */
  get oldest(): LiveTask | undefined {
    for (const task of this.values()) if (task.counted && !isSettled(task.counted.status)) return task
    return undefined
  }

  #count({ head: { owner, kind }, account }: LiveTask, by: 1 | -1): void {
    add(this.#byOwner, owner, kind, by)
    add(this.#byAccount, account, kind, by)
  }
}

function add(counts: Map<string, Count>, key: string | undefined, kind: 'body' | 'session', by: 1 | -1): void {
  if (key === undefined) return
  const { all, sessions } = counts.get(key) ?? NONE
  if (all + by === 0) counts.delete(key)
  else counts.set(key, { all: all + by, sessions: kind === 'session' ? sessions + by : sessions })
}

function sizeOf(sets: readonly SortedTasks<LiveTask>[]): number {
  return sets.reduce((sum, { size }) => sum + size, 0)
}
