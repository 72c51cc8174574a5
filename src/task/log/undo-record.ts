/**
 * Undo records. A step that has an undo has one: its begin, its result, and the state of the undo. The undo record is
 * on disk before its step begins, and stays after the step's log record, so that an undo needs neither a replay nor the
 * log.
 */

import type { Place } from './pending-record.js'
import { PREFIX } from './segment.js'

/** State of an undo, or of `onCancel`. */
export interface Undoing {
  readonly failedAttempts: number
  readonly retryAt?: number | undefined
  /** Instant at which the undo succeeded. */
  readonly doneAt?: number | undefined
  /** Instant at which the last attempt failed. `error` is the reason. */
  readonly failedAt?: number | undefined
  readonly error?: string | undefined
  /** Results of the steps of the undo, by name and number, as JSON text. Empty text stands for `undefined`. */
  readonly steps?: Readonly<Record<string, string>> | undefined
}

/** A step that has an undo. The record named `onCancel` is the call of `onCancel`. */
export interface UndoRecord extends Omit<Place, 'ask'> {
  /** The identity of the step in the log. */
  readonly id: string
  readonly name: string
  readonly number: number
  /** Order of the begin of the steps. The newest step is undone first. */
  readonly order: number
  readonly begunAt: number
  /** Number of the log record of the step, after its end. */
  readonly record?: number | undefined
  readonly failed?: boolean | undefined
  readonly undoing?: Undoing | undefined
  /** Number of times that the step was undone and then begun again. */
  readonly times?: number | undefined
  /** The result of the step as JSON text. Absent for `undefined`, and if the result is not known. */
  readonly value?: string | undefined
}

/** The undo record as text for the store. The result follows on its own line, not encoded again. */
export function encodeUndoRecord({ value, ...rest }: UndoRecord): string {
  return value === undefined ? JSON.stringify(rest) : `${JSON.stringify(rest)}\n${value}`
}

/** The undo record in a text of `encodeUndoRecord`. */
export function decodeUndoRecord(text: string): UndoRecord {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as UndoRecord
  return { ...(JSON.parse(text.slice(0, line)) as UndoRecord), value: text.slice(line + 1) }
}

/** True if the undo succeeded, or failed for good. */
export function isUndoingOver({ undoing }: UndoRecord): boolean {
  return undoing?.doneAt !== undefined || undoing?.failedAt !== undefined
}

/** The records of steps that were undone, or are being undone. */
export function undoneRecords(intents: readonly UndoRecord[]): Set<number> {
  return new Set(intents.flatMap(({ undoing, record }) => (undoing === undefined ? [] : (record ?? []))))
}

/** Identity of the call of `onCancel`. It is kept among the undo records and runs after all of them. */
export const ON_CANCEL = 'onCancel'

/** The undo record for the call of `onCancel`, before it begins. */
export function onCancelRecord(begunAt: number): UndoRecord {
  return { id: ON_CANCEL, name: ON_CANCEL, number: 1, order: -1, begunAt, segment: PREFIX, scope: '' }
}
