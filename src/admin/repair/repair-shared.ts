/**
 * Repairs the records that several tasks share. What follows from the tasks is made anew: indexes, timers of the sweep, the
 * trail of the audit, counters. What does not, and is damaged, moves to the lost-found file.
 *
 * repair-shared-1. An idempotency key is never dropped, because a repeated start would run a second task. A missing key is made
 *   anew with the hash of the stored input. Where a schema had changed the input, a repeated start is refused as a conflict.
 */
import { fromJson } from '../../base/json.js'
import { fingerprintOf } from '../../engine/lifecycle/start.js'
import type { AuditValue } from '../../store/audit.js'
import {
  AUDIT,
  commitOf,
  idempotencyKey,
  LIVE,
  lastPart,
  META_FORMAT,
  META_TOTALS,
  type Operation,
  timerKey,
  timerParts,
  under,
} from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import { pages } from '../../store/disk/pages.js'
import { type Identity, identityOperation } from '../../store/init.js'
import { type AuditLink, FIRST_PREV, hashOf, linkOf, readDeleted } from '../../store/integrity/audit-link.js'
import { seal, unseal, unsealJson } from '../../store/integrity/envelope.js'
import { readHead, readInput } from '../../store/reads.js'
import type { IdempotencyEntry, IdempotencyScope } from '../../task/changes.js'
import type { TaskHead } from '../../task/head.js'
import type { Finding, FindingCode } from '../verify/findings.js'
import { indexKeysOf, keyOfUnfinished, Recount } from '../verify/shared-rules.js'
import type { RepairChanges } from './changes.js'
import type { LostFound } from './lost-found.js'

/** Database, files and settings of a repair of shared records. */
export interface SharedRepairOptions {
  readonly level: Level
  readonly lostFound: LostFound
  readonly changes: RepairChanges
  readonly identity: Identity
  readonly now: number
  /** Time for which a key without a task is kept. */
  readonly retentionMs: number
}

type Found = Pick<Finding, 'code' | 'key' | 'message'>

/** Kinds of records that are made anew, so that the loss of one is none. */
const DERIVED = /^(ix|settled|chain|trail)\/|^timer\/[^/]*\/sweep\/|^meta\/format$/

/** Returns the operations that repair these findings. All are about records that several tasks share. */
export async function repairShared(findings: readonly Found[], options: SharedRepairOptions): Promise<Operation[]> {
  const repair = new SharedRepair(options)
  const operations: Operation[] = []
  for (const finding of findings) operations.push(...(await repair.of(finding)))
  operations.push(...(await repair.end()))
  return operations
}

class SharedRepair {
  readonly #missingKeys = new Map<string, Found>()
  readonly #audit: Found[] = []
  #totals: Found | undefined

  constructor(private readonly options: SharedRepairOptions) {}

  async of(found: Found): Promise<Operation[]> {
    const { level } = this.options
    const { code, key } = found
    switch (code) {
      case 'RECORD_SEAL':
      case 'RECORD_UNREADABLE':
        return this.#moved(found)
      case 'INDEX_MISSING':
        return this.#indexEntry(found)
      case 'INDEX_SURPLUS':
      case 'TIMER_SURPLUS':
        this.#note(found, 'it was deleted', false)
        return [{ key }]
      case 'TIMER_MISSING':
        this.#note(found, 'it was made anew', false)
        return [{ key, value: seal(key, 0, '') }]
      case 'KEY_MISSING':
        this.#missingKeys.set(key, found)
        return []
      case 'KEY_SURPLUS':
        return this.#keptUntil(found)
      case 'TRAIL_WRONG': {
        const isThere = (await level.get(key)) !== undefined
        this.#note(found, isThere ? 'it was deleted' : 'it was made anew', isThere)
        return [isThere ? { key } : { key, value: seal(key, commitOf(key), '') }]
      }
      case 'AUDIT_ORDER':
      case 'AUDIT_CHAIN':
        this.#audit.push(found)
        return []
      case 'TOTALS_WRONG':
        this.#totals ??= found
        return []
      case 'IDENTITY_WRONG':
        this.#note(found, 'it was made anew from holdfast.json', false)
        return [identityOperation(this.options.identity)]
      default:
        return []
    }
  }

  async end(): Promise<Operation[]> {
    const operations: Operation[] = []
    if (this.#missingKeys.size > 0) operations.push(...(await this.#missing()))
    if (this.#audit.length > 0) operations.push(...(await this.#orderedAudit(this.#audit)))
    if (this.#totals) operations.push(await this.#recounted(this.#totals))
    return operations
  }

  #note(
    { code, key, message }: { code: FindingCode; key: string; message: string },
    done: string,
    isLoss: boolean,
  ): void {
    this.options.changes.add({ code, key, message, done, isLoss })
  }

  async #moved(found: Found): Promise<Operation[]> {
    const { level, lostFound, identity } = this.options
    const { key, message } = found
    const text = await level.get(key)
    if (text === undefined) return []
    await lostFound.add(key, text, message)
    const isLoss = !DERIVED.test(key)
    this.#note(found, isLoss ? 'it is in the lost-found file' : 'it was made anew', isLoss)
    return [key === META_FORMAT ? identityOperation(identity) : { key }]
  }

  async #indexEntry(found: Found): Promise<Operation[]> {
    const { key } = found
    const head = await this.#headOf(lastPart(key))
    const entry = head && indexKeysOf(head).find((each) => each.key === key)
    if (!head || !entry) return []
    this.#note(found, 'it was made anew', false)
    return [{ key, value: seal(key, head.seq, entry.body) }]
  }

