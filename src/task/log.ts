/**
 * The log of a task: what a body asked for and what it was answered, in the
 * order of the answers. A record's identity is segment, scope, kind, name and
 * number; its ask index says when in its segment it was asked for.
 */
import { addChecksum } from '../checksum.js'
import type { SegmentSum } from './head.js'
import type { TaskError } from './outcome.js'

interface RecordBase {
  /** Its place in the order of the records. */
  readonly seq: number
  readonly segment: number
  /** The path of open branches; empty in the body itself. */
  readonly scope: string
  /** The how-manieth ask of its segment it was. */
  readonly ask: number
  /** The record handed over last when it was asked for; -1 before any. */
  readonly after: number
  /** When it was recorded. */
  readonly at: number
}

/** A step that ended: with a value, or out of attempts with an error. */
export interface StepRecord extends RecordBase {
  readonly kind: 'step'
  readonly name: string
  readonly number: number
  readonly startedAt: number
  readonly attempts: number
  /** The result as JSON text; absent for `undefined`. */
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
}

/** A sleep that ended. When it began, and until when it was to be, lies beside the log until then. */
export interface SleepRecord extends RecordBase {
  readonly kind: 'sleep'
  readonly name: string
  readonly number: number
  readonly startedAt: number
  readonly dueAt: number
}

/** A checkpoint that a body saved: it closes the segment it was asked for in and opens the next. */
export interface CheckpointRecord extends RecordBase {
  readonly kind: 'checkpoint'
  readonly checkpointId: string
  readonly label?: string | undefined
  readonly opens: number
  /** The segment it closes, as it then was. */
  readonly closes: SegmentSum
}

/** The segment whose sum counts the record: a checkpoint belongs to the segment it opens. */
export function countedIn(record: LogRecord): number {
  return record.kind === 'checkpoint' ? record.opens : record.segment
}

/** One answer in the log. */
export type LogRecord = StepRecord | SleepRecord | CheckpointRecord

/** What identifies an ask, before or after it is recorded. */
export type RecordName =
  | { readonly kind: 'step' | 'sleep'; readonly name: string; readonly number: number }
  | { readonly kind: 'checkpoint'; readonly opens: number }

/** The identity of a record as text. Names hold no control characters, so no two identities share one. */
export function recordId(segment: number, scope: string, record: RecordName): string {
  const which = record.kind === 'checkpoint' ? record.opens : `${record.name}\n${record.number}`
  return `${segment}\n${scope}\n${record.kind}\n${which}`
}

/** A record as a person reads it: `step 'load' (its 2nd)`. */
export function describeRecord(record: RecordName): string {
  if (record.kind === 'checkpoint') return `checkpoint ${record.opens}`
  const named = `${record.kind} '${record.name}'`
  return record.number === 1 ? named : `${named} (number ${record.number})`
}

// A result is JSON already, and JSON has no raw line break, so it follows its record on a line of its own
// instead of being escaped a second time, and is parsed only when a body asks for it.
/** The record as the store keeps it. */
export function encodeRecord(record: LogRecord): string {
  if (record.kind !== 'step' || record.value === undefined) return JSON.stringify(record)
  return `${JSON.stringify({ ...record, value: undefined })}\n${record.value}`
}

/** The record that `encodeRecord` wrote. */
export function decodeRecord(text: string): LogRecord {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as LogRecord
  return Object.assign(JSON.parse(text.slice(0, line)) as StepRecord, { value: text.slice(line + 1) })
}

/** The sum of a segment with one more record. */
export function withRecord(sum: SegmentSum, text: string): SegmentSum {
  return { segment: sum.segment, count: sum.count + 1, sum: addChecksum(sum.sum, text) }
}
