/** All live tasks in memory, by ID. Counts them by owner and account, for the limits, and by status. */

import type { ByteBudget } from '../scheduling/byte-budget.js'
import type { LiveTask } from './live-task.js'
import { TaskCounts } from './task-counts.js'

interface Count {
  all: number
  /** Number of session tasks among them, which have no body. */
  sessions: number
}

const NONE: Readonly<Count> = { all: 0, sessions: 0 }

/** A `Map` that also counts its tasks. Tasks without an owner count for no owner. */
export class LiveTasks extends Map<string, LiveTask> {
  // Fields are set after the constructor of `Map` has run, which does not call `set` here.
  readonly #byOwner = new Map<string, Count>()
  readonly #byAccount = new Map<string, Count>()
  /** Counts of the unfinished tasks by status. */
  readonly counts = new TaskCounts()
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

  override set(taskId: string, task: LiveTask): this {
    this.delete(taskId)
    this.#count(task, 1)
    this.#usage.note(task)
    task.countIn(this.counts)
    return super.set(taskId, task)
  }

  override delete(taskId: string): boolean {
    const task = this.get(taskId)
    if (task) {
      this.#count(task, -1)
      this.#usage.leave(task)
      task.countIn(undefined)
    }
    return super.delete(taskId)
  }

  override clear(): void {
    for (const taskId of [...this.keys()]) this.delete(taskId)
  }

  /** The unfinished task that was created first. Tasks are added in that order. */
  get oldest(): LiveTask | undefined {
    for (const task of this.values()) if (task.counted) return task
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
