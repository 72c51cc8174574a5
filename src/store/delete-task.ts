/**
 * Deletes a task with everything that belongs to it, in small batches, its head last.
 *
 * - A task that fits one batch is deleted in one. The head of a larger task is marked as swept first, which hides the
 *   task from all reads, so no reader sees half a task.
 * - The records that lead the sweeper to the task (its timer, its entries in the index) are deleted with its head, in
 *   the last batch (index-1). So a sweep that was interrupted by a crash is found again and repeated from its beginning.
 * - Audit entries outlive their task (audit.ts).
 * - A binding's record of a task and the binding's own records that it names are deleted in one batch.
 */
import type { IdempotencyEntry } from '../task/changes.js'
import { sweptTally } from '../task/counters.js'
import type { TaskHead } from '../task/head.js'
import { encodeMovingPart, splitValue } from '../task/head-codec.js'
import type { NewAuditEntry } from './audit.js'
import type { Operation } from './disk/layout.js'
import * as layout from './disk/layout.js'
import type { Level } from './disk/level.js'
import { seal, unseal, unsealJson } from './integrity/envelope.js'
import { sweepKeyOf } from './operations.js'
import { readKeys } from './reads.js'
import { indexEntriesOf } from './settled-index.js'
import type { Store } from './store.js'

// A batch of about a hundred operations shares its sync with other waiting commits, and blocks the main thread only
// briefly.
const DELETES_PER_COMMIT = 64
const ONE_BATCH_KEYS = 70

/** A task to sweep, and the record that led to it. */
export interface Swept {
  readonly taskId: string
  /** Head of the task; `undefined` if only other records are left of it. */
  readonly head: TaskHead | undefined
  /** Key of the timer, or of the entry among the settled tasks, that led to the task. */
  readonly marker: string
  /**
   * Instant at which the task's idempotency key is forgotten. After the sweep, only the entry of the key holds this
   * instant.
   */
  readonly forgetAt?: number | undefined
  /** The audit entry of a deletion that a caller asked for. Written with the first batch. */
  readonly entry?: NewAuditEntry | undefined
}

/**
 * Sweeps one task. No other decision about the task, or about its idempotency key, may be made meanwhile.
 * @param mayGoOn called between two batches; if it returns false, the next sweep deletes the rest
 * @returns true if the task is deleted
 */
export async function sweepTask(store: Store, swept: Swept, mayGoOn: () => boolean): Promise<boolean> {
  const { taskId, head, entry } = swept
  let entries = entry && [entry]
  const first = await keysOf(store, swept, ONE_BATCH_KEYS + 1)
  if (first.length > ONE_BATCH_KEYS) {
    if (head && !head.sweeping) {
      // After a crash, the marker of a deletion leads the next sweep to the rest: it is a timer that is due.
      const marks = entry ? [{ key: swept.marker, value: seal(swept.marker, 0, '') }] : []
      await store.put(taskId, [hide(head), ...marks], undefined, entries)
      entries = undefined
    }
    for (let keys = first; keys.length > 0; keys = await keysOf(store, swept, ONE_BATCH_KEYS + 1)) {
      for (let at = 0; at < keys.length; at += DELETES_PER_COMMIT) {
        if (!mayGoOn()) return false
        await store.put(taskId, await toDeletes(store, taskId, keys.slice(at, at + DELETES_PER_COMMIT)))
      }
    }
    first.length = 0
  }
  const [last, own] = await store.read(async (level) => [
    await lastOperations(level, swept),
    await ownKeysOf(level, swept),
  ])
  const single = own.map((key) => ({ key }))
  const parts = await toDeletes(store, taskId, first)
  await store.put(taskId, [...parts, ...single, ...last], head && sweptTally(head), entries)
  if (head) store.noteSwept([...indexEntriesOf(head).map(({ key }) => key), layout.doneKey(taskId)])
  return true
}

/** Keys of a task's records: up to `limit`. */
async function keysOf(store: Store, { taskId, head }: Swept, limit: number): Promise<string[]> {
  return store.read(async (level) => {
    const found = await Promise.all(layout.rangesOf(taskId, head).map((range) => readKeys(level, range, limit)))
    return found.flat().slice(0, limit)
  })
}

