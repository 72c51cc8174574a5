/** An unfinished task in memory: its decided head, its head on disk, and the run that executes its body. */
import type { Deferred } from '../../base/deferred.js'
import { isSettled, type Progress, type TaskHead } from '../../task/head.js'
import type { Ask } from '../../task/log/history.js'
import type { Admitted } from '../scheduling/admission.js'
import type { IdleRun } from '../scheduling/loaded-runs.js'
import { RecoveryState } from '../state/recovery-state.js'
import { Settlement } from '../state/settlement.js'
import { TaskTimer } from '../state/task-timer.js'
import type { DeferredRecords } from './deferred-records.js'
import type { QuestionPlace } from './question-places.js'
import type { CountedAs, TaskCounts } from './task-counts.js'

/** The members of a run that the engine uses. */
export interface ActiveRun {
  readonly isOver: boolean
  /** The calls whose functions run now. */
  readonly begun: readonly { readonly ask: Ask; readonly startedAt?: number }[]
  /** Running functions of steps that have an undo and whose result is not on disk, by the identity of the step. */
  readonly functions: ReadonlyMap<string, Promise<unknown>>
  /** The running undos of branches that lost, while the body continues. */
  readonly undoing: ReadonlyMap<unknown, Promise<unknown>>
  readonly waits: {
    /** Wakes the waits for news. With `ids`, only the waits with these identities. */
    nudge(ids?: readonly string[]): void
    /** Unloads the run if it only waits. */
    unload(): void
  }
  /** Aborts the signals and interrupts the waits of the body, because the task is settled. */
  interrupt(): void
  /** Ends the run without an outcome. A later run continues the task. */
  abandon(): void
  /** Resolves when no step runs and the body only waits. */
  idle(): Promise<void>
}

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
  /** The run that executes the body now. */
  run: ActiveRun | undefined
  /** True if a run of the task is in progress, or is queued for a slot. */
  scheduled = false
  /** True if the task holds a slot. A run that only waits holds none. */
  hasSlot = false
  /** State of the run in memory. `leaving`: the run is being unloaded, and that is not on disk yet. */
  memory: 'unloaded' | 'loaded' | 'leaving' = 'unloaded'
  /** Set while the run is in memory without a slot. */
  idle: IdleRun | undefined
  /** Set while the run waits for a slot again. */
  waking: Promise<void> | undefined
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
  /**
   * True if news came while the run was being loaded or unloaded. After an unload, the task then runs again at once.
   */
  wakesAtOnce = false
  /** Records that the body received and that are not on disk yet. `undefined` if there are none. */
  deferred: DeferredRecords | undefined
  /** Commits of the task that are being written. */
  readonly commits = new Set<Promise<unknown>>()
  /** Cancels the timer that wakes the task. */
  disarmWake: () => void = () => {}

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
