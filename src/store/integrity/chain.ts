/**
 * The chain of commits. Every batch writes its number into a ring of slots, so that an open can tell that the newest
 * commits are all there: LevelDB drops a damaged stretch of its log without a word, and goes on after it (store-2).
 *
 * The ring outlasts the logs that LevelDB replays at an open. At most two logs are replayed: the current one, and the one
 * before it while its table is being written. Each holds at most a write buffer (4 MiB in memory, where a commit takes
 * more room than in the log). The chain's value pads every commit to 1,024 bytes of log, so two logs hold fewer than 8,000
 * commits. With 512 bytes, two logs would hold more commits than the ring has slots, and a lost one would leave no gap.
 * Older commits are in table files, whose records have checksums.
 */

import type { Operation } from '../disk/layout.js'
import { CHAIN, chainKey, META_ACCEPTED, META_BUFFERED, under } from '../disk/layout.js'
import type { Level } from '../disk/level.js'
import { pages } from '../disk/pages.js'
import { seal, unseal } from './envelope.js'

const SLOTS = 8_192

/** The least that a commit takes of LevelDB's log, in bytes. */
export const COMMIT_LOG_BYTES_MIN = 1_024

// A record of the log has a header of 7 bytes, and a batch in it one of 12. An operation has a tag, and the length of its
// key and of its value as a varint: at least one byte each.
const BATCH_OVERHEAD_BYTES = 7 + 12
const PUT_OVERHEAD_BYTES = 3
const DELETE_OVERHEAD_BYTES = 2

/** The number of bytes of LevelDB's log that a batch of `operations` takes, at least. */
export function logBytesAtLeast(operations: readonly Operation[]): number {
  let bytes = BATCH_OVERHEAD_BYTES
  for (const { key, value } of operations) {
    bytes += key.length + (value === undefined ? DELETE_OVERHEAD_BYTES : value.length + PUT_OVERHEAD_BYTES)
  }
  return bytes
}

/** The operation that makes a batch commit number `seq`. `others`: the rest of the batch, which decides the padding. */
export function chainOperation(seq: number, others: readonly Operation[]): Operation {
  const key = chainKey(seq % SLOTS)
  const bare = { key, value: seal(key, seq, '') }
  const missing = COMMIT_LOG_BYTES_MIN - logBytesAtLeast(others) - logBytesAtLeast([bare]) + BATCH_OVERHEAD_BYTES
  return missing > 0 ? { key, value: seal(key, seq, ' '.repeat(missing)) } : bare
}

/** True if commit `seq`, and none after it, is in the database. */
export async function newestIs(level: Level, seq: number): Promise<boolean> {
  const key = chainKey(seq % SLOTS)
  const text = await level.get(key)
  return text !== undefined && unseal(key, text).seq === seq
}

/** What the ring says. */
export interface ChainState {
  /** The newest commit; 0 before any. */
  readonly newest: number
  /** A sentence for each kind of damage: commits that are missing, records that cannot be read. */
  readonly damages: readonly string[]
  /** True if all of the damage is commits that were not synced: that a power cut may take them is what `buffered` says. */
  readonly isBuffered: boolean
  /** Records of the ring that cannot be read. Accepting the damage deletes them, or each later open would find them. */
  readonly unreadable: readonly string[]
}

/**
 * Reads the ring and holds it against itself and against the anchor.
 * @param anchored the newest commit the anchor file knows of; the database may be ahead of it, never behind
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

/** The operation that accepts whatever is missing up to commit `seq`. */
export function acceptOperation(seq: number): Operation {
  return { key: META_ACCEPTED, value: seal(META_ACCEPTED, seq, '') }
}

/** The operation that notes from where on commits are not synced; opening with syncing takes the note away. */
export async function durabilityOperation(
  level: Level,
  newest: number,
  isSynced: boolean,
): Promise<Operation | undefined> {
  if (isSynced) return (await level.get(META_BUFFERED)) === undefined ? undefined : { key: META_BUFFERED }
  // One that cannot be read was accepted as damage, and is written anew.
  const noted = await readSeq(level, META_BUFFERED, () => {})
  return noted === undefined ? { key: META_BUFFERED, value: seal(META_BUFFERED, newest, '') } : undefined
}

/** The number in a record; `undefined` if there is no such record, or if it cannot be read. */
async function readSeq(level: Level, key: string, complain: (complaint: string) => void): Promise<number | undefined> {
  const text = await level.get(key)
  try {
    return text === undefined ? undefined : unseal(key, text).seq
  } catch (error) {
    complain((error as Error).message)
    return undefined
  }
}
