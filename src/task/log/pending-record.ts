/**
 * What lies beside the log of something that has begun and not ended: a step's failed attempts and what it saved, until
 * when a sleep is, the question of an input, the ID of a child. It goes when its ask is recorded. The log itself holds
 * answers only, so a replay is not slowed by what a wait or a flaky service went through.
 */
import type { JsonValue } from '../../base/json.js'

/** Where an ask stands. */
export interface Place {
  readonly segment: number
  readonly scope: string
  readonly ask: number
}

/** An input that is asked for. */
export interface AskedInput {
  /** Unique over the task's life: a late answer can't reach a later question. */
  readonly key: string
  /** What the body called it. */
  readonly name: string
  readonly request: JsonValue | undefined
  readonly requestedAt: number
  readonly dueAt?: number | undefined
  /** The answer as JSON text, once there is one; empty text stands for `undefined`. */
  readonly answer?: string | undefined
  /** Why nobody can be asked, if it was answered by saying so. */
  readonly refused?: string | undefined
}

/** What is noted of one ask. */
export interface PendingRecord extends Place {
  /** Of which ask: its identity in the log. */
  readonly id: string
  /** The record handed over last when it was asked for. */
  readonly after: number
  /** Attempts that failed. */
  readonly failedAttempts: number
  /** When the next one is due. */
  readonly retryAt?: number | undefined
  /** When the attempt began that has not ended; kept only of a step that must not begin twice, or has an undo. */
  readonly begunAt?: number | undefined
  /** When a sleep, or a wait for a message, began, and when it is over. */
  readonly wait?: { readonly startedAt: number; readonly dueAt: number } | undefined
  readonly input?: AskedInput | undefined
  /** The child that was begun. */
  readonly child?: { readonly taskId: string; readonly startedAt: number } | undefined
  /** The branch that decided, while those that lost are cleaned up. */
  readonly decided?: { readonly branch: string; readonly lost: readonly string[]; readonly at: number } | undefined
  /** What the step saved for its next attempt, as JSON text; empty text stands for a saved `undefined`. */
  readonly stateText?: string | undefined
}

/** The note as the store keeps it; the state follows on a line of its own, as it is. */
export function encodePendingRecord({ stateText, ...rest }: PendingRecord): string {
  return stateText === undefined ? JSON.stringify(rest) : `${JSON.stringify(rest)}\n${stateText}`
}

/** The pending record in a text of `encodePendingRecord`. */
export function decodePendingRecord(text: string): PendingRecord {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as PendingRecord
  return { ...(JSON.parse(text.slice(0, line)) as PendingRecord), stateText: text.slice(line + 1) }
}

/** True if it is a question that nobody has answered. */
export function isOutstanding({ input }: PendingRecord): boolean {
  return input !== undefined && input.answer === undefined
}