  /** A key of no task is kept as long as that of a task that settled now. */
  async #keptUntil(found: Found): Promise<Operation[]> {
    const { level, now, retentionMs } = this.options
    const { key } = found
    const text = await level.get(key)
    if (text === undefined) return []
    const entry = unsealJson<IdempotencyEntry>(key, text)
    const { owner, type, key: name } = entry
    const forgetAt = now + retentionMs
    const timer = timerKey(forgetAt, 'forget-key', entry.taskId)
    this.#note(found, `starts under it are refused until ${new Date(forgetAt).toISOString()}`, false)
    return [
      { key, value: seal(key, 0, JSON.stringify({ ...entry, forgetAt, settledAt: now })) },
      { key: timer, value: seal(timer, 0, JSON.stringify({ owner, type, key: name })) },
    ]
  }

  /** Makes missing keys anew, from the unfinished tasks and from the timers that delete keys. */
  async #missing(): Promise<Operation[]> {
    const { level } = this.options
    const operations: Operation[] = []
    const add = async (scope: IdempotencyScope, taskId: string, forgetAt: number | undefined) => {
      const key = idempotencyKey(scope.owner, scope.type, scope.key)
      const found = this.#missingKeys.get(key)
      if (!found) return
      this.#missingKeys.delete(key)
      const head = await this.#headOf(taskId)
      const input = head && (await readInput(level, head).catch(() => undefined))
      const fingerprint = fingerprintOf(input === undefined ? undefined : fromJson(input))
      const entry: IdempotencyEntry = { ...scope, taskId, fingerprint, ...(head ? {} : { forgetAt }) }
      this.#note(found, 'it was made anew', false)
      operations.push({ key, value: seal(key, 0, JSON.stringify(entry)) })
    }
    for await (const page of pages(level, { ...under(LIVE), values: false })) {
      for (const [liveKey] of page) {
        const head = await this.#headOf(lastPart(liveKey))
        const { owner, type, idempotencyKey: key } = head ?? { type: '' }
        if (head && key !== undefined && keyOfUnfinished(head) !== undefined) {
          await add({ owner, type, key }, head.taskId, undefined)
        }
      }
    }
    for await (const page of pages(level, under('timer/'))) {
      for (const [timer, text] of page) {
        const { kind, what, dueAt } = timerParts(timer)
        if (kind !== 'forget-key') continue
        const { owner, type, key } = unsealJson<IdempotencyScope>(timer, text)
        await add({ owner, type, key }, what, dueAt)
      }
    }
    return operations
  }

  /**
   * Writes the values of the audit so that their instants and sizes never go back, and each has the hash of the one before.
   * Values without entries are dropped.
   */
  async #orderedAudit(found: readonly Found[]): Promise<Operation[]> {
    const { level } = this.options
    const operations: Operation[] = []
    const deleted = await readDeleted(level)
    let before = { at: 0, bytes: 0, ...deleted }
    let prev = deleted ? hashOf(deleted) : FIRST_PREV
    let hasBegun = false
    for await (const page of pages(level, under(AUDIT))) {
      for (const [key, text] of page) {
        const { seq, body } = unseal(key, text)
        const value = JSON.parse(body) as AuditValue
        if (value.entries.length === 0) {
          operations.push({ key })
          continue
        }
        hasBegun ||= value.prev !== ''
        const at = Math.max(value.at, before.at)
        const bytes = Math.max(value.bytes, before.bytes + 1)
        const wanted = { ...value, prev: hasBegun ? prev : '', at, bytes }
        const isRight = wanted.prev === value.prev && at === value.at && bytes === value.bytes
        const newBody = isRight ? body : JSON.stringify(wanted)
        if (!isRight) operations.push({ key, value: seal(key, seq, newBody) })
        before = linkOf({ commit: commitOf(key), at, bytes, body: newBody })
        prev = hashOf(before as AuditLink)
      }
    }
    for (const each of found) {
      this.#note(each, 'the audit was put in order, and its hashes were made anew', each.code === 'AUDIT_CHAIN')
    }
    return operations
  }

  async #recounted(found: Found): Promise<Operation> {
    const { level } = this.options
    const recount = new Recount()
    for (const prefix of [LIVE, 'done/']) {
      for await (const page of pages(level, { ...under(prefix), values: false })) {
        for (const [key] of page) {
          const head = await this.#headOf(lastPart(key))
          if (head && (prefix !== LIVE || (await level.get(`done/${head.taskId}`)) === undefined)) recount.add(head)
        }
      }
    }
    const text = await level.get(META_TOTALS)
    const totals: Record<string, number> = text === undefined ? {} : unsealJson(META_TOTALS, text)
    this.#note(found, 'the tasks were counted anew', false)
    return {
      key: META_TOTALS,
      value: seal(META_TOTALS, 0, JSON.stringify({ ...totals, ...recount.totalsAfter(totals) })),
    }
  }

  async #headOf(taskId: string): Promise<TaskHead | undefined> {
    return readHead(this.options.level, taskId).catch(() => undefined)
  }
}
