/**
 * One execution of a step without a record in the log. Its phases, of which `attempts` repeats the first three:
 *
 *   begin       commits the begin of a step that must not begin twice, or has an undo
 *   attempt     calls the function. A state that the function saves is committed to the pending record
 *   noteRetry   commits a failed attempt and the instant of the next one, if there is a next one
 *   resultOf    the record of the step, and the changes that go with it. The caller commits them
 *
 * An ordinary step is one `attempt` and its `resultOf` (step.ts).
 *
 * commit-4. The function and a write are never in one `try`. A failed write is a failure of the store. The engine
 *     commits the same result again, and does not call the function a second time.
 */
import { callIn } from '../../base/empty-context.js'
import { TaskInterruptedError } from '../../base/errors.js'
import { idempotencyKeyOf } from '../../base/ids.js'
import { fromJson, toJson } from '../../base/json.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import { promiseOf } from '../../base/promises.js'
import { readUndoRecord } from '../../store/reads.js'
import { dueAt } from '../../task/decisions/expiry.js'
import { nextAttemptAt, stepRetryAt } from '../../task/decisions/retry.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { StepContext } from '../../task/definition/context.js'
import { attemptsForRecord, noteAfterFailure } from '../../task/log/attempts.js'
import { shortCodeOf, type TaskError } from '../../task/log/outcome.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import { isUndoingOver, type UndoRecord } from '../../task/log/undo-record.js'
import type { AuxiliaryChanges } from '../../task/task-event.js'
import { settleIfLate } from '../replay/begin-calls.js'
import { type Ended, outcomeOf } from '../replay/outcome-of.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import { rejectAfterTurn } from '../replay/reject-after-turn.js'
import type { Run } from '../replay/run.js'
import { callWithTimeout } from '../replay/timed-call.js'
import { COMPLETED, failedWith } from '../state/task-spans.js'
import { watched } from '../undo/undo-steps.js'
import { hasUndo, type StepCall, summaryOf } from './checked-step.js'
import { resolveDoubt } from './confirm-step.js'
import type { CallResult } from './record-result.js'

/** End of the phase `begin`: the function may be called, the run is over, or the step ended without a call. */
type Begin = { readonly kind: 'begun' | 'over' } | { readonly kind: 'ended'; readonly ended: Ended }

const BEGUN: Begin = { kind: 'begun' }
const OVER: Begin = { kind: 'over' }

/** One attempt. `isOver` is true if its function has ended. */
interface Attempt {
  readonly aborter: LazyAbort
  isOver: boolean
}

/** The state of a step in this process, and its phases. */
export class StepExecution {
  readonly #run: Run
  readonly #asked: PendingCall
  readonly #step: StepCall
  /** The pending record as this process wrote or read it last. */
  #note: PendingRecord
  #isStored: boolean
  /** The undo record of this execution, if the step has an undo. */
  #intent: UndoRecord | undefined
  /** Start of the last attempt, if it did not begin with the step. */
  #attemptedAt: number | undefined
  /** The last write of a state that the function saved. Never rejects. */
  #saving: Promise<unknown> | undefined

  /**
   * @param stored the pending record that an earlier run wrote
   * @param note the pending record to continue from
   */
  constructor(
    run: Run,
    asked: PendingCall,
    step: StepCall,
    stored: PendingRecord | undefined,
    note: PendingRecord = stored ?? newPendingRecord(asked),
  ) {
    this.#run = run
    this.#asked = asked
    this.#step = run.span ? { ...step, fn: run.span.step(asked, step.name, step.fn) } : step
    this.#note = note
    this.#isStored = stored !== undefined
  }

  /** True if the begin of the step must be on disk: the step must not begin twice, or has an undo. */
  get isNoted(): boolean {
    return this.#step.onInterrupted !== 'retry' || hasUndo(this.#run, this.#step)
  }

  /** The write of a saved state, which must end before the result of the step is committed. */
  get saving(): Promise<unknown> | undefined {
    return this.#saving
  }

