/**
 * The chain of commits. Every batch writes its number into a ring of slots. So an open can check that the newest
 * commits are complete: LevelDB drops a damaged part of its log without an error, and continues after it (store-2).
 *
 * The ring outlasts the logs that LevelDB replays at an open. At most two logs are replayed: the current one, and the
 * one before it while its table is being written. Each holds at most a write buffer (4 MiB in memory, where a commit
 * takes more room than in the log). The chain's value pads every commit to 1,024 bytes of log, so two logs hold fewer
 * than 8,000 commits. With 512 bytes, two logs would hold more commits than the ring has slots, and a lost one would
 * leave no gap. Older commits are in table files, whose records have checksums.
 */

import type { Operation } from '../disk/layout.js'
import { CHAIN, chainKey, META_ACCEPTED, META_BUFFERED, under } from '../disk/layout.js'
import type { Level } from '../disk/level.js'
import { pages } from '../disk/pages.js'
import { seal, unseal } from './envelope.js'

const SLOTS = 8_192

/** Least number of bytes that a commit takes in LevelDB's log. */
export const COMMIT_LOG_BYTES_MIN = 1_024

// A record of the log has a header of 7 bytes, and a batch in it one of 12. An operation has a tag, and the lengths of
// its key and of its value as varints: at least one byte each.
const BATCH_OVERHEAD_BYTES = 7 + 12
const PUT_OVERHEAD_BYTES = 3
const DELETE_OVERHEAD_BYTES = 2

/** Lower bound of the bytes that a batch of `operations` takes in LevelDB's log. */
export function logBytesAtLeast(operations: readonly Operation[]): number {
  let bytes = BATCH_OVERHEAD_BYTES
  for (const { key, value } of operations) {
    bytes += key.length + (value === undefined ? DELETE_OVERHEAD_BYTES : value.length + PUT_OVERHEAD_BYTES)
  }
  return bytes
}

/** Operation that makes a batch commit number `seq`. `others` is the rest of the batch, which decides the padding. */
export function chainOperation(seq: number, others: readonly Operation[]): Operation {
  const key = chainKey(seq % SLOTS)
  const bare = { key, value: seal(key, seq, '') }
  const missing = COMMIT_LOG_BYTES_MIN - logBytesAtLeast(others) - logBytesAtLeast([bare]) + BATCH_OVERHEAD_BYTES
  return missing > 0 ? { key, value: seal(key, seq, ' '.repeat(missing)) } : bare
}

/** True if commit `seq` is in the database and no later one is. */
export async function newestIs(level: Level, seq: number): Promise<boolean> {
  const key = chainKey(seq % SLOTS)
  const text = await level.get(key)
  return text !== undefined && unseal(key, text).seq === seq
}

/** State of the ring of commits, as an open finds it. */
export interface ChainState {
  /** Number of the newest commit; 0 if there is none. */
  readonly newest: number
  /** A sentence for each kind of damage: missing commits, unreadable records. */
  readonly damages: readonly string[]
  /** True if the damage is only commits that were not synced. A power cut may remove these from a `buffered` store. */
  readonly isBuffered: boolean
  /**
   * Keys of the unreadable records of the ring. Accepting the damage deletes them. Without this, each later open would
   * find them.
   */
  readonly unreadable: readonly string[]
}

/**
 * Reads the ring, and compares it with itself and with the anchor.
 * @param anchored the newest commit in the anchor file; the database may be ahead of it, never behind
 */
export async function readChain(level: Level, anchored: number): Promise<ChainState> {
  const commits = new Set<number>()
  const unreadable = new Set<string>()
  const complaints: string[] = []
  for await (const page of pages(level, under(CHAIN))) {
    for (const [key, text] of page) {
      try {
        commits.add(unseal(key, text).seq)
      } catch (error) {
        unreadable.add(key)
        complaints.push((error as Error).message)
      }
    }
  }
  const newest = commits.size === 0 ? 0 : Math.max(...commits)
  const complain = (complaint: string) => complaints.push(complaint)
  const accepted = (await readSeq(level, META_ACCEPTED, complain)) ?? 0
  const synced = await readSeq(level, META_BUFFERED, complain)
  let missing: number | undefined
  for (let seq = Math.max(1, newest - SLOTS + 1, accepted + 1); seq < newest && missing === undefined; seq++) {
    if (!commits.has(seq) && !unreadable.has(chainKey(seq % SLOTS))) missing = seq
  }
  const rolledBack = newest < anchored && anchored > accepted
  const damages = complaints.slice(0, 1)
  if (complaints.length > 1) damages.push(`${complaints.length - 1} more of the store's own records are damaged`)
  if (missing !== undefined) {
    damages.unshift(`commit ${missing} is missing, though commit ${newest} is there: part of LevelDB's log was lost`)
  }
  if (rolledBack) {
    damages.unshift(
      `the database ends at commit ${newest}, but commit ${anchored} was acknowledged: it was rolled back or cut short`,
    )
  }
  const firstLost = missing ?? newest + 1
  const isBuffered = synced !== undefined && complaints.length === 0 && firstLost > synced
  return { newest: Math.max(newest, accepted), damages, isBuffered, unreadable: [...unreadable] }
}

/** Operation that accepts missing commits up to commit `seq`. */
export function acceptOperation(seq: number): Operation {
  return { key: META_ACCEPTED, value: seal(META_ACCEPTED, seq, '') }
}

/** Operation that records the commit after which commits are not synced. An open with syncing deletes this record. */
export async function durabilityOperation(
  level: Level,
  newest: number,
  isSynced: boolean,
): Promise<Operation | undefined> {
  if (isSynced) return (await level.get(META_BUFFERED)) === undefined ? undefined : { key: META_BUFFERED }
  // An unreadable record was accepted as damage, and is written again.
  const noted = await readSeq(level, META_BUFFERED, () => {})
  return noted === undefined ? { key: META_BUFFERED, value: seal(META_BUFFERED, newest, '') } : undefined
}

/** Number in a record; `undefined` if the record is missing or unreadable. */
async function readSeq(level: Level, key: string, complain: (complaint: string) => void): Promise<number | undefined> {
  const text = await level.get(key)
  try {
    return text === undefined ? undefined : unseal(key, text).seq
  } catch (error) {
    complain((error as Error).message)
    return undefined
  }
}
