/** Errors of refused calls and ends of a body. Each message names the code to write instead. */
import { HoldfastError } from '../../base/errors.js'
import { describeError } from '../../task/log/outcome.js'
import { BEHIND_PATCHED, describeRecord, type LogRecord, type RecordName } from '../../task/log/records.js'
import { cutText, NAME_BYTES_MAX } from '../../task/names.js'

/** Number of refusals in a row that fail the task. */
export const REFUSALS_MAX = 100
/** Number of derived answers in a row that fail the task. */
export const DERIVED_MAX = 100_000

const CALL_BYTES_MAX = NAME_BYTES_MAX.step + 50

/** The error of a body that repeats refused calls. `last` is the error of the last refusal. */
export function refusedTooOften(taskId: string, call: string, last: unknown): HoldfastError {
  return new HoldfastError(
    'REFUSED_TOO_OFTEN',
    `Task ${taskId} was refused ${REFUSALS_MAX} times in a row with nothing recorded in between, the last time for ${shown(call)}: ${describeError(last).message}. No refusal goes away by itself: wait for what it names, or let the error leave the body.`,
    { cause: last, details: { taskId, call: shown(call), refusals: REFUSALS_MAX } },
  )
}

/** The error of a body that loops over calls without a record. */
export function noProgress(taskId: string, call: string): HoldfastError {
  return new HoldfastError(
    'NO_PROGRESS',
    `Task ${taskId} got ${DERIVED_MAX} answers in a row with nothing recorded in between, the last one for ${shown(call)}. A loop over such calls never ends: \`task.now()\` stays the time of the last record. To wait, use \`await task.sleep('a name', duration)\`.`,
    { details: { taskId, call: shown(call), answers: DERIVED_MAX } },
  )
}

/** The call in a message, cut to a length. The name in it comes from the body and is not checked. */
function shown(call: string): string {
  return cutText(call, CALL_BYTES_MAX)
}

/** The error of a checkpoint while calls are pending, or of a call while a checkpoint is pending. */
export function inFlight(taskId: string, done: string): HoldfastError {
  return new HoldfastError(
    'STEPS_IN_FLIGHT',
    `Task ${taskId}: ${done}. Await every call before it: \`await\` each step and each checkpoint, or \`await Promise.all([…])\`.`,
    { details: { taskId } },
  )
}

/** The error of a call outside a turn. The two possible causes cannot be distinguished, so the message names both. */
export function ambiguous(taskId: string, call: string): HoldfastError {
  return new HoldfastError(
    'STEP_AMBIGUOUS',
    `Task ${taskId} called ${shown(call)} where no replay could repeat it: after waiting for something that is not a step, or inside a step's function. Put the wait into a step: \`const value = await task.step('a name', () => theWait())\`. What a step's function calls, call in the body, before or after the step.`,
    { details: { taskId, call: shown(call) } },
  )
}

/** Reason for parking a body that only waits, while the log has a record that no call of it matches. */
export function unaskedFor(record: LogRecord): string {
  return `the log continues with ${describeRecord(record)}, and the code does not make that call, or waits for something other than a call of the context${BEHIND_PATCHED}`
}

/** Reason for parking a body that ended before it used all records of its log. Includes the error of the body. */
export function leftAtEnd(left: LogRecord, end: { readonly kind: string; readonly error?: unknown }): string {
  const how = end.kind === 'threw' ? `the body threw (${describeError(end.error).message})` : 'the body ended'
  return `${how}, and had not called ${describeRecord(left)}, which the log has${BEHIND_PATCHED}`
}

/** The error of a body that returns in the turn in which it makes a call. */
export function notAwaited(taskId: string, name: RecordName): HoldfastError {
  const call = shown(describeRecord(name))
  return new HoldfastError(
    'CALL_NOT_AWAITED',
    `The body returned without waiting for ${call}, which therefore never began. Await every call of the context before the body returns.`,
    { details: { taskId, call } },
  )
}

/** Reason for parking a body that makes a call in the place where another call had begun. */
export function begunAsAnother(begun: RecordName, name: RecordName): string {
  return `${describeRecord(begun)} had begun where the code now calls ${describeRecord(name)}${BEHIND_PATCHED}`
}

/** The error of a step that was interrupted and must not begin again. */
export function stepInDoubt(taskId: string, step: string, begunAt: number): HoldfastError {
  return new HoldfastError(
    'STEP_IN_DOUBT',
    `Step '${step}' of task ${taskId} began at ${new Date(begunAt).toISOString()} and was interrupted; whether its effect took place is not known. Find out, and start a new task for what is left.`,
    { details: { taskId, step, begunAt } },
  )
}
