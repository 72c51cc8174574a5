/**
 * Runs one step: calls its function, tries it again as its options say, then hands its result to `undertake`,
 * which commits the result.
 *
 * commit-4. The function and the write are never in one `try`: a failed write is the store's failure, and the engine
 *     commits the same result again; the function is not called a second time for it.
 */
import { callIn } from '../../base/empty-context.js'
import { HoldfastError, TaskInterruptedError } from '../../base/errors.js'
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
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import { rejectAfterTurn } from '../replay/reject-after-turn.js'
import type { Run } from '../replay/run.js'
import { callWithTimeout } from '../replay/timed-call.js'
import type { StepCall } from './checked-step.js'
import { confirmStep } from './confirm-step.js'
import { type CallResult, recordResult } from './record-result.js'

/** What came of an attempt: its result as JSON text, or what it threw. */
export interface Ended {
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
  readonly thrown?: unknown
}

/** How far the step is, in this process, and whether any of that is on disk. */
export interface StepTrial {
  note: PendingRecord
  isStored: boolean
  /** There if the step has an undo. */
  intent?: UndoRecord | undefined
  /** The write that is on its way. */
  pending?: Promise<unknown>
}

/** True if the function of an attempt has ended. */
interface AttemptState {
  isOver: boolean
}

/** Runs a step that the log doesn't answer, and records it. Never rejects. */
export function runStep(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  return recordResult(
    run,
    asked,
    () => takeStep(run, asked, step),
    (record) => recorded(run, asked, record),
  )
}

/** The step's answer: attempt after attempt, each failure on disk before the wait for the next. `undefined` if the run ends before. */
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
      const found = await begin(run, asked, step, trial)
      if (found) return found === 'over' || run.isOverFor(asked) ? undefined : answerOf(asked, trial, startedAt, found)
    }
    // No new step begins while the engine closes, or once the task's time is over.
    if (run.isOverFor(asked) || asked.aborted || host.closing || settleIfLate(run)) return undefined
    const state: AttemptState = { isOver: false }
    const ended = await attempt(run, asked, step, trial, state)
    state.isOver = true
    asked.working = undefined
    if (trial.pending) await trial.pending
    // Settled meanwhile, or left for the next open: a step that an abort brought down was interrupted, not failed (commit-8).
    if (run.isOverFor(asked) || (ended.failed && asked.aborted)) return undefined
    if (!ended.failed || !(await noteRetry(run, step, trial, ended))) return answerOf(asked, trial, startedAt, ended)
  }
}

function answerOf(asked: PendingCall, trial: StepTrial, startedAt: number, { value, failed }: Ended): CallResult {
  const attempts = trial.note.failedAttempts + 1
  const intent = trial.intent && {
    ...trial.intent,
    failed: failed ? true : undefined,
    value: value ?? trial.intent.value,
  }
  const beside = intent || trial.isStored ? { intent, ended: trial.isStored ? [trial.note] : [] } : undefined
  return { record: { kind: 'step', ...placeOf(asked), startedAt, attempts, value, failed }, beside }
}

function recorded({ host, task, functions }: Run, { ask }: PendingCall, record: NamedRecord): void {
  if (record.kind !== 'step') return
  // Till its result is on disk it may still be what the undo is handed; and so may that of one that timed out.
  if (!record.failed) functions.delete(ask.id)
  const { taskId, type } = task.head
  const { name: step, number, startedAt, at: recordedAt } = record
  const segment = record.segment === PREFIX ? 'prefix' : record.segment
  const failed = record.failed !== undefined
  host.events.emit('step:recorded', { taskId, type, step, segment, number, failed, startedAt, recordedAt })
}

/** True if it must be on disk that the step begins: it must not begin twice, or it has an undo. */
function mustBeNoted(run: Run, step: StepCall): boolean {
  return step.onInterrupted !== 'retry' || hasUndo(run, step)
}

/**
 * Notes that the step begins, where that must be known: it must not begin twice, or it has an undo. One that is found
 * to have begun was running when its process ended, so nobody knows whether its effect took place.
 */
