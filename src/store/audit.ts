/**
 * The audit on disk: all entries of one commit are one value under the number of the commit, written in its batch. Entries
 * outlive their tasks; `engine/retention/sweep-audit.ts` deletes the oldest.
 *
 * audit-1. `trail/<taskId>/<commit>` exists exactly if `audit/<commit>` has an entry of the task. One batch writes both, and
 *     one deletes both.
 * audit-2. The instant of a value never goes back, also when the clock does. So the first value of an instant is found by
 *     bisection. An entry keeps the instant at which it was decided.
 * audit-3. A value counts the bytes of the audit from its beginning. So the size of what is kept is the difference of two
 *     values, and no commit writes a counter.
 * audit-4. A value has the hash of the value before it (audit-link.ts). The hash of the newest value is in memory, and is
 *     computed from that value at an open. A batch that is lost or repeated changes neither.
 */

import { faultOf } from '../base/fault.js'
import type { Logger } from '../base/logger.js'
import type { AuditEntry } from '../task/changes.js'
import type { Operation } from './disk/layout.js'
import * as layout from './disk/layout.js'
import type { Level } from './disk/level.js'
import { pages } from './disk/pages.js'
import { type AuditLink, FIRST_PREV, hashOf, linkOf, readDeleted } from './integrity/audit-link.js'
import { damaged, seal, unseal, unsealJson } from './integrity/envelope.js'

/** An audit entry before its commit has a number. */
export type NewAuditEntry = Omit<AuditEntry, 'id'>

/** All entries of one commit. */
export interface AuditValue {
  /** Hash of the value before (audit-4). Empty in a value of a build that had no chain. */
  readonly prev: string
  /** The newest instant of its entries, or of the values before it (audit-2). */
  readonly at: number
  /** Bytes of the audit up to here (audit-3). */
  readonly bytes: number
  readonly entries: readonly NewAuditEntry[]
}

/** The newest value of the audit, without its entries. */
export interface AuditEnd extends Pick<AuditValue, 'at' | 'bytes'> {
  /** Its hash: `prev` of the next value. */
  readonly hash: string
}

/** The end of an audit without entries. */
export const NO_AUDIT: AuditEnd = { at: 0, bytes: 0, hash: FIRST_PREV }

// Key and envelope of a value, and what surrounds its entries, without the hash.
const VALUE_BYTES = 130
// A key of the trail, which has a task ID, and its envelope.
const TRAIL_BYTES = 75

/** Writes the audit: it is handed the entries of a batch, and knows the newest value. */
export class AuditWriter {
  #written: AuditEnd
  #next: AuditEnd

  /** @param atOpen the newest value, as it was read */
  constructor(atOpen: AuditEnd) {
    this.#written = atOpen
    this.#next = atOpen
  }

  /** Bytes of the audit from its beginning, as it is on disk. */
  get bytes(): number {
    return this.#written.bytes
  }

  /** The operations that write the entries of these commits, in commit number `seq`. None where there are no entries. */
  operations(group: readonly { readonly entries?: readonly NewAuditEntry[] | undefined }[], seq: number): Operation[] {
    this.#next = this.#written
    const entries: NewAuditEntry[] = []
    for (const commit of group) if (commit.entries) entries.push(...commit.entries)
    if (entries.length === 0) return []
    const text = JSON.stringify(entries)
    const tasks = tasksOf(entries)
    let { at } = this.#written
    for (const entry of entries) at = Math.max(at, entry.at)
    const { hash: prev } = this.#written
    const bytes = this.#written.bytes + sizeOf(prev, text, tasks)
    const key = layout.auditKey(seq)
    const body = `{"prev":"${prev}","at":${at},"bytes":${bytes},"entries":${text}}`
    this.#next = { at, bytes, hash: hashOf(linkOf({ commit: seq, at, bytes, body })) }
    const trail = [...tasks].map((taskId) => layout.trailKey(taskId, seq))
    return [{ key, value: seal(key, seq, body) }, ...trail.map((key) => ({ key, value: seal(key, seq, '') }))]
  }

