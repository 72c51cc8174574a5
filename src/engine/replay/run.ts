/**
 * One run: the execution of a body over its log. Owns the turns, the pending calls, and the choice of the next turn.
 * The files of `engine/calls/` run the calls and commit their results.
 *
 * The three rules of the log (docs/internals/rules.md):
 *
 * 1. A checkpoint opens a segment. Names are numbered from 1 in each (history.ts).
 * 2. A turn begins with one answer: a record, in the order of the log (turns.ts), or an answer without a record
 *    (unrecorded-answers.ts). A call outside a turn fails the task with STEP_AMBIGUOUS, in its first run already.
 * 3. All records are replayed before a new call begins. A record that no call matches means that the code changed. The
 *    task is parked before any new effect.
 *
 * - After the end of a run, calls of its body stay pending, or are interrupted if the task is settled. Failures of the
 *     engine never reach a body (commit-8).
 */
import { TaskInterruptedError } from '../../base/errors.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import { promiseOf } from '../../base/promises.js'
import { noteKey } from '../../store/disk/layout.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { firstInstantOf, type Parked } from '../../task/head.js'
import { type Ask, type CodeChanged, type History, idOf } from '../../task/log/history.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { describeRecord, type LogRecord, nameIn } from '../../task/log/records.js'
import type { LiveTask } from '../core/live-task.js'
import type { RunSpan } from '../state/task-spans.js'
import { Beginnings } from './begin-calls.js'
import { ambiguous, begunAsAnother, inFlight, leftAtEnd, notAwaited, unaskedFor } from './body-errors.js'
import { type Branch, Branches } from './branch-scopes.js'
import type { PatchKeeper, RunCore, RunHost } from './host.js'
import { InFlight } from './in-flight.js'
import { Interruption, rejectOneByOne } from './interruption.js'
import { handAnswer, hasLost, PendingCall, type RecordEffects, type RunEnd } from './pending-call.js'
import { PendingCalls, pendingAtReturn } from './pending-calls.js'
import { RestoreRead } from './restore-read.js'
import { RunMaps } from './run-maps.js'
import { Turns } from './turns.js'
import { UnrecordedAnswers } from './unrecorded-answers.js'
import { Waits } from './waits.js'

