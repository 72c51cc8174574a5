/**
 * The log of a task: the calls of the body and their answers, in the order of the answers. Segment, scope, kind, name
 * and number identify a record. Its `ask` is the index of the call in its segment and scope.
 */
import { addChecksum } from '../../base/checksum.js'
import type { TaskError } from './outcome.js'
import type { StoredAttempt } from './pending-record.js'
import type { SegmentSum } from './segment.js'

interface RecordBase {
  /** Number of the record in the order of the log. */
  readonly seq: number
  readonly segment: number
  /** Path of the branches that the call was made in. Empty in the body itself. */
  readonly scope: string
  /** Index of the call in its segment and scope, from 0. */
  readonly ask: number
  /** The number of the record that the body had received last when it made the call. -1 before the first. */
  readonly after: number
  /** Instant of the commit. */
  readonly at: number
}

interface NamedBase extends RecordBase {
  readonly name: string
  readonly number: number
  readonly startedAt: number
}

interface Answered {
  /** The answer as JSON text. Absent for `undefined`. */
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
}

/** A step that ended with a value, or with an error after its last attempt. */
export interface StepRecord extends NamedBase, Answered {
  readonly kind: 'step'
  readonly attempts: number
  /** The last attempts, at most ten. Absent if the step ended in its first attempt (attempts.ts). */
  readonly lastAttempts?: readonly StoredAttempt[] | undefined
  /** Text of the author for people. */
  readonly summary?: string | undefined
}

/** A sleep that ended. Until then, its pending record has its start and end. */
export interface SleepRecord extends NamedBase {
  readonly kind: 'sleep'
  readonly dueAt: number
}

/** An input that was answered, or timed out. */
export interface InputRecord extends NamedBase, Answered {
  readonly kind: 'input'
  readonly key: string
}

/** A call of `receive` that got a message, or timed out. */
export interface ReceiveRecord extends NamedBase, Answered {
  readonly kind: 'receive'
  /**
   * Number of the message among all messages of the task. The message returns to this place if the record is dropped.
   */
  readonly message?: number | undefined
}

/** A child task that ended, and whose clean-up ended. */
export interface ChildRecord extends NamedBase, Answered {
  readonly kind: 'child'
  readonly childId: string
}

/** The end of concurrent branches by the decision of one of them. The others were cancelled. */
export interface DecisionRecord extends NamedBase {
  readonly kind: 'decision'
  readonly branch: string
  /** The scopes of the branches that were cancelled. A branch that had ended before is not among them. */
  readonly lost: readonly string[]
}

/** A change of the attributes of the task. Its name is always `attributes`. */
export interface SetRecord extends NamedBase {
  readonly kind: 'set'
  /** Set if the change was refused. */
  readonly failed?: TaskError | undefined
}

/** Name of each call of `setAttributes`. Their numbers distinguish the calls. */
export const SET_ATTRIBUTES = 'attributes'

/** A checkpoint that a body saved. The checkpoint closes the segment of the call and opens the next one. */
export interface CheckpointRecord extends RecordBase {
  readonly kind: 'checkpoint'
  readonly checkpointId: string
  readonly label?: string | undefined
  readonly opens: number
  /** Bytes of the state as JSON. */
  readonly stateBytes?: number | undefined
  /** Count and sum of the segment that the checkpoint closes. */
  readonly closes: SegmentSum
}

/** The segment whose sum counts the record: a checkpoint belongs to the segment it opens. */
export function countedIn(record: LogRecord): number {
  return record.kind === 'checkpoint' ? record.opens : record.segment
}

/** A log record that has a name: every kind but a checkpoint. */
export type NamedRecord =
  | StepRecord
  | SleepRecord
  | InputRecord
  | ReceiveRecord
  | ChildRecord
  | DecisionRecord
  | SetRecord

/** One record of the log. */
export type LogRecord = NamedRecord | CheckpointRecord

/** Kind of a record that has a name. */
export type NamedKind = NamedRecord['kind']

/** The part of the identity of a call apart from its segment and scope. */
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

/** Describes a record for people: `step 'load' (number 2)`. */
export function describeRecord(record: RecordName): string {
  if (record.kind === 'checkpoint') return `checkpoint ${record.opens}`
  const named = `${record.kind} '${record.name}'`
  return record.number === 1 ? named : `${named} (number ${record.number})`
}

/** The last sentence of the reason of a task that is parked as `CODE_CHANGED`. */
export const BEHIND_PATCHED = ". Put what changed behind `task.patched('a name')`, or bring the old code back."

/**
 * The record as text for the store. A result is JSON already, and JSON has no raw line break. So the result follows on
 * its own line, is not escaped a second time, and is parsed only when a body needs it.
 */
export function encodeRecord(record: LogRecord): string {
  const value = 'value' in record ? record.value : undefined
  if (value === undefined) return JSON.stringify(record)
  if (record.kind !== 'step') return `${JSON.stringify({ ...record, value: undefined })}\n${value}`
  const bare = numberedStep(record, record.seq, record.at)
  bare.value = undefined
  return `${JSON.stringify(bare)}\n${value}`
}

/** The record with its number and the instant of its commit. */
export function numbered(record: Unnumbered<NamedRecord>, seq: number, at: number): NamedRecord {
  return record.kind === 'step' ? numberedStep(record, seq, at) : { ...record, seq, at }
}

/** A record before its commit. */
export type Unnumbered<R> = R extends LogRecord ? Omit<R, 'seq' | 'at'> : never

// One literal with every field: most records are steps, and copies by spread get a shape of their own each.
function numberedStep(record: Unnumbered<StepRecord>, seq: number, at: number): Draft<StepRecord> {
  const { segment, scope, ask, after, name, number, startedAt, attempts, lastAttempts, summary, value, failed } = record
  return {
    kind: 'step',
    segment,
    scope,
    ask,
    after,
    name,
    number,
    startedAt,
    attempts,
    lastAttempts,
    summary,
    value,
    failed,
    seq,
    at,
  }
}

type Draft<R> = { -readonly [Field in keyof R]: R[Field] }

/** The record that `encodeRecord` wrote. */
export function decodeRecord(text: string): LogRecord {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as LogRecord
  const record = JSON.parse(text.slice(0, line)) as StepRecord & { value: string }
  record.value = text.slice(line + 1)
  return record
}

/** The sum of a segment with one more record. */
export function withRecord(sum: SegmentSum, text: string): SegmentSum {
  return { segment: sum.segment, count: sum.count + 1, sum: addChecksum(sum.sum, text) }
}
