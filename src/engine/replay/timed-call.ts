/** Calls a user's function with a time limit. One that ignores its signal is left behind, and said to be. */
import { HoldfastError } from '../../base/errors.js'
import type { LazyAbort } from '../../base/lazy-abort.js'
import type { RunHost } from './host.js'

/** Whose function it is, and for how long it may run. */
export interface TimedCall {
  readonly taskId: string
  /** The step's name, or what else it is called. */
  readonly name: string
  readonly timeoutMs: number
  readonly aborter: LazyAbort | undefined
}

/**
 * What `call` resolves with, if that is soon enough.
 * @throws HoldfastError `STEP_TIMEOUT`, after the signal is aborted with the same error
 */
export async function callWithTimeout(
  { clock, watchLeak }: Pick<RunHost, 'clock' | 'watchLeak'>,
  { taskId, name, timeoutMs, aborter }: TimedCall,
  call: () => unknown,
): Promise<unknown> {
  let disarm = () => {}
  const late = new Promise<never>((_, reject) => {
    const tellLate = () => {
      const error = tooLate(taskId, name, timeoutMs)
      aborter?.abort(error)
      reject(error)
    }
    disarm = clock.setTimer(clock.now() + timeoutMs, tellLate, { elapsed: true })
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
