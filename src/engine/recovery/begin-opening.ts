/**
 * Decides how a process begins: what the death of the last one counts for, and whether the recovery is held because
 * every start of this store dies. Pure.
 *
 * A start *came to nothing* if it died while it recovered, before anything was written. Starts that wrote something get
 * on: their deaths are counted against the tasks that were running (task/decisions/crash-count.ts), until those are parked. Starts
 * that write nothing would go on dying for ever, so after `FRUITLESS_STARTS` of them in a row the recovery is held. A
 * close, a start that writes something while it recovers, and a recovery that comes through begin the count anew.
 */
import type { LastOpening, OpeningRecord } from '../../store/opening-record.js'
import type { TaskDecision } from '../../task/changes.js'
import { countDeath, countsAgainst } from '../../task/decisions/crash-count.js'
import type { TaskHead } from '../../task/head.js'

/** After so many starts in a row that came to nothing the recovery is held. */
export const FRUITLESS_STARTS = 5

/** How a process begins. */
export interface OpeningPlan {
  readonly note: OpeningRecord
  /** The tasks that the last death is counted against, as they now are. */
  readonly counted: readonly TaskDecision[]
  /** Why the recovery is held, if it is. */
  readonly heldReason: string | undefined
}

/** How the process begins that finds these `heads`, after the `last` one. */
export function beginOpening(
  last: LastOpening | undefined,
  heads: readonly TaskHead[],
  recover: 'auto' | 'manual',
  now: number,
): OpeningPlan {
  // A head may be newer than the note where the note was lost: a life's number is never given twice.
  const life = 1 + heads.reduce((newest, head) => Math.max(newest, head.life ?? 0), last?.life ?? 0)
  const died = last && !last.closed ? last.life : undefined
  const counted =
    died === undefined ? [] : heads.filter((head) => countsAgainst(head, died)).map((head) => countDeath(head, now))
  const starts = fruitlessStarts(last)
  const isHeld = recover === 'auto' && starts >= FRUITLESS_STARTS && heads.length > 0
  return {
    note: {
      life,
      closed: false,
      starts,
      recovering: recover === 'auto' && !isHeld,
      newestOrder: last?.newestOrder,
    },
    counted,
    heldReason: isHeld ? heldReason(starts) : undefined,
  }
}

function fruitlessStarts(last: LastOpening | undefined): number {
  if (!last || last.closed) return 0
  // One that took up nothing shows nothing, whichever way it ended.
  if (!last.recovering) return last.starts
  return last.wroteNothing ? last.starts + 1 : 0
}

function heldReason(starts: number): string {
  return `the last ${starts} starts crashed while they recovered, before anything was written; the unfinished tasks wait for \`recover()\`, or for the next open after a close`
}
