/**
 * Clears the records that retries dropped from the log of a task, after the commit of the retry, in slices. A crash
 * interrupts this; the next open repeats it.
 *
 * clear-dropped-1. Everything that the next attempt could read is cleared before that attempt begins: messages return
 *   to their place, checkpoints and patches of dropped segments are deleted. The last batch of this also updates the
 *   list. Without this, a message that the next attempt receives would return once more after a crash.
 * clear-dropped-2. Records are deleted while the next attempt runs, because readers skip the records of the list. The
 *   list is deleted with the last of them, unless a retry has added to it meanwhile.
 */

import { messageOf } from '../task/decisions/retry-drops.js'
import {
  cleared,
  type Dropped,
  decodeDropped,
  encodeDropped,
  includes,
  isUncleared,
  type Ranges,
} from '../task/log/dropped-records.js'
import { decodeRecord } from '../task/log/records.js'
import type { Operation } from './disk/layout.js'
import * as layout from './disk/layout.js'
import type { Level } from './disk/level.js'
import { seal, unseal, unsealJson } from './integrity/envelope.js'
import { readEntries, readKeys } from './reads.js'
import type { Store } from './store.js'

const PER_READ = 500
const OPERATIONS_PER_COMMIT = 64
const BYTES_PER_COMMIT = 512 * 1024

/** Runs an action in order with the retries of the task, which add to its list. */
export type InOrder = <T>(act: () => Promise<T>) => Promise<T>

/**
 * Clears everything that the next attempt could read (clear-dropped-1).
 * @returns true if records are left to be deleted
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function clearForAttempt(store: Store, taskId: string): Promise<boolean> {
  const text = await readList(store, taskId)
  if (text === undefined) return false
  const dropped = decodeDropped(text)
  if (!isUncleared(dropped)) return true
  let slice: Operation[] = []
  let bytes = 0
  for await (const operations of uncleared(store, taskId, dropped)) {
    for (const operation of operations) {
      slice.push(operation)
      bytes += operation.value?.length ?? 0
      if (slice.length < OPERATIONS_PER_COMMIT && bytes < BYTES_PER_COMMIT) continue
      await store.put(taskId, slice)
      slice = []
      bytes = 0
    }
  }
  const key = layout.droppedKey(taskId)
  await store.put(taskId, [...slice, { key, value: seal(key, 0, encodeDropped(cleared(dropped))) }])
  return true
}

/**
 * Deletes the records of the list, and then the list (clear-dropped-2).
 * @param mayContinue called between two batches; if it returns false, the next open deletes the rest
 */
export async function deleteDropped(
  store: Store,
  taskId: string,
  { inOrder, mayContinue }: { inOrder: InOrder; mayContinue: () => boolean },
): Promise<void> {
  for (let isOver = false; !isOver; ) {
    const text = await readList(store, taskId)
    // An uncleared list waits for `clearForAttempt`: its records still hold messages that return.
    if (text === undefined || isUncleared(decodeDropped(text))) return
    const last = await deleteAllButLast(store, taskId, decodeDropped(text), mayContinue)
    if (!last) return
    isOver = await inOrder(async () => {
      const isSame = (await readList(store, taskId)) === text
      const key = layout.droppedKey(taskId)
      await store.put(taskId, isSame ? [...last, { key }] : last)
      return isSame
    })
  }
}

/**
 * Deletes all slices but the last.
 * @returns the deletes of the last slice, which are not written; `undefined` if `mayContinue` returned false
 */
async function deleteAllButLast(
  store: Store,
  taskId: string,
  { from, to, numbers }: Dropped,
  mayContinue: () => boolean,
): Promise<Operation[] | undefined> {
  const range = layout.recordsBetween(taskId, from, to)
  let slice: Operation[] = []
  for (let after = range.gte; ; ) {
    const found = await store.readPatiently((level) => readKeys(level, { ...range, gte: after }, PER_READ))
    for (const key of found) {
      if (!includes(numbers, layout.recordNumber(key))) continue
      if (slice.length === OPERATIONS_PER_COMMIT) {
        if (!mayContinue()) return undefined
        await store.put(taskId, slice)
        slice = []
      }
      slice.push({ key })
    }
    if (found.length < PER_READ) return slice
    after = `${found.at(-1)}\u0000`
  }
}

/** Operations to write before the next attempt, a page at a time. */
async function* uncleared(
  store: Store,
  taskId: string,
  { from, to, returned = [], opens }: Dropped,
): AsyncGenerator<Operation[]> {
  if (returned.length > 0) {
    const range = layout.recordsBetween(taskId, from, to)
    yield* scan(store, range, (key, text) => returnMessage(taskId, key, text, returned))
  }
  if (opens === undefined) return
  yield* scan(store, layout.under(layout.checkpointPrefix(taskId)), (key, text) => {
    const info = unsealJson<{ opens?: number; checkpointId: string }>(key, text)
    const isDropped = info.opens !== undefined && info.opens >= opens
    return isDropped ? [{ key }, { key: layout.stateKey(taskId, info.checkpointId) }] : []
  })
  yield* scan(store, layout.under(layout.patchPrefix(taskId)), (key) =>
    layout.lastSegment(key) >= opens ? [{ key }] : [],
  )
}

function returnMessage(taskId: string, key: string, text: string, returned: Ranges): Operation[] {
  if (!includes(returned, layout.recordNumber(key))) return []
  const record = decodeRecord(unseal(key, text).body)
  if (record.kind !== 'receive') return []
  return messageOf(record).map(({ name, order, text }) => {
    const to = layout.messageKey(taskId, name, order)
    return { key: to, value: seal(to, 0, text) }
  })
}

async function* scan(
  store: Store,
  range: layout.KeyRange,
  take: (key: string, text: string) => Operation[],
): AsyncGenerator<Operation[]> {
  for (let after = ''; ; ) {
    const found = await store.readPatiently((level: Level) => readEntries(level, range, { after, limit: PER_READ }))
    yield found.flatMap(({ key, text }) => take(key, text))
    if (found.length < PER_READ) return
    after = found.at(-1)?.key ?? ''
  }
}

async function readList(store: Store, taskId: string): Promise<string | undefined> {
  const key = layout.droppedKey(taskId)
  const text = await store.readPatiently((level) => level.get(key))
  return text === undefined ? undefined : unseal(key, text).body
}
