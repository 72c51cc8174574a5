/**
 * Reads of the store. Each checks the envelope of a value, and none writes. They return the state on disk, without
 * decisions that are not committed yet.
 */

import { copyOfId, taskIdTime } from '../base/ids.js'
import type { IdempotencyEntry, IdempotencyScope } from '../task/changes.js'
import type { CheckpointInfo } from '../task/checkpoint.js'
import type { TaskHead } from '../task/head.js'
import { type FixedPart, splitValue } from '../task/head-codec.js'
import { idRangeOf } from '../task/list-query.js'
import type { Outcome } from '../task/log/outcome.js'
import { decodePendingRecord, type PendingRecord, type Place } from '../task/log/pending-record.js'
import { decodeUndoRecord, type UndoRecord } from '../task/log/undo-record.js'
import type { Message, MessageKey } from '../task/message.js'
import { idsUnder, ownerIndexPrefix, SETTLED_STATUSES } from './disk/index-keys.js'
import * as layout from './disk/layout.js'
import type { Level } from './disk/level.js'
import { collect, collectEach, pages } from './disk/pages.js'
import { damaged, unseal, unsealJson } from './integrity/envelope.js'
import { decodeHead } from './operations.js'
import type { OwnerEntry } from './settled-index.js'

/**
 * The head of a task, from both of its parts.
 * @throws HoldfastError `RECORD_DAMAGED` for a part without the other (layout-1)
 */
export async function readHead(level: Level, taskId: string): Promise<TaskHead | undefined> {
  const [task, live, done] = [layout.taskKey(taskId), layout.liveKey(taskId), layout.doneKey(taskId)]
  // One call reads one state of the database.
  const [fixed, unfinished, settled] = await level.getMany([task, live, done])
  // Where both are there, the live one is an old value that the database brought back: a settled task stays settled
  // (recovery-3, layout-2).
  if (settled !== undefined) return decodeHead(done, settled, fixed)
  if (unfinished !== undefined) return decodeHead(live, unfinished, fixed)
  if (fixed !== undefined) throw damaged(live, 'it is missing')
  return undefined
}

/**
 * True if a part of the task's head, or an index entry of its owner, is there: the rest was lost then, and the task is
 * damaged, not unknown.
 */
export async function hasTraces(level: Level, taskId: string, owner: string | undefined): Promise<boolean> {
  const [task, live, done] = [layout.taskKey(taskId), layout.liveKey(taskId), layout.doneKey(taskId)]
  if (owner === undefined) return (await level.getMany([task, live, done])).some((text) => text !== undefined)
  const entries = SETTLED_STATUSES.map((status) => `${ownerIndexPrefix(owner, status)}${taskId}`)
  const [fixed, ...found] = await level.getMany([task, ...entries])
  if (found.some((entry) => entry !== undefined)) return true
  return fixed !== undefined && isOwnedBy(task, fixed, owner)
}

/** True if the fixed part of a head has this owner. A damaged one has none. */
function isOwnedBy(key: string, fixed: string, owner: string): boolean {
  try {
    return (JSON.parse(splitValue(unseal(key, fixed).body).part) as FixedPart).owner === owner
  } catch {
    return false
  }
}

/** Heads of the live range. */
export interface LiveHeads {
  /** Heads of the unfinished tasks, oldest first. */
  readonly heads: TaskHead[]
  /** Tasks with an unreadable head. The head is left unchanged. */
  readonly damaged: { taskId: string; reason: string }[]
  /** Settled tasks with an old head in the live range: a state that the database brought back. */
  readonly stale: string[]
}

/** Reads the live range and the fixed parts, and looks up each of its tasks among the settled ones. */
export async function readLiveHeads(level: Level): Promise<LiveHeads> {
  const found: LiveHeads = { heads: [], damaged: [], stale: [] }
  for await (const page of pages(level, layout.under(layout.LIVE))) {
    const taskIds = page.map(([key]) => copyOfId(layout.lastPart(key)))
    const keys = [...taskIds.map(layout.taskKey), ...taskIds.map(layout.doneKey)]
    const texts = await level.getMany(keys)
    for (const [index, [key, text]] of page.entries()) {
      const taskId = taskIds[index] as string
      const settled = texts[taskIds.length + index]
      try {
        if (settled === undefined) found.heads.push(decodeHead(key, text, texts[index], taskId))
        else {
          unseal(layout.doneKey(taskId), settled)
          found.stale.push(taskId)
        }
      } catch (error) {
        found.damaged.push({ taskId, reason: (error as Error).message })
      }
    }
  }
  return found
}

/**
 * Parsed input of a task as JSON text; `undefined` for `undefined`.
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function readInput(level: Level, { taskId, hasInput }: TaskHead): Promise<string | undefined> {
  return hasInput ? readValue(level, layout.taskKey(taskId), layout.inputKey(taskId)) : undefined
}

/** Outcome of a settled task. @throws HoldfastError `RECORD_DAMAGED` */
export async function readOutcome(level: Level, taskId: string): Promise<Outcome> {
  return JSON.parse(await readValue(level, layout.doneKey(taskId), layout.outcomeKey(taskId))) as Outcome
}

