/**
 * The last attempts of a step: start, end and error code of each. Pure.
 *
 * A failed attempt that has a next one is added to the pending record of its step, so the list survives a crash. The record
 * of the step takes the list over, with the start of the last attempt, which ends with the record. A step that ends in its
 * first attempt has no list: the attempt begins and ends with the step. An attempt that a crash or a close interrupted is
 * not counted, and has no entry.
 */
import { shortCodeOf } from './outcome.js'
import type { PendingRecord, StoredAttempt } from './pending-record.js'
import type { StepRecord } from './records.js'

/** Largest number of attempts of a step that are kept: the last ones. */
export const LAST_ATTEMPTS_MAX = 10

/** One attempt of a finished step. Instants are milliseconds since the epoch. */
export interface AttemptInfo {
  /** Number of the attempt, from 1. */
  readonly attempt: number
  readonly startedAt: number
  readonly endedAt: number
  /** Code of the error, or its name if it has no code; `undefined` for the attempt that succeeded. */
  readonly errorCode?: string | undefined
}

/** The list with one more attempt, and without the oldest if there are too many. */
function withAttempt(list: readonly StoredAttempt[] | undefined, attempt: StoredAttempt): readonly StoredAttempt[] {
  return [...(readable(list) ?? []), attempt].slice(-LAST_ATTEMPTS_MAX)
}

/** The start of a failed attempt, and the fields of the pending record that describe its end. */
export interface Failure {
  readonly startedAt: number
  readonly failedAt: number
  readonly failedSeq: number
  readonly failedWith: string
  readonly retryAt: number
}

/** The pending record of a step after a failed attempt that has a next one. */
export function noteAfterFailure(note: PendingRecord, { startedAt, ...failure }: Failure): PendingRecord {
  const failedAttempts = note.failedAttempts + 1
  const { failedAt, failedWith } = failure
  const lastAttempts = withAttempt(note.lastAttempts, [failedAttempts, startedAt, failedAt, failedWith])
  return { ...note, ...failure, failedAttempts, lastAttempts, begunAt: undefined, input: undefined }
}

/**
 * The list for the record of a step that ends now. `undefined` for a step that ends in its first attempt.
 * @param startedAt start of the last attempt, if it did not begin with the step
 */
export function attemptsForRecord(
  { failedAttempts, lastAttempts }: PendingRecord,
  startedAt: number | undefined,
): readonly StoredAttempt[] | undefined {
  return startedAt === undefined ? undefined : withAttempt(lastAttempts, [failedAttempts + 1, startedAt])
}

/** The last attempts of a finished step. `undefined` if an older version recorded a step of several attempts without them. */
export function attemptsOf(record: StepRecord): readonly AttemptInfo[] | undefined {
  const { startedAt, at, attempts, failed, lastAttempts } = record
  const list = readable(lastAttempts) ?? (attempts === 1 ? ([[1, startedAt]] as const) : undefined)
  return list?.map(([attempt, begunAt, endedAt = at, code]: StoredAttempt) => {
    const errorCode = attempt === attempts && failed ? shortCodeOf(failed) : code
    return { attempt, startedAt: begunAt, endedAt, errorCode }
  })
}

/**
 * The list of a record that was read. `undefined` for one that cannot be read, such as that of a forged file: a list for people
 * must not harm its task. Entries of a later version may have more elements.
 */
function readable(list: unknown): readonly StoredAttempt[] | undefined {
  return Array.isArray(list) && list.every(isAttempt) ? list : undefined
}

function isAttempt(given: unknown): given is StoredAttempt {
  if (!Array.isArray(given)) return false
  const [attempt, startedAt, endedAt, errorCode] = given as readonly unknown[]
  return (
    typeof attempt === 'number' &&
    typeof startedAt === 'number' &&
    (endedAt === undefined || typeof endedAt === 'number') &&
    (errorCode === undefined || typeof errorCode === 'string')
  )
}
