/**
 * The record of the current opening of the store. It holds the number of the opening and whether it was closed. The
 * next opening reads it to find out how the last one ended, and `engine/recovery/begin-opening.ts` decides the
 * consequences.
 */

import type { Operation } from './disk/layout.js'
import { META_LIFE } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { seal, unseal } from './integrity/envelope.js'

/** State of one opening, as its process records it. */
export interface OpeningRecord {
  /** Number of the opening. */
  readonly life: number
  /** True if a close has begun. The process ends on request, so its end is no crash, regardless of its cause. */
  readonly closed: boolean
  /**
   * Number of consecutive starts before this one that crashed while they recovered, and had written nothing by then.
   */
  readonly starts: number
  /** True if the process recovers the unfinished tasks, and its recovery is not over yet. */
  readonly recovering: boolean
  /** Reason for which the recovery waits for `recover()`, in a store that was restored from a backup or repaired. */
  readonly held?: string | undefined
  /** Order of the newest task ID at this write: the ID without its random part. The task may be swept by now. */
  readonly newestOrder?: string | undefined
  /** Set by a repair, until the next opening: its instant, and the number of losses. */
  readonly repaired?: { readonly at: number; readonly lost: number } | undefined
}

/** Record of the last opening. */
export interface LastOpening extends OpeningRecord {
  /** True if no commit followed the record. */
  readonly wroteNothing: boolean
}

/** Operation that writes the record, in commit number `seq`. */
export function openingOperation(note: OpeningRecord, seq: number): Operation {
  return { key: META_LIFE, value: seal(META_LIFE, seq, JSON.stringify(note)) }
}

/**
 * Reads the record of the last opening; `undefined` in a store without one.
 * @param newest number of the newest commit
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function readLastOpening(level: Level, newest: number): Promise<LastOpening | undefined> {
  const text = await level.get(META_LIFE)
  if (text === undefined) return undefined
  const { seq, body } = unseal(META_LIFE, text)
  return { ...(JSON.parse(body) as OpeningRecord), wroteNothing: newest <= seq }
}
