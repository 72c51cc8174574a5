/**
 * The engine. Owns every unfinished task in memory, and the path from a decision to the disk and then to the waiters.
 *
 * - Decide, commit, notify: `transition` decides on the head as the queued commits will leave it (commit-5). The store
 *     writes the decision. Only then are callers notified (commit-2).
 * - A commit that the store lost is decided again, on the head that was read back from disk (commit-3, commit-7).
 * - The caller that settles a task first notifies all others after the commit. The task is removed after its clean-up.
 */
import type { Clock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import { Events } from '../../base/events.js'
import type { Ids } from '../../base/ids.js'
import type { LimitedLogger } from '../../base/line-limit.js'
import { KeyedMutex } from '../../base/mutex.js'
import { deferred } from '../../base/promises.js'
import { RunReads } from '../../store/run-reads.js'
import type { Store } from '../../store/store.js'
import type { TaskDecision } from '../../task/changes.js'
import { dueAt } from '../../task/decisions/expiry.js'
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
import { ANSWERS_PER_TURN, TurnGate } from '../scheduling/turn-gate.js'
import { WakeTimers } from '../scheduling/wake-timers.js'
import type { Collaborators, FreshInput, Settling } from './collaborators.js'
import { type DeferringHost, flush } from './deferred-records.js'
import { LeakedFunctions } from './leaked-functions.js'
import type { LiveTask } from './live-task.js'
import { LiveTasks } from './live-tasks.js'
import { TaskLines } from './operator-log.js'
import { type RecoveryReport, Report } from './recovery-report.js'
import { RestoreCounts } from './restore-counts.js'
import { Levels } from './service-levels.js'
import { Slots } from './slots.js'
import { commitEvent, type RecordEnd } from './task-commits.js'
import { Waiters } from './waiters.js'

export class Engine {
  readonly clock: Clock
  readonly ids: Ids
  readonly logger: LimitedLogger
  readonly limits: Limits
  readonly retentionMs: number
  /** Time for which settled tasks without a `ttl` are kept. `undefined` to keep them for good. */
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
  readonly wakeTimers: WakeTimers<LiveTask>
  readonly runReads: RunReads
  readonly loaded: LoadedRuns
  readonly slots = new Slots(this)
  readonly scheduler: Scheduler
  readonly admission: Admission
  readonly processes: ProcessSemaphore
  /** Mutexes by name: an idempotency key, or the inputs, messages or dropped records of a task. */
  readonly keys = new KeyedMutex()
  /** Gate that spreads a burst of answers over turns of the event loop, because each answer wakes a run. */
  readonly answers = new TurnGate(ANSWERS_PER_TURN)
  /** Mutexes for the checkpoints that clients save, by task. */
  readonly saves = new KeyedMutex()
  /** Every unfinished task, by ID. */
  readonly tasks: LiveTasks
  /** IDs of forks whose records are being copied. The sweeper leaves these records alone. */
  readonly copying = new Set<string>()
  readonly report: Report
  /** Limits the number of clean-ups that run at once. */
  readonly cleaners: Semaphore
  readonly children: Collaborators['children']
  readonly lines: TaskLines
  readonly openings: Collaborators['openings']
  readonly suspects: Collaborators['suspects']
  readonly #lifecycle: Collaborators['lifecycle']
  readonly #recovery: Collaborators['recovery']
  readonly #restores = new RestoreCounts()
  #closing = false
  readonly #closingBegan = deferred<void>()
  /** Resolves when `close` is called. Does not resolve when the store is lost. */
  readonly closeCalled = deferred<void>()
  #closed = false
  #lost: HoldfastError | undefined
  readonly #found: TaskHead[] = []

  constructor(
    readonly store: Store,
    readonly options: CheckedOptions,
    /** Creates the parts that import the engine. The parts must not use the engine before it is complete. */
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
    this.wakeTimers = new WakeTimers(options.clock, (task) => this.schedule(task))
    this.runReads = new RunReads(store)
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

  // --- decide, commit, notify ---------------------------------------------------------------------------------------

  /** Commits an event of the engine. Waits while the store is down, and decides again if the store lost the commit. */
  record(task: LiveTask, event: TaskEvent): Promise<TaskDecision> {
    return new Promise((onDisk, failed) => commitEvent(this, task, event, true, { onDisk, failed }))
  }

  /** Commits an event of the engine as `record` does, without a promise for its end. */
  beginRecord(task: LiveTask, event: TaskEvent, end: RecordEnd): void {
    commitEvent(this, task, event, true, end)
  }

  /** Commits an event for a caller. Rejects with `STORE_UNAVAILABLE` if the store is down or goes down. */
  recordForCaller(task: LiveTask, event: TaskEvent): Promise<TaskDecision> {
    return new Promise((onDisk, failed) => commitEvent(this, task, event, false, { onDisk, failed }))
  }

  /** Settles a task. @throws HoldfastError `TASK_SETTLED`, RunFenced if the run of the caller is superseded */
  settle(task: LiveTask, outcome: Outcome, { patient, ...by }: Settling): Promise<void> {
    return new Promise((resolve, failed) => {
      const event = this.#lifecycle.settleEvent(task.head, outcome, { ...by, progress: task.progress })
      const onDisk = () => resolve(this.#lifecycle.announceSettled(task, JSON.stringify(outcome)))
      commitEvent(this, task, event, patient, { onDisk, failed })
    })
  }

  park(task: LiveTask, parked: Omit<Parked, 'since'>, run?: number): Promise<void> {
    return this.#lifecycle.park(task, parked, run)
  }

  keepCheckpointsOf(type: string): number | undefined {
    return this.registry.get(type)?.keepCheckpoints ?? this.keepCheckpoints
  }

  readonly watchLeak = (taskId: string, step: string, working: Promise<unknown>): void =>
    this.leaks.watch(taskId, step, working)

  noteRestored(head: TaskHead, checkpointId: string, by: string, patient: boolean): Promise<void> {
    return this.#restores.note(this, head, { checkpointId, by, patient })
  }

  // --- tasks in memory --------------------------------------------------------------------------------------------

  /** Reads all unfinished tasks into memory. No body runs before `recover`. */
  async load(): Promise<void> {
    this.#found.push(...(await this.#recovery.load()))
  }

  /** Adds a task, which stays in memory until it has ended. */
  add(task: LiveTask): void {
    this.tasks.set(task.taskId, task)
    this.children.add(task.head)
  }

  /** Adds a definition, from a start if `atStart`. Tasks that were parked because it was missing continue. */
  register(definition: AnyTaskDefinition, atStart = false): void {
    if (!this.registry.add(definition)) return
    if (atStart) this.lines.startedUnregistered(definition.name)
    this.#recovery.resumeType(definition)
  }

  /** Begins to resume the tasks found at open. A second call only returns the report. */
  recover(): RecoveryReport {
    if (this.report.startedAt === undefined)
      this.scheduler.together(() => this.#recovery.resumeTasks(this.#found.splice(0)))
    return this.report
  }

  schedule(task: LiveTask, options?: { now?: boolean }): void {
    this.#lifecycle.schedule(task, options)
  }

  /** Runs the body of a task that holds a slot. The slot is released when the run ends. */
  begin(task: LiveTask, fresh?: FreshInput): void {
    this.#lifecycle.begin(task, fresh)
  }

  /** Sets a timer for the first of the task's timeout, its deadline and the end of its `ttl`. None for an exported task. */
  arm(task: LiveTask): void {
    task.timeLimit.cancel()
    const { status, parked } = task.head
    const due = isSettled(status) || parked?.code === 'EXPORTED' ? undefined : dueAt(task.head)
    if (due === undefined || this.closing) return
    task.timeLimit.set(this.clock, due, () => void this.timeOut(task))
  }

  timeOut(task: LiveTask): Promise<void> {
    return this.#lifecycle.timeOut(task)
  }

  /** Wakes the waits of a task after an answer, a message, or the end of a child. */
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

  /** True if the store is closed or lost. While the store is only closing, tasks can still be read. */
  get isClosed(): boolean {
    return this.#closed || this.#lost !== undefined
  }

  /** The error of every call once the store is lost. */
  get lost(): HoldfastError | undefined {
    return this.#lost
  }

  /** Resolves when the engine begins to close. From then on, new calls are refused. */
  get closingBegan(): Promise<void> {
    return this.#closingBegan.promise
  }

  /** True from the begin of a close on: new calls are refused. Never becomes false again. */
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
   * Closes the engine and the store. First commits that a close has begun, because the process may be killed within
   * the grace. No new step begins. Running steps may finish within `graceMs` and are recorded. Unfinished tasks stay.
   * @param beforeRelease work that must end while the directory is still locked. Never rejects.
   */
  async close(graceMs: number, beforeRelease?: Promise<void>): Promise<void> {
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
    if (beforeRelease) await beforeRelease
    await this.store.close()
  }

  /** Stops all runs after the loss of the store, because another process may run its tasks. All waits end. */
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

/** Members of the engine that a close uses. */
interface ClosingHost extends DeferringHost {
  readonly clock: Clock
  readonly tasks: LiveTasks
}

/**
 * Has the deferred records written. Waits until the running calls and clean-ups end, at most `graceMs`. Then leaves the
 * remaining runs, and aborts their signals.
 */
async function drain(host: ClosingHost, graceMs: number): Promise<void> {
  const { clock, tasks: live } = host
  const tasks = [...live.values()]
  for (const task of tasks) {
    void flush(host, task)
    task.timeLimit.cancel()
    task.slot.cancelTimer()
  }
  const runs = tasks.flatMap(({ slot: { run } }) => (run ? [run.idle()] : []))
  const cleanings = tasks.flatMap(({ settlement: { cleaning } }) => (cleaning ? [cleaning.over] : []))
  if (runs.length + cleanings.length > 0 && graceMs > 0) {
    let disarm = () => {}
    const grace = new Promise<void>((resolve) => {
      disarm = clock.setTimer(clock.now() + graceMs, resolve, { elapsed: true })
    })
    await Promise.race([Promise.all([...runs, ...cleanings]), grace])
    disarm()
  }
  for (const { slot, settlement } of live.values()) {
    slot.run?.abandon()
    settlement.cleaning?.abort(
      new DOMException('The engine is closed. The clean-up continues at the next open.', 'AbortError'),
    )
  }
}
