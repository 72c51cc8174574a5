/** Calls a step's function with a time limit. One that ignores its signal is left behind, and said to be. */
import { HoldfastError } from '../errors.js'
import type { Asked } from './asked.js'
import type { Run } from './run.js'

/**
 * What `call` resolves with, if that is soon enough.
 * @throws HoldfastError `STEP_TIMEOUT`, after the step's signal is aborted with the same error
 */
export async function callWithin(
  run: Run,
  asked: Asked,
  { name }: { readonly name: string },
  timeoutMs: number,
  call: () => unknown,
): Promise<unknown> {
  const { clock } = run.host
  let disarm = () => {}
  const late = new Promise<never>((_, reject) => {
    disarm = clock.setTimer(clock.now() + timeoutMs, () => {
      const error = tooLate(run.task.taskId, name, timeoutMs)
      asked.aborter?.abort(error)
      reject(error)
    })
  })
  const working = new Promise((resolve) => resolve(call()))
  try {
    return await Promise.race([working, late])
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'STEP_TIMEOUT')
      run.host.watchLeak(run.task.taskId, name, working)
    throw error
  } finally {
    disarm()
  }
}

function tooLate(taskId: string, step: string, timeoutMs: number): HoldfastError {
  return new HoldfastError('STEP_TIMEOUT', `Step '${step}' of task ${taskId} took longer than ${timeoutMs} ms`, {
    details: { taskId, step, timeoutMs },
  })
}