export class Run extends RunMaps implements RunCore {
  readonly number: number
  readonly #aborter = new LazyAbort()
  readonly #turns = new Turns(() => this.#next())
  readonly unrecorded: UnrecordedAnswers
  readonly #waiting = new PendingCalls(this)
  #end: ((end: RunEnd) => void) | undefined
  /** Settles when the body has returned or thrown. */
  #body: Promise<unknown> | undefined
  #interrupts: Interruption | undefined
  #bodyIsOver = false
  readonly #restoring = new RestoreRead()
  #saving = false
  #replaying = true
  #ending = false
  #answered = 0
  readonly #inFlight = new InFlight((step, working) => this.#watch(step, working))
  readonly beginnings = new Beginnings(this, this.#inFlight)
  readonly waits: Waits
  readonly branches = new Branches()

  constructor(
    readonly host: RunHost,
    readonly task: LiveTask,
    readonly history: History,
    /** The pending records at the start of the run. */
    private readonly notes: ReadonlyMap<string, PendingRecord>,
    readonly patched: PatchKeeper,
    readonly definition: AnyTaskDefinition,
    readonly recovered: boolean,
    /** Called when the replay is complete, with the number of replayed answers and the first call that begins. */
    private readonly onReplayed: (answered: number, next: string | undefined) => void,
    /** The span of the run, if telemetry is on. */
    readonly span?: RunSpan | undefined,
  ) {
    super()
    this.number = task.head.run
    this.waits = new Waits(this, {
      inFlight: this.#inFlight,
      onlyWaits: (pauses) => pauses >= this.#waiting.size && !this.#turns.planned && !this.#restoring.isPending,
      unload: (end) => this.#finish(end),
    })
    this.unrecorded = new UnrecordedAnswers(this, this.#turns, firstInstantOf(task.head))
  }

  /** Runs `body` from its first line. Never rejects. */
  execute(body: () => unknown): Promise<RunEnd> {
    return new Promise((resolve) => {
      this.#end = resolve
      this.#turns.plan(() => {
        this.#body = promiseOf(body).then(
          (value) => this.#bodyEnded({ kind: 'returned', value }),
          (error: unknown) => this.#bodyEnded({ kind: 'threw', error }),
        )
      })
    })
  }

  /** Aborted when the task is settled from outside, fails by the engine, or is left for a later run. */
  get signal(): AbortSignal {
    return this.#aborter.signal
  }

  get isOver(): boolean {
    return this.#end === undefined
  }

  /** True if the call receives no answer any more: the run has ended, or the branch of the call lost. */
  isOverFor({ branch }: PendingCall): boolean {
    return this.isOver || branch?.isOver === true
  }

  /** The pending record of an earlier run at the place of this call. A record of another call parks the task. */
  noteOf({ ask }: PendingCall): PendingRecord | undefined {
    const stored = this.notes.get(noteKey(this.task.taskId, ask))
    if (stored && stored.id !== ask.id) void this.park(begunAsAnother(nameIn(stored.id), ask.name))
    return stored
  }

  /** The pending calls that have begun. */
  get begun(): PendingCall[] {
    return this.#waiting.begun
  }

  /** Refuses a checkpoint while calls are pending. @throws HoldfastError `STEPS_IN_FLIGHT` */
  refuseInFlight(done: 'saved' | 'restored'): void {
    if (this.#restoring.isPending || this.#waiting.size > 0 || this.branches.areOpen)
      throw inFlight(this.task.taskId, `a checkpoint is ${done} while calls are pending`)
  }

  /**
   * Checks a call on the context of the body. Returns a promise that stays pending if the run ended or the branch lost.
   * @throws HoldfastError `STEP_AMBIGUOUS`; TaskInterruptedError
   */
  enter(call: string, branch?: Branch): Promise<never> | undefined {
    if (this.#interrupts) return this.#interrupts.refuse()
    if (this.isOver || branch?.isOver) return new Promise(() => {})
    if (this.#turns.open) return undefined
    const error = ambiguous(this.task.taskId, call)
    // Fails the task even if the body catches the error, because later calls cannot be repeated either.
    this.fail(error)
    throw error
  }

  /** Refuses a call while a checkpoint is saved or restored. @throws HoldfastError `STEPS_IN_FLIGHT` */
  refuseWhileLeaving(): void {
    if (this.#restoring.isPending || this.#saving)
      throw inFlight(this.task.taskId, 'a call is made while a checkpoint is pending')
  }

  /**
   * Makes a call. It is answered from the log, or begins after the replay and is recorded. Its promise never raises an
   * unhandled rejection.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `LIMIT_EXCEEDED`
   */
  ask(place: () => Ask, begin: (asked: PendingCall) => void, branch?: Branch, about?: RecordEffects): Promise<unknown> {
    this.refuseWhileLeaving()
    let ask: Ask
    try {
      ask = place()
    } catch (error) {
      return this.park((error as CodeChanged).message)
    }
    this.#saving = ask.name.kind === 'checkpoint'
    const asked = new PendingCall(ask, this.#turns.number, branch, about, begin)
    try {
      this.#waiting.add(asked)
    } catch (error) {
      asked.reject(error)
    }
    return asked.answer
  }

  /**
   * Reads a value outside the log, and answers with it in a turn of its own. No call is pending.
   * @param onAnswer called in that turn, before the body continues
   */
  read<T>(read: () => Promise<T>, onAnswer?: () => void): Promise<T> {
    const onDamaged = (error: unknown) => void this.park(String((error as Error).message), 'RECORD_DAMAGED')
    return this.#restoring.read(read, { onAnswer, onRead: () => this.#next(), onDamaged })
  }

  /** Ends the calls of branches that lost: they receive no answers, and the signals of their functions are aborted. */
  closeBranches(branches: readonly Branch[]): void {
    const reason = new TaskInterruptedError(this.task.taskId)
    this.branches.close(branches, reason)
    this.#waiting.deleteOver()
    this.unrecorded.closeBranches()
    this.#inFlight.abort(reason, hasLost)
    this.waits.endAll(hasLost)
  }

  branchesAtRest(): Promise<void> {
    return this.#inFlight.until(() => !this.branchesAreBusy)
  }

  get branchesAreBusy(): boolean {
    return this.#inFlight.some(hasLost)
  }

  recorded(asked: PendingCall, record: LogRecord): void {
    this.#inFlight.delete(asked)
    this.#waiting.recorded(asked)
    this.history.add(record)
    this.#next()
  }

  /** Ends the call of a task of one function. The outcome of the task is its record. */
  answeredAtEnd(asked: PendingCall): void {
    this.#inFlight.delete(asked)
    this.#waiting.delete(asked.ask.id)
  }

  /** Ends a call without a record, because the run is superseded or ends. */
  dropped(asked: PendingCall): void {
    this.#inFlight.delete(asked)
    this.#inFlight.look()
  }

  /** Parks the task, because the body does not match its log, or the log is damaged. The body receives no error. */
  park(reason: string, code: Parked['code'] = 'CODE_CHANGED'): Promise<never> {
    this.#finish({ kind: 'park', code, reason })
    return new Promise(() => {})
  }

  fail(error: unknown): void {
    this.#finish({ kind: 'threw', error, isFinal: true })
  }

  /** Aborts the signals, and rejects the pending calls of a body that still runs, because the task is settled. */
  interrupt(): void {
    const running = !this.isOver
    this.#interrupts ??= new Interruption(this.task.taskId, this.host.logger)
    this.#finish({ kind: 'over' })
    if (!running && this.#inFlight.size === 0) return
    const reason = new TaskInterruptedError(this.task.taskId)
    if (running) this.#aborter.abort(reason)
    if (running && this.#body) this.#watch('', Promise.race([this.#body, this.#interrupts.gaveUp]))
    this.#inFlight.abort(reason)
    // A body that ended did not await its pending calls. A rejection of them would have no handler.
    if (!running) return
    this.#restoring.interrupt(reason)
    const waiting = [...this.#waiting.values(), ...this.unrecorded.pending]
    this.#waiting.clear()
    rejectOneByOne(waiting.values(), () => this.#bodyIsOver, reason)
  }

  /** Leaves the run for a later one. Signals of running steps are aborted. Pending calls of the body stay pending. */
  abandon(): void {
    this.#finish({ kind: 'over' })
    const reason = new DOMException('This run of the task is over. A later run continues the task.', 'AbortError')
    this.#aborter.abort(reason)
    this.#inFlight.abort(reason)
  }

  /** Resolves when no call is in flight and the body only waits. */
  idle(): Promise<void> {
    return this.#inFlight.until(() => this.#inFlight.size === 0 && !this.#ending && !this.#turns.planned)
  }

  /** True while the end of the body is being recorded. `idle` waits for that too. */
  set ending(ending: boolean) {
    this.#ending = ending
    this.#inFlight.look()
  }

  /** Plans the next turn while the body only waits. */
  #next(): void {
    if (this.isOver || this.#turns.planned || this.#restoring.isPending) {
      if (!this.isOver && !this.#turns.planned) this.#restoring.plan(this.#turns, () => this.isOver)
      this.#inFlight.look()
      return
    }
    const record = this.branches.nextOf(this.history)
    const asked = record && this.#waiting.get(idOf(record))
    if (!record) this.#beginAsked()
    else if (asked) this.#turns.plan(() => this.#handOver(record, asked))
    else void this.park(unaskedFor(record))
  }

  #beginAsked(): void {
    const fresh = this.#waiting.takeFresh()
    if (this.#replaying) {
      this.#replaying = false
      const first = fresh[0]
      this.onReplayed(this.#answered, first && describeRecord(first.ask.name))
    }
    if (fresh.length > 0) this.beginnings.release(fresh)
    this.waits.restOrUnload()
    this.#inFlight.look()
  }

  #handOver(record: LogRecord, asked: PendingCall): void {
    if (this.isOver) return
    this.#waiting.delete(asked.ask.id)
    this.#saving = false
    this.history.handOver(record)
    this.branches.keepReceived(record)
    this.unrecorded.handedOver(record)
    if (this.#replaying) {
      this.#answered++
      this.span?.noteReplayed(record.kind)
    }
    handAnswer(record, asked)
  }

  /** Counts a function that continues after its abort. Not during a close, after which the process ends. */
  #watch(step: string, working: Promise<unknown>): void {
    if (!this.host.closing) this.host.watchLeak(this.task.taskId, step, working)
  }

  #bodyEnded(end: RunEnd): void {
    this.#bodyIsOver = true
    if (this.#interrupts && end.kind === 'returned') this.host.noteDropped(this.task)
    if (this.isOver) return
    const left = this.history.leftBehind(this.#waiting, (record) => this.branches.isPassedOver(record))
    if (left) void this.park(leftAtEnd(left, end))
    else if (end.kind === 'returned') this.#returned(end)
    else this.#finish(end)
  }

  /** Ends the run of a body that returned. Pending calls of its last turn never begin, so they are an error. */
  #returned(end: RunEnd): void {
    const { open, number } = this.#turns
    const { forgotten, earlier } = pendingAtReturn(this.#waiting.values(), open ? number : undefined)
    if (!forgotten) this.host.lines.forgotten.note(this.definition, this.task.taskId, earlier)
    this.#finish(forgotten ? { kind: 'threw', error: notAwaited(this.task.taskId, forgotten), isFinal: true } : end)
  }

  #finish(end: RunEnd): void {
    const resolve = this.#end
    if (!resolve) return
    this.#end = undefined
    this.waits.endAll()
    if (end.kind === 'returned' || end.kind === 'threw') this.#ending = true
    if (end.kind === 'threw' && end.isFinal) this.#aborter.abort(end.error)
    resolve(end)
    this.#inFlight.look()
  }
}