  /** Notes that the batch is on disk. */
  landed(): void {
    this.#written = this.#next
  }
}

function tasksOf(entries: readonly NewAuditEntry[]): Set<string> {
  return new Set(entries.map(({ taskId }) => taskId))
}

function sizeOf(prev: string, entriesText: string, tasks: ReadonlySet<string>): number {
  return VALUE_BYTES + prev.length + Buffer.byteLength(entriesText) + tasks.size * TRAIL_BYTES
}

/** Bytes of the audit before a value. */
export function bytesBeforeOf({ prev, bytes, entries }: Omit<AuditValue, 'at'>): number {
  return bytes - sizeOf(prev, JSON.stringify(entries), tasksOf(entries))
}

/**
 * Reads the newest value, or the link of the newest deleted one. A value that can't be read is passed over: the count and the
 * chain then continue after the one before it.
 */
export async function readAuditEnd(level: Level, logger: Logger): Promise<AuditEnd> {
  const pass = (key: string, error: unknown) =>
    logger.error('A value of the audit is damaged; it is left alone', { key, error: faultOf(error) })
  for await (const page of pages(level, { ...layout.under(layout.AUDIT), reverse: true }, 1)) {
    for (const [key, text] of page) {
      try {
        return endOf(readLink(key, text))
      } catch (error) {
        pass(key, error)
      }
    }
  }
  try {
    const deleted = await readDeleted(level)
    return deleted ? endOf(deleted) : NO_AUDIT
  } catch (error) {
    pass(layout.META_AUDIT, error)
    return NO_AUDIT
  }
}

function endOf(link: AuditLink): AuditEnd {
  return { at: link.at, bytes: link.bytes, hash: hashOf(link) }
}

/** The link of a value. @throws HoldfastError `RECORD_DAMAGED` */
function readLink(key: string, text: string): AuditLink {
  const { body } = unseal(key, text)
  const { at, bytes } = JSON.parse(body) as AuditValue
  return linkOf({ commit: layout.commitOf(key), at, bytes, body })
}

/** Which entries to read. */
export interface AuditQuery {
  /** Entries of this task; all, without it. */
  readonly taskId?: string | undefined
  /** Instant of the first entry, in milliseconds since the epoch. */
  readonly since: number
  readonly limit: number
}

/** Audit entries, oldest first. @throws HoldfastError `RECORD_DAMAGED` */
export async function readAudit(level: Level, { taskId, since, limit }: AuditQuery): Promise<AuditEntry[]> {
  const from = since <= 0 ? 0 : await firstCommitSince(level, since)
  const read = taskId === undefined ? allValues(level, from, limit) : valuesOf(level, taskId, from, limit)
  const entries: AuditEntry[] = []
  let isFirst = true
  for await (const { commit, value } of read) {
    for (const [index, entry] of value.entries.entries()) {
      if (taskId !== undefined && entry.taskId !== taskId) continue
      // The first value may begin before the instant. Later ones are after it, whatever the clock said (audit-2).
      if (isFirst && entry.at < since) continue
      entries.push({ id: auditIdOf(commit, index), ...entry })
      if (entries.length === limit) return entries
    }
    isFirst = false
  }
  return entries
}

/** The newest entry of a task. `undefined` if none is kept. @throws HoldfastError `RECORD_DAMAGED` */
export async function readNewestAudit(level: Level, taskId: string): Promise<NewAuditEntry | undefined> {
  const range = { ...layout.under(layout.trailPrefix(taskId)), reverse: true, values: false, limit: 1 }
  for await (const page of pages(level, range, 1)) {
    for (const [trail] of page) {
      const key = layout.auditKey(layout.commitOf(trail))
      const text = await level.get(key)
      const { entries } = text === undefined ? { entries: [] } : unsealJson<AuditValue>(key, text)
      return entries.findLast((entry) => entry.taskId === taskId)
    }
  }
  return undefined
}

