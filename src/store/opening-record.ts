/**
 * The store's lives: every process that opens it is one. Owns the one record that says which life this is and whether it
 * was closed, so that the next one knows how the last one ended. What that means is decided in `engine/recovery/begin-opening.ts`.
 */

import type { Operation } from './disk/layout.js'
import { META_LIFE } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { seal, unseal } from './integrity/envelope.js'

/** What a process notes of itself. */
export interface OpeningRecord {
  /** Counts the opens. */
  readonly life: number
  /** A close has begun: the process ends on request, and whatever ends it from here on, it did not crash. */
  readonly closed: boolean
  /** Starts in a row, before this one, that died while they recovered, and had written nothing by then. */
  readonly starts: number
  /** It takes up the unfinished tasks, as far as its recovery has not come through yet. */
  readonly recovering: boolean
  /** Where the newest task ID sorted when this was written: the ID without its random part. The task may be swept by now. */
  readonly newestOrder?: string | undefined
}

/** The note of the last process. */
export interface LastOpening extends OpeningRecord {
  /** Nothing was written after the note. */
  readonly wroteNothing: boolean
}

/** The operation that notes it, in commit number `seq`. */
export function openingOperation(note: OpeningRecord, seq: number): Operation {
  return { key: META_LIFE, value: seal(META_LIFE, seq, JSON.stringify(note)) }
}

/**
 * What the last process noted; `undefined` in a store that none has noted anything in.
 * @param newest the newest commit
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function readLastOpening(level: Level, newest: number): Promise<LastOpening | undefined> {
  const text = await level.get(META_LIFE)
  if (text === undefined) return undefined
  const { seq, body } = unseal(META_LIFE, text)
  return { ...(JSON.parse(body) as OpeningRecord), wroteNothing: newest <= seq }
}
