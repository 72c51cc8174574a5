/**
 * Bytes of a task in the store. The head counts them with every decision, so that a check of a budget needs no scan.
 *
 * The count is the JSON text of the input, outcome, records and states before compression, and a fixed sum for the
 * keys and envelopes around them. The state that a step saves for its next attempt is not counted. It is deleted when
 * the step ends.
 */
import type { TaskAttributes } from './attributes.js'
import type { TaskHead } from './head.js'
import { PREFIX } from './log/segment.js'

/** Bytes that a task keeps, and the part of them that a save with `prune` would drop. */
export interface ByteCount {
  readonly kept: number
  readonly prunable: number
}

/** Bytes of a task's head, its entries in the indexes and its audit entries, which outlive it. */
export const TASK_BYTES = 1_500
/** Bytes of the key and the envelope of one value. */
const VALUE_BYTES = 120

/** Bytes of a stored value with this text. */
export function bytesOf(text: string): number {
  return VALUE_BYTES + Buffer.byteLength(text)
}

/** Bytes of a checkpoint: its state of this size, and its description. */
export function stateUsage(stateBytes: number): number {
  return 3 * VALUE_BYTES + stateBytes
}

/** Bytes of a title and of attributes: in the head, and in the index, whose entries have a key each. */
export function attributeUsage(title: string | undefined, attributes: TaskAttributes | undefined): number {
  const bytes = title === undefined ? 0 : Buffer.byteLength(title)
  return Object.entries(attributes ?? {}).reduce(
    (sum, [name, value]) => sum + VALUE_BYTES + 2 * (Buffer.byteLength(name) + Buffer.byteLength(String(value))),
    bytes,
  )
}

/** The byte count of a head. Heads of older versions have none and get the count of an empty task. */
export function byteCountOf({ bytes }: Pick<TaskHead, 'bytes'>): ByteCount {
  return bytes ?? { kept: TASK_BYTES, prunable: 0 }
}

/** The count of the head with `more` bytes, which may be negative. Bytes of a segment after the prefix are prunable. */
export function grownCount(head: TaskHead, more: number, segment = PREFIX): ByteCount {
  const { kept, prunable } = byteCountOf(head)
  return { kept: atLeastZero(kept + more), prunable: segment === PREFIX ? prunable : atLeastZero(prunable + more) }
}

/** The count after a save with `prune`: the prunable bytes are dropped, and the new checkpoint is added. */
export function prunedCount(head: TaskHead, saved: number): ByteCount {
  const { kept, prunable } = byteCountOf(head)
  return { kept: atLeastZero(kept - prunable) + saved, prunable: saved }
}

/** The count without the bytes that a retry dropped. */
export function shrunkCount(head: TaskHead, dropped: ByteCount): ByteCount {
  const { kept, prunable } = byteCountOf(head)
  return { kept: atLeastZero(kept - dropped.kept), prunable: atLeastZero(prunable - dropped.prunable) }
}

// A head of an older version may lose more bytes than it counts.
function atLeastZero(bytes: number): number {
  return Math.max(0, bytes)
}
