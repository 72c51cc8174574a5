/**
 * Runs one step: calls its function, and repeats it by its retry options. `recordResult` then commits the result.
 *
 * commit-4. The function and the write are never in one `try`. A failed write is a failure of the store. The engine
 *     commits the same result again, and does not call the function a second time.
 */
import { callIn } from '../../base/empty-context.js'
import { TaskInterruptedError } from '../../base/errors.js'
import { idempotencyKeyOf } from '../../base/ids.js'
import { fromJson, toJson } from '../../base/json.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import { readUndoRecord } from '../../store/reads.js'
import { dueAt } from '../../task/decisions/expiry.js'
import { nextAttemptAt } from '../../task/decisions/retry.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { StepContext } from '../../task/definition/context.js'
import { describeError, type TaskError } from '../../task/log/outcome.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { NamedRecord } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import { isUndoingOver, type UndoRecord } from '../../task/log/undo-record.js'
import type { AuxiliaryChanges } from '../../task/task-event.js'
import { settleIfLate } from '../replay/begin-calls.js'
import { stepInDoubt } from '../replay/body-errors.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import { rejectAfterTurn } from '../replay/reject-after-turn.js'
import type { Run } from '../replay/run.js'
import { callWithTimeout } from '../replay/timed-call.js'
import { watched } from '../undo/undo-steps.js'
import type { StepCall } from './checked-step.js'
import { confirmStep } from './confirm-step.js'
import { type CallResult, recordResult } from './record-result.js'

/** End of an attempt: its result as JSON text, or its error. */
export interface Ended {
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
  readonly thrown?: unknown
}

/** State of a step in this process, and of its pending record. */
export interface StepTrial {
  note: PendingRecord
  isStored: boolean
  /** The undo record, if the step has an undo. */
  intent?: UndoRecord | undefined
  /** The last write of a state that the step saved. */
  pending?: Promise<unknown>
}

/** State of one attempt. `isOver` is true if its function has ended. */
export interface AttemptState {
  isOver: boolean
}

/** Runs a step without a record in the log, and records its result. Never rejects. */
export function runStep(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  return recordResult(
    run,
    asked,
    () => takeStep(run, asked, step),
    (record) => recorded(run, asked, record),
  )
}

/**
 * Runs attempts until one succeeds or none is left. Each failure is on disk before the delay of the next attempt.
 * Returns `undefined` if the run ends first.
 */
async function takeStep(run: Run, asked: PendingCall, step: StepCall): Promise<CallResult | undefined> {
  const { host } = run
  const { ask, startedAt = host.clock.now() } = asked
  const stored = run.noteOf(asked)
  if (stored && stored.id !== ask.id) return undefined
  const trial: StepTrial = { note: stored ?? newPendingRecord(asked), isStored: stored !== undefined }
  for (;;) {
    const { retryAt } = trial.note
    if (retryAt !== undefined && !(await run.waits.until(asked, retryAt))) return undefined
    if (mustBeNoted(run, step)) {
      const found = await beginNoted(run, asked, step, trial)
      if (found)
        return found === 'over' || run.isOverFor(asked) ? undefined : stepResultOf(asked, trial, startedAt, found)
    }
    // Another chain of the body may have deferred records since this step was released.
    while (run.task.deferred) await run.beginnings.untilOnDisk()
    // No attempt begins while the engine closes, or after a time limit of the task has passed.
    if (run.isOverFor(asked) || asked.aborted || host.closing || settleIfLate(run)) return undefined
    const state: AttemptState = { isOver: false }
    const ended = await attempt(run, asked, step, trial, state)
    state.isOver = true
    asked.working = undefined
    if (trial.pending) await trial.pending
    // The task is settled or the engine closes. A step that failed because of the abort was interrupted: not a failure
    // (commit-8).
    if (run.isOverFor(asked) || (ended.failed && asked.aborted)) return undefined
    if (!ended.failed || !(await noteRetry(run, step, trial, ended)))
      return stepResultOf(asked, trial, startedAt, ended)
  }
}

/** The record of a step, and the changes that go with it. */
export function stepResultOf(
  asked: PendingCall,
  trial: StepTrial,
  startedAt: number,
  { value, failed }: Ended,
): CallResult {
  const attempts = trial.note.failedAttempts + 1
  const intent = trial.intent && {
    ...trial.intent,
    failed: failed ? true : undefined,
    value: value ?? trial.intent.value,
  }
  const beside = intent || trial.isStored ? { intent, ended: trial.isStored ? [trial.note] : [] } : undefined
  return { record: { kind: 'step', ...placeOf(asked), startedAt, attempts, value, failed }, beside }
}

