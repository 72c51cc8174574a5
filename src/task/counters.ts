/** Counters over the store's life. A decision says which it moves; they are written with it, in the same batch. Pure. */

import { byteCountOf } from './byte-count.js'
import type { TaskHead } from './head.js'

/** Every counter. One that is added later begins at zero. */
export const COUNTERS = [
  /** Tasks settled, by status. */
  'completed',
  'failed',
  'cancelled',
  /** Of the failed: those whose timeout or deadline passed, and those whose `ttl` did. */
  'timedOut',
  'expired',
  /** Milliseconds from creation to completion, of all that completed. */
  'completionMs',
  /** Clean-ups that ended, by how. */
  'cleanedUp',
  'notCleanedUp',
  /** Unfinished tasks that recoveries found, and those of them that were taken up again. */
  'found',
  'takenUp',
  /** Settled tasks swept, by status. */
  'sweptCompleted',
  'sweptFailed',
  'sweptCancelled',
  /** Bytes that settled tasks take up now: up when one leaves the live range, down when it is swept. */
  'settledBytes',
] as const

/** The name of a counter. */
export type Counter = (typeof COUNTERS)[number]

/** How far counters move; those that are not named stay. */
export type Tally = Readonly<Partial<Record<Counter, number>>>

/** Every counter as it stands. */
export type Totals = Readonly<Record<Counter, number>>

/** The totals with `tallies` added. */
export function added(totals: Partial<Totals>, tallies: readonly Tally[]): Totals {
  const sums = COUNTERS.map((counter) => {
    const moved = tallies.reduce((sum, tally) => sum + (tally[counter] ?? 0), 0)
    return [counter, (totals[counter] ?? 0) + moved]
  })
  return Object.fromEntries(sums) as Totals
}

/** What a task that settles moves. One whose clean-up is pending takes its bytes along when that has ended. */
export function settledTally(head: TaskHead): Tally {
  const bytes = head.cleanUp === 'pending' ? {} : { settledBytes: byteCountOf(head).kept }
  // Not less than none, if the clock was set back meanwhile.
  const completionMs = Math.max(0, head.updatedAt - head.createdAt)
  if (head.status === 'completed') return { ...bytes, completed: 1, completionMs }
  if (head.status === 'cancelled') return { ...bytes, cancelled: 1 }
  const timedOut = head.error?.code === 'TIMEOUT' ? 1 : 0
  const expired = head.error?.code === 'EXPIRED' ? 1 : 0
  return { ...bytes, failed: 1, timedOut, expired }
}

/** What a clean-up that has ended moves; `head` says how it ended. */
export function cleanUpTally(head: TaskHead): Tally {
  const settledBytes = byteCountOf(head).kept
  return head.cleanUp === 'done' ? { settledBytes, cleanedUp: 1 } : { settledBytes, notCleanedUp: 1 }
}

/** What a settled task that is swept moves. */
export function sweptTally(head: TaskHead): Tally {
  const counter = ({ completed: 'sweptCompleted', failed: 'sweptFailed', cancelled: 'sweptCancelled' } as const)[
    head.status as 'completed' | 'failed' | 'cancelled'
  ]
  return { settledBytes: -byteCountOf(head).kept, [counter]: 1 }
}
