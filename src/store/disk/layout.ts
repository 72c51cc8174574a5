/**
 * The layout of a store on disk: every key, and the value stored under it. Read this first.
 *
 *   <dir>/                      0700
 *     holdfast.json             format version and ID of the store: read before any other file is opened
 *     lock                      the process that holds the directory (lock.ts)
 *     anchor                    number of the newest commit, kept outside the database (anchor.ts)
 *     opening                   count of openings that ended early (short-openings.ts)
 *     operator/                 0700: socket and `holder.json` of the operator API of the holder (operator/server/holder-files.ts)
 *     db.links-<token>/         a copy of db/ by hard links, while a process reads it (copies/linked-copy.ts)
 *     db/                       LevelDB, with these keys:
 *
 *   meta/format                            format version and ID of the store again: db/ belongs to holdfast.json
 *   meta/accepted                          number of the commit up to which an operator accepted missing commits
 *   meta/buffered                          the newest synced commit, while the store is used without syncing
 *   meta/life                              number of the current opening, and whether it was closed (opening-record.ts)
 *   meta/totals                            counters since the store was created: tasks settled, swept, recovered (totals.ts)
 *   meta/recovery                          report of the last completed recovery that found tasks, with at most 100 of them
 *                                          (task/last-recovery.ts)
 *   meta/audit                             link of the newest audit value that was deleted (audit-link.ts)
 *   hour/<beginning>                       counters of one hour: tasks settled, clean-ups, recoveries (totals.ts)
 *   chain/<slot>                           the last 8,192 commits, each by its number, in a ring (chain.ts); the body is
 *                                          empty, or spaces that pad a small commit
 *   task/<taskId>                          fixed part of a head, written once; a second line with the input, if that takes
 *                                          at most 512 bytes. Exists exactly if one of the next two does (layout-1)
 *   live/<taskId>                          moving part of the head of an unfinished task: with `task/`, the only records that
 *                                          an open reads for its recovery
 *   done/<taskId>                          moving part of the head of a settled task; a second line with the outcome, if that
 *                                          takes at most 512 bytes and no clean-up followed. Never with `live/` (layout-2)
 *   input/<taskId>                         parsed input, if `task/` does not have it
 *   outcome/<taskId>                       outcome of a settled task, if `done/` does not have it
 *   log/<taskId>/<segment>/<record>        one record of the log; the prefix sorts first
 *   dropped/<taskId>                       records that retries dropped and that are not deleted yet (dropped-records.ts)
 *   checkpoint/<taskId>/<checkpointId>     description of a checkpoint …
 *   state/<taskId>/<checkpointId>          … and its state
 *   note/<taskId>/<segment>/<ask>          state of a pending call: attempts of a step, a wait, an input …
 *   note/<taskId>/<segment>/<ask>/<scope>  … and the same in a branch
 *   patch/<taskId>/<segment>               answers of `patched` in a segment
 *   input-key/<taskId>/<key>               a key that an input of the task has used; empty
 *   intent/<taskId>/<step>                 a step that has an undo, and the state of the undo
 *   message/<taskId>/<name>/<order>        a message that is not received yet
 *   message-key/<taskId>/<key>             the message of an idempotency key
 *   ix/t/<type>/<s>/<taskId>               index of settled tasks (settled-index.ts) by type; empty. `s` is the status: `c`
 *                                          for completed, `f` for failed, `x` for cancelled
 *   ix/o/<owner>/<s>/<taskId>              … by owner: type, bytes kept, and 1 for a task that another task started
 *   ix/s/<s>/<taskId>                      … of the failed tasks, and of the cancelled ones; empty
 *   ix/p/<parentId>/<taskId>               … of the children of a task: status, type and owner
 *   ix/a/<name>/<value>/<taskId>           … by attribute, whose value is JSON: status, type, owner, and the parent of a child
 *   key/<owner>/<type>/<key>               the task of an idempotency key; of a swept task, also the instant it settled
 *   timer/<dueAt>/<kind>/<what>            an action that is due at an instant, for a live or a settled task
 *   beside/<taskId>/<binding>/<what>       a record of a protocol binding for a task; deleted with the task. If it is an object
 *                                          with a list `own`, the binding's own records of these names are deleted too
 *   binding/<binding>/<what>               a record of a protocol binding of its own: a session, an event, an open request
 *   settled/<settledAt>/<taskId>           a settled task without a `ttl`: `retention` counts from this instant
 *   <kind>/~                               the end of each kind of a task's records (GUARDS), once any task was swept
 *   audit/<commit>                         audit entries of one commit; they outlive their tasks (audit.ts)
 *   trail/<taskId>/<commit>                empty: the commit has an audit entry of the task
 *
 * Owners, types, names and keys are percent-encoded, so `/` is only a separator. Every value is an envelope
 * (envelope.ts).
 * docs/internals/on-disk-format.md describes each value, the reserved names, and the rule for migrations.
 *
 * layout-1. One batch creates `task/` and `live/` or `done/`, and one batch deletes them. One without the other is damage.
 * layout-2. One batch deletes `live/` and puts `done/`. If both exist, the database brought an old value back.
 */
