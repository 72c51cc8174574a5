/**
 * One attempt of a step: its call, its context, and its writes beside the log.
 *
 * commit-4: a function and a write are never in one `try`. See step.ts.
 */
import { callIn } from '../../base/empty-context.js'
import { TaskInterruptedError } from '../../base/errors.js'
import { idempotencyKeyOf } from '../../base/ids.js'
import { fromJson, toJson } from '../../base/json.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { StepContext } from '../../task/definition/context.js'
import { describeError, type TaskError } from '../../task/log/outcome.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { UndoRecord } from '../../task/log/undo-record.js'
import type { AuxiliaryChanges } from '../../task/task-event.js'
import type { PendingCall } from '../replay/pending-call.js'
import { rejectAfterTurn } from '../replay/reject-after-turn.js'
import type { Run } from '../replay/run.js'
import { callWithTimeout } from '../replay/timed-call.js'
import { watched } from '../undo/undo-steps.js'
import type { StepCall } from './checked-step.js'

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

/** Calls the function of the step. Never rejects. */
export function attempt(run: Run, asked: PendingCall, step: StepCall, trial: StepTrial): Promise<Ended> {
  const aborter = new LazyAbort()
  asked.aborter = aborter
  const state: AttemptState = { isOver: false }
  const onEnd = () => {
    state.isOver = true
    asked.working = undefined
  }
  const fn = () => callIn(() => step.fn(contextOf(run, asked, trial, state, aborter)), step.context)
  const call = trial.intent ? () => watched(run.functions, asked.ask.id, fn) : fn
  const { timeoutMs, name } = step
  const { host, task } = run
  const timed =
    timeoutMs === undefined
      ? call
      : () => callWithTimeout(host, { taskId: task.taskId, name, timeoutMs, aborter }, call)
  const ended = outcomeOf(run, step, timed, onEnd)
  asked.working = ended
  return ended
}

/**
 * Calls a user's function, and resolves with its result or error as recorded. Never rejects, and writes nothing
 * (commit-4).
 */
export function outcomeOf(run: Run, { name }: StepCall, call: () => unknown, onEnd = () => {}): Promise<Ended> {
  const { resultBytesMax: bytesMax } = run.host.limits
  const fail = (thrown: unknown): Ended => {
    onEnd()
    return { failed: describeError(thrown), thrown }
  }
  const succeed = (value: unknown): Ended => {
    onEnd()
    try {
      return {
        value: toJson(value, { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }),
      }
    } catch (thrown) {
      return fail(thrown)
    }
  }
  // Not an `async` function, which would create three more promises for each step.
  let working: Promise<unknown>
  try {
    working = Promise.resolve(call())
  } catch (thrown) {
    working = Promise.reject(thrown)
  }
  return working.then(succeed, fail)
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

/** The idempotency key of the step: the same in every attempt and run. A new one after the step was undone. */
export function keyOf(run: Run, { ask }: PendingCall, { intent }: StepTrial): string {
  return idempotencyKeyOf(run.task.taskId, intent?.times ? `${ask.id}\n${intent.times}` : ask.id)
}

/** Writes the pending record of the step, where the next attempt finds it, also in another process. */
export async function store(
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

export async function write(run: Run, trial: StepTrial, beside: AuxiliaryChanges, isNew?: boolean): Promise<void> {
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
