/**
 * Counts the unfinished tasks in memory by status, as they are on disk. Each change of a task moves the counts, so that
 * `stats` asks no task, however many there are.
 */
import { isSettled, type TaskHead, type TaskStatus } from '../../task/head.js'

/** How a task is counted: one that is not settled, and is on disk. */
export interface CountedAs {
  readonly status: Exclude<TaskStatus, 'completed' | 'failed' | 'cancelled'>
  readonly isParked: boolean
}

/** A task, as far as it is counted. */
interface CountedTask {
  readonly committed: TaskHead | undefined
  readonly awaitsRun: boolean
  counted: CountedAs | undefined
}

export class TaskCounts {
  readonly byStatus = { pending: 0, running: 0, input_required: 0 }
  /** The number of tasks among them that can't continue. */
  parked = 0

  /** Counts the task as it now is. */
  note(task: CountedTask): void {
    const { committed, awaitsRun } = task
    // A start that is on its way is counted once it is on disk; one that is settled is in the counters of the store.
    if (!committed || isSettled(committed.status)) {
      this.leave(task)
      return
    }
    const status = committed.status as CountedAs['status']
    const isParked = committed.parked !== undefined && !awaitsRun
    const { counted } = task
    if (counted?.status === status && counted.isParked === isParked) return
    this.leave(task)
    task.counted = { status, isParked }
    this.#add(task.counted, 1)
  }

  /** Counts the task no more. */
  leave(task: CountedTask): void {
    if (!task.counted) return
    this.#add(task.counted, -1)
    task.counted = undefined
  }

  #add({ status, isParked }: CountedAs, by: 1 | -1): void {
    this.byStatus[status] += by
    if (isParked) this.parked += by
  }
}
