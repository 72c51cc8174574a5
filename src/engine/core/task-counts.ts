/**
 * Counts the unfinished tasks in memory by their status on disk. Each change of a task updates the counts, so that
 * `stats` takes the same time for any number of tasks.
 */
import { isSettled, type TaskHead, type TaskStatus } from '../../task/head.js'

/** The counters that an unfinished task on disk is counted in. */
export interface CountedAs {
  readonly status: Exclude<TaskStatus, 'completed' | 'failed' | 'cancelled'>
  readonly isParked: boolean
}

/** Members of a task that the counts use. */
interface CountedTask {
  readonly committed: TaskHead | undefined
  readonly awaitsRun: boolean
  counted: CountedAs | undefined
}

export class TaskCounts {
  readonly byStatus = { pending: 0, running: 0, input_required: 0 }
  /** Number of parked tasks among them. */
  parked = 0

  /** Updates the counts after a change of the task. */
  note(task: CountedTask): void {
    const { committed, awaitsRun } = task
    // A new task is counted when it is on disk. A settled task is in the counters of the store instead.
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

  /** Removes the task from the counts. */
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
