/** Calls a user's function with a time limit. A function that ignores its signal is watched and logged. */
import { HoldfastError } from '../../base/errors.js'
import type { LazyAbort } from '../../base/lazy-abort.js'
import type { RunHost } from './host.js'

/** Task, name and timeout of a function. */
export interface TimedCall {
  readonly taskId: string
  /** Name of the step, undo or `onCancel`. */
  readonly name: string
  readonly timeoutMs: number
  readonly aborter: LazyAbort | undefined
}

/**
 * Resolves with the result of `call` if it ends within the timeout.
 * @throws HoldfastError `STEP_TIMEOUT`, after the signal is aborted with the same error
 */
export async function callWithTimeout(
  { clock, watchLeak }: Pick<RunHost, 'clock' | 'watchLeak'>,
  { taskId, name, timeoutMs, aborter }: TimedCall,
  call: () => unknown,
): Promise<unknown> {
  let disarm = () => {}
  const late = new Promise<never>((_, reject) => {
    const onLate = () => {
      const error = tooLate(taskId, name, timeoutMs)
      aborter?.abort(error)
      reject(error)
    }
    disarm = clock.setTimer(clock.now() + timeoutMs, onLate, { elapsed: true })
  })
  const working = new Promise((resolve) => resolve(call()))
  try {
    return await Promise.race([working, late])
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'STEP_TIMEOUT') watchLeak(taskId, name, working)
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
