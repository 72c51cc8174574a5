/**
 * Decides if and when an attempt that threw is repeated. Pure: the time, the deadline and a random number are
 * parameters.
 */

import { DURATION_MS_MAX } from '../../base/duration.js'
import { isError, NonRetryableError } from '../../base/errors.js'
import type { RetryPolicy } from '../definition/retry-options.js'
import type { TaskHead } from '../head.js'
import type { PendingRecord } from '../log/pending-record.js'

/** Inputs of the decision about the next attempt. */
export interface FailedAttempt {
  /** Number of the failed attempt, from 1. */
  readonly attempt: number
  readonly error: unknown
  readonly now: number
  /** First time limit of the task, if it has one. */
  readonly dueAt: number | undefined
  /** A random number from 0 to 1. */
  readonly fraction: number
}

/**
 * Start of the next attempt. `undefined` if the attempts are used up, the error is final, or a time limit comes first.
 */
export function nextAttemptAt(
  policy: RetryPolicy,
  { attempt, error, now, dueAt, fraction }: FailedAttempt,
): number | undefined {
  if (attempt >= policy.maximumAttempts) return undefined
  const { isFinal, afterMs } = adviceOf(error)
  if (isFinal || !isWorthIt(policy, error)) return undefined
  const interval = Math.min(policy.initialMs * policy.coefficient ** (attempt - 1), policy.maximumMs)
  // Shortened at random. Without this, a hundred tasks that failed together would be retried together.
  const wait = afterMs ?? Math.ceil(interval * (1 - fraction / 2))
  const at = now + wait
  return dueAt !== undefined && at >= dueAt ? undefined : at
}

/** The instant at which the next attempt of a step is due: at once if a caller asked for it after the last failure. */
export function stepRetryAt(
  { attemptsBefore }: Pick<TaskHead, 'attemptsBefore'>,
  { retryAt, failedSeq = 0 }: PendingRecord,
): number | undefined {
  return retryAt !== undefined && attemptsBefore !== undefined && failedSeq < attemptsBefore ? 0 : retryAt
}

/**
 * True if the body of an unloaded task threw, and its next attempt is due later. Otherwise a wait of the body has the wake
 * time of the task.
 * @param notes the pending records of the task
 */
export function isBetweenAttempts(head: TaskHead, notes: readonly PendingRecord[]): boolean {
  const { wakeAt, listens, attempt } = head
  if (wakeAt === undefined || listens || attempt === 1) return false
  return !notes.some(({ retryAt, wait, input }) => [retryAt, wait?.dueAt, input?.dueAt].includes(wakeAt))
}

function isWorthIt(policy: RetryPolicy, error: unknown): boolean {
  try {
    return policy.retryIf(error) === true
  } catch {
    return false
  }
}

const CAUSES_MAX = 32

/**
 * The retry advice of an error and its causes: final or not, and the delay. The error of a failed step was decoded from
 * the store and has lost its class, so its cause is recognized by name.
 */
function adviceOf(error: unknown): { isFinal: boolean; afterMs: number | undefined } {
  const advice: { isFinal: boolean; afterMs: number | undefined } = { isFinal: false, afterMs: undefined }
  try {
    for (let at = error, n = 0; isError(at) && n < CAUSES_MAX; at = at.cause, n++) {
      advice.isFinal ||= at instanceof NonRetryableError || at.name === 'NonRetryableError'
      const { retryAfterMs: ms } = at as { retryAfterMs?: unknown }
      // An error of other code may have a field with that name and any value.
      if (typeof ms === 'number' && ms >= 0 && ms <= DURATION_MS_MAX) advice.afterMs ??= Math.ceil(ms)
    }
  } catch {
    // A getter of the error threw. The values read before it count.
  }
  return advice
}
