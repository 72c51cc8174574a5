/** The options of a retry, checked and complete. */
import { type Duration, durationMs } from '../duration.js'
import { checkCount, checkFunction, checkObject, expected, type Names } from '../expected.js'

/** How often, and when, what threw is tried again. */
export interface RetryOptions {
  /** Attempts in all. Default 1: a tool's error should reach its caller. */
  readonly maximumAttempts?: number | undefined
  /** The wait before the second attempt. Default `'1s'`. Each wait is shortened by up to half, at random. */
  readonly initialInterval?: Duration | undefined
  /** What each wait is multiplied with to give the next. Default 2. */
  readonly backoffCoefficient?: number | undefined
  /** The longest wait. Default: 100 times the first. */
  readonly maximumInterval?: Duration | undefined
  /** Whether this error is worth another attempt. Default: every one but a `NonRetryableError`. */
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

/** The same, checked and complete. */
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
  checkCount(`${option}.maximumAttempts`, maximumAttempts)
  if (!(Number.isFinite(backoffCoefficient) && backoffCoefficient >= 1)) {
    throw expected(`${option}.backoffCoefficient`, 'a number >= 1', backoffCoefficient)
  }
  checkFunction(`${option}.retryIf`, retryIf)
  const initialMs = durationMs(initialInterval, `${option}.initialInterval`, { zero: true })
  const maximumMs =
    maximumInterval === undefined
      ? initialMs * INTERVALS_IN_MAXIMUM
      : durationMs(maximumInterval, `${option}.maximumInterval`)
  return { maximumAttempts, initialMs, coefficient: backoffCoefficient, maximumMs, retryIf }
}

/** One attempt: what a step does that says nothing else, made once and not for each of a million steps. */
export const ONE_ATTEMPT: RetryPolicy = retryPolicy()
