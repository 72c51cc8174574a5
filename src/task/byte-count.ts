/**
 * What a task takes up in the store, counted in its head with every decision, so that a budget needs no scan.
 *
 * It counts the JSON of what is kept (input, outcome, records, states, as they are before compression) and a fixed sum
 * for what surrounds it. What a step saves for its next attempt is not counted: it is gone when the step ends.
 */
import type { TaskHead } from './head.js'
import { PREFIX } from './log/segment.js'

/** Bytes that a task keeps, and how many of them a save with `prune` would drop. */
export interface ByteCount {
  readonly kept: number
  readonly prunable: number
}

/** A task's head, its entries in the index and its audit trail. */
export const TASK_BYTES = 1_500
/** A value's key and envelope. */
export const VALUE_BYTES = 120

/** What a value of this text takes up. */
export function bytesOf(text: string): number {
  return VALUE_BYTES + Buffer.byteLength(text)
}

/** What a state of this size takes up, with what is known of its checkpoint. */
export function stateUsage(stateBytes: number): number {
  return 3 * VALUE_BYTES + stateBytes
}

/** What a head counts; one from before this was counted says nothing. */
export function byteCountOf({ bytes }: TaskHead): ByteCount {
  return bytes ?? { kept: TASK_BYTES, prunable: 0 }
}

/** The head's count with `more` bytes, which may be negative; in a segment after the prefix they can be pruned. */
export function grownCount(head: TaskHead, more: number, segment = PREFIX): ByteCount {
  const { kept, prunable } = byteCountOf(head)
  return { kept: atLeastZero(kept + more), prunable: segment === PREFIX ? prunable : atLeastZero(prunable + more) }
}

/** The count after a save with `prune`: what could be pruned makes room for the new checkpoint. */
export function prunedCount(head: TaskHead, saved: number): ByteCount {
  const { kept, prunable } = byteCountOf(head)
  return { kept: atLeastZero(kept - prunable) + saved, prunable: saved }
}

/** The count without what a retry dropped. */
export function shrunkCount(head: TaskHead, dropped: ByteCount): ByteCount {
  const { kept, prunable } = byteCountOf(head)
  return { kept: atLeastZero(kept - dropped.kept), prunable: atLeastZero(prunable - dropped.prunable) }
}

// A head from before this was counted may lose more than it counts.
function atLeastZero(bytes: number): number {
  return Math.max(0, bytes)
}
