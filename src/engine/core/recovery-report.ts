/**
 * What a recovery did, task by task, and why (recovery-7). Filled as it goes; `done` resolves when every task is taken
 * up.
 */
import { deferred } from '../../base/deferred.js'

/** Result of the recovery for one unfinished task. */
export interface RecoveredTask {
  readonly taskId: string
  readonly type: string
  /**
   * `resumed`: its body runs again · `parked`: it cannot continue · `settled`: its time was over, or it ended at once ·
   * `waiting`: it sleeps, waits for an answer or a message, or its next attempt is due later · `cleaning-up`: it had
   * settled, and its clean-up continues · `kept`: a session task, which waits for its client · `damaged`: its head
   * can't be read, and was left alone.
   */
  readonly action: 'resumed' | 'parked' | 'settled' | 'waiting' | 'cleaning-up' | 'kept' | 'damaged'
  /** Number of recorded results that its body received again. */
  readonly replayed: number
  /** The first thing that was not recorded, and therefore begins now: it may have begun before the crash too. */
  readonly resumedAt?: string | undefined
  /** Milliseconds from the recovery's start until its log was used up. */
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
  /** Result for each task, in the order in which it was known. */
  readonly tasks: readonly RecoveredTask[]
  /** Suspects, in the order in which they run, one at a time, with the reason. */
  readonly suspects: readonly SuspectedTask[]
  /**
   * Reason for which no task is resumed before `recover()` is called, although the instance was opened without
   * `recover: 'manual'`.
   */
  readonly heldReason: string | undefined
  /** Acknowledged commits that the store had lost, and that were accepted. */
  readonly storeDamage: string | undefined
  /**
   * Resolves, with the report, once every task found is resumed, parked or settled; or at close, with `finishedAt`
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

  /** Begins: these tasks will be reported on. */
  begin(taskIds: readonly string[], now: number): void {
    this.startedAt = now
    this.found = taskIds.length
    for (const taskId of taskIds) this.#open.add(taskId)
    this.#finish(now)
  }

  /** Says what became of a task; only its first word counts. */
  note(task: Omit<RecoveredTask, 'replayed' | 'tookMs'> & { replayed?: number }, now: number): void {
    if (!this.#open.delete(task.taskId)) return
    const reason = this.suspects.find(({ taskId }) => taskId === task.taskId)?.reason
    this.tasks.push({ replayed: 0, reason, ...task, tookMs: now - (this.startedAt ?? now) })
    this.#finish(now)
  }

  /** How many tasks became `action`. */
  count(action: RecoveredTask['action']): number {
    return this.tasks.filter((task) => task.action === action).length
  }

  /** The instance is closed: whoever waits learns how far it came. */
  abandon(): void {
    this.#done.resolve(this)
  }

  #finish(now: number): void {
    if (this.#open.size > 0 || this.finishedAt !== undefined) return
    this.finishedAt = now
    this.#done.resolve(this)
  }
}