/** The record of a step is on disk. */
export function recorded({ host, task, functions }: Run, { ask }: PendingCall, record: NamedRecord): void {
  if (record.kind !== 'step') return
  // An undo may need the result of the function until the result is on disk. A step that timed out may still return
  // one.
  if (!record.failed) functions.delete(ask.id)
  const { taskId, type } = task.head
  const { name: step, number, startedAt, at: recordedAt } = record
  const segment = record.segment === PREFIX ? 'prefix' : record.segment
  const failed = record.failed !== undefined
  host.events.emit('step:recorded', { taskId, type, step, segment, number, failed, startedAt, recordedAt })
}

/** True if the begin of the step must be on disk: the step must not begin twice, or has an undo. */
function mustBeNoted(run: Run, step: StepCall): boolean {
  return step.onInterrupted !== 'retry' || hasUndo(run, step)
}

/**
 * Commits the begin of a step that must not begin twice, or has an undo. A step with a committed begin and no result
 * was running when its process ended, so it is not known if its effect took place.
 * @returns the end of a step in doubt, `'over'` if the run ended, or `undefined` to call the function
 */
export async function beginNoted(
  run: Run,
  asked: PendingCall,
  step: StepCall,
  trial: StepTrial,
): Promise<Ended | 'over' | undefined> {
  const { onInterrupted } = step
  const { taskId } = run.task
  const { begunAt } = trial.note
  const before = await intentBefore(run, asked, step, trial)
  if (settleIfLate(run)) return 'over'
  if (onInterrupted !== 'retry' && begunAt !== undefined) {
    if (onInterrupted === 'fail') return { failed: describeError(stepInDoubt(taskId, step.name, begunAt)) }
    const idempotencyKey = keyOf(run, asked, trial)
    const info = { name: step.name, idempotencyKey, startedAt: begunAt, attempt: trial.note.failedAttempts + 1 }
    if (onInterrupted !== 'ask') return outcomeOf(run, step, () => callIn(() => onInterrupted(info), step.context))
    const answer = await confirmStep(run, asked, trial, info)
    if (!answer) return 'over'
    if (answer.tookPlace) return { value: answer.value }
  }
  const now = run.host.clock.now()
  // The branch of the step lost during the waits above. An undo record written now would never be undone.
  if (run.isOverFor(asked)) return 'over'
  const intent = newIntent(run, asked, step, trial, before, now)
  const mustBeKnown = onInterrupted !== 'retry'
  if (mustBeKnown) await store(run, trial, { ...trial.note, begunAt: now }, { intent })
  else if (intent) await write(run, trial, { intent })
  return undefined
}

/**
 * The undo record that an earlier attempt or run wrote, if the step has an undo. It is used again if its step has no
 * end.
 */
async function intentBefore(
  run: Run,
  asked: PendingCall,
  step: StepCall,
  trial: StepTrial,
): Promise<UndoRecord | undefined> {
  const { host, task } = run
  if (trial.intent || !hasUndo(run, step) || !task.head.intents) return undefined
  const before = await host.store.readPatiently((level) => readUndoRecord(level, task.taskId, asked.ask.id))
  if (before && before.record === undefined && !isUndoingOver(before)) trial.intent = before
  return before
}

/** The undo record to write before the step begins. `undefined` if the step has no undo, or a usable undo record. */
function newIntent(
  run: Run,
  asked: PendingCall,
  step: StepCall,
  trial: StepTrial,
  before: UndoRecord | undefined,
  now: number,
) {
  if (trial.intent || !hasUndo(run, step)) return undefined
  const undone = before !== undefined && isUndoingOver(before)
  const { segment, scope, name, number } = placeOf(asked)
  // A step that was undone runs again under a new key. Under the old key, the service would return the undone effect.
  const times = undone ? (before.times ?? 0) + 1 : before?.times
  const value = undone ? undefined : before?.value
  trial.intent = { id: asked.ask.id, segment, scope, name, number, order: 0, begunAt: now, times, value }
  return trial.intent
}

/** True if the definition has an undo for the step. */
export function hasUndo({ definition: { undo } }: Run, { name }: Pick<StepCall, 'name'>): boolean {
  return undo !== undefined && Object.hasOwn(undo, name)
}

/** The idempotency key of the step: the same in every attempt and run. A new one after the step was undone. */
function keyOf(run: Run, { ask }: PendingCall, { intent }: StepTrial): string {
  return idempotencyKeyOf(run.task.taskId, intent?.times ? `${ask.id}\n${intent.times}` : ask.id)
}

