/**
 * What is kept of a step that has an undo: that it began, what came of it, and how its undoing goes. An intent is on disk
 * before its step begins and outlives the step's record, so that undoing needs neither a replay nor the log.
 */

import type { Place } from './pending-record.js'
import { PREFIX } from './segment.js'

/** How far an undo, or `onCancel`, has come. */
export interface Undoing {
  readonly failedAttempts: number
  readonly retryAt?: number | undefined
  /** When it succeeded. */
  readonly doneAt?: number | undefined
  /** When it was out of attempts, and why. */
  readonly failedAt?: number | undefined
  readonly error?: string | undefined
  /** What its own steps returned, by name and number, as JSON text; empty text stands for `undefined`. */
  readonly steps?: Readonly<Record<string, string>> | undefined
}

/** One step that has an undo; or, under the name `onCancel`, the call of that. */
export interface UndoRecord extends Omit<Place, 'ask'> {
  /** The identity of the step in the log. */
  readonly id: string
  readonly name: string
  readonly number: number
  /** The newest is undone first. */
  readonly order: number
  readonly begunAt: number
  /** The record of its end. */
  readonly record?: number | undefined
  readonly failed?: boolean | undefined
  readonly undoing?: Undoing | undefined
  /** How often it was undone before it began once more: each time is an effect of its own. */
  readonly times?: number | undefined
  /** Its result as JSON text; absent for `undefined`, and where it is not known. */
  readonly value?: string | undefined
}

/** The intent as the store keeps it; the result follows on a line of its own, as it is. */
export function encodeUndoRecord({ value, ...rest }: UndoRecord): string {
  return value === undefined ? JSON.stringify(rest) : `${JSON.stringify(rest)}\n${value}`
}

/** The undo record in a text of `encodeUndoRecord`. */
export function decodeUndoRecord(text: string): UndoRecord {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as UndoRecord
  return { ...(JSON.parse(text.slice(0, line)) as UndoRecord), value: text.slice(line + 1) }
}

/** True if its undoing has come to an end, good or bad. */
export function isUndoingOver({ undoing }: UndoRecord): boolean {
  return undoing?.doneAt !== undefined || undoing?.failedAt !== undefined
}

/** The records of steps that were undone, or are being undone. */
export function undoneRecords(intents: readonly UndoRecord[]): Set<number> {
  return new Set(intents.flatMap(({ undoing, record }) => (undoing === undefined ? [] : (record ?? []))))
}

/** The identity of the call of `onCancel`, which is kept among the intents and comes after all of them. */
export const ON_CANCEL = 'onCancel'

/** The call of `onCancel`, before it began. */
export function onCancelRecord(begunAt: number): UndoRecord {
  return { id: ON_CANCEL, name: ON_CANCEL, number: 1, order: -1, begunAt, segment: PREFIX, scope: '' }
}
