/**
 * An unfinished task in memory. Its state has four parts, each in a file of its own that alone writes it: its heads and
 * commits, its slot and run, its recovery, and its settlement.
 */
import type { TaskAttributes } from '../../task/attributes.js'
import { isSettled, type Progress, type TaskHead } from '../../task/head.js'
import { CommitState, type TaskOrigin } from '../state/commit-state.js'
import { RecoveryState } from '../state/recovery-state.js'
import { Settlement } from '../state/settlement.js'
import { SlotState } from '../state/slot-state.js'
import { TaskTimer } from '../state/task-timer.js'
import type { DeferredRecords } from './deferred-records.js'
import type { QuestionPlace } from './question-places.js'
import type { CountedAs, TaskCounts } from './task-counts.js'

const FOUND: TaskOrigin = { kind: 'found' }

export class LiveTask {
  readonly commits: CommitState<DeferredRecords>
  readonly slot = new SlotState()
  readonly recovery: RecoveryState
  readonly settlement: Settlement
  /** The timer of the first of the task's time limits. */
  readonly timeLimit = new TaskTimer()
  /**
   * Account whose limits the task counts against in addition to those of its owner: one client of several with the same
   * owner.
   */
  readonly account: string | undefined
  /** Places of the pending records of the task's inputs, by key. `undefined` if not read yet (question-places.ts). */
  questions: Map<string, QuestionPlace> | undefined
  /** Status under which the task is counted; `undefined` while it is not. */
  counted: CountedAs | undefined
  countedAttributes: TaskAttributes | undefined
  /** Bytes of the task that its budget counts (byte-budget.ts). */
  countedBytes = 0
  /** Progress that the body reported since the last commit. */
  progress: Progress | undefined

  #counts: TaskCounts<LiveTask> | undefined

  constructor(head: TaskHead, origin = FOUND) {
    const wasFound = origin.kind === 'found'
    this.commits = new CommitState(this, head, origin)
    this.recovery = new RecoveryState(this, wasFound)
    // A settled task here only needs its clean-up. Its end is not notified again.
    this.settlement = new Settlement(wasFound && isSettled(head.status))
    this.account = origin.kind === 'start' ? origin.admitted.account : undefined
  }

  get taskId(): string {
    return this.commits.head.taskId
  }

  /** The head as the queued commits and the deferred records will leave it. Decisions are made on this head (commit-5). */
  get head(): TaskHead {
    return this.commits.head
  }

  /** The head on disk, which callers may see (commit-2). `undefined` until the first commit. */
  get committed(): TaskHead | undefined {
    return this.commits.committed
  }

  /** Records that the body received and that are not on disk yet. `undefined` if there are none. */
  get deferred(): DeferredRecords | undefined {
    return this.commits.deferred
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
}
