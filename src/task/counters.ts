/**
 * Counters of a store since its creation. A decision returns its changes to them, which are in the same batch. Pure.
 * hour-counters.ts has the counters of each hour.
 */

import { byteCountOf } from './byte-count.js'
import type { TaskHead } from './head.js'

/** Names of all counters. A counter that a later version adds begins at zero. */
export const COUNTERS = [
  /** Tasks settled, by status. */
  'completed',
  'failed',
  'cancelled',
  /** Failed tasks whose timeout or deadline passed, and failed tasks whose `ttl` passed. */
  'timedOut',
  'expired',
  /** Sum of the milliseconds from creation to completion, over all completed tasks. */
  'completionMs',
  /** Clean-ups that succeeded, and clean-ups that failed. */
  'cleanedUp',
  'notCleanedUp',
  /** Unfinished tasks that recoveries found, and those of them that were resumed. */
  'found',
  'takenUp',
  /** Settled tasks swept, by status. */
  'sweptCompleted',
  'sweptFailed',
  'sweptCancelled',
  /** Bytes of the settled tasks in the store. Grows when a task ends, and shrinks when the task is swept. */
  'settledBytes',
] as const

/** Name of a counter. */
type Counter = (typeof COUNTERS)[number]

/**
 * Longest time from creation to completion of a short task, in milliseconds: MCP clients wait that long for a response by
 * default.
 */
export const SHORT_MS_MAX = 60_000

/** Names of the counters that only hours have: short tasks that completed, and the sum of their milliseconds. */
export const SHORT_COUNTERS = ['shortCompleted', 'shortMs'] as const

/** Changes of counters. Counters that are not named stay the same. */
export interface Tally extends Readonly<Partial<Record<Counter | (typeof SHORT_COUNTERS)[number], number>>> {
  /** Instant of the event, which is counted in its hour. Without it, no hour counts the event. */
  readonly at?: number | undefined
}

/** Value of every counter. */
export type Totals = Readonly<Record<Counter, number>>

/** The totals with `tallies` added. Counters of a later version stay as they are. */
export function added(totals: Partial<Totals>, tallies: readonly Tally[]): Totals {
  const sums = { ...totals }
  for (const counter of COUNTERS) {
    let sum = totals[counter] ?? 0
    for (const tally of tallies) sum += tally[counter] ?? 0
    sums[counter] = sum
  }
  return sums as Totals
}

/** Counter changes of a task that settles. If its clean-up is pending, its bytes are counted when the clean-up ends. */
export function settledTally(head: TaskHead): Tally {
  const settledBytes = head.cleanUp === 'pending' ? 0 : byteCountOf(head).kept
  const at = head.updatedAt
  // Without the maximum, negative if the clock was set back since the creation.
  const completionMs = Math.max(0, at - head.createdAt)
  if (head.status === 'completed') {
    if (completionMs > SHORT_MS_MAX) return { at, settledBytes, completed: 1, completionMs }
    return { at, settledBytes, completed: 1, completionMs, shortCompleted: 1, shortMs: completionMs }
  }
  if (head.status === 'cancelled') return { at, settledBytes, cancelled: 1 }
  const timedOut = head.error?.code === 'TIMEOUT' ? 1 : 0
  const expired = head.error?.code === 'EXPIRED' ? 1 : 0
  return { at, settledBytes, failed: 1, timedOut, expired }
}

/** Counter changes of a clean-up that ended. `head` is the head after the clean-up. */
export function cleanUpTally(head: TaskHead): Tally {
  const settledBytes = byteCountOf(head).kept
  const at = head.updatedAt
  return head.cleanUp === 'done' ? { at, settledBytes, cleanedUp: 1 } : { at, settledBytes, notCleanedUp: 1 }
}

/** Counter changes of a settled task that is swept. */
export function sweptTally(head: TaskHead): Tally {
  const counter = ({ completed: 'sweptCompleted', failed: 'sweptFailed', cancelled: 'sweptCancelled' } as const)[
    head.status as 'completed' | 'failed' | 'cancelled'
  ]
  return { settledBytes: -byteCountOf(head).kept, [counter]: 1 }
}
