/** Decides whether, and when, what threw is tried again. Pure: the time, the deadline and the dice are handed in. */

import { DURATION_MS_MAX, type Duration, durationMs } from '../duration.js'
import { isError, NonRetryableError } from '../errors.js'
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

/** What a decision about the next attempt needs to know. */
export interface FailedAttempt {
  /** Which one failed, counted from 1. */
  readonly attempt: number
  readonly error: unknown
  readonly now: number
  /** When the task's time is over, if it ever is. */
  readonly dueAt: number | undefined
  /** A random number from 0 to 1. */
  readonly fraction: number
}

/** When the next attempt begins; `undefined` if there is none: out of attempts, not worth it, or too late for the deadline. */
export function nextAttemptAt(
  policy: RetryPolicy,
  { attempt, error, now, dueAt, fraction }: FailedAttempt,
): number | undefined {
  if (attempt >= policy.maximumAttempts) return undefined
  const { isFinal, afterMs } = adviceOf(error)
  if (isFinal || !isWorthIt(policy, error)) return undefined
  const interval = Math.min(policy.initialMs * policy.coefficient ** (attempt - 1), policy.maximumMs)
  // Shortened at random, so that a hundred tasks that failed together don't come back together.
  const wait = afterMs ?? Math.ceil(interval * (1 - fraction / 2))
  const at = now + wait
  return dueAt !== undefined && at >= dueAt ? undefined : at
}

function isWorthIt(policy: RetryPolicy, error: unknown): boolean {
  try {
    return policy.retryIf(error) === true
  } catch {
    return false
  }
}

const CAUSES_MAX = 32

/** What an error and its causes say of another attempt. A failed step is revived from the disk, so its cause is known by name. */
function adviceOf(error: unknown): { isFinal: boolean; afterMs: number | undefined } {
  const advice: { isFinal: boolean; afterMs: number | undefined } = { isFinal: false, afterMs: undefined }
  try {
    for (let at = error, n = 0; isError(at) && n < CAUSES_MAX; at = at.cause, n++) {
      advice.isFinal ||= at instanceof NonRetryableError || at.name === 'NonRetryableError'
      const { retryAfterMs: ms } = at as { retryAfterMs?: unknown }
      // An error of somebody else's may have a field of that name, with anything in it.
      if (typeof ms === 'number' && ms >= 0 && ms <= DURATION_MS_MAX) advice.afterMs ??= Math.ceil(ms)
    }
  } catch {
    // A getter of somebody else's: what could be read till then counts.
  }
  return advice
}
