/**
 * The log of a task: what a body asked for and what it was answered, in the
 * order of the answers. A record's identity is segment, scope, kind, name and
 * number; its ask index says when in its segment it was asked for.
 */
import { addChecksum } from '../../base/checksum.js'
import type { TaskError } from './outcome.js'
import type { SegmentSum } from './segment.js'

interface RecordBase {
  /** Its place in the order of the records. */
  readonly seq: number
  readonly segment: number
  /** The path of open branches; empty in the body itself. */
  readonly scope: string
  /** The how-manieth ask of its segment and scope it was. */
  readonly ask: number
  /** The record handed over last when it was asked for; -1 before any. */
  readonly after: number
  /** When it was recorded. */
  readonly at: number
}

interface NamedBase extends RecordBase {
  readonly name: string
  readonly number: number
  readonly startedAt: number
}

interface Answered {
  /** The answer as JSON text; absent for `undefined`. */
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
}

/** A step that ended: with a value, or out of attempts with an error. */
export interface StepRecord extends NamedBase, Answered {
  readonly kind: 'step'
  readonly attempts: number
}

/** A sleep that ended. When it began, and until when it was to be, lies beside the log until then. */
export interface SleepRecord extends NamedBase {
  readonly kind: 'sleep'
  readonly dueAt: number
}

/** An input that was answered, or not in time. */
export interface InputRecord extends NamedBase, Answered {
  readonly kind: 'input'
  readonly key: string
}

/** A message that was received, or none in time. */
export interface ReceiveRecord extends NamedBase, Answered {
  readonly kind: 'receive'
  /** Its place among the messages: where it goes back to if this record is dropped. */
  readonly message?: number | undefined
}

/** A child that ended, its clean-up included. */
export interface ChildRecord extends NamedBase, Answered {
  readonly kind: 'child'
  readonly childId: string
}

/** How branches side by side ended before all of them had: which one decided it. The others were cancelled. */
export interface DecisionRecord extends NamedBase {
  readonly kind: 'decision'
  readonly branch: string
  /** The scopes of the branches that were cancelled. A branch that had ended before is neither. */
  readonly lost: readonly string[]
}

/** A checkpoint that a body saved: it closes the segment it was asked for in and opens the next. */
export interface CheckpointRecord extends RecordBase {
  readonly kind: 'checkpoint'
  readonly checkpointId: string
  readonly label?: string | undefined
  readonly opens: number
  /** The size of its state as JSON. */
  readonly stateBytes?: number | undefined
  /** The segment it closes, as it then was. */
  readonly closes: SegmentSum
}

/** The segment whose sum counts the record: a checkpoint belongs to the segment it opens. */
export function countedIn(record: LogRecord): number {
  return record.kind === 'checkpoint' ? record.opens : record.segment
}

/** One answer that has a name. */
export type NamedRecord = StepRecord | SleepRecord | InputRecord | ReceiveRecord | ChildRecord | DecisionRecord

/** One answer in the log. */
export type LogRecord = NamedRecord | CheckpointRecord

/** What can be asked for by name. */
export type NamedKind = NamedRecord['kind']

/** What identifies an ask, before or after it is recorded. */
export type RecordName =
  | { readonly kind: NamedKind; readonly name: string; readonly number: number }
  | { readonly kind: 'checkpoint'; readonly opens: number }

/** The identity of a record as text. Names hold no control characters, so no two identities share one. */
export function recordId(segment: number, scope: string, record: RecordName): string {
  const which = record.kind === 'checkpoint' ? record.opens : `${record.name}\n${record.number}`
  return `${segment}\n${scope}\n${record.kind}\n${which}`
}

/** The name in an identity that `recordId` made. The scope may have several lines; a name has one. */
export function nameIn(id: string): RecordName {
  const parts = id.split('\n')
  return { kind: parts.at(-3) as NamedKind, name: parts.at(-2) as string, number: Number(parts.at(-1)) }
}

/** A record as a person reads it: `step 'load' (its 2nd)`. */
export function describeRecord(record: RecordName): string {
  if (record.kind === 'checkpoint') return `checkpoint ${record.opens}`
  const named = `${record.kind} '${record.name}'`
  return record.number === 1 ? named : `${named} (number ${record.number})`
}

/** Ends the reason of a task that is parked as `CODE_CHANGED`. */
export const BEHIND_PATCHED = ". Put what changed behind `task.patched('a name')`, or bring the old code back."

// A result is JSON already, and JSON has no raw line break, so it follows its record on a line of its own
// instead of being escaped a second time, and is parsed only when a body asks for it.
/** The record as the store keeps it. */
export function encodeRecord(record: LogRecord): string {
  const value = 'value' in record ? record.value : undefined
  return value === undefined ? JSON.stringify(record) : `${JSON.stringify({ ...record, value: undefined })}\n${value}`
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
