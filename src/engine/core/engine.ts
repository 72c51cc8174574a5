/**
 * The engine: every unfinished task in memory, and the way from a decision to the disk and back to those who wait.
 *
 * - Decide, commit, tell: `transition` decides on the head as the queued commits will leave it (commit-5), the store writes
 *     the decision, and only then is anybody told (commit-2).
 * - A commit that the store lost is decided again, on the head as it was read back (commit-3, commit-7).
 * - Whoever settles a task first does the telling, once that is on disk. It leaves the map when it is cleaned up too.
 */
import type { Clock } from '../../base/clock.js'
import { deferred } from '../../base/deferred.js'
import { HoldfastError } from '../../base/errors.js'
import { Events } from '../../base/events.js'
import type { Ids } from '../../base/ids.js'
import type { LimitedLogger } from '../../base/line-limit.js'
import { KeyedMutex } from '../../base/mutex.js'
import type { Store } from '../../store/store.js'
import type { TaskDecision } from '../../task/changes.js'
import { dueAt } from '../../task/decisions/expiry.js'
import { isFenced, transition } from '../../task/decisions/transition.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { isSettled, type Parked, type TaskHead } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'
import type { TaskEvent } from '../../task/task-event.js'
import type { Limits } from '../checks/limits.js'
import type { CheckedOptions } from '../checks/open-options.js'
import type { Registry } from '../checks/registry.js'
import { Admission } from '../scheduling/admission.js'
import { ByteBudget } from '../scheduling/byte-budget.js'
import { LoadedRuns } from '../scheduling/loaded-runs.js'
import { PRIORITY_AGEING_MS, Scheduler } from '../scheduling/scheduler.js'
import { ProcessSemaphore, Semaphore } from '../scheduling/semaphore.js'
import { TurnGate } from '../scheduling/turn-gate.js'
import { drain } from './close.js'
import type { Collaborators, FreshInput, Settling } from './collaborators.js'
import { LeakedFunctions } from './leaked-functions.js'
import type { LiveTask } from './live-task.js'
import { LiveTasks } from './live-tasks.js'
import { TaskLines } from './operator-log.js'
import { noteQuestions } from './question-places.js'
import { type RecoveryReport, Report } from './recovery-report.js'
import { RestoreCounts } from './restore-counts.js'
import { Levels } from './service-levels.js'
import { Slots } from './slots.js'
import { Waiters } from './waiters.js'

// An answer costs about 0.1 ms until it is decided, and as much again when the run that it wakes has recorded it.
/** So many answers of callers are decided in one turn of the event loop. */
export const ANSWERS_PER_TURN = 50

export class Engine {
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: LimitedLogger
  readonly limits: Limits
  readonly retentionMs: number
  /** How long settled tasks without a `ttl` are kept; `undefined` for good. */
  readonly keepSettledMs: number | undefined
  readonly keepCheckpoints: number | undefined
  readonly unloadAfterMs: number
  readonly usage: ByteBudget
  readonly sweeps: Collaborators['sweeps']
  readonly serviceLevels: Levels
  readonly events: Events
  readonly leaks: LeakedFunctions
  readonly registry: Registry
  readonly waiters = new Waiters()
  /** The runs in memory. */
  readonly loaded: LoadedRuns
  readonly slots = new Slots(this)
  readonly scheduler: Scheduler
  readonly admission: Admission
  readonly processes: ProcessSemaphore
  /** Serialises what concerns one idempotency key. */
  readonly keys = new KeyedMutex()
  /** Answers of callers pass here: each wakes a run, and may come in a burst. */
  readonly answers = new TurnGate(ANSWERS_PER_TURN)
  /** Serialises the saves of one task's clients. */
  readonly saves = new KeyedMutex()
  /** Every unfinished task, by ID. */
  readonly tasks: LiveTasks
  /** Forks whose records are being copied: nobody else may touch what lies under these IDs. */
  readonly copying = new Set<string>()
  readonly report: Report
  /** How many clean-ups run at once. */
  readonly cleaners: Semaphore
  /** The live children of each task. */
  readonly children: Collaborators['children']
  readonly lines: TaskLines
  readonly openings: Collaborators['openings']
  readonly suspects: Collaborators['suspects']
  readonly #lifecycle: Collaborators['lifecycle']
  readonly #recovery: Collaborators['recovery']
  readonly #restores = new RestoreCounts()
  #closing = false
  readonly #closingBegan = deferred<void>()
  /** Resolves when `close` is called, and not where the store is lost. */
  readonly closeCalled = deferred<void>()
  #closed = false
  #lost: HoldfastError | undefined
  readonly #found: TaskHead[] = []

