/**
 * The store on disk. Read this first: every key, and what lies under it.
 *
 *   <dir>/                      0700
 *     holdfast.json             format version and the store's ID: read before anything is opened or touched
 *     lock                      who holds the directory (lock.ts)
 *     anchor                    the newest commit number, kept outside the database (anchor.ts)
 *     db/                       LevelDB, with these keys:
 *
 *   meta/format                            the format version and the store's ID again: db/ belongs to holdfast.json
 *   meta/accepted                          the commit number up to which missing commits were accepted by a person
 *   meta/buffered                          the newest commit that was synced, while the store is used without syncing
 *   meta/life                              which process this is, and whether the one before it was closed (opening-record.ts)
 *   meta/totals                            counters over the store's life: tasks settled, swept, recovered (totals.ts)
 *   chain/<slot>                           the last 8,192 commits, each by its number, in a ring (chain.ts); the body is
 *                                          empty, or spaces that pad a small commit
 *   live/<taskId>                          head of an unfinished task: what a recovery reads, and all that it reads
 *   done/<taskId>                          head of a settled task
 *   input/<taskId>                         the parsed input
 *   outcome/<taskId>                       what the task settled with
 *   log/<taskId>/<segment>/<record>        one answer of the log; the prefix sorts first
 *   dropped/<taskId>                       what retries dropped from the log, as far as it is not deleted yet (dropped-records.ts)
 *   checkpoint/<taskId>/<checkpointId>     what is known of a checkpoint …
 *   state/<taskId>/<checkpointId>          … and its state
 *   note/<taskId>/<segment>/<ask>          what has begun and not ended: a step's attempts, a wait, a question …
 *   note/<taskId>/<segment>/<ask>/<scope>  … and the same in a branch
 *   patch/<taskId>/<segment>               what the body was answered on `patched` in a segment
 *   input-key/<taskId>/<key>               a key that a question of the task has had; empty. Older tasks have none
 *   intent/<taskId>/<step>                 a step that has an undo, and how its undoing goes
 *   message/<taskId>/<name>/<order>        a message that nobody has received
 *   message-key/<taskId>/<key>             what an idempotency key of a message stands for
 *   owner/<owner>/<taskId>                 the tasks of an owner; says `child` of one that another task started
 *   key/<owner>/<type>/<key>               what an idempotency key stands for; of a swept task, also when that settled
 *   timer/<dueAt>/<kind>/<what>            what is to be done at a time, whether its task is live or settled
 *   beside/<taskId>/<binding>/<what>       what a protocol binding keeps of a task; deleted with the task. Where it is an object
 *                                          with a list `own`, the binding's own records of these names are deleted too
 *   binding/<binding>/<what>               what a protocol binding keeps of its own: sessions, events, open requests
 *   settled/<settledAt>/<taskId>           settled tasks without a `ttl`, by when they settled: `retention` counts from there
 *   <kind>/~                               ends each kind of a task's parts (GUARDS), once anything was swept
 *   audit/<auditId>                        audit entries by time …
 *   trail/<taskId>/<auditId>               … and the same by task
 *
 * Owners, types, names and keys are percent-encoded, so `/` only ever separates. Every value is an envelope (envelope.ts).
 */
import { createHash } from 'node:crypto'
import type { TaskHead } from '../../task/head.js'
import type { RecordPlace } from '../../task/log/dropped-records.js'
import type { Place } from '../../task/log/pending-record.js'
import { PREFIX } from '../../task/log/segment.js'

/**
 * The version of all this. One step of migration per version; a step is never edited afterwards. An optional field in a
 * value (the `triedWith` of a head, the `settledAt` of a key) or a new kind of key (`input-key/`) needs no new version: a store without it is read as before.
 */
export const FORMAT_VERSION = 1

export const META_FORMAT = 'meta/format'
export const META_ACCEPTED = 'meta/accepted'
export const META_BUFFERED = 'meta/buffered'
export const META_LIFE = 'meta/life'
export const META_TOTALS = 'meta/totals'

/** A range of keys: from `gte` up to, and without, `lt`. */
export interface KeyRange {
  readonly gte: string
  readonly lt: string
}