/** Commits a failed attempt and the instant of the next one. Resolves with `false` if there is no next attempt. */
async function noteRetry(run: Run, step: StepCall, trial: StepTrial, ended: Ended): Promise<boolean> {
  const { host, task } = run
  const failedAttempts = trial.note.failedAttempts + 1
  const retryAt = nextAttemptAt(step.retry, {
    attempt: failedAttempts,
    error: ended.thrown,
    now: host.clock.now(),
    dueAt: dueAt(task.head),
    fraction: host.ids.fraction(),
  })
  if (retryAt === undefined) return false
  if (failedAttempts === 3) host.lines.retried(task.taskId, task.head.type, step.name)
  host.logger.debug('A step failed and is tried again', { taskId: task.taskId, step: step.name, failedAttempts })
  await store(run, trial, { ...trial.note, failedAttempts, retryAt, begunAt: undefined, input: undefined })
  return true
}

/** Calls the function of the step. Never rejects. */
export function attempt(
  run: Run,
  asked: PendingCall,
  step: StepCall,
  trial: StepTrial,
  state: AttemptState,
): Promise<Ended> {
  const aborter = new LazyAbort()
  asked.aborter = aborter
  const fn = () => callIn(() => step.fn(contextOf(run, asked, trial, state, aborter)), step.context)
  const call = trial.intent ? () => watched(run.functions, asked.ask.id, fn) : fn
  const { timeoutMs, name } = step
  const { host, task } = run
  const timed =
    timeoutMs === undefined
      ? call
      : () => callWithTimeout(host, { taskId: task.taskId, name, timeoutMs, aborter }, call)
  asked.working = outcomeOf(run, step, timed)
  return asked.working as Promise<Ended>
}

/**
 * Calls a user's function, and resolves with its result or error as recorded. Never rejects, and writes nothing
 * (commit-4).
 */
function outcomeOf(run: Run, { name }: StepCall, call: () => unknown): Promise<Ended> {
  const { resultBytesMax: bytesMax } = run.host.limits
  const fail = (thrown: unknown): Ended => ({ failed: describeError(thrown), thrown })
  const succeed = (value: unknown): Ended => {
    try {
      return {
        value: toJson(value, { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }),
      }
    } catch (thrown) {
      return fail(thrown)
    }
  }
  // Not an `async` function, which would create three more promises for each step.
  try {
    return Promise.resolve(call()).then(succeed, fail)
  } catch (thrown) {
    return Promise.resolve(fail(thrown))
  }
}

/** The context of an attempt. */
export function contextOf(
  run: Run,
  asked: PendingCall,
  trial: StepTrial,
  attempt: Readonly<AttemptState>,
  aborter: LazyAbort,
): StepContext {
  const { host, task } = run
  const { stateText } = trial.note
  return {
    get signal() {
      return aborter.signal
    },
    get idempotencyKey() {
      return keyOf(run, asked, trial)
    },
    attempt: trial.note.failedAttempts + 1,
    checkpoint: stateText === undefined || stateText === '' ? undefined : fromJson(stateText),
    saveCheckpoint: (state) =>
      rejectAfterTurn(async () => {
        // The function has ended, so the state belongs to no attempt.
        if (attempt.isOver) throw new TypeError('`saveCheckpoint` was called after its step had ended')
        if (asked.branch?.isOver) throw new TaskInterruptedError(task.taskId)
        const { stateBytesMax: bytesMax } = host.limits
        const what = 'the state of the checkpoint of a step'
        const saved = toJson(state, { what, bytesMax, option: 'limits.stateBytesMax' }) ?? ''
        // A state equal to the one of the attempt before is no progress, and does not reset the crash count.
        const isNew = saved !== stateText
        const writing = store(run, trial, { ...trial.note, stateText: saved }, { isNew })
        trial.pending = writing.catch(() => {})
        await writing.catch((error: unknown) => {
          throw isFenced(error) ? new TaskInterruptedError(task.taskId) : error
        })
      }),
  }
}

/** Writes the pending record of the step, where the next attempt finds it, also in another process. */
async function store(
  run: Run,
  trial: StepTrial,
  note: PendingRecord,
  { intent, isNew }: { intent?: UndoRecord | undefined; isNew?: boolean } = {},
): Promise<void> {
  const begins = !trial.isStored
  trial.note = note
  trial.isStored = true
  await write(run, trial, { ...(begins ? { begun: [note] } : { changed: [note] }), intent }, isNew)
}

async function write(run: Run, trial: StepTrial, beside: AuxiliaryChanges, isNew?: boolean): Promise<void> {
  const { intent } = beside
  const isNewIntent = intent !== undefined
  const { head } = await run.host.record(run.task, {
    kind: 'note',
    run: run.number,
    beside: { ...beside, isNewIntent },
    isNew,
  })
  // The decision sets the order of the undo record, because two steps that begin at once do not know of each other.
  if (intent) trial.intent = { ...intent, order: (head.intents ?? 1) - 1 }
}
