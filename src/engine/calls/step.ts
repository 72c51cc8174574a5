/**
 * Runs one step: calls its function, and repeats it by its retry options. `recordResult` then commits the result.
 *
 * commit-4. The function and the write are never in one `try`. A failed write is a failure of the store. The engine
 *     commits the same result again, and does not call the function a second time.
 */
import { callIn } from '../../base/empty-context.js'
import { readUndoRecord } from '../../store/reads.js'
import { dueAt } from '../../task/decisions/expiry.js'
import { nextAttemptAt, stepRetryAt } from '../../task/decisions/retry.js'
import { describeError, shortCodeOf } from '../../task/log/outcome.js'
import type { NamedRecord } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import { isUndoingOver, type UndoRecord } from '../../task/log/undo-record.js'
import { settleIfLate } from '../replay/begin-calls.js'
import { stepInDoubt } from '../replay/body-errors.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { attempt, type Ended, keyOf, outcomeOf, type StepTrial, store, write } from './attempt.js'
import type { StepCall } from './checked-step.js'
import { confirmStep } from './confirm-step.js'
import { type CallResult, failCall, recordResult } from './record-result.js'

const RESOLVED = Promise.resolve()

/**
 * Runs a step without a record in the log, and records its result. Never rejects.
 *
 * Most of the work of a task is ordinary steps: no pending record, no undo, no `onInterrupted` that needs a committed begin.
 * The first attempt of such a step and the commit of its result take few promises. The rest takes `runNotedStep`.
 */
export function runStep(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  if (run.task.deferred || mustBeNoted(run, step) || run.noteOf(asked)) return runNotedStep(run, asked, step)
  if (mayNotBegin(run, asked)) {
    run.dropped(asked)
    return RESOLVED
  }
  const trial: StepTrial = { note: newPendingRecord(asked), isStored: false }
  return attempt(run, asked, step, trial).then((ended) => {
    if (ended.failed || trial.pending) return continueStep(run, asked, step, trial, ended)
    if (run.isOverFor(asked)) run.dropped(asked)
    else commitOnce(run, asked, trial, ended)
    return undefined
  })
}

/** Commits the result, and hands the record to the run. No caller waits for that, so no promise is returned. */
function commitOnce(run: Run, asked: PendingCall, trial: StepTrial, ended: Ended): void {
  const { host, task, number } = run
  const { record } = stepResultOf(asked, trial, asked.startedAt ?? host.clock.now(), ended)
  const fail = (error: unknown) => failCall(run, asked, error)
  host.record(task, { kind: 'record', run: number, record, progress: task.progress }).then(({ record: written }) => {
    try {
      if (written === undefined || written.kind === 'checkpoint') return
      run.recorded(asked, written)
      recorded(run, asked, written)
    } catch (error) {
      fail(error)
    }
  }, fail)
}

/** Runs a step of any kind, as `runStep` does. */
function runNotedStep(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  return recordAttempts(run, asked, () => {
    const stored = run.noteOf(asked)
    // The code changed, and the task is parked.
    if (stored && stored.id !== asked.ask.id) return Promise.resolve(undefined)
    return runAttempts(run, asked, step, { note: stored ?? newPendingRecord(asked), isStored: stored !== undefined })
  })
}

/** Continues a step after its first attempt, with a retry or the record of its result. Never rejects. */
function continueStep(run: Run, asked: PendingCall, step: StepCall, trial: StepTrial, first: Ended) {
  return recordAttempts(run, asked, () => runAttempts(run, asked, step, trial, first))
}

function recordAttempts(run: Run, asked: PendingCall, act: () => Promise<CallResult | undefined>): Promise<void> {
  return recordResult(run, asked, act, (record) => recorded(run, asked, record))
}

/**
 * Runs attempts until one succeeds or none is left. Each failure is on disk before the delay of the next attempt.
 * Returns `undefined` if the run ends first.
 * @param first the end of the first attempt, if the caller made that attempt
 */
async function runAttempts(
  run: Run,
  asked: PendingCall,
  step: StepCall,
  trial: StepTrial,
  first?: Ended,
): Promise<CallResult | undefined> {
  const { host } = run
  const { startedAt = host.clock.now() } = asked
  for (let ended = first; ; ended = undefined) {
    const retryAt = stepRetryAt(run.task.head, trial.note)
    if (retryAt !== undefined && !(await run.waits.until(asked, retryAt))) return undefined
    if (!ended && mustBeNoted(run, step)) {
      const found = await beginNoted(run, asked, step, trial)
      if (found)
        return found === 'over' || run.isOverFor(asked) ? undefined : stepResultOf(asked, trial, startedAt, found)
    }
    if (!ended) {
      // Another chain of the body may have deferred records since this step was released.
      while (run.task.deferred) await run.beginnings.untilOnDisk()
      if (mayNotBegin(run, asked)) return undefined
      ended = await attempt(run, asked, step, trial)
    }
    if (trial.pending) await trial.pending
    // The task is settled or the engine closes. A step that failed because of the abort was interrupted: not a failure
    // (commit-8).
    if (run.isOverFor(asked) || (ended.failed && asked.aborted)) return undefined
    if (!ended.failed || !(await noteRetry(run, step, trial, ended)))
      return stepResultOf(asked, trial, startedAt, ended)
  }
}

/** True if the run is over for the call, the engine closes, or a time limit of the task has passed. */
export function mayNotBegin(run: Run, asked: PendingCall): boolean {
  return run.isOverFor(asked) || asked.aborted === true || run.host.closing || settleIfLate(run)
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
  if (!host.events.has('step:recorded')) return
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

/** Commits a failed attempt and the instant of the next one. Resolves with `false` if there is no next attempt. */
async function noteRetry(run: Run, step: StepCall, trial: StepTrial, ended: Ended): Promise<boolean> {
  const { host, task } = run
  const failedAttempts = trial.note.failedAttempts + 1
  const now = host.clock.now()
  const retryAt = nextAttemptAt(step.retry, {
    attempt: failedAttempts,
    error: ended.thrown,
    now,
    dueAt: dueAt(task.head),
    fraction: host.ids.fraction(),
  })
  if (retryAt === undefined) return false
  if (failedAttempts === 3) host.lines.retried(task.taskId, task.head.type, step.name)
  host.logger.debug('A step failed and is tried again', { taskId: task.taskId, step: step.name, failedAttempts })
  const failure = { failedAt: now, failedSeq: task.head.seq, failedWith: ended.failed && shortCodeOf(ended.failed) }
  await store(run, trial, { ...trial.note, failedAttempts, retryAt, ...failure, begunAt: undefined, input: undefined })
  return true
}