  constructor(
    readonly store: Store,
    readonly options: CheckedOptions,
    /** Makes the parts that import the engine. They may keep it, and not use it yet. */
    connect: (engine: Engine) => Collaborators,
  ) {
    this.clock = options.clock
    this.ids = options.ids
    this.logger = options.logger
    this.limits = options.limits
    this.retentionMs = options.retentionMs
    this.keepSettledMs = options.keepSettledMs
    this.keepCheckpoints = options.keepCheckpoints
    this.unloadAfterMs = options.unloadAfterMs
    this.usage = new ByteBudget(store, options.limits)
    this.tasks = new LiveTasks(this.usage)
    this.serviceLevels = new Levels(store)
    this.leaks = new LeakedFunctions(options.clock, options.logger)
    this.events = new Events(options.logger)
    this.lines = new TaskLines(options.logger)
    this.cleaners = new Semaphore(options.concurrency)
    this.report = new Report(store.damage)
    this.registry = options.registry
    const { concurrency, concurrencyPerOwner, ratePerOwner } = options
    const concurrencyOf = (type: string) => this.registry.get(type)?.concurrency
    this.loaded = new LoadedRuns(options.limits.loadedRunsMax)
    const { loaded } = this
    const ageingMs = PRIORITY_AGEING_MS
    this.scheduler = new Scheduler({ concurrency, concurrencyPerOwner, ageingMs, concurrencyOf, loaded })
    const { clock, events, limits, tasks, scheduler } = this
    this.admission = new Admission({ clock, events, store, limits, tasks, scheduler, ratePerOwner })
    this.processes = new ProcessSemaphore(options.limits.isolatedProcessesMax)
    const { lifecycle, children, recovery, suspects, openings, sweeps } = connect(this)
    this.#lifecycle = lifecycle
    this.#recovery = recovery
    this.children = children
    this.suspects = suspects
    this.openings = openings
    this.sweeps = sweeps
    store.onReload((level, taskIds) => recovery.reloadHeads(level, taskIds))
    store.onLost((lost) => this.#stopAtOnce(lost))
  }

  // --- decide, commit, tell ---------------------------------------------------------------------------------------

  /** For the engine itself: waits while the store is down, and decides again what the store lost. */
  record(task: LiveTask, event: TaskEvent): Promise<TaskDecision> {
    return this.#tracked(task, this.#commit(task, event, true))
  }

  /** For a caller: refused with `STORE_UNAVAILABLE` when the store is down or goes down. */
  recordForCaller(task: LiveTask, event: TaskEvent): Promise<TaskDecision> {
    return this.#tracked(task, this.#commit(task, event, false))
  }

  #tracked(task: LiveTask, commit: Promise<TaskDecision>): Promise<TaskDecision> {
    const over = () => void task.commits.delete(commit)
    task.commits.add(commit)
    commit.then(over, over)
    return commit
  }

