/**
 * One execution of a task's body over its log. Owns the turns, what the body has asked for and not been answered, and
 * the question what comes next; the files of `engine/calls/` own what a call does and what it writes.
 *
 * The three rules of the log (docs/internals/rules.md):
 *
 * 1. A checkpoint opens a segment; names are numbered anew in each (history.ts).
 * 2. A turn begins with one answer, in the order of the records (turns.ts), or with one that has none, before the next record
 *    (unrecorded-answers.ts). An ask outside a turn fails the task with STEP_AMBIGUOUS, the first time and not after a crash.
 * 3. The log is used up before anything new begins. A record that nobody asks for means that the code changed: the
 *    task is parked, before any new effect.
 *
 * - Once a run is over, its body's asks stay pending for ever, or are interrupted if the task is settled. What the
 *     engine itself is going through never reaches a body (commit-8).
 */
import { TaskInterruptedError } from '../../base/errors.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import { noteKey } from '../../store/disk/layout.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { firstInstantOf, type Parked } from '../../task/head.js'
import { type Ask, type CodeChanged, type History, idOf } from '../../task/log/history.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { describeRecord, type LogRecord, nameIn } from '../../task/log/records.js'
import type { LiveTask } from '../core/live-task.js'
import { Beginnings } from './begin-calls.js'
import { ambiguous, begunAsAnother, inFlight, leftAtEnd, notAwaited, unaskedFor } from './body-errors.js'
import { type Branch, Branches } from './branch-scopes.js'
import type { PatchKeeper, RunCore, RunHost } from './host.js'
import { InFlight } from './in-flight.js'
import { Interruption, rejectOneByOne } from './interruption.js'
import { handAnswer, type PendingCall, type RunEnd } from './pending-call.js'
import { PendingCalls, pendingAtReturn } from './pending-calls.js'
import { RestoreRead } from './restore-read.js'
import { Turns } from './turns.js'
import { UnrecordedAnswers } from './unrecorded-answers.js'
import { Waits } from './waits.js'

export class Run implements RunCore {
  readonly number: number
  readonly #aborter = new LazyAbort()
  readonly #turns = new Turns(() => this.#next())
  readonly unrecorded: UnrecordedAnswers
  readonly #waiting = new PendingCalls(this)
  #end: ((end: RunEnd) => void) | undefined
  /** Resolves once the body has ended, however that is. */
  #body: Promise<unknown> | undefined
  #interrupts: Interruption | undefined
  #bodyIsOver = false
  readonly #restoring = new RestoreRead()
  #saving = false
  #replaying = true
  #ending = false
  #answered = 0
  readonly #inFlight = new InFlight((step, working) => this.#watch(step, working))
  readonly #beginnings = new Beginnings(this, this.#inFlight)
  readonly waits: Waits
  readonly branches = new Branches()
  /** Names of the steps that the body called; empty for a definition without undos. */
  readonly stepNames = new Set<string>()
  /** Functions of steps with an undo whose result is not on disk, by identity: an undo waits for them. */
  readonly functions = new Map<string, Promise<unknown>>()
  /** The undoing behind a decision, while it continues. */
  readonly undoing = new Map<PendingCall, Promise<unknown>>()

