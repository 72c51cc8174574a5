/** Makes of a call of `task.isolated` the step that it is: a function that runs the process, and a step's options. */

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
 * The step of a call. What it is given is read now: the body may change it later.
 * @throws TypeError for a bad option; HoldfastError `NOT_SERIALIZABLE`, `TOO_LARGE` for arguments that are no JSON
 */
export function isolatedStep(
  run: Run,
  name: string,
  moduleUrl: unknown,
  args: unknown,
  options: IsolatedOptions,
): { fn: (step: StepContext) => Promise<unknown>; options: StepOptions } {
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
      // The wait for a place may have taken all the time there was. The signal is aborted once the task is settled.
      if (settleIfLate(run)) return untilAborted(signal)
      return runIsolated({ ...about, limits, resultBytesMax }, signal)
    })
  }
  const { retry, timeout, onInterrupted } = options
  return {
    fn,
    options: {
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(onInterrupted === undefined ? {} : { onInterrupted }),
    },
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => onAbort(signal, () => reject(signal.reason)))
}

/**
 * The URL of a module given as a `file:` URL or an absolute path.
 * @throws TypeError for anything else; a relative path would mean another file in another folder
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
