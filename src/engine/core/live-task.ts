/** An unfinished task in memory: what is decided about it, what of that is on disk, and the run that executes it. */
import type { Deferred } from '../../base/deferred.js'
import type { Progress, TaskHead } from '../../task/head.js'
import type { Ask } from '../../task/log/history.js'
import type { Admitted } from '../scheduling/admission.js'
import type { IdleRun } from '../scheduling/loaded-runs.js'
import type { QuestionPlace } from './question-places.js'
import type { CountedAs, TaskCounts } from './task-counts.js'

/** A run in memory, as the engine sees it. */
export interface ActiveRun {
  readonly isOver: boolean
  /** The calls whose functions run. */
  readonly begun: readonly { readonly ask: Ask; readonly startedAt?: number }[]
  /** Functions of steps with an undo whose result is not on disk, by the identity of the step. */
  readonly functions: ReadonlyMap<string, Promise<unknown>>
  /** The undoing after decisions of the body, while it continues. */
  readonly undoing: ReadonlyMap<unknown, Promise<unknown>>
  readonly waits: {
    /** Ends the waits that listen; only those with these identities, if they are given. */
    nudge(ids?: readonly string[]): void
    /** Unloads the run if it only waits. */
    unload(): void
  }
  /** The task is settled: signals are aborted, and the body is interrupted where it waits. */
  interrupt(): void
  /** Leaves the run for a later one. */
  abandon(): void
  /** Resolves once no step is in flight and the body is at rest. */
  idle(): Promise<void>
}

/** The work of one process at the clean-up of a task. */
export interface Cleaning {
  /** Resolves when it is over, or left for the next open. */
  readonly over: Promise<void>
  /** Aborts what runs. */
  abort(reason: unknown): void
}

export class LiveTask {
  /** As the queued commits will leave it. Decisions are made on this (commit-5). */
  head: TaskHead
  /** What it was given when it was let in, until it is known that it is on disk. */
  admitted: Admitted | undefined
  /** Whose limits it counts against beside its owner's: one client of several that share an owner. */
  account: string | undefined
  /** The run that executes its body now. */
  run: ActiveRun | undefined
  /** True if a run of it continues, or waits for a slot of the scheduler. */
  scheduled = false
  /** True if it holds a slot. A run that only waits gives it back meanwhile. */
  hasSlot = false
  /** Where its run is. `leaving`: it is being unloaded, and that is not on disk yet. */
  memory: 'unloaded' | 'loaded' | 'leaving' = 'unloaded'
  /** There while its run is in memory without a slot. */
  idle: IdleRun | undefined
  /** There while its run waits for a slot again. */
  waking: Promise<void> | undefined
  /** True if its head was read at open. Such a head may be older than its log, so the log is always read. */
  wasFound = false
  /** Found at open and not taken up yet. What comes for it is kept; its body doesn't run before `recover`. */
  awaitsRecovery = false
  /** Where its questions lie, by key, as far as that is known (question-places.ts). */
  questions: Map<string, QuestionPlace> | undefined
  /** How it is counted in `counts`. */
  counted: CountedAs | undefined
  /** Said by the body since the last commit. */
  progress: Progress | undefined
  /** There while a commit that settles it is on its way: until then nobody may be told that it is settled. */
  settling: Deferred<void> | undefined
  /** True if everybody was told that it is settled. Its clean-up may continue. */
  isTold = false
  /** What it settled with, as JSON text, from then on. */
  outcomeText: string | undefined
  /** This process's work at its clean-up. */
  cleaning: Cleaning | undefined
  /** There while it is being created for a parent: the engine sees to it that it comes to be, and nothing is decided before. */
  coming: Deferred<void> | undefined
  /** True if something came while its run was being loaded, or unloaded: after an unloading it is run again at once. */
  wakesAtOnce = false
  /** Its commits that are on their way. */
  readonly commits = new Set<Promise<unknown>>()
  /** Disarms its timeout. */
  disarm: () => void = () => {}
  /** Disarms the timer that wakes it. */
  disarmWake: () => void = () => {}

  #committed: TaskHead | undefined
  #awaitsRun = false
  #counts: TaskCounts | undefined

  constructor(head: TaskHead, committed?: TaskHead) {
    this.head = head
    this.#committed = committed
  }

  /** As it is on disk, which is what may be told (commit-2). `undefined` until its first commit. */
  get committed(): TaskHead | undefined {
    return this.#committed
  }

  set committed(committed: TaskHead | undefined) {
    this.#committed = committed
    this.#counts?.note(this)
  }

  /** Waits for a run that will show whether its parking still holds: till then it doesn't count as parked. */
  get awaitsRun(): boolean {
    return this.#awaitsRun
  }

  set awaitsRun(awaitsRun: boolean) {
    this.#awaitsRun = awaitsRun
    this.#counts?.note(this)
  }

  /** From now on it is counted there, or nowhere. */
  countIn(counts: TaskCounts | undefined): void {
    this.#counts?.leave(this)
    this.#counts = counts
    counts?.note(this)
  }

  get taskId(): string {
    return this.head.taskId
  }

  /** Resolves once everything that is decided about it is on disk, or refused. */
  async settledCommits(): Promise<void> {
    while (this.commits.size > 0) await Promise.allSettled(this.commits)
  }
}
