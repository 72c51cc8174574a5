/**
 * The recovery of a task in memory: it waits for `recover`, or a parked task is being retried, or neither.
 *
 * - A task that waits for `recover` runs no body. The clean-up of such a task may begin if a caller cancels it.
 * - A parked task that is being retried does not count as parked.
 */
import { illegal } from './illegal.js'

type Stage = 'none' | 'awaits-recovery' | 'retrying'

/** A task whose counts depend on its recovery. */
interface CountedTask {
  /** Counts the task again, after a change. */
  recount(): void
}

export class RecoveryState {
  #stage: Stage

  /**
   * @param task the task
   * @param wasFound true if the head was read at open. Such a head may be older than the log, so the log is always read
   */
  constructor(
    private readonly task: CountedTask,
    readonly wasFound: boolean,
  ) {
    this.#stage = wasFound ? 'awaits-recovery' : 'none'
  }

  /** True if the task was found at open and is not resumed yet. Its body does not run before `recover`. */
  get isAwaited(): boolean {
    return this.#stage === 'awaits-recovery'
  }

  /** True while the task waits for a run or a clean-up whose begin ends its parking, if it is parked. */
  get isRetrying(): boolean {
    return this.#stage === 'retrying'
  }

  /** Ends the wait for `recover`. No effect if a caller resumed or cancelled the task before. */
  resume(): void {
    if (this.#stage === 'awaits-recovery') this.#stage = 'none'
  }

  /** Notes that a run of the body is queued. */
  queueRun(): void {
    if (this.#stage === 'awaits-recovery') throw illegal('queue a run', this.#stage)
    this.#become('retrying')
  }

  /** Notes that a clean-up begins, also of a task that a caller cancelled before `recover`. */
  beginCleanUp(): void {
    this.#become('retrying')
  }

  /** Notes that the begin of the run or of the clean-up is on disk, or that the task is parked. */
  endRetry(): void {
    if (this.#stage === 'awaits-recovery') throw illegal('end a retry', this.#stage)
    this.#become('none')
  }

  #become(stage: Stage): void {
    if (this.#stage === stage) return
    this.#stage = stage
    this.task.recount()
  }
}