import { createHash } from 'node:crypto'
import type { TaskHead } from '../../task/head.js'
import type { RecordPlace } from '../../task/log/dropped-records.js'
import type { Place } from '../../task/log/pending-record.js'
import { PREFIX } from '../../task/log/segment.js'

/**
 * Version of this layout. Each version from 2 on has one migration step, which is never changed later. A new named field
 * of a value or a new kind of key needs no new version: a store without it is read as before, and a version that does not
 * know it keeps it.
 */
export const FORMAT_VERSION = 2

export const META_FORMAT = 'meta/format'
export const META_ACCEPTED = 'meta/accepted'
export const META_BUFFERED = 'meta/buffered'
export const META_LIFE = 'meta/life'
export const META_TOTALS = 'meta/totals'
export const META_RECOVERY = 'meta/recovery'
export const META_AUDIT = 'meta/audit'

/** A range of keys: from `gte` up to, and without, `lt`. */
export interface KeyRange {
  readonly gte: string
  readonly lt: string
}

/** All keys that begin with `prefix`, which ends in `/`. `0` is the character after `/`. */
export function under(prefix: string): KeyRange {
  return { gte: prefix, lt: `${prefix.slice(0, -1)}0` }
}

export const LIVE = 'live/'
export const DONE = 'done/'
export const CHAIN = 'chain/'
export const AUDIT = 'audit/'
export const DROPPED = 'dropped/'
export const HOUR = 'hour/'

export const chainKey = (slot: number) => `chain/${hex(slot, 4)}`
export const taskKey = (taskId: string) => `task/${taskId}`
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
const inputKeyPrefix = (taskId: string) => `input-key/${taskId}/`
export const inputKeyKey = (taskId: string, key: string) => `${inputKeyPrefix(taskId)}${encodeURIComponent(key)}`
export const intentPrefix = (taskId: string) => `intent/${taskId}/`
/** Key of a step's undo record. It holds a hash of the step's identity, because the identity may be long. */
export const intentKey = (taskId: string, stepId: string) =>
  `intent/${taskId}/${createHash('sha256').update(stepId).digest('hex').slice(0, 32)}`
export const messagesPrefix = (taskId: string) => `message/${taskId}/`
export const messagePrefix = (taskId: string, name: string) => `${messagesPrefix(taskId)}${encodeURIComponent(name)}/`
export const messageKey = (taskId: string, name: string, order: number) =>
  `${messagePrefix(taskId, name)}${hex(order, 10)}`
export const messageKeyPrefix = (taskId: string) => `message-key/${taskId}/`
export const messageKeyKey = (taskId: string, key: string) => `${messageKeyPrefix(taskId)}${encodeURIComponent(key)}`
export const patchPrefix = (taskId: string) => `patch/${taskId}/`
export const patchKey = (taskId: string, segment: number) => `patch/${taskId}/${segmentPart(segment)}`
/** Key of an idempotency key. An empty part stands for no owner, because the name of an owner is never empty. */
export const idempotencyKey = (owner: string | undefined, type: string, key: string) =>
  `key/${owner === undefined ? '' : encodeURIComponent(owner)}/${encodeURIComponent(type)}/${encodeURIComponent(key)}`
export const besidePrefix = (taskId: string) => `beside/${taskId}/`
export const besideKey = (taskId: string, binding: string, what: string) => `beside/${taskId}/${binding}/${what}`
/** Task of a `besideKey`; `undefined` for any other key. */
export const taskOfBeside = (key: string) => (key.startsWith('beside/') ? key.split('/')[1] : undefined)
/** Binding of a `besideKey`. */
export const bindingOfBeside = (key: string) => key.split('/')[2] ?? ''
export const bindingPrefix = (binding: string) => `binding/${binding}/`
export const timerKey = (dueAt: number, kind: string, what: string) => `timer/${hex(dueAt, 12)}/${kind}/${what}`
export const settledKey = (settledAt: number, taskId: string) => `settled/${hex(settledAt, 12)}/${taskId}`
/** Key of the counters of the hour that begins at this instant. */
export const hourKey = (hour: number) => `${HOUR}${hex(hour, 12)}`
/** Beginning of the hour of an `hourKey`. Not a number for a key of another form. */
export const hourOfKey = (key: string) =>
  /^hour\/[0-9a-f]{12}$/.test(key) ? Number.parseInt(lastPart(key), 16) : Number.NaN
