/** What a body is refused, each with what to write instead. */
import { HoldfastError } from '../errors.js'

/** A call on the context inside a step's function. */
export function nested(taskId: string, call: string): HoldfastError {
  return new HoldfastError(
    'STEP_NESTED',
    `Task ${taskId} called ${call} inside a step's function, where no replay could answer it. Call it in the body, before or after the step.`,
    { details: { taskId, call } },
  )
}

/** A checkpoint with something in flight, or something asked for while a checkpoint is. */
export function inFlight(taskId: string, done: string): HoldfastError {
  return new HoldfastError(
    'STEPS_IN_FLIGHT',
    `Task ${taskId}: ${done} with something in flight. Await what was asked for before: \`await\` each step and each checkpoint, or \`await Promise.all([…])\`.`,
    { details: { taskId } },
  )
}

/** An ask after a wait for something that is not a step. */
export function ambiguous(taskId: string, call: string): HoldfastError {
  return new HoldfastError(
    'STEP_AMBIGUOUS',
    `Task ${taskId} called ${call} after waiting for something that is not a step, which a replay could not repeat in the same order. Put the wait into a step: \`const value = await task.step('a name', () => theWait())\`.`,
    { details: { taskId, call } },
  )
}
