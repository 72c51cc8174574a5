/** Decides whether, and when, what threw is tried again. Pure: the time, the deadline and the dice are handed in. */

import { DURATION_MS_MAX } from '../../base/duration.js'
import { isError, NonRetryableError } from '../../base/errors.js'
import type { RetryPolicy } from '../definition/retry-options.js'

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