async function begin(
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
    if (onInterrupted === 'fail') return { failed: describeError(inDoubt(taskId, step.name, begunAt)) }
    const idempotencyKey = keyOf(run, asked, trial)
    const info = { name: step.name, idempotencyKey, startedAt: begunAt, attempt: trial.note.failedAttempts + 1 }
    if (onInterrupted !== 'ask') return outcomeOf(run, step, () => callIn(() => onInterrupted(info), step.context))
    const told = await confirmStep(run, asked, trial, info)
    if (!told) return 'over'
    if (told.tookPlace) return { value: told.value }
  }
  const now = run.host.clock.now()
  // Its branch lost meanwhile: an intent now would be one that nobody undoes.
  if (run.isOverFor(asked)) return 'over'
  const intent = newIntent(run, asked, step, trial, before, now)
  const mustBeKnown = onInterrupted !== 'retry'
  if (mustBeKnown) await store(run, trial, { ...trial.note, begunAt: now }, { intent })
  else if (intent) await write(run, trial, { intent })
  return undefined
}

/** The intent that an earlier attempt or run wrote, if the step has an undo. One that is in doubt is the step's still. */
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

/** The intent to write before the step begins; `undefined` if it has no undo, or has one already. */
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
  // Once undone, it is another effect, under a key of its own: the service would answer the old one with what it undid.
  const times = undone ? (before.times ?? 0) + 1 : before?.times
  const value = undone ? undefined : before?.value
  trial.intent = { id: asked.ask.id, segment, scope, name, number, order: 0, begunAt: now, times, value }
  return trial.intent
}

function hasUndo({ definition: { undo } }: Run, { name }: StepCall): boolean {
  return undo !== undefined && Object.hasOwn(undo, name)
}

/** The step's own key: the same in every attempt and run, until it was undone. */
function keyOf(run: Run, { ask }: PendingCall, { intent }: StepTrial): string {
  return idempotencyKeyOf(run.task.taskId, intent?.times ? `${ask.id}\n${intent.times}` : ask.id)
}

/** Notes a failed attempt and when the next one is due. Resolves with `false` if there is no next one. */
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

/** Calls the step's function. Never rejects. */
function attempt(run: Run, asked: PendingCall, step: StepCall, trial: StepTrial, state: AttemptState): Promise<Ended> {
  const aborter = new LazyAbort()
  asked.aborter = aborter
  const fn = () => callIn(() => step.fn(contextOf(run, asked, trial, state, aborter)), step.context)
  const call = trial.intent ? () => watched(run, asked.ask.id, fn) : fn
  const { timeoutMs, name } = step
  const { host, task } = run
  const timed =
    timeoutMs === undefined
      ? call
      : () => callWithTimeout(host, { taskId: task.taskId, name, timeoutMs, aborter }, call)
  asked.working = outcomeOf(run, step, timed)
  return asked.working as Promise<Ended>
}

/** Calls a function whose effect may have to be undone: that waits until it has ended. */
function watched(run: Run, id: string, fn: () => unknown): Promise<unknown> {
  const working = new Promise((resolve) => resolve(fn()))
  // One that rejects has nothing to hand over, and is heard by whoever called it.
  working.catch(() => {})
  run.functions.set(id, working)
  return working
}

/** Resolves with what comes of a user's function, as it is recorded. Never rejects, and writes nothing (commit-4). */
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
  // No `async` function: for each step that would make three promises more.
  try {
    return Promise.resolve(call()).then(succeed, fail)
  } catch (thrown) {
    return Promise.resolve(fail(thrown))
  }
}

function contextOf(
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
        // Its function has ended: whatever it would still save belongs to no attempt.
        if (attempt.isOver) throw new TypeError('`saveCheckpoint` was called after its step had ended')
        if (asked.branch?.isOver) throw new TaskInterruptedError(task.taskId)
        const { stateBytesMax: bytesMax } = host.limits
        const what = 'the state of the checkpoint of a step'
        const saved = toJson(state, { what, bytesMax, option: 'limits.stateBytesMax' }) ?? ''
        // Saving again what it found is no sign that it gets on.
        const isNew = saved !== stateText
        const writing = store(run, trial, { ...trial.note, stateText: saved }, { isNew })
        trial.pending = writing.catch(() => {})
        await writing.catch((error: unknown) => {
          throw isFenced(error) ? new TaskInterruptedError(task.taskId) : error
        })
      }),
  }
}

/** Notes how far the step is, where the next attempt finds it, in whatever process that is. */
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
  // It was given its place there: two steps that begin at once don't know of each other.
  if (intent) trial.intent = { ...intent, order: (head.intents ?? 1) - 1 }
}

function inDoubt(taskId: string, step: string, begunAt: number): HoldfastError {
  return new HoldfastError(
    'STEP_IN_DOUBT',
    `Step '${step}' of task ${taskId} began at ${new Date(begunAt).toISOString()} and was interrupted; whether its effect took place is not known. Find out, and start a new task for what is left.`,
    { details: { taskId, step, begunAt } },
  )
}
