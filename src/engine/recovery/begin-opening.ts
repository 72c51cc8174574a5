/**
 * Decides the begin of an opening: counts a crash of the last one, and holds the recovery if every start of this store
 * crashed. Pure.
 *
 * A start is *fruitless* if it crashed during its recovery before it wrote anything. If a start wrote something, its
 * crash counts against the tasks that were running (task/decisions/crash-count.ts), and these are parked after some
 * crashes. Fruitless starts would crash forever, so the recovery is held after `FRUITLESS_STARTS` of them in a row: it
 * then waits for `recover()`. A close, a write during a recovery, and a completed recovery reset the count.
 *
 * The recovery of a store that was restored from a backup is held too, because the original may still be running, and
 * that of a repaired one whose tasks may be older than they were. It waits for `recover()` over any number of openings.
 */
import type { LastOpening, OpeningRecord } from '../../store/opening-record.js'
import type { TaskDecision } from '../../task/changes.js'
import { countCrash, countsAgainst } from '../../task/decisions/crash-count.js'
import type { TaskHead } from '../../task/head.js'

/** Number of fruitless starts in a row after which the recovery is held. */
export const FRUITLESS_STARTS = 5

/** The decision about the begin of an opening. */
export interface OpeningPlan {
  readonly note: OpeningRecord
  /** The tasks that the last crash counts against, with the new count. */
  readonly counted: readonly TaskDecision[]
  /** Reason for which the recovery is held, if it is. */
  readonly heldReason: string | undefined
}

/** Decides the begin of an opening that finds these `heads`, after the opening `last`. */
export function beginOpening(
  last: LastOpening | undefined,
  heads: readonly TaskHead[],
  recover: 'auto' | 'manual',
  now: number,
): OpeningPlan {
  // A head may have a higher number than the last record, if that was lost. The number of an opening is never used
  // twice.
  const life = 1 + heads.reduce((newest, head) => Math.max(newest, head.life ?? 0), last?.life ?? 0)
  const died = last && !last.closed ? last.life : undefined
  const counted =
    died === undefined ? [] : heads.filter((head) => countsAgainst(head, died)).map((head) => countCrash(head, now))
  const starts = fruitlessStarts(last)
  // Without unfinished tasks, nothing is held.
  const held = heads.length > 0 ? last?.held : undefined
  const reason = held ?? (starts >= FRUITLESS_STARTS && heads.length > 0 ? fruitlessReason(starts) : undefined)
  const heldReason = recover === 'auto' ? reason : undefined
  const recovering = recover === 'auto' && heldReason === undefined
  return {
    note: { life, closed: false, starts, recovering, held, newestOrder: last?.newestOrder },
    counted,
    heldReason,
  }
}

function fruitlessStarts(last: LastOpening | undefined): number {
  if (!last || last.closed) return 0
  // An opening that recovered nothing does not change the count.
  if (!last.recovering) return last.starts
  return last.wroteNothing ? last.starts + 1 : 0
}

function fruitlessReason(starts: number): string {
  return `the last ${starts} starts crashed while they recovered, before anything was written; the unfinished tasks wait for \`recover()\`, or for the next open after a close`
}