/** Keys `<kind>/<taskId>` of a task, without those of values that are stored with its head. */
async function ownKeysOf(level: Level, { taskId, head }: Swept): Promise<string[]> {
  const keys = layout.keysOf(taskId, head)
  if (!head) return keys
  const parts = [layout.taskKey(taskId), layout.doneKey(taskId)]
  const texts = await level.getMany(parts)
  const [hasInput, hasOutcome] = parts.map((key, index) => {
    const text = texts[index]
    return text !== undefined && splitValue(unseal(key, text).body).value !== undefined
  })
  const absent = new Set<string>()
  if (hasInput || !head.hasInput) absent.add(layout.inputKey(taskId))
  if (hasOutcome) absent.add(layout.outcomeKey(taskId))
  return keys.filter((key) => !absent.has(key))
}

/** Writes the missing keys that end each kind (`GUARDS` in layout.ts). Called before the first sweep of a process. */
export async function writeGuards(store: Store): Promise<void> {
  const found = await store.read((level) => level.getMany([...layout.GUARDS]))
  const missing = layout.GUARDS.filter((_, index) => found[index] === undefined)
  const operations = missing.map((key) => ({ key, value: seal(key, 0, '') }))
  if (operations.length > 0) await store.put('', operations)
}

async function toDeletes(store: Store, taskId: string, keys: readonly string[]): Promise<Operation[]> {
  const beside = layout.besidePrefix(taskId)
  const own = await ownRecordsOf(
    store,
    keys.filter((key) => key.startsWith(beside)),
  )
  return [...own, ...keys].map((key) => ({ key }))
}

/** Keys of the bindings' own records that the records under `keys` name, as far as they exist. */
async function ownRecordsOf(store: Store, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0) return []
  return store.read(async (level) => {
    const texts = await level.getMany([...keys])
    const named = keys.flatMap((key, index) => ownKeysIn(key, texts[index]))
    if (named.length === 0) return []
    const found = await level.getMany(named)
    return named.filter((_, index) => found[index] !== undefined)
  })
}

function ownKeysIn(key: string, text: string | undefined): string[] {
  if (text === undefined) return []
  try {
    const { own } = unsealJson<{ own?: unknown }>(key, text)
    const prefix = layout.bindingPrefix(layout.bindingOfBeside(key))
    return Array.isArray(own) ? own.map((name) => `${prefix}${String(name)}`) : []
  } catch {
    // A damaged record, or a text that is not JSON, names no records.
    return []
  }
}

function hide(head: TaskHead): Operation {
  const key = layout.doneKey(head.taskId)
  return { key, value: seal(key, head.seq, encodeMovingPart({ ...head, sweeping: true })) }
}

/** Operations of the last batch. The idempotency key is kept, with the instants of its end and of the settlement. */
async function lastOperations(level: Level, { taskId, head, marker, forgetAt }: Swept): Promise<Operation[]> {
  if (!head) return [{ key: marker }]
  const { owner, type, idempotencyKey, settledAt } = head
  const operations: Operation[] = indexEntriesOf(head).map(({ key }) => ({ key }))
  if (idempotencyKey !== undefined && forgetAt !== undefined) {
    const key = layout.idempotencyKey(owner, type, idempotencyKey)
    const text = await level.get(key)
    const entry = text === undefined ? undefined : unsealJson<IdempotencyEntry>(key, text)
    // The key may belong to a new task by now.
    if (entry?.taskId === taskId) {
      operations.push({ key, value: seal(key, 0, JSON.stringify({ ...entry, forgetAt, settledAt })) })
    }
  }
  // The task has a record of its own that leads to it, if `marker` is another one.
  const markers = [...new Set([marker, sweepKeyOf(head)])]
  return [
    ...operations,
    ...markers.map((key) => ({ key })),
    { key: layout.taskKey(taskId) },
    { key: layout.doneKey(taskId) },
  ]
}