  /** True if the run is over for the call, the engine closes, or a time limit of the task has passed. */
  mayNotBegin(): boolean {
    const run = this.#run
    return run.isOverFor(this.#asked) || this.#asked.aborted === true || run.host.closing || settleIfLate(run)
  }

  /**
   * True if the result of the attempt is not recorded. The task is settled or the engine closes. A step that failed
   * because of the abort was interrupted: not a failure (commit-8).
   */
  isDropped({ failed }: Ended): boolean {
    return this.#run.isOverFor(this.#asked) || (failed !== undefined && this.#asked.aborted === true)
  }

  /**
   * Makes attempts until one succeeds or none is left. Each failure is on disk before the delay of the next attempt.
   * @param first the end of the first attempt, if the caller made that attempt
   * @returns the result to commit. `undefined` if the run ends first
   */
  async attempts(first?: Ended): Promise<CallResult | undefined> {
    const run = this.#run
    // The code changed, and the task is parked.
    if (this.#note.id !== this.#asked.ask.id) return undefined
    for (let ended = first; ; ended = undefined) {
      const retryAt = stepRetryAt(run.task.head, this.#note)
      if (retryAt !== undefined && !(await run.waits.until(this.#asked, retryAt))) return undefined
      if (!ended && this.isNoted) {
        const begin = await this.begin()
        if (begin.kind === 'over') return undefined
        if (begin.kind === 'ended') return run.isOverFor(this.#asked) ? undefined : this.resultOf(begin.ended)
      }
      if (!ended) {
        // Another chain of the body may have deferred records since this step was released.
        while (run.task.deferred) await run.beginnings.untilOnDisk()
        if (this.mayNotBegin()) return undefined
        if (retryAt !== undefined) this.#attemptedAt = run.host.clock.now()
        ended = await this.attempt((end) => end)
      }
      if (this.#saving) await this.#saving
      if (this.isDropped(ended)) return undefined
      if (!ended.failed || !(await this.#noteRetry(ended.failed, ended.thrown))) return this.resultOf(ended)
    }
  }

  /**
   * Commits the begin of a step that must not begin twice, or has an undo. A step with a committed begin and no result
   * was running when its process ended, so it is not known if its effect took place.
   */
  async begin(): Promise<Begin> {
    const run = this.#run
    const { begunAt } = this.#note
    const mustBeKnown = this.#step.onInterrupted !== 'retry'
    const before = await this.#intentBefore()
    if (settleIfLate(run)) return OVER
    if (mustBeKnown && begunAt !== undefined) {
      const begun = { startedAt: begunAt, idempotencyKey: this.idempotencyKey() }
      const doubt = await resolveDoubt(run, this.#asked, this.#step, this.#note, begun)
      if (doubt.kind === 'over') return OVER
      this.#note = doubt.note
      this.#attemptedAt = doubt.kind === 'ended' ? begunAt : run.host.clock.now()
      if (doubt.kind === 'ended') return doubt
    }
    const now = run.host.clock.now()
    // The branch of the step lost during the waits above. An undo record written now would never be undone.
    if (run.isOverFor(this.#asked)) return OVER
    const intent = this.#newIntent(before, now)
    if (mustBeKnown) await this.#store({ ...this.#note, begunAt: now }, { intent })
    else if (intent) await this.#write({ intent })
    return BEGUN
  }

  /**
   * The undo record that an earlier attempt or run wrote, if the step has an undo. It is used again if its step has no
   * end.
   */
  async #intentBefore(): Promise<UndoRecord | undefined> {
    const { host, task } = this.#run
    const { id } = this.#asked.ask
    if (this.#intent || !hasUndo(this.#run, this.#step) || !task.head.intents) return undefined
    const before = await host.store.readPatiently((level) => readUndoRecord(level, task.taskId, id))
    if (before && before.record === undefined && !isUndoingOver(before)) this.#intent = before
    return before
  }

  /** The undo record to write before the step begins. `undefined` if the step has no undo, or a usable undo record. */
  #newIntent(before: UndoRecord | undefined, now: number): UndoRecord | undefined {
    if (this.#intent || !hasUndo(this.#run, this.#step)) return undefined
    const undone = before !== undefined && isUndoingOver(before)
    const { segment, scope, name, number } = placeOf(this.#asked)
    // A step that was undone runs again under a new key. Under the old key, the service would return the undone effect.
    const times = undone ? (before.times ?? 0) + 1 : before?.times
    const value = undone ? undefined : before?.value
    this.#intent = { id: this.#asked.ask.id, segment, scope, name, number, order: 0, begunAt: now, times, value }
    return this.#intent
  }

  /** Calls the function of the step. Resolves with what `conclude`, which must not throw, returns for the end of the function. */
  attempt<T>(conclude: (ended: Ended) => T): Promise<T> {
    const attempt = this.newAttempt()
    const call = () => this.#call(attempt)
    const concluded = outcomeOf(this.#run, this.#step.name, call, (ended) => {
      this.endAttempt(attempt, ended)
      return conclude(ended)
    })
    this.#asked.working = concluded
    return concluded
  }

  /** Calls the function without an outcome of its own. The promise settles as the function does. */
  callOnce(attempt: Attempt): Promise<unknown> {
    const working = promiseOf(() => this.#call(attempt))
    this.#asked.working = working
    return working
  }

  /** Begins an attempt, with a signal of its own. */
  newAttempt(): Attempt {
    const aborter = new LazyAbort()
    this.#asked.aborter = aborter
    return { aborter, isOver: false }
  }

  /** The function of the attempt has ended. */
  endAttempt(attempt: Attempt, ended: Ended | { readonly value: unknown }): void {
    attempt.isOver = true
    this.#asked.working = undefined
    this.#asked.span?.end('thrown' in ended ? failedWith(ended.thrown) : COMPLETED)
  }

  #call(attempt: Attempt): unknown {
    const run = this.#run
    const { name, fn, context, timeoutMs } = this.#step
    const act = () => callIn(() => fn(contextOf(this, attempt, this.#note)), context)
    const call = this.#intent ? () => watched(run.functions, this.#asked.ask.id, act) : act
    if (timeoutMs === undefined) return call()
    return callWithTimeout(run.host, { taskId: run.task.taskId, name, timeoutMs, aborter: attempt.aborter }, call)
  }

  /**
   * Commits a state that the function saved.
   * @param before the state with which the attempt began
   */
  async saveState(attempt: Attempt, before: string | undefined, state: unknown): Promise<void> {
    const { host, task } = this.#run
    // The function has ended, so the state belongs to no attempt.
    if (attempt.isOver) throw new TypeError('`saveCheckpoint` was called after its step had ended')
    if (this.#asked.branch?.isOver) throw new TaskInterruptedError(task.taskId)
    const { stateBytesMax: bytesMax } = host.limits
    const what = 'the state of the checkpoint of a step'
    const stateText = toJson(state, { what, bytesMax, option: 'limits.stateBytesMax' }) ?? ''
    // A state equal to the one of the attempt before is no progress, and does not reset the crash count.
    const writing = this.#store({ ...this.#note, stateText }, { isNew: stateText !== before })
    this.#saving = writing.catch(() => {})
    await writing.catch((error: unknown) => {
      throw isFenced(error) ? new TaskInterruptedError(task.taskId) : error
    })
  }

  /** The idempotency key of the step: the same in every attempt and run. A new one after the step was undone. */
  idempotencyKey(): string {
    const { id } = this.#asked.ask
    const times = this.#intent?.times
    return idempotencyKeyOf(this.#run.task.taskId, times ? `${id}\n${times}` : id)
  }

  /** Commits a failed attempt and the instant of the next one. Resolves with `false` if there is no next attempt. */
  async #noteRetry(failed: TaskError, error: unknown): Promise<boolean> {
    const { host, task } = this.#run
    const { name: step, retry } = this.#step
    const failedAttempts = this.#note.failedAttempts + 1
    const now = host.clock.now()
    const fraction = host.ids.fraction()
    const retryAt = nextAttemptAt(retry, { attempt: failedAttempts, error, now, dueAt: dueAt(task.head), fraction })
    if (retryAt === undefined) return false
    if (failedAttempts === 3) host.lines.retried(task.taskId, task.head.type, step)
    host.logger.debug('A step failed and is tried again', { taskId: task.taskId, step, failedAttempts })
    const startedAt = this.#attemptedAt ?? this.#asked.startedAt ?? now
    const failure = { failedAt: now, failedSeq: task.head.seq, failedWith: shortCodeOf(failed) }
    await this.#store(noteAfterFailure(this.#note, { ...failure, startedAt, retryAt }))
    return true
  }

  /** The record of the step, and the changes that go with it. */
  resultOf(ended: Ended): CallResult {
    const { value, failed } = ended
    const asked = this.#asked
    const note = this.#note
    const intent = this.#intent && {
      ...this.#intent,
      failed: failed ? true : undefined,
      value: value ?? this.#intent.value,
    }
    const beside = intent || this.#isStored ? { intent, ended: this.#isStored ? [note] : [] } : undefined
    const startedAt = asked.startedAt ?? this.#run.host.clock.now()
    const attempts = note.failedAttempts + 1
    const lastAttempts = attemptsForRecord(note, this.#attemptedAt)
    const summary = summaryOf(this.#run, this.#step, ended)
    return {
      record: { kind: 'step', ...placeOf(asked), startedAt, attempts, lastAttempts, summary, value, failed },
      beside,
    }
  }

  /** Writes the pending record of the step, where the next attempt finds it, also in another process. */
  async #store(
    note: PendingRecord,
    { intent, isNew }: { intent?: UndoRecord | undefined; isNew?: boolean } = {},
  ): Promise<void> {
    const begins = !this.#isStored
    this.#note = note
    this.#isStored = true
    await this.#write({ ...(begins ? { begun: [note] } : { changed: [note] }), intent }, isNew)
  }

  async #write(beside: AuxiliaryChanges, isNew?: boolean): Promise<void> {
    const { host, task, number } = this.#run
    const { intent } = beside
    const isNewIntent = intent !== undefined
    const { head } = await host.record(task, { kind: 'note', run: number, beside: { ...beside, isNewIntent }, isNew })
    // The decision sets the order of the undo record, because two steps that begin at once do not know of each other.
    if (intent) this.#intent = { ...intent, order: (head.intents ?? 1) - 1 }
  }
}

/** The context of an attempt, which begins with the pending record `note`. */
function contextOf(
  execution: StepExecution,
  attempt: Attempt,
  { stateText, failedAttempts }: PendingRecord,
): StepContext {
  return {
    get signal() {
      return attempt.aborter.signal
    },
    get idempotencyKey() {
      return execution.idempotencyKey()
    },
    attempt: failedAttempts + 1,
    checkpoint: stateText === undefined || stateText === '' ? undefined : fromJson(stateText),
    saveCheckpoint: (state) => rejectAfterTurn(() => execution.saveState(attempt, stateText, state)),
  }
}
