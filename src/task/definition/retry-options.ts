/** The options of a retry, checked and complete. */
import { type Duration, durationMs } from '../../base/duration.js'
import { checkFunction, checkObject, expected, type Names } from '../../base/expected.js'

/** The options of a retry: how often, and when, a failed attempt is repeated. */
export interface RetryOptions {
  /**
   * Number of attempts in all, or `'unlimited'`. One by default, so that an error of a tool reaches its caller.
   * @default 1
   */
  readonly maximumAttempts?: number | 'unlimited' | undefined
  /**
   * Delay before the second attempt: milliseconds, or a string such as `'30s'`. Each delay is shortened by a random amount
   * of up to half.
   * @default '1s'
   */
  readonly initialInterval?: Duration | undefined
  /**
   * Factor from each delay to the next.
   * @default 2
   */
  readonly backoffCoefficient?: number | undefined
  /**
   * Longest delay.
   * @default 100 × `initialInterval`
   */
  readonly maximumInterval?: Duration | undefined
  /**
   * Returns true if another attempt may succeed after the error.
   * @default true for every error but a `NonRetryableError`
   */
  readonly retryIf?: ((error: unknown) => boolean) | undefined
}

/** The names of the options of a retry. */
export const RETRY_OPTIONS: Names<RetryOptions> = {
  maximumAttempts: true,
  initialInterval: true,
  backoffCoefficient: true,
  maximumInterval: true,
  retryIf: true,
}

/** Complete options of a retry. */
export interface RetryPolicy {
  readonly maximumAttempts: number
  readonly initialMs: number
  readonly coefficient: number
  readonly maximumMs: number
  readonly retryIf: (error: unknown) => boolean
}

const INTERVALS_IN_MAXIMUM = 100

/**
 * The policy of `options`.
 * @param option what stands before the name in an error: `retry`
 * @throws TypeError naming the option, what was expected and what was given
 */
export function retryPolicy(options: RetryOptions = {}, option = 'retry'): RetryPolicy {
  checkObject(option, options, RETRY_OPTIONS)
  const {
    maximumAttempts = 1,
    initialInterval = '1s',
    backoffCoefficient = 2,
    maximumInterval,
    retryIf = () => true,
  } = options
  const isUnlimited = maximumAttempts === 'unlimited'
  if (!isUnlimited && !(Number.isSafeInteger(maximumAttempts) && maximumAttempts >= 1)) {
    throw expected(`${option}.maximumAttempts`, "an integer >= 1 or 'unlimited'", maximumAttempts)
  }
  if (!(Number.isFinite(backoffCoefficient) && backoffCoefficient >= 1)) {
    throw expected(`${option}.backoffCoefficient`, 'a number >= 1', backoffCoefficient)
  }
  checkFunction(`${option}.retryIf`, retryIf)
  const initialMs = durationMs(initialInterval, `${option}.initialInterval`, { zero: true })
  const maximumMs =
    maximumInterval === undefined
      ? initialMs * INTERVALS_IN_MAXIMUM
      : durationMs(maximumInterval, `${option}.maximumInterval`)
  return {
    maximumAttempts: isUnlimited ? Number.POSITIVE_INFINITY : maximumAttempts,
    initialMs,
    coefficient: backoffCoefficient,
    maximumMs,
    retryIf,
  }
}

/** The policy of a step without retry options: one attempt. Created once and shared by all such steps. */
export const ONE_ATTEMPT: RetryPolicy = retryPolicy()
