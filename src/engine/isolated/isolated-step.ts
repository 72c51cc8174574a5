/** Makes of a call of `task.isolated` the step that it is: a function that runs the process, and a step's options. */
import { toJson } from '../../json.js'
import type { StepContext } from '../../task/context.js'
import { checkIsolated, type IsolatedOptions } from '../../task/isolated.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import type { StepOptions } from '../../task/step-options.js'
import { settleIfLate } from '../beginnings.js'
import { onAbort } from '../on-abort.js'
import type { Run } from '../run.js'
import { moduleUrlOf } from './module-url.js'
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