  constructor(
    readonly host: RunHost,
    readonly task: LiveTask,
    readonly history: History,
    /** What had begun and not ended. */
    private readonly notes: ReadonlyMap<string, PendingRecord>,
    readonly patched: PatchKeeper,
    readonly definition: AnyTaskDefinition,
    readonly recovered: boolean,
    /** Told once the log is used up: how many answers were replayed, and what begins now. */
    private readonly onReplayed: (answered: number, next: string | undefined) => void,
  ) {
    this.number = task.head.run
    this.waits = new Waits(this, {
      inFlight: this.#inFlight,
      onlyWaits: (pauses) => pauses >= this.#waiting.size && !this.#turns.planned && !this.#restoring.goesOn,
      unload: (end) => this.#finish(end),
    })
    this.unrecorded = new UnrecordedAnswers(this, this.#turns, firstInstantOf(task.head))
  }

  /** Runs `body` from its first line. Never rejects. */
  execute(body: () => unknown): Promise<RunEnd> {
    return new Promise((resolve) => {
      this.#end = resolve
      this.#turns.plan(() => {
        this.#body = new Promise((settle) => settle(body())).then(
          (value) => this.#bodyEnded({ kind: 'returned', value }),
          (error: unknown) => this.#bodyEnded({ kind: 'threw', error }),
        )
      })
    })
  }

  /** Aborted when the task is settled behind the body's back, and when close runs out of grace. */
  get signal(): AbortSignal {
    return this.#aborter.signal
  }

  get isOver(): boolean {
    return this.#end === undefined
  }

  /** True if it is answered no more: the run is over, or its branch lost. */
  isOverFor({ branch }: PendingCall): boolean {
    return this.isOver || branch?.isOver === true
  }

  /** What an earlier run noted of this. A note of another identity shows that the code changed; the task is parked. */
  noteOf({ ask }: PendingCall): PendingRecord | undefined {
    const stored = this.notes.get(noteKey(this.task.taskId, ask))
    if (stored && stored.id !== ask.id) void this.park(begunAsAnother(nameIn(stored.id), ask.name))
    return stored
  }

  /** The asks whose function is running. */
  get begun(): PendingCall[] {
    return this.#waiting.begun
  }

  /** @throws HoldfastError `STEPS_IN_FLIGHT`: a checkpoint needs a body with nothing in flight */
  refuseInFlight(done: 'saved' | 'restored'): void {
    if (this.#restoring.goesOn || this.#waiting.size > 0 || this.branches.areOpen)
      throw inFlight(this.task.taskId, `a checkpoint is ${done}`)
  }

  /**
   * Every call on the body's context begins here. Returns a promise that stays pending if the run is over and must
   * not be told so.
   * @throws HoldfastError `STEP_AMBIGUOUS`; TaskInterruptedError
   */
  enter(call: string, branch?: Branch): Promise<never> | undefined {
    if (this.#interrupts) return this.#interrupts.refuse()
    if (this.isOver || branch?.isOver) return new Promise(() => {})
    if (this.#turns.open) return undefined
    const error = ambiguous(this.task.taskId, call)
    // Even if the body catches it: whatever comes after cannot be repeated either.
    this.fail(error)
    throw error
  }

  /** @throws HoldfastError `STEPS_IN_FLIGHT` while a checkpoint is saved or restored: the segment is being left */
  refuseWhileLeaving(): void {
    if (this.#restoring.goesOn || this.#saving) throw inFlight(this.task.taskId, 'something is asked for')
  }

  /**
   * Asks for something: it is answered from the log, or done and recorded.
   * @param prunes true if its record takes others out of the log
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `LIMIT_EXCEEDED`
   */
  ask(
    place: () => Ask,
    begin: (asked: PendingCall) => Promise<void>,
    branch?: Branch,
    prunes?: boolean,
  ): Promise<unknown> {
    this.refuseWhileLeaving()
    let ask: Ask
    try {
      ask = place()
    } catch (error) {
      return this.park((error as CodeChanged).message)
    }
    this.#saving = ask.name.kind === 'checkpoint'
    return new Promise((resolve, reject) => {
      const asked: PendingCall = {
        ask,
        turn: this.#turns.number,
        branch,
        prunes,
        begin: () => begin(asked),
        resolve,
        reject,
      }
      this.#waiting.add(asked)
    })
  }

  /**
   * Reads something outside the log and hands it over in a turn of its own. The body has nothing in flight.
   * @param onAnswer called in that turn, before the body continues
   */
  read<T>(read: () => Promise<T>, onAnswer?: () => void): Promise<T> {
    const onDamaged = (error: unknown) => void this.park(String((error as Error).message), 'RECORD_DAMAGED')
    return this.#restoring.read(read, { onAnswer, onRead: () => this.#next(), onDamaged })
  }

  /** Branches lost: what they wait for is answered no more, and the functions of their steps are told to stop. */
  closeBranches(branches: readonly Branch[]): void {
    const reason = new TaskInterruptedError(this.task.taskId)
    this.branches.close(branches, reason)
    this.#waiting.deleteOver()
    this.unrecorded.closeBranches()
    this.#inFlight.abort(reason, hasLost)
    this.waits.endAll(hasLost)
  }

  /** Resolves once no function of a branch that lost is running. */
  branchesAtRest(): Promise<void> {
    return this.#inFlight.until(() => !this.branchesAreBusy)
  }

  get branchesAreBusy(): boolean {
    return this.#inFlight.some(hasLost)
  }

  /** A record of this run is on disk. */
  recorded(asked: PendingCall, record: LogRecord): void {
    this.#inFlight.delete(asked)
    this.#waiting.recorded(asked)
    this.history.add(record)
    this.#next()
  }

  /** An ask ended without a record: the run was fenced, or is about to be left. */
  dropped(asked: PendingCall): void {
    this.#inFlight.delete(asked)
    this.#inFlight.look()
  }

  /** The body doesn't match its log, or the log is damaged. The task is left as it is: no body sees this. */
  park(reason: string, code: Parked['code'] = 'CODE_CHANGED'): Promise<never> {
    this.#finish({ kind: 'park', code, reason })
    return new Promise(() => {})
  }

  /** Something that ends the task whatever its body does next. */
  fail(error: unknown): void {
    this.#finish({ kind: 'threw', error, isFinal: true })
  }

  /** The task is settled: signals are aborted, and a body that is still running is interrupted where it waits. */
  interrupt(): void {
    const running = !this.isOver
    this.#interrupts ??= new Interruption(this.task.taskId, this.host.logger)
    this.#finish({ kind: 'over' })
    if (!running && this.#inFlight.size === 0) return
    const reason = new TaskInterruptedError(this.task.taskId)
    if (running) this.#aborter.abort(reason)
    if (running && this.#body) this.#watch('', Promise.race([this.#body, this.#interrupts.gaveUp]))
    this.#inFlight.abort(reason)
    // A body that ended by itself left these unawaited; a rejection would find nobody to catch it.
    if (!running) return
    this.#restoring.interrupt(reason)
    const waiting = [...this.#waiting.values(), ...this.unrecorded.pending]
    this.#waiting.clear()
    rejectOneByOne(waiting.values(), () => this.#bodyIsOver, reason)
  }

  /** Left for a later run. Steps in flight see their signal aborted; the body sees nothing. */
  abandon(): void {
    this.#finish({ kind: 'over' })
    const reason = new DOMException('This run of the task is over. A later run continues the task.', 'AbortError')
    this.#aborter.abort(reason)
    this.#inFlight.abort(reason)
  }

  /** Resolves once no step is in flight and the body is at rest. */
  idle(): Promise<void> {
    return this.#inFlight.until(() => this.#inFlight.size === 0 && !this.#ending && !this.#turns.planned)
  }

  /** The body's end is being recorded; `idle` waits for that too. */
  set ending(ending: boolean) {
    this.#ending = ending
    this.#inFlight.look()
  }

  /** What comes next, with the body at rest. */
  #next(): void {
    if (this.isOver || this.#turns.planned || this.#restoring.goesOn) {
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

  /** The log is used up: now, and not before, what was asked for begins. */
  #beginAsked(): void {
    const fresh = this.#waiting.takeFresh()
    if (this.#replaying) {
      this.#replaying = false
      const first = fresh[0]
      this.onReplayed(this.#answered, first && describeRecord(first.ask.name))
    }
    if (fresh.length > 0) this.#beginnings.release(fresh)
    this.waits.restOrUnload()
    this.#inFlight.look()
  }

  #handOver(record: LogRecord, asked: PendingCall): void {
    if (this.isOver) return
    this.#waiting.delete(asked.ask.id)
    this.#saving = false
    this.history.handOver(record)
    this.branches.heard(record)
    this.unrecorded.handedOver(record)
    if (this.#replaying) this.#answered++
    handAnswer(record, asked)
  }

  /** Told to stop: if it continues, that is counted. A close tells them too, and its process ends. */
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

  /** Calls of the turn in which the body returns have begun in no run, so their work would be lost without an error. */
  #returned(end: RunEnd): void {
    const { open, number } = this.#turns
    const { forgotten, earlier } = pendingAtReturn(this.#waiting.values(), open ? number : undefined)
    if (!forgotten) this.host.lines.forgotten.note(this.definition, this.task.taskId, earlier)
    this.#finish(forgotten ? { kind: 'threw', error: notAwaited(this.task.taskId, forgotten), isFinal: true } : end)
  }

  #finish(end: RunEnd): void {
    const tell = this.#end
    if (!tell) return
    this.#end = undefined
    this.waits.endAll()
    if (end.kind === 'returned' || end.kind === 'threw') this.#ending = true
    if (end.kind === 'threw' && end.isFinal) this.#aborter.abort(end.error)
    tell(end)
    this.#inFlight.look()
  }
}

function hasLost({ branch }: PendingCall): boolean {
  return branch?.isOver === true
}
