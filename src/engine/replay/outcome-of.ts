/** Calls a user's function, and turns its end into what is recorded. */
import { toJson } from '../../base/json.js'
import { describeError, type TaskError } from '../../task/log/outcome.js'
import type { Run } from './run.js'

/** End of a function: its result as JSON text, or its error. */
export interface Ended {
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
  readonly thrown?: unknown
}

/**
 * Calls the function of a step, and resolves with its end. Never rejects, and writes nothing (commit-4).
 * @param name the step, for messages
 * @param onEnd called when the function has ended
 */
export function outcomeOf(run: Run, name: string, call: () => unknown, onEnd = () => {}): Promise<Ended> {
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
