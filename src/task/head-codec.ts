/**
 * Encodes a head for the disk, in two parts: what never changes is written once, and what moves with every commit is small.
 *
 * head-codec-1. Positions of the moving part never change within a format. A new field has a name in the object behind them.
 * head-codec-2. Fields that this version does not know are kept: of the moving part in the head, of the fixed part on disk,
 *     which nothing writes again. Without this, an older reader would delete what a newer version stored.
 * - A field of value `undefined` takes no room. The task ID is in the key, and the commit count in the envelope.
 */
import type { TaskAttributes } from './attributes.js'
import { type ByteCount, byteCountOf } from './byte-count.js'
import {
  COUNTED_LATER_BYTES_MAX,
  HEAD_BYTES_MAX,
  type HeadDraft,
  NO_CHECKPOINTS,
  type TaskHead,
  type TaskStatus,
} from './head.js'
import { PREFIX, segmentSum } from './log/segment.js'

/** Fields that are set when a task is created, and never change. */
const FIXED = [
  'type',
  'kind',
  'version',
  'owner',
  'createdAt',
  'ttlMs',
  'deadlineAt',
  'priority',
  'idempotencyKey',
  'title',
  'attributes',
  'hasInput',
  'seed',
  'parentId',
  'depth',
  'trace',
  'forkedFrom',
] as const satisfies readonly (keyof TaskHead)[]

/** The fixed part of a head. */
export type FixedPart = Pick<TaskHead, (typeof FIXED)[number]>

/** The moving part of a head, as it is needed without the fixed part. */
export interface MovingPart {
  readonly taskId: string
  /** Counts the task's commits. */
  readonly seq: number
  readonly status: TaskStatus
  readonly bytes: ByteCount
  readonly isSweeping: boolean
  readonly row: Row
}

/** Fields that have a position, the key or the envelope. */
const POSITIONED = [
  'taskId',
  'seq',
  'status',
  'run',
  'attempt',
  'startedAt',
  'nextRecord',
  'prefix',
  'open',
  'keptFrom',
  'records',
  'completedSteps',
  'checkpoints',
  'bytes',
  'updatedAt',
  'life',
] as const satisfies readonly (keyof TaskHead)[]

const APART = ['cleanUp', 'durability', 'changedAttributes', 'laterFields'] as const

// Values that most heads have take no room: `none` of a clean-up, and the durability of a store that is synced.
type Named = Omit<TaskHead, (typeof FIXED)[number] | (typeof POSITIONED)[number] | (typeof APART)[number]> &
  Partial<Pick<TaskHead, 'cleanUp' | 'durability'>> & { readonly attributes?: TaskAttributes | undefined }

const NAMED_APART: ReadonlySet<string> = new Set([...FIXED, ...POSITIONED, ...APART])
// Other fields of the fixed part are no fields of the moving one. There, a name of theirs is one of a later version.
const FIXED_ONLY: ReadonlySet<string> = new Set(FIXED.filter((field) => field !== 'attributes'))

type Row = [
  status: TaskStatus,
  run: number,
  attempt: number,
  startedAt: number | null,
  nextRecord: number,
  prefixCount: number,
  prefixSum: number,
  openSegment: number,
  openCount: number,
  openSum: number,
  keptFrom: number,
  records: number,
  completedSteps: number,
  bodyCheckpoints: number,
  clientCheckpoints: number,
  bytesKept: number,
  bytesPrunable: number,
  updatedAt: number,
  life: number | null,
  named?: Named,
]

/** The fixed part as the store keeps it. */
export function encodeFixedPart(head: TaskHead): string {
  const { type, kind, version, owner, createdAt, ttlMs, deadlineAt, priority, idempotencyKey } = head
  const { title, attributes, hasInput, seed, parentId, depth, trace, forkedFrom } = head
  const fixed: FixedPart = {
    type,
    kind,
    version,
    owner,
    createdAt,
    ttlMs,
    deadlineAt,
    priority,
    idempotencyKey,
    title,
    attributes,
    hasInput,
    seed,
    parentId,
    depth,
    trace,
    forkedFrom,
  }
  return JSON.stringify(fixed)
}

/** The moving part as the store keeps it. */
export function encodeMovingPart(head: TaskHead): string {
  const { prefix, open, checkpoints } = head
  const { kept, prunable } = byteCountOf(head)
  const row: Row = [
    head.status,
    head.run,
    head.attempt,
    head.startedAt ?? null,
    head.nextRecord,
    prefix.count,
    prefix.sum,
    open.segment,
    open.count,
    open.sum,
    head.keptFrom,
    head.records,
    head.completedSteps,
    checkpoints.body,
    checkpoints.client,
    kept,
    prunable,
    head.updatedAt,
    head.life ?? null,
  ]
  const named = namedFields(head)
  if (named) row.push(named)
  return JSON.stringify(row)
}

/** Bytes of the moving part with this text that count for `HEAD_BYTES_MAX`. Attributes have limits of their own. */
export function limitedBytes({ changedAttributes }: TaskHead, text: string): number {
  const apart = changedAttributes === undefined ? '' : `,"attributes":${JSON.stringify(changedAttributes)}`
  return Buffer.byteLength(text) - Buffer.byteLength(apart)
}

