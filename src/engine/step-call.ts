/** A step as its body asked for it, with its options checked. */
import { durationMs } from '../duration.js'
import type { StepContext, StepOptions } from '../task/context.js'
import { ONE_ATTEMPT, type RetryPolicy, retryPolicy } from '../task/retry.js'

export interface StepCall {
  readonly name: string
  readonly fn: (step: StepContext) => unknown
  readonly retry: RetryPolicy
  readonly timeoutMs: number | undefined
  readonly onInterrupted: NonNullable<StepOptions['onInterrupted']>
}

const INTERRUPTED: readonly unknown[] = ['retry', 'fail', 'ask']

/** @throws TypeError naming the argument or option, what was expected and what was given */
export function checkStep(name: string, fn: (step: StepContext) => unknown, options: StepOptions): StepCall {
  if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` to be a function, got ${typeof fn}`)
  const { retry, timeout, onInterrupted = 'retry' } = options
  if (typeof onInterrupted !== 'function' && !INTERRUPTED.includes(onInterrupted)) {
    throw new TypeError(
      `Expected \`onInterrupted\` to be 'retry', 'fail', 'ask' or a function, got ${String(onInterrupted)}`,
    )
  }
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
  return { name, fn, retry: retry ? retryPolicy(retry) : ONE_ATTEMPT, timeoutMs, onInterrupted }
}
