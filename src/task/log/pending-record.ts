/**
 * Pending records. A call that has begun and not ended has one: the failed attempts and the saved state of a step, the
 * end of a sleep, the question of an input, the ID of a child. The record is deleted when the call gets its log record.
 * The log holds answers only, so waits and retries do not slow a replay.
 */
import type { JsonValue } from '../../base/json.js'

/** Place of a call of the body. */
export interface Place {
  readonly segment: number
  readonly scope: string
  readonly ask: number
}

/** An input that a task requests. */
export interface AskedInput {
  /** Key of the input, unique in its task. Without this, a late answer could reach a later input. */
  readonly key: string
  /** Name that the body gave to the input. */
  readonly name: string
  readonly request: JsonValue | undefined
  readonly requestedAt: number
  readonly dueAt?: number | undefined
  /** The answer as JSON text, if there is one. Empty text stands for `undefined`. */
  readonly answer?: string | undefined
  /** Reason for which the client cannot answer, if the input was refused. */
  readonly refused?: string | undefined
}

/**
 * An attempt of a step: its number, start, end and error code. In the record of the step, the last attempt has its number
 * and start only (attempts.ts).
 */
export type StoredAttempt = readonly [attempt: number, startedAt: number, endedAt?: number, errorCode?: string]

/** State of one pending call. */
export interface PendingRecord extends Place {
  /** Identity of the call in the log. */
  readonly id: string
  /** The number of the record that the body had received last when it made the call. */
  readonly after: number
  /** Number of attempts that failed. */
  readonly failedAttempts: number
  /** Instant of the next attempt. */
  readonly retryAt?: number | undefined
  /** Instant of the last failure. Absent in records of older versions. */
  readonly failedAt?: number | undefined
  /** Number of commits of the task before the last failure was recorded. */
  readonly failedSeq?: number | undefined
  /** Code of the last error, or its name if it has no code. */
  readonly failedWith?: string | undefined
  /** The last attempts that failed, at most ten. Absent in records of older versions. */
  readonly lastAttempts?: readonly StoredAttempt[] | undefined
  /** Start of the running attempt. Kept only for a step that must not begin twice, or has an undo. */
  readonly begunAt?: number | undefined
  /** Start and end of a sleep, or of a wait for a message. */
  readonly wait?: { readonly startedAt: number; readonly dueAt: number } | undefined
  readonly input?: AskedInput | undefined
  /** The child task that the call created. */
  readonly child?: { readonly taskId: string; readonly startedAt: number } | undefined
  /** The branch that won a race, while the branches that lost are cleaned up. */
  readonly decided?: { readonly branch: string; readonly lost: readonly string[]; readonly at: number } | undefined
  /** State that the step saved for its next attempt, as JSON text. Empty text stands for a saved `undefined`. */
  readonly stateText?: string | undefined
}

/** The pending record as text for the store. The state follows on its own line, not encoded again. */
export function encodePendingRecord({ stateText, ...rest }: PendingRecord): string {
  return stateText === undefined ? JSON.stringify(rest) : `${JSON.stringify(rest)}\n${stateText}`
}

/** The pending record in a text of `encodePendingRecord`. */
export function decodePendingRecord(text: string): PendingRecord {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as PendingRecord
  return { ...(JSON.parse(text.slice(0, line)) as PendingRecord), stateText: text.slice(line + 1) }
}

/** True if the record is an input without an answer. */
export function isOutstanding({ input }: PendingRecord): boolean {
  return input !== undefined && input.answer === undefined
}
