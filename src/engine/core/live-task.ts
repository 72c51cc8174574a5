/** An unfinished task in memory: its decided head, its head on disk, and the run that executes its body. */
import type { Deferred } from '../../base/deferred.js'
import { isSettled, type Progress, type TaskHead } from '../../task/head.js'
import type { Admitted } from '../scheduling/admission.js'
import { RecoveryState } from '../state/recovery-state.js'
import { Settlement } from '../state/settlement.js'
import { SlotState } from '../state/slot-state.js'
import { TaskTimer } from '../state/task-timer.js'
import type { DeferredRecords } from './deferred-records.js'
import type { QuestionPlace } from './question-places.js'
import type { CountedAs, TaskCounts } from './task-counts.js'

export class LiveTask {
  /** The head as the queued commits and the deferred records will leave it. Decisions are made on this head (commit-5). */
  head: TaskHead
  /** The slot and the places that admission gave to the task. Set until the task is on disk. */
  admitted: Admitted | undefined
  /**
   * Account whose limits the task counts against in addition to those of its owner: one client of several with the same
   * owner.
   */
  account: string | undefined
  readonly slot = new SlotState()
  readonly recovery: RecoveryState
  readonly settlement: Settlement
  /** The timer of the first of the task's time limits. */
  readonly timeLimit = new TaskTimer()
  /** Places of the pending records of the task's inputs, by key. `undefined` if not read yet (question-places.ts). */
  questions: Map<string, QuestionPlace> | undefined
  /** Status under which the task is counted; `undefined` while it is not. */
  counted: CountedAs | undefined
  /** Progress that the body reported since the last commit. */
  progress: Progress | undefined
  /**
   * Set while a commit that settles the task is being written. Until the commit, no caller may learn that the task is
   * settled.
   */
  settling: Deferred<void> | undefined
  /**
   * Set while the commit that creates a child task is in flight. No other event of the child is decided before the
   * commit.
   */
  coming: Deferred<void> | undefined
  /** Records that the body received and that are not on disk yet. `undefined` if there are none. */
  deferred: DeferredRecords | undefined
  /** Commits of the task that are being written. */
  readonly commits = new Set<Promise<unknown>>()

  #committed: TaskHead | undefined
  #counts: TaskCounts<LiveTask> | undefined

  /** @param committed the head on disk, of a task that was found at open */
  constructor(head: TaskHead, committed?: TaskHead) {
    this.head = head
    this.#committed = committed
    this.recovery = new RecoveryState(this, committed !== undefined)
    // A settled task here only needs its clean-up. Its end is not notified again.
    this.settlement = new Settlement(committed !== undefined && isSettled(committed.status))
  }

  /** The head on disk, which callers may see (commit-2). `undefined` until the first commit. */
  get committed(): TaskHead | undefined {
    return this.#committed
  }

  set committed(committed: TaskHead | undefined) {
    this.#committed = committed
    this.recount()
  }

  /** Counts the task in `counts` from now on, or nowhere. */
  countIn(counts: TaskCounts<LiveTask> | undefined): void {
    this.#counts?.leave(this)
    this.#counts = counts
    counts?.note(this)
  }

  /** Counts the task again after a change of its committed head or its recovery. */
  recount(): void {
    this.#counts?.note(this)
  }

  get taskId(): string {
    return this.head.taskId
  }

  /** Keeps a commit in `commits` until it has ended. */
  track<T>(commit: Promise<T>): Promise<T> {
    const over = () => void this.commits.delete(commit)
    this.commits.add(commit)
    commit.then(over, over)
    return commit
  }

  /** Resolves when all commits of the task are written or refused. Writes its deferred records first. */
  async settledCommits(): Promise<void> {
    while (this.commits.size > 0) await Promise.allSettled(this.commits)
  }
}
