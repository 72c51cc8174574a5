/**
 * The live tasks in memory by status and by attribute, as they are on disk, in the order of their IDs. Each change of a task
 * moves it, so that `stats` needs to look at no task, and `list` only at those of a status or an attribute.
 */
import type { TaskAttributes } from '../../task/attributes.js'
import { attributesOf, isLive, isSettled, TASK_STATUSES, type TaskHead, type TaskStatus } from '../../task/head.js'
import { SortedTasks } from '../../task/sorted-tasks.js'
import { AttributeSets } from '../state/attribute-sets.js'

/** Status under which a task is counted that is on disk, and unfinished or settled with a pending clean-up. */
export interface CountedAs {
  readonly status: TaskStatus
  /** False for a settled one: it has its outcome. */
  readonly isParked: boolean
}

/** A task, as far as it is counted. */
export interface CountedTask {
  readonly taskId: string
  readonly committed: TaskHead | undefined
  readonly recovery: { readonly isRetrying: boolean }
  counted: CountedAs | undefined
  /** Attributes under which it is found. */
  countedAttributes: TaskAttributes | undefined
}

// One object for each status, shared by all tasks.
const COUNTED = { parked: countedAs(true), unparked: countedAs(false) }

function countedAs(isParked: boolean): Readonly<Record<TaskStatus, CountedAs>> {
  const entries = TASK_STATUSES.map((status) => [status, { status, isParked }] as const)
  return Object.fromEntries(entries) as Record<TaskStatus, CountedAs>
}

export class TaskCounts<T extends CountedTask = CountedTask> {
  readonly #byStatus: Readonly<Record<TaskStatus, SortedTasks<T>>> = {
    pending: new SortedTasks(),
    running: new SortedTasks(),
    input_required: new SortedTasks(),
    completed: new SortedTasks(),
    failed: new SortedTasks(),
    cancelled: new SortedTasks(),
  }
  readonly byAttribute = new AttributeSets<T>()
  /** Number of parked tasks among the unfinished ones. */
  parked = 0

  /** Number of unfinished tasks by status. */
  get byStatus(): Record<'pending' | 'running' | 'input_required', number> {
    const { pending, running, input_required } = this.#byStatus
    return { pending: pending.size, running: running.size, input_required: input_required.size }
  }

  /** The tasks of a status. */
  of(status: TaskStatus): SortedTasks<T> {
    return this.#byStatus[status]
  }

  /** Updates the counts after a change of the task. */
  note(task: T): void {
    const { committed, recovery, counted } = task
    // A new task is counted when it is on disk. A task with nothing left to do is in the counters of the store instead.
    if (!committed || !isLive(committed)) {
      this.leave(task)
      return
    }
    this.#noteAttributes(task, attributesOf(committed))
    const { status } = committed
    const isParked = committed.parked !== undefined && !recovery.isRetrying && !isSettled(status)
    if (counted?.status === status && counted.isParked === isParked) return
    if (counted?.status !== status) {
      if (counted) this.#byStatus[counted.status].delete(task)
      this.#byStatus[status].add(task)
    }
    this.parked += (isParked ? 1 : 0) - (counted?.isParked ? 1 : 0)
    task.counted = COUNTED[isParked ? 'parked' : 'unparked'][status]
  }

  /** Removes the task from the counts. */
  leave(task: T): void {
    const { counted } = task
    if (!counted) return
    this.#noteAttributes(task, undefined)
    this.#byStatus[counted.status].delete(task)
    if (counted.isParked) this.parked--
    task.counted = undefined
  }

  #noteAttributes(task: T, now: TaskAttributes | undefined): void {
    if (task.countedAttributes === now) return
    this.byAttribute.move(task, task.countedAttributes, now)
    task.countedAttributes = now
  }
}