export const auditKey = (commit: number) => `audit/${commitPart(commit)}`
export const trailPrefix = (taskId: string) => `trail/${taskId}/`
export const trailKey = (taskId: string, commit: number) => `trail/${taskId}/${commitPart(commit)}`
/** The number of a commit as it ends a key. */
export const commitPart = (commit: number) => hex(commit, 12)
/** The commit whose number ends a key. */
export const commitOf = (key: string) => Number.parseInt(lastPart(key), 16)

/**
 * Keys that a save with `prune` drops: from the first segment after the prefix up to, and without, the one that the
 * save opened.
 */
export function prunedRange(prefix: string, keptFrom: number): KeyRange {
  return { gte: `${prefix}${segmentPart(0)}`, lt: `${prefix}${segmentPart(keptFrom)}` }
}

/** Keys of the log records from one place up to another, both included. */
export function recordsBetween(taskId: string, from: RecordPlace, to: RecordPlace): KeyRange {
  return { gte: logKey(taskId, from.segment, from.seq), lt: logKey(taskId, to.segment, to.seq + 1) }
}

/** Number of the record under a key of the log. */
export function recordNumber(key: string): number {
  return Number.parseInt(lastPart(key), 16)
}

/** Segment of a key that ends in one. */
export function lastSegment(key: string): number {
  return Number.parseInt(lastPart(key), 16) + PREFIX
}

/** Timers that are due at `now`. */
export function timersDue(now: number): KeyRange {
  return { gte: 'timer/', lt: `timer/${hex(Math.max(0, now + 1), 12)}` }
}

/** Parts of a `timerKey`. */
export function timerParts(key: string): { dueAt: number; kind: string; what: string } {
  const [, due = '', kind = '', what = ''] = key.split('/')
  return { dueAt: Number.parseInt(due, 16), kind, what }
}

/** Tasks without a `ttl` that settled at `instant` or before. */
export function settledUntil(instant: number): KeyRange {
  return { gte: 'settled/', lt: `settled/${hex(Math.max(0, instant + 1), 12)}` }
}

// Kinds of records that belong to a task besides its head, its entries in the index and its timers. A new kind must be added
// to one of these lists. Without this, its records would outlive their task.
const ONE_PER_TASK = ['input', 'outcome']
const ONE_IF_DROPPED = 'dropped'
const MANY_IF_ASKED = 'input-key'
const MANY_PER_TASK = ['log', 'checkpoint', 'state', 'note', 'intent', 'message', 'message-key', 'patch', 'beside']
// Outlives the task, as the entries that it leads to do.
const TRAIL = 'trail'

/** Keys `<kind>/<taskId>` that a task may have according to its head. */
export function keysOf(taskId: string, head: TaskHead | undefined): string[] {
  const kinds = head?.hasDropped ? [...ONE_PER_TASK, ONE_IF_DROPPED] : ONE_PER_TASK
  return kinds.map((kind) => `${kind}/${taskId}`)
}

/** Ranges `<kind>/<taskId>/…` that a task may have according to its head; all of them if there is no head. */
export function rangesOf(taskId: string, head: TaskHead | undefined): KeyRange[] {
  const asked = head === undefined || head.inputsAsked !== undefined
  const kinds = asked ? [...MANY_PER_TASK, MANY_IF_ASKED] : MANY_PER_TASK
  return kinds.map((kind) => under(`${kind}/${taskId}/`))
}

/**
 * A key at the end of each kind, kept for good. Without it, a search for a record that a task does not have
 * (`note/<taskId>/…`) continues into the next kind (`timer/`), over all deletion marks that sweeps left there.
 */
export const GUARDS = [...MANY_PER_TASK, MANY_IF_ASKED, TRAIL].map((kind) => `${kind}/~`)

/** Kinds of keys by their purpose, for a measurement of their sizes. */
export const KINDS = {
  heads: ['task', 'live', 'done'],
  values: ['input', 'outcome'],
  log: ['log', 'dropped', 'note', 'input-key', 'intent', 'message', 'message-key', 'patch'],
  checkpoints: ['checkpoint', 'state'],
  indexes: ['ix', 'key', 'timer', 'settled'],
  audit: ['audit', 'trail'],
  bindings: ['beside', 'binding'],
  own: ['meta', 'chain', 'hour'],
} as const satisfies Record<string, readonly string[]>

/** Last part of a key, such as its task ID. */
export function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function segmentPart(segment: number): string {
  return hex(segment - PREFIX, 8)
}

// The width is fixed, so that the order of the keys is the order of the numbers.
function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

/** A put of `value`, or a delete if there is no value. */
export interface Operation {
  readonly key: string
  readonly value?: string
}
