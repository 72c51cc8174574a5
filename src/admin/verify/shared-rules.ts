/**
 * The rules for the records that several tasks share: indexes, timers, idempotency keys, the audit and the counters. Pure.
 * A walk over the tasks names the keys that must exist. If there are more keys than that, the surplus is looked for.
 */
import type { AuditValue } from '../../store/audit.js'
import {
  auditKey,
  commitOf,
  HOUR,
  idempotencyKey,
  META_AUDIT,
  META_RECOVERY,
  trailKey,
} from '../../store/disk/layout.js'
import type { AuditLink } from '../../store/integrity/audit-link.js'
import { sweepKeyOf } from '../../store/operations.js'
import { indexEntriesOf } from '../../store/settled-index.js'
import { readHourRecord } from '../../store/totals.js'
import { byteCountOf } from '../../task/byte-count.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import { decodeLastRecovery } from '../../task/last-recovery.js'
import { AuditChain } from './audit-chain.js'
import type { Find } from './findings.js'

/** Kinds of keys that are not of one task. */
export const SHARED_KINDS = [
  'audit',
  'binding',
  'chain',
  'hour',
  'ix',
  'key',
  'meta',
  'settled',
  'timer',
  'trail',
] as const

/** A key that must exist, and its body where that is known. */
export interface WantedKey {
  readonly key: string
  readonly body: string
}

/** Keys that a settled task must have in the indexes, with their bodies. */
export function indexKeysOf(head: TaskHead): readonly WantedKey[] {
  return isLive(head) ? [] : indexEntriesOf(head)
}

/** Key that leads the sweeper to a settled task. */
export function markerOf(head: TaskHead): string | undefined {
  return isLive(head) ? undefined : sweepKeyOf(head)
}

/**
 * True if the key leads the sweeper to the task. A deletion that a caller asked for has a timer of its own until its last
 * batch, besides the marker. Its task is hidden.
 */
export function isMarkerOf(head: TaskHead | undefined, key: string): boolean {
  return head !== undefined && (markerOf(head) === key || (head.sweeping === true && key.startsWith('timer/')))
}

/** Key of the idempotency key of an unfinished task. */
export function keyOfUnfinished({ owner, type, idempotencyKey: key, status }: TaskHead): string | undefined {
  return key === undefined || isSettled(status) ? undefined : idempotencyKey(owner, type, key)
}

/** True if this version knows the index that the key belongs to. */
export function isKnownIndex(key: string): boolean {
  return /^ix\/[atosp]\//.test(key)
}

/**
 * Reads a record that has its own rules: the report of the last recovery, or the counters of an hour.
 * @throws Error if a rule is broken
 */
export function readShared(key: string, body: string): void {
  if (key === META_RECOVERY) decodeLastRecovery(body)
  if (key.startsWith(HOUR)) readHourRecord(key, body)
}

/** Checks the audit values in the order of their keys. */
export class AuditCheck {
  #before = { at: 0, bytes: 0 }
  readonly #chain: AuditChain

  /** @param deleted body of `meta/audit`; `undefined` if there is none, or it is damaged */
  constructor(
    private readonly find: Find,
    deleted: string | undefined,
  ) {
    const expected = { deleted: deleted === undefined ? undefined : (JSON.parse(deleted) as AuditLink) }
    this.#chain = new AuditChain(expected, ({ code, commit, message }) => {
      if (code !== 'UNREADABLE') find('AUDIT_CHAIN', code === 'DELETED_RECORD' ? META_AUDIT : auditKey(commit), message)
    })
  }

  /** @returns keys of the trail that must exist */
  add(key: string, body: string): string[] {
    const { at, bytes, entries } = JSON.parse(body) as AuditValue
    if (at < this.#before.at || bytes <= this.#before.bytes)
      this.find('AUDIT_ORDER', key, 'its instant or its size goes back')
    if (entries.length === 0) this.find('AUDIT_ORDER', key, 'it has no entries')
    this.#before = { at, bytes }
    const commit = commitOf(key)
    this.#chain.add(commit, body)
    return [...new Set(entries.map(({ taskId }) => trailKey(taskId, commit)))]
  }

  /** Adds a value whose seal is broken, which was reported. */
  addDamaged(key: string): void {
    this.#chain.addUnreadable(commitOf(key), '')
  }

  end(): void {
    this.#chain.end()
  }
}

/** Recounts the tasks, to compare them with the counters of the store. */
export class Recount {
  readonly #counts = { completed: 0, failed: 0, cancelled: 0, settledBytes: 0 }

  add(head: TaskHead): void {
    if (!isSettled(head.status)) return
    this.#counts[head.status as 'completed' | 'failed' | 'cancelled']++
    if (!isLive(head)) this.#counts.settledBytes += byteCountOf(head).kept
  }

  /** Counters that fit the tasks. @param totals counters of the store, as far as they are known */
  totalsAfter(totals: Readonly<Record<string, number | undefined>>): Readonly<Record<string, number>> {
    const { completed, failed, cancelled, settledBytes } = this.#counts
    return {
      completed: completed + (totals['sweptCompleted'] ?? 0),
      failed: failed + (totals['sweptFailed'] ?? 0),
      cancelled: cancelled + (totals['sweptCancelled'] ?? 0),
      settledBytes,
    }
  }

  /** @param body of `meta/totals`; `undefined` if the store has none */
  end(key: string, body: string | undefined, find: Find): void {
    const totals = (body === undefined ? {} : JSON.parse(body)) as Readonly<Record<string, number | undefined>>
    const of = (name: string) => totals[name] ?? 0
    const wanted = {
      completed: of('completed') - of('sweptCompleted'),
      failed: of('failed') - of('sweptFailed'),
      cancelled: of('cancelled') - of('sweptCancelled'),
      settledBytes: of('settledBytes'),
    }
    for (const [name, found] of Object.entries(this.#counts)) {
      const counted = wanted[name as keyof typeof wanted]
      if (counted !== found)
        find('TOTALS_WRONG', key, `the counters have ${counted} for '${name}', and a recount gives ${found}`)
    }
  }
}
