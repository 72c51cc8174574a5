/**
 * Report of a recovery: the result for each task, with the reason (recovery-7). The report is filled during the
 * recovery. `done` resolves when every task has a result.
 */
import { deferred } from '../../base/promises.js'
import type { RecoveryAction } from '../../task/last-recovery.js'

/** Result of the recovery for one unfinished task. */
export interface RecoveredTask {
  readonly taskId: string
  readonly type: string
  /**
   * `resumed`: the body runs again · `parked`: the task cannot continue · `settled`: a time limit had passed, or the
   * task ended at once · `waiting`: the task sleeps, waits for an answer or a message, or its next attempt is due later
   * · `cleaning-up`: the task had settled, and its clean-up continues · `kept`: a session task, which waits for its
   * client · `damaged`: the head cannot be read, and was not changed.
   */
  readonly action: RecoveryAction
  /** Number of recorded results that the body received again. */
  readonly replayed: number
  /** The first call without a record, which begins now. It may have begun before the crash too. */
  readonly resumedAt?: string | undefined
  /** Milliseconds from the start of the recovery to the end of the replay of this task. */
  readonly tookMs?: number | undefined
  readonly reason?: string | undefined
}

/** A task that ran while the last processes crashed. Suspects run again one at a time. */
export interface SuspectedTask {
  readonly taskId: string
  readonly type: string
  /** Number of processes in a row that crashed while the task ran and recorded nothing. */
  readonly deaths: number
  readonly reason: string
}

/** The report of the last recovery. */
export interface RecoveryReport {
  /** Start of the recovery; `undefined` until `recover()` is called on an instance opened with `recover: 'manual'`. */
  readonly startedAt: number | undefined
  readonly finishedAt: number | undefined
  /** Number of unfinished tasks that were found. */
  readonly found: number
  /** Result for each task, in the order of the results. */
  readonly tasks: readonly RecoveredTask[]
  /** Suspects with the reason, in the order in which they run, one at a time. */
  readonly suspects: readonly SuspectedTask[]
  /**
   * Reason for which no task is resumed before `recover()` is called, although the instance was opened without
   * `recover: 'manual'`.
   */
  readonly heldReason: string | undefined
  /** Acknowledged commits that the store had lost, and that were accepted. */
  readonly storeDamage: string | undefined
  /**
   * Resolves with the report when every task that was found has a result. Resolves at close too, with `finishedAt`
   * still undefined. Never rejects.
   */
  readonly done: Promise<RecoveryReport>
}

/** The report while it is being written. */
export class Report implements RecoveryReport {
  startedAt: number | undefined
  finishedAt: number | undefined
  found = 0
  readonly tasks: RecoveredTask[] = []
  readonly suspects: SuspectedTask[] = []
  heldReason: string | undefined
  readonly #done = deferred<RecoveryReport>()
  readonly #open = new Set<string>()

  constructor(readonly storeDamage: string | undefined) {}

  get done(): Promise<RecoveryReport> {
    return this.#done.promise
  }

  /** Begins the report on these tasks. */
  begin(taskIds: readonly string[], now: number): void {
    this.startedAt = now
    this.found = taskIds.length
    for (const taskId of taskIds) this.#open.add(taskId)
    this.#finish(now)
  }

  /** Adds the result of a task. Later results of the same task are ignored. */
  note(task: Omit<RecoveredTask, 'replayed' | 'tookMs'> & { replayed?: number }, now: number): void {
    if (!this.#open.delete(task.taskId)) return
    const reason = this.suspects.find(({ taskId }) => taskId === task.taskId)?.reason
    this.tasks.push({ replayed: 0, reason, ...task, tookMs: now - (this.startedAt ?? now) })
    this.#finish(now)
  }

  /** Number of tasks with the result `action`. */
  count(action: RecoveredTask['action']): number {
    return this.tasks.filter((task) => task.action === action).length
  }

  /** Number of tasks without a result yet. */
  get left(): number {
    return this.#open.size
  }

  /** Resolves `done` at a close, with the results so far. */
  abandon(): void {
    this.#done.resolve(this)
  }

  #finish(now: number): void {
    if (this.#open.size > 0 || this.finishedAt !== undefined) return
    this.finishedAt = now
    this.#done.resolve(this)
  }
}
