/** Converts a call of `task.isolated` into a step: a function that runs the process, and the options of a step. */

import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expected } from '../../../base/expected.js'
import { toJson } from '../../../base/json.js'
import { onAbort } from '../../../base/on-abort.js'
import type { StepContext } from '../../../task/definition/context.js'
import { checkIsolated, type IsolatedOptions } from '../../../task/definition/isolated-options.js'
import type { StepOptions } from '../../../task/definition/step-options.js'
import { checkName, NAME_BYTES_MAX } from '../../../task/names.js'
import { settleIfLate } from '../../replay/begin-calls.js'
import type { Run } from '../../replay/run.js'
import { runIsolated } from './run-isolated.js'

/**
 * The step of a call. The arguments are encoded now, because the body may change them later.
 * @throws TypeError for a bad option
 * @throws HoldfastError `NOT_SERIALIZABLE` or `TOO_LARGE` for arguments that JSON cannot hold, or that are too large
 */
export function isolatedStep(
  run: Run,
  name: string,
  moduleUrl: unknown,
  args: unknown,
  options: IsolatedOptions<never>,
): { fn: (step: StepContext) => Promise<unknown>; options: StepOptions<never> } {
  const { host, task } = run
  checkName(name, 'name', NAME_BYTES_MAX.step)
  const { exportName, ...limits } = checkIsolated(options)
  const url = moduleUrlOf(moduleUrl)
  const { inputBytesMax: bytesMax, resultBytesMax } = host.limits
  const what = `the arguments of step '${name}'`
  const argsText = toJson(args, { what, bytesMax, option: 'limits.inputBytesMax' })
  const fn = ({ signal, idempotencyKey, attempt }: StepContext) => {
    const about = { taskId: task.taskId, step: name, moduleUrl: url, exportName, argsText, idempotencyKey, attempt }
    return host.processes.run(signal, () => {
      // A time limit may have passed during the wait for a place. The signal is aborted when the task is settled.
      if (settleIfLate(run)) return untilAborted(signal)
      return runIsolated({ ...about, limits, resultBytesMax }, signal)
    })
  }
  const { retry, timeout, onInterrupted, summary } = options
  return {
    fn,
    options: {
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(onInterrupted === undefined ? {} : { onInterrupted }),
      summary,
    },
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => onAbort(signal, () => reject(signal.reason)))
}

/**
 * The URL of a module given as a `file:` URL or an absolute path.
 * @throws TypeError for anything else. A relative path would depend on the working directory
 */
export function moduleUrlOf(given: unknown): string {
  if (typeof given === 'string' && isAbsolute(given) && !given.includes('\0')) return pathToFileURL(given).href
  const url =
    given instanceof URL ? given : typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined
  if (url?.protocol === 'file:') return url.href
  throw expected(
    'moduleUrl',
    "a file: URL or an absolute path, such as new URL('./work.js', import.meta.url)",
    given instanceof URL ? given.href : given,
  )
}