/** A value that is stored with a part of the head, or, if it is large, under a key of its own. */
async function readValue(level: Level, partKey: string, ownKey: string): Promise<string> {
  const [part, own] = await level.getMany([partKey, ownKey])
  const inline = inlineValue(partKey, part)
  if (inline !== undefined) return inline
  if (own === undefined) throw damaged(ownKey, 'it is missing')
  return unseal(ownKey, own).body
}

/**
 * The value that is stored with a part of the head; `undefined` if there is none.
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export function inlineValue(partKey: string, part: string | undefined): string | undefined {
  return part === undefined ? undefined : splitValue(unseal(partKey, part).body).value
}

/** Records of the pending calls of a task, by key. */
export async function readPendingRecords(level: Level, taskId: string): Promise<Map<string, PendingRecord>> {
  const range = layout.under(layout.notePrefix(taskId))
  return new Map(
    await collect(level, range, (key, text) => [key, decodePendingRecord(unseal(key, text).body)] as const),
  )
}

/** Pending records of each of several tasks, in the order of the tasks. */
export function readPendingRecordsOf(level: Level, taskIds: readonly string[]): Promise<PendingRecord[][]> {
  const ranges = taskIds.map((taskId) => layout.under(layout.notePrefix(taskId)))
  return collectEach(level, ranges, (key, text) => decodePendingRecord(unseal(key, text).body))
}

/** The first pending records of a task, up to `limit`, in the order of their places. */
export async function readFirstPendingRecords(level: Level, taskId: string, limit: number): Promise<PendingRecord[]> {
  const range = { ...layout.under(layout.notePrefix(taskId)), limit }
  return collect(level, range, (key, text) => decodePendingRecord(unseal(key, text).body))
}

/** Record of one pending call. */
export async function readPendingRecord(
  level: Level,
  taskId: string,
  place: Place,
): Promise<PendingRecord | undefined> {
  const key = layout.noteKey(taskId, place)
  const text = await level.get(key)
  return text === undefined ? undefined : decodePendingRecord(unseal(key, text).body)
}

/** Records of the pending calls at these places; `undefined` for a place without one. */
export async function readPendingRecordsAt(
  level: Level,
  taskId: string,
  places: readonly Place[],
): Promise<(PendingRecord | undefined)[]> {
  const keys = places.map((place) => layout.noteKey(taskId, place))
  const texts = await level.getMany(keys)
  return keys.map((key, at) => {
    const text = texts[at]
    return text === undefined ? undefined : decodePendingRecord(unseal(key, text).body)
  })
}

/** Selects the keys in `keys` that earlier inputs of the task have used. */
export async function readInputKeys(level: Level, taskId: string, keys: readonly string[]): Promise<Set<string>> {
  const found = await level.getMany(keys.map((key) => layout.inputKeyKey(taskId, key)))
  return new Set(keys.filter((_, index) => found[index] !== undefined))
}

/** Undo records of a task, the newest step first. The record of `onCancel` comes last. */
export async function readUndoRecords(level: Level, taskId: string): Promise<UndoRecord[]> {
  const range = layout.under(layout.intentPrefix(taskId))
  const intents = await collect(level, range, (key, text) => decodeUndoRecord(unseal(key, text).body))
  return intents.sort((one, other) => other.order - one.order)
}

/** Undo record of one step. */
export async function readUndoRecord(level: Level, taskId: string, stepId: string): Promise<UndoRecord | undefined> {
  const key = layout.intentKey(taskId, stepId)
  const text = await level.get(key)
  return text === undefined ? undefined : decodeUndoRecord(unseal(key, text).body)
}

/** The oldest message of that name that is not received yet. */
export async function readMessage(level: Level, taskId: string, name: string): Promise<Message | undefined> {
  const prefix = layout.messagePrefix(taskId, name)
  const [first] = await collect(level, { ...layout.under(prefix), limit: 1 }, (key, text): Message => {
    return { name, order: Number.parseInt(layout.lastPart(key), 16), text: unseal(key, text).body }
  })
  return first
}

/** Messages of a task that are not received yet, by name and order, up to `limit`. */
export function readMessages(level: Level, taskId: string, limit: number): Promise<Message[]> {
  const range = { ...layout.under(layout.messagesPrefix(taskId)), limit }
  return collect(level, range, (key, text): Message => {
    const [name = '', order = ''] = key.split('/').slice(-2)
    return { name: decodeURIComponent(name), order: Number.parseInt(order, 16), text: unseal(key, text).body }
  })
}

/** Entry of a message's idempotency key. */
export async function readMessageKey(
  level: Level,
  taskId: string,
  messageKey: string,
): Promise<MessageKey | undefined> {
  const key = layout.messageKeyKey(taskId, messageKey)
  const text = await level.get(key)
  return text === undefined ? undefined : unsealJson<MessageKey>(key, text)
}

