/** What a body is refused, each with what to write instead. */
import { HoldfastError } from '../errors.js'
import { describeRecord, type LogRecord, type RecordName } from '../task/log.js'
import { describeError } from '../task/outcome.js'

/** A checkpoint with something in flight, or something asked for while a checkpoint is. */
export function inFlight(taskId: string, done: string): HoldfastError {
  return new HoldfastError(
    'STEPS_IN_FLIGHT',
    `Task ${taskId}: ${done} with something in flight. Await what was asked for before: \`await\` each step and each checkpoint, or \`await Promise.all([…])\`.`,
    { details: { taskId } },
  )
}

/** A call outside a turn. Nothing tells a step's function that calls from a body that waited, so the message names both. */
export function ambiguous(taskId: string, call: string): HoldfastError {
  return new HoldfastError(
    'STEP_AMBIGUOUS',
    `Task ${taskId} called ${call} where no replay could repeat it: after waiting for something that is not a step, or inside a step's function. Put the wait into a step: \`const value = await task.step('a name', () => theWait())\`. What a step's function calls, call in the body, before or after the step.`,
    { details: { taskId, call } },
  )
}

/** Why a body that is at rest is parked. A wait that began before a step, and is awaited after it, looks like this too. */
export function unaskedFor(record: LogRecord): string {
  return `the log goes on with ${describeRecord(record)}, and the code does not ask for it, or waits for something that is not a step`
}

/** Why a body that ended is parked; what it threw is not lost. */
export function leftAtEnd(left: LogRecord, end: { readonly kind: string; readonly error?: unknown }): string {
  const how = end.kind === 'threw' ? `the body threw (${describeError(end.error).message})` : 'the body ended'
  return `${how}, and had not asked for ${describeRecord(left)}, which the log has`
}

/** Why a body is parked that asks for one thing where another had begun. */
export function begunAsAnother(name: RecordName): string {
  return `something else had begun where the code now asks for ${describeRecord(name)}`
}