/** All keys that begin with `prefix`, which ends in `/`; `0` is the character after it. */
export function under(prefix: string): KeyRange {
  return { gte: prefix, lt: `${prefix.slice(0, -1)}0` }
}

export const LIVE = 'live/'
export const DONE = 'done/'
export const CHAIN = 'chain/'
export const AUDIT = 'audit/'
export const DROPPED = 'dropped/'

export const chainKey = (slot: number) => `chain/${hex(slot, 4)}`
export const liveKey = (taskId: string) => `live/${taskId}`
export const doneKey = (taskId: string) => `done/${taskId}`
export const inputKey = (taskId: string) => `input/${taskId}`
export const outcomeKey = (taskId: string) => `outcome/${taskId}`
export const logPrefix = (taskId: string) => `log/${taskId}/`
export const logKey = (taskId: string, segment: number, seq: number) =>
  `log/${taskId}/${segmentPart(segment)}/${hex(seq, 10)}`
export const droppedKey = (taskId: string) => `${DROPPED}${taskId}`
export const checkpointPrefix = (taskId: string) => `checkpoint/${taskId}/`
export const checkpointKey = (taskId: string, checkpointId: string) => `checkpoint/${taskId}/${checkpointId}`
export const statePrefix = (taskId: string) => `state/${taskId}/`
export const stateKey = (taskId: string, checkpointId: string) => `state/${taskId}/${checkpointId}`
export const notePrefix = (taskId: string) => `note/${taskId}/`
export const noteKey = (taskId: string, { segment, scope, ask }: Place) =>
  `note/${taskId}/${segmentPart(segment)}/${hex(ask, 10)}${scope === '' ? '' : `/${encodeURIComponent(scope)}`}`
export const inputKeyPrefix = (taskId: string) => `input-key/${taskId}/`
export const inputKeyKey = (taskId: string, key: string) => `${inputKeyPrefix(taskId)}${encodeURIComponent(key)}`
export const intentPrefix = (taskId: string) => `intent/${taskId}/`
/** The identity of a step may be long: its hash is not. */
export const intentKey = (taskId: string, stepId: string) =>
  `intent/${taskId}/${createHash('sha256').update(stepId).digest('hex').slice(0, 32)}`
export const messagePrefix = (taskId: string, name: string) => `message/${taskId}/${encodeURIComponent(name)}/`
export const messageKey = (taskId: string, name: string, order: number) =>
  `${messagePrefix(taskId, name)}${hex(order, 10)}`
export const messageKeyPrefix = (taskId: string) => `message-key/${taskId}/`
export const messageKeyKey = (taskId: string, key: string) => `${messageKeyPrefix(taskId)}${encodeURIComponent(key)}`
export const patchPrefix = (taskId: string) => `patch/${taskId}/`
export const patchKey = (taskId: string, segment: number) => `patch/${taskId}/${segmentPart(segment)}`
export const ownerPrefix = (owner: string) => `owner/${encodeURIComponent(owner)}/`
export const ownerKey = (owner: string, taskId: string) => `${ownerPrefix(owner)}${taskId}`
/** No owner is an empty part: an owner's name is never empty. */
export const idempotencyKey = (owner: string | undefined, type: string, key: string) =>
  `key/${owner === undefined ? '' : encodeURIComponent(owner)}/${encodeURIComponent(type)}/${encodeURIComponent(key)}`
export const besidePrefix = (taskId: string) => `beside/${taskId}/`
export const besideKey = (taskId: string, binding: string, what: string) => `beside/${taskId}/${binding}/${what}`
/** The task of a key of `besideKey`; `undefined` for any other key. */
export const taskOfBeside = (key: string) => (key.startsWith('beside/') ? key.split('/')[1] : undefined)
/** The binding that keeps the record under this key of `besideKey`. */
export const bindingOfBeside = (key: string) => key.split('/')[2] ?? ''
export const bindingPrefix = (binding: string) => `binding/${binding}/`
export const timerKey = (dueAt: number, kind: string, what: string) => `timer/${hex(dueAt, 12)}/${kind}/${what}`
export const settledKey = (settledAt: number, taskId: string) => `settled/${hex(settledAt, 12)}/${taskId}`
export const auditKey = (auditId: string) => `audit/${auditId}`
export const trailPrefix = (taskId: string) => `trail/${taskId}/`
export const trailKey = (taskId: string, auditId: string) => `trail/${taskId}/${auditId}`

