/** Calls a user's function, and turns its end into what is recorded. */
import { toJson } from '../../base/json.js'
import { promiseOf } from '../../base/promises.js'
import { describeError, type TaskError } from '../../task/log/outcome.js'
import type { Run } from './run.js'

/** End of a function: its result as JSON text, or its error. */
export interface Ended {
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
  readonly thrown?: unknown
}

/**
 * Calls the function of a step. Writes nothing (commit-4).
 * @param name the step, for messages
 * @param conclude called with the end of the function. Must not throw
 * @returns what `conclude` returns. Never rejects
 */
export function outcomeOf<T>(run: Run, name: string, call: () => unknown, conclude: (ended: Ended) => T): Promise<T> {
  return promiseOf(call).then(
    (value) => conclude(resultOf(run, name, value)),
    (thrown: unknown) => conclude(failureOf(thrown)),
  )
}

function resultOf(run: Run, name: string, value: unknown): Ended {
  const { resultBytesMax: bytesMax } = run.host.limits
  try {
    return { value: toJson(value, { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }) }
  } catch (thrown) {
    return failureOf(thrown)
  }
}

function failureOf(thrown: unknown): Ended {
  return { failed: describeError(thrown), thrown }
}