/** Bytes of a text that explains, at most `bytesMax`, for which the moving part has room. */
export function bytesLeft(head: TaskHead, bytesMax: number): number {
  const left = HEAD_BYTES_MAX - COUNTED_LATER_BYTES_MAX - limitedBytes(head, encodeMovingPart(head))
  return Math.max(0, Math.min(left, bytesMax))
}

function namedFields(head: TaskHead): Named | undefined {
  let named: Record<string, unknown> | undefined
  const fields = head as unknown as Readonly<Record<string, unknown>>
  for (const field in fields) {
    const value = fields[field]
    if (value === undefined || NAMED_APART.has(field)) continue
    named ??= {}
    named[field] = value
  }
  if (head.laterFields) named = { ...named, ...head.laterFields }
  if (head.cleanUp !== 'none') named = { ...named, cleanUp: head.cleanUp }
  if (head.durability !== 'synced') named = { ...named, durability: head.durability }
  if (head.changedAttributes) named = { ...named, attributes: head.changedAttributes }
  return named as Named | undefined
}

/** The moving part in a text of `encodeMovingPart`. `undefined` for a text that is none. */
export function decodeMovingPart(taskId: string, seq: number, text: string): MovingPart | undefined {
  const row = JSON.parse(text) as Row
  if (!Array.isArray(row)) return undefined
  const isSweeping = row[NAMED_AT]?.sweeping === true
  return { taskId, seq, status: row[0], bytes: { kept: row[15], prunable: row[16] }, isSweeping, row }
}

const NAMED_AT = 19
const NONE: Named = {}

/** The head of a task, put together from both parts. */
export function joinParts({ taskId, seq, bytes, row }: MovingPart, fixedText: string): TaskHead {
  const fixed = JSON.parse(fixedText) as FixedPart
  const named = row[NAMED_AT] ?? NONE
  // The order of the fields is that of `draftOf`, so that both make the same shape.
  const head: HeadDraft = {
    taskId,
    type: fixed.type,
    kind: fixed.kind,
    version: fixed.version,
    owner: fixed.owner,
    status: row[0],
    durability: named.durability ?? 'synced',
    createdAt: fixed.createdAt,
    updatedAt: row[17],
    startedAt: row[3] ?? undefined,
    settledAt: named.settledAt,
    ttlMs: fixed.ttlMs,
    timeoutAt: named.timeoutAt,
    deadlineAt: fixed.deadlineAt,
    priority: fixed.priority,
    idempotencyKey: fixed.idempotencyKey,
    title: fixed.title,
    attributes: fixed.attributes,
    changedAttributes: named.attributes,
    hasInput: fixed.hasInput,
    seed: fixed.seed,
    run: row[1],
    attempt: row[2],
    wakeAt: named.wakeAt,
    seq,
    nextRecord: row[4],
    prefix: segmentSum(PREFIX, row[5], row[6]),
    open: segmentSum(row[7], row[8], row[9]),
    keptFrom: row[10],
    records: row[11],
    completedSteps: row[12],
    checkpoints: row[13] === 0 && row[14] === 0 ? NO_CHECKPOINTS : { body: row[13], client: row[14] },
    progress: named.progress,
    parked: named.parked,
    triedWith: named.triedWith,
    hasStepStates: named.hasStepStates,
    intents: named.intents,
    inputs: named.inputs,
    inputsAsked: named.inputsAsked,
    messagesSent: named.messagesSent,
    messageKeys: named.messageKeys,
    messages: named.messages,
    listens: named.listens,
    attemptsBefore: named.attemptsBefore,
    wantsAttempt: named.wantsAttempt,
    hasNews: named.hasNews,
    children: named.children,
    parentId: fixed.parentId,
    depth: fixed.depth,
    hasPatches: named.hasPatches,
    hasDropped: named.hasDropped,
    trace: fixed.trace,
    forkedFrom: fixed.forkedFrom,
    life: row[18] ?? undefined,
    deaths: named.deaths,
    begun: named.begun,
    bytes,
    sweeping: named.sweeping,
    cleanUp: named.cleanUp ?? 'none',
    stoppedBy: named.stoppedBy,
    cleanUpReason: named.cleanUpReason,
    error: named.error,
    laterFields: undefined,
  }
  for (const field in named) {
    if (!(field in head) || FIXED_ONLY.has(field))
      head.laterFields = { ...head.laterFields, [field]: named[field as keyof Named] }
  }
  return head
}

/** The largest value, in bytes of UTF-8, that is stored together with a part of the head. */
export const VALUE_INLINE_BYTES_MAX = 512

/** True if a value of this JSON text is stored together with a part of the head. */
export function isStoredInline(text: string): boolean {
  // A UTF-16 unit takes at least one byte.
  return text.length <= VALUE_INLINE_BYTES_MAX && Buffer.byteLength(text) <= VALUE_INLINE_BYTES_MAX
}

// JSON has no raw line break, so a value follows its part on a line of its own. It is not escaped a second time, and is
// parsed only when it is used.
/** A part of the head, and a value behind it. */
export function withValue(part: string, value: string | undefined): string {
  return value === undefined ? part : `${part}\n${value}`
}

/** The part of the head, and the value, in a text of `withValue`. */
export function splitValue(text: string): { readonly part: string; readonly value: string | undefined } {
  const line = text.indexOf('\n')
  return line < 0 ? { part: text, value: undefined } : { part: text.slice(0, line), value: text.slice(line + 1) }
}