/** What lies by segment and a save with `prune` drops: from the first segment after the prefix up to the one it opened. */
export function prunedRange(prefix: string, keptFrom: number): KeyRange {
  return { gte: `${prefix}${segmentPart(0)}`, lt: `${prefix}${segmentPart(keptFrom)}` }
}

/** The log records from one up to another, both included. */
export function recordsBetween(taskId: string, from: RecordPlace, to: RecordPlace): KeyRange {
  return { gte: logKey(taskId, from.segment, from.seq), lt: logKey(taskId, to.segment, to.seq + 1) }
}

/** The number of the record under a key of the log. */
export function recordNumber(key: string): number {
  return Number.parseInt(lastPart(key), 16)
}

/** The segment of a key that ends in one. */
export function lastSegment(key: string): number {
  return Number.parseInt(lastPart(key), 16) + PREFIX
}

/** The timers that are due at `now`. */
export function timersDue(now: number): KeyRange {
  return { gte: 'timer/', lt: `timer/${hex(Math.max(0, now + 1), 12)}` }
}

/** What `timerKey` was made of. */
export function timerParts(key: string): { dueAt: number; kind: string; what: string } {
  const [, due = '', kind = '', what = ''] = key.split('/')
  return { dueAt: Number.parseInt(due, 16), kind, what }
}

/** The tasks without a `ttl` that settled at `instant` or before. */
export function settledUntil(instant: number): KeyRange {
  return { gte: 'settled/', lt: `settled/${hex(Math.max(0, instant + 1), 12)}` }
}

// What belongs to a task beside its head, its owner's entry and its timers. Whatever else is kept for a task is added to
// one of these lists, or it outlives its task.
const ONE_PER_TASK = ['input', 'outcome']
const ONE_IF_DROPPED = 'dropped'
const MANY_IF_ASKED = 'input-key'
const MANY_PER_TASK = [
  'log',
  'checkpoint',
  'state',
  'note',
  'intent',
  'message',
  'message-key',
  'patch',
  'beside',
  'trail',
]

/** The keys `<kind>/<taskId>` of a task that its head says it may have. */
export function keysOf(taskId: string, head: TaskHead | undefined): string[] {
  const kinds = head?.hasDropped ? [...ONE_PER_TASK, ONE_IF_DROPPED] : ONE_PER_TASK
  return kinds.map((kind) => `${kind}/${taskId}`)
}

/**
 * The ranges `<kind>/<taskId>/…` of a task that its head says it may have; all of them without a head. What the trail points at
 * in the audit belongs to the task too.
 */
export function rangesOf(taskId: string, head: TaskHead | undefined): KeyRange[] {
  const asked = head === undefined || head.inputsAsked !== undefined
  const kinds = asked ? [...MANY_PER_TASK, MANY_IF_ASKED] : MANY_PER_TASK
  return kinds.map((kind) => under(`${kind}/${taskId}/`))
}

/**
 * A key at the end of each kind, for good. Without it a look for what a task does not have (`note/<taskId>/…`) goes
 * on into the next kind (`timer/`), over every tombstone that sweeps left there.
 */
export const GUARDS = [...MANY_PER_TASK, MANY_IF_ASKED].map((kind) => `${kind}/~`)

/** Every key of the store by what it is for, for those who ask how much it takes up. */
export const KINDS = {
  heads: ['live', 'done'],
  values: ['input', 'outcome'],
  log: ['log', 'dropped', 'note', 'input-key', 'intent', 'message', 'message-key', 'patch'],
  checkpoints: ['checkpoint', 'state'],
  indexes: ['owner', 'key', 'timer', 'settled'],
  audit: ['audit', 'trail'],
  bindings: ['beside', 'binding'],
  own: ['meta', 'chain'],
} as const satisfies Record<string, readonly string[]>

/** The task ID that ends a key. */
export function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function segmentPart(segment: number): string {
  return hex(segment - PREFIX, 8)
}

// Fixed width, so that the order of the keys is the order of the numbers.
function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

/** A put, or without a value a delete. */
export interface Operation {
  readonly key: string
  readonly value?: string
}