  async #commit(task: LiveTask, event: TaskEvent, patient: boolean): Promise<TaskDecision> {
    for (;;) {
      if (task.coming) await task.coming.promise
      // Closed under a step that would not stop: it is told nothing (commit-8), and its task goes on at the next open.
      if (this.#closed && patient) return new Promise<never>(() => {})
      if (this.#closed) this.assertOpen()
      // A caller is refused before anything is decided for it: nothing would take the decision back.
      if (!patient) this.store.connection.assertUp()
      else if (!this.store.connection.isUp) await this.store.connection.up
      let decision: TaskDecision
      try {
        decision = transition(task.head, event, this.clock.now())
      } catch (error) {
        // Settled so far only in memory. Nobody may be told before that is on disk, and it may yet be lost.
        if (!task.settling || !isFenced(error)) throw error
        await task.settling.promise
        continue
      }
      const settling = event.kind === 'settle' ? deferred() : undefined
      // Queued first: a decision that cannot be encoded must not become the head that others are made on.
      const writing = this.store.commit(decision, { patient })
      task.head = decision.head
      this.usage.note(task)
      if (settling) task.settling = settling
      try {
        if ((await writing) === 'lost') continue
        noteQuestions(task, decision)
        task.committed = decision.head
        this.suspects.seen(task)
        return decision
      } finally {
        if (settling) {
          task.settling = undefined
          settling.resolve()
        }
      }
    }
  }

  /** Settles a task. @throws HoldfastError `TASK_SETTLED`, RunFenced: somebody else was first */
  async settle(task: LiveTask, outcome: Outcome, { patient, ...who }: Settling): Promise<void> {
    const { progress } = task
    await this.#commit(task, { ...this.#lifecycle.settleEvent(task.head, outcome, who), progress }, patient)
    task.outcomeText = JSON.stringify(outcome)
    this.#lifecycle.tellSettled(task)
  }

  /** Parks a task: it can't continue, and everybody who asks is told why. */
  park(task: LiveTask, parked: Omit<Parked, 'since'>, run?: number): Promise<void> {
    return this.#lifecycle.park(task, parked, run)
  }

  keepCheckpointsOf(type: string): number | undefined {
    return this.registry.get(type)?.keepCheckpoints ?? this.keepCheckpoints
  }

  readonly watchLeak = (taskId: string, step: string, working: Promise<unknown>): void =>
    this.leaks.watch(taskId, step, working)

  /** Counts that a checkpoint was restored, which changes nothing else. */
  noteRestored(head: TaskHead, checkpointId: string, by: string, patient: boolean): Promise<void> {
    return this.#restores.note(this, head, { checkpointId, by, patient })
  }

  // --- tasks in memory --------------------------------------------------------------------------------------------

  /** Reads the live range. Bodies don't run before `recover`. */
  async load(): Promise<void> {
    this.#found.push(...(await this.#recovery.load()))
  }

  /** Keeps a task in memory until it has ended. */
  add(task: LiveTask): void {
    this.tasks.set(task.taskId, task)
    this.children.add(task.head)
  }

  /** Adds a definition; `atStart`: a start brought it. Tasks of its type that were parked for lack of it continue. */
  register(definition: AnyTaskDefinition, atStart = false): void {
    if (!this.registry.add(definition)) return
    if (atStart) this.lines.startedUnregistered(definition.name)
    this.#recovery.resumeType(definition)
  }

  /** Takes up what was found at open, behind the caller's back. Once is enough. */
  recover(): RecoveryReport {
    if (this.report.startedAt === undefined)
      this.scheduler.together(() => this.#recovery.resumeTasks(this.#found.splice(0)))
    return this.report
  }

  /** Puts a task into the queue for a slot: now, or when it is to be woken. */
  schedule(task: LiveTask, options?: { now?: boolean }): void {
    this.#lifecycle.schedule(task, options)
  }

  /** Runs a task's body. The slot is taken already; it is given back when the run is over. */
  begin(task: LiveTask, fresh?: FreshInput): void {
    this.#lifecycle.begin(task, fresh)
  }

  /** Arms the task's timeout, its deadline and the end of its `ttl`, whichever comes first. */
  arm(task: LiveTask): void {
    task.disarm()
    const due = isSettled(task.head.status) ? undefined : dueAt(task.head)
    if (due === undefined || this.closing) return
    task.disarm = this.clock.setTimer(due, () => void this.timeOut(task))
  }

  /** The task's time is over. */
  timeOut(task: LiveTask): Promise<void> {
    return this.#lifecycle.timeOut(task)
  }

  /** Something came from outside, or a child ended: whoever waits for it looks. */
  hasNews(task: LiveTask, answered?: readonly string[]): void {
    this.#lifecycle.wakeTask(task, answered)
  }

  isUnfinished(taskId: string): boolean {
    return this.tasks.has(taskId)
  }

  noteDropped(task: LiveTask): void {
    void this.#lifecycle.noteDropped(task)
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  /** True if the store is closed or lost; while it is only closing, tasks can still be read. */
  get isClosed(): boolean {
    return this.#closed || this.#lost !== undefined
  }

  /** Resolves once anything new is refused. */
  get closingBegan(): Promise<void> {
    return this.#closingBegan.promise
  }

  /** True if anything new is refused. Once it is, it stays so. */
  get closing(): boolean {
    return this.#closing
  }

  set closing(closing: boolean) {
    this.#closing ||= closing
    if (closing) this.#closingBegan.resolve()
  }

  /** @throws HoldfastError `CLOSED`, `STORE_LOST` */
  assertOpen(): void {
    if (this.#lost && !this.#closed) throw this.#lost
    if (this.closing)
      throw new HoldfastError('CLOSED', 'This Holdfast instance is closed, or closing. Open another one.')
  }

  /**
   * Commits that the process ends on request, before anything is waited for: it may be killed within the grace. No new step
   * begins; what is in flight may finish within `graceMs` and is recorded. Unfinished tasks stay as they are.
   */
  async close(graceMs: number): Promise<void> {
    this.closing = true
    this.closeCalled.resolve()
    const noted = this.#lost ? undefined : this.openings.beginEnd()
    this.scheduler.stop()
    this.suspects.stop()
    await drain(this, this.#lost ? 0 : graceMs)
    await noted
    this.#closed = true
    this.report.abandon()
    this.waiters.close()
    if (!this.#lost) await this.openings.end()
    await this.store.close()
  }

  /** Another process may hold the store and run its tasks: nothing goes on here, and nobody waits any more. */
  #stopAtOnce(lost: HoldfastError): void {
    this.#lost = lost
    this.closing = true
    this.scheduler.stop()
    this.suspects.stop()
    void drain(this, 0)
    this.report.abandon()
    this.waiters.close()
  }
}