/** Entries of the idempotency keys of a task's messages, in no order. */
export async function readMessageKeys(level: Level, taskId: string): Promise<MessageKey[]> {
  const range = layout.under(layout.messageKeyPrefix(taskId))
  return collect(level, range, (key, text) => unsealJson<MessageKey>(key, text))
}

/**
 * Description of one checkpoint, without its state.
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function readCheckpoint(level: Level, taskId: string, checkpointId: string): Promise<CheckpointInfo> {
  return JSON.parse(await bodyOf(level, layout.checkpointKey(taskId, checkpointId))) as CheckpointInfo
}

/** True if the state of a checkpoint is still stored. */
export async function hasState(level: Level, taskId: string, checkpointId: string): Promise<boolean> {
  return (await level.get(layout.stateKey(taskId, checkpointId))) !== undefined
}

/**
 * State of a checkpoint. An empty text stands for `undefined`.
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function readState(level: Level, taskId: string, checkpointId: string): Promise<unknown> {
  const text = await readStateText(level, taskId, checkpointId)
  return text === '' ? undefined : JSON.parse(text)
}

/**
 * State of a checkpoint as stored text.
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export function readStateText(level: Level, taskId: string, checkpointId: string): Promise<string> {
  return bodyOf(level, layout.stateKey(taskId, checkpointId))
}

/** Entry of an idempotency key. */
export async function readIdempotency(level: Level, scope: IdempotencyScope): Promise<IdempotencyEntry | undefined> {
  const key = layout.idempotencyKey(scope.owner, scope.type, scope.key)
  const text = await level.get(key)
  return text === undefined ? undefined : unsealJson<IdempotencyEntry>(key, text)
}

/** Entries of a range whose keys sort after `after`, up to `limit`. The envelopes of the values are not opened. */
export async function readEntries(
  level: Level,
  range: layout.KeyRange,
  { after, limit }: { after: string; limit: number },
): Promise<{ key: string; text: string }[]> {
  const left = { gte: after < range.gte ? range.gte : `${after}\u0000`, lt: range.lt, limit }
  return collect(level, left, (key, text) => ({ key, text }))
}

/** The first keys of a range, up to `limit`, without values. */
export async function readKeys(level: Level, range: layout.KeyRange, limit: number): Promise<string[]> {
  const keys: string[] = []
  for await (const page of pages(level, { ...range, limit, values: false })) for (const [key] of page) keys.push(key)
  return keys
}

const OWNER_STARTS_PER_READ = 500

/** Filter for the starts of an owner. Instants are milliseconds since the epoch. */
export interface OwnerStartsQuery {
  readonly since: number
  readonly limit: number
  readonly now: number
}

/**
 * Creation times of an owner's newest settled tasks, by ID: at most `limit` of each status, none before `since`, no
 * children.
 */
export async function readOwnerStarts(
  level: Level,
  owner: string,
  { since, limit, now }: OwnerStartsQuery,
): Promise<Map<string, number>> {
  const ids = idRangeOf({ createdAfter: since, order: 'newest', limit })
  const starts = new Map<string, number>()
  for (const status of SETTLED_STATUSES) {
    const range = idsUnder(ownerIndexPrefix(owner, status), ids)
    let left = limit
    // Only the newest count, and most entries are starts.
    for await (const page of pages(level, { ...range, reverse: true }, Math.min(limit, OWNER_STARTS_PER_READ))) {
      for (const [key, text] of page) {
        const createdAt = left === 0 ? undefined : await startOf(level, key, text, now)
        if (createdAt === undefined || createdAt < since) continue
        starts.set(layout.lastPart(key), createdAt)
        left--
      }
      if (left === 0) break
    }
  }
  return starts
}

/** When the task of this entry was created; `undefined` for a child. */
async function startOf(level: Level, key: string, text: string, now: number): Promise<number | undefined> {
  const [, , isChild] = unsealJson<OwnerEntry>(key, text)
  if (isChild) return undefined
  const taskId = layout.lastPart(key)
  // After the clock was set back, the time part of an ID stays ahead of it (ids-1). The head has the real time.
  const ahead = taskIdTime(taskId) > now ? await readHead(level, taskId) : undefined
  return ahead?.createdAt ?? taskIdTime(taskId)
}

/** The task ID that sorts last of those in the store; `undefined` in a store without tasks. */
export async function readNewestTaskId(level: Level): Promise<string | undefined> {
  const last = async (prefix: string) => {
    const page = await level.page({ ...layout.under(prefix), values: false, reverse: true }, 1)
    return page.map(([key]) => layout.lastPart(key))
  }
  return [...(await last(layout.LIVE)), ...(await last(layout.DONE))].sort().at(-1)
}

/**
 * Body of a record that must exist.
 * @throws HoldfastError `RECORD_DAMAGED` if it is missing or damaged
 */
async function bodyOf(level: Level, key: string): Promise<string> {
  const text = await level.get(key)
  if (text === undefined) throw damaged(key, 'it is missing')
  return unseal(key, text).body
}