interface ReadValue {
  readonly commit: number
  readonly value: AuditValue
}

async function* allValues(level: Level, from: number, limit: number): AsyncGenerator<ReadValue> {
  const range = { ...layout.under(layout.AUDIT), gte: layout.auditKey(from) }
  // A value has an entry at least.
  for await (const page of pages(level, range, Math.min(limit, VALUES_PER_READ))) {
    for (const [key, text] of page) yield { commit: layout.commitOf(key), value: unsealJson<AuditValue>(key, text) }
  }
}

const VALUES_PER_READ = 200

async function* valuesOf(level: Level, taskId: string, from: number, limit: number): AsyncGenerator<ReadValue> {
  const range = { ...layout.under(layout.trailPrefix(taskId)), gte: layout.trailKey(taskId, from), values: false }
  for await (const page of pages(level, range, Math.min(limit, VALUES_PER_READ))) {
    const commits = page.map(([key]) => layout.commitOf(key))
    const keys = commits.map(layout.auditKey)
    const texts = await level.getMany(keys)
    for (const [index, key] of keys.entries()) {
      const commit = commits[index] as number
      const text = texts[index]
      if (text !== undefined) yield { commit, value: unsealJson<AuditValue>(key, text) }
      // Deleted meanwhile: its key of the trail goes in the same batch.
      else if ((await level.get(layout.trailKey(taskId, commit))) !== undefined) throw damaged(key, 'it is missing')
    }
  }
}

/** The first commit that may have entries of `since` or later. */
async function firstCommitSince(level: Level, since: number): Promise<number> {
  const { gte, lt } = layout.under(layout.AUDIT)
  const [newest] = await level.page({ gte, lt, reverse: true, values: false }, 1)
  let from = 0
  let to = newest === undefined ? 0 : layout.commitOf(newest[0]) + 1
  while (from < to) {
    const middle = Math.floor((from + to) / 2)
    const [found] = await level.page({ gte: layout.auditKey(middle), lt }, 1)
    if (found === undefined || unsealJson<AuditValue>(found[0], found[1]).at >= since) to = middle
    else from = layout.commitOf(found[0]) + 1
  }
  return from
}

/** An entry's ID: the commit, and the place in it. Sorts as the entries were written. */
export function auditIdOf(commit: number, index: number): string {
  return `${layout.commitPart(commit)}-${index.toString(16).padStart(4, '0')}`
}

/** A value at the beginning of the audit. */
export interface OldAuditValue {
  readonly key: string
  readonly at: number
  /** Bytes of the audit before it. */
  readonly bytesBefore: number
  /** Its own key, and those of the trail that point at it. */
  readonly keys: readonly string[]
  /** Its text, which `linkOfOld` reads. */
  readonly text: string
}

/** The link of a value that is deleted. */
export function linkOfOld({ key, text }: OldAuditValue): AuditLink {
  return readLink(key, text)
}

/** The oldest values after the key `after`, and the last key that was looked at. One that can't be read is left out. */
export async function readOldestAudit(
  level: Level,
  after: string,
  limit: number,
): Promise<{ values: OldAuditValue[]; last: string | undefined }> {
  const { gte, lt } = layout.under(layout.AUDIT)
  const page = await level.page({ gte: after === '' ? gte : `${after}\u0000`, lt }, limit)
  const values = page.flatMap(([key, text]): OldAuditValue[] => {
    try {
      const value = JSON.parse(unseal(key, text).body) as AuditValue
      const commit = layout.commitOf(key)
      const keys = [key, ...[...tasksOf(value.entries)].map((taskId) => layout.trailKey(taskId, commit))]
      return [{ key, at: value.at, bytesBefore: bytesBeforeOf(value), keys, text }]
    } catch {
      return []
    }
  })
  return { values, last: page.at(-1)?.[0] }
}
