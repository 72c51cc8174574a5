/**
 * Repairs an open database that nothing else uses: verifies it, repairs what was found, and repeats that until nothing is
 * found. Then the commits that are missing are accepted, and the numbers of later commits begin after all that were ever used.
 *
 * repair-database-1. Findings are repaired in passes of at most 50,000, so that the memory does not depend on the damage.
 * repair-database-2. If newer values may be lost, unfinished tasks may be older than they were. They wait for `recover()`, as in
 *   a store that was restored from a backup.
 */

import { silentLogger } from '../../base/logger.js'
import { type AuditEnd, AuditWriter, type NewAuditEntry, readAuditEnd } from '../../store/audit.js'
import { writeBatch } from '../../store/commit.js'
import { CHAIN, LIVE, lastPart, META_LIFE, type Operation, trailPrefix, under } from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import type { StoredEntry } from '../../store/disk/page.js'
import { pages } from '../../store/disk/pages.js'
import type { Identity } from '../../store/init.js'
import { acceptOperation, chainOperation } from '../../store/integrity/chain.js'
import { unseal, unsealJson } from '../../store/integrity/envelope.js'
import { type OpeningRecord, openingOperation } from '../../store/opening-record.js'
import { decodePendingRecord } from '../../task/log/pending-record.js'
import type { FindingCode } from '../verify/findings.js'
import { TASK_KINDS } from '../verify/task-rules.js'
import { verifyDatabase } from '../verify/verify-database.js'
import { RepairChanges, type RepairedDatabase } from './changes.js'
import type { LostFound } from './lost-found.js'
import { repairShared } from './repair-shared.js'
import { repairTask } from './repair-task.js'
import type { LostPart } from './salvage.js'

/** Settings of the repair of a database. */
export interface RepairSettings {
  readonly identity: Identity
  /** Number of a commit that the database had at least. */
  readonly anchored: number
  readonly now: number
  readonly retentionMs: number
  /** True if unfinished tasks run at the next opening of the server also if newer values may be lost. */
  readonly start: boolean
  /** Parts of files that were lost. */
  readonly lostParts: readonly LostPart[]
}

interface Found {
  readonly code: FindingCode
  readonly key: string
  readonly message: string
}

const FINDINGS_PER_PASS = 50_000
const PASSES_MAX = 40
const ENTRIES_PER_COMMIT = 50
// As many numbers as the ring of commits has slots, so that no number of a lost commit is used again.
const NUMBERS_SKIPPED = 8_192
const KINDS: ReadonlySet<string> = new Set(TASK_KINDS)

/** Repairs the database. @throws Error if it is not sound after that */
export async function repairDatabase(
  level: Level,
  lostFound: LostFound,
  settings: RepairSettings,
  onProgress: (records: number) => void = () => {},
): Promise<RepairedDatabase> {
  const repair = new Repair(level, lostFound, settings)
  let newest = 0
  for (let pass = 1; ; pass++) {
    const found: Found[] = []
    const find = (code: FindingCode, key: string, message: string) => {
      if (found.length < FINDINGS_PER_PASS) found.push({ code, key, message })
    }
    const { storeId } = settings.identity
    const verified = await verifyDatabase(level, { storeId, anchored: settings.anchored }, { find }, onProgress)
    newest = verified.commit
    const open = found.filter(({ code }) => code !== 'COMMITS_MISSING')
    if (pass === 1) repair.noteCommits(found.filter(({ code }) => code === 'COMMITS_MISSING'))
    if (open.length === 0) break
    if (pass === PASSES_MAX)
      throw new Error(`it is still damaged after ${pass} passes: ${open[0]?.key}: ${open[0]?.message}`)
    await repair.pass(open)
  }
  return repair.end(Math.max(newest, settings.anchored))
}

class Repair {
  readonly #changes = new RepairChanges()
  readonly #entries: NewAuditEntry[] = []
  #isOlder = false

  constructor(
    private readonly level: Level,
    private readonly lostFound: LostFound,
    private readonly settings: RepairSettings,
  ) {
    for (const { file, part, mayHideNewer: isOld } of settings.lostParts) {
      const code = file.endsWith('.log') ? 'LOG_FILE_DAMAGED' : isOld ? 'TABLE_DAMAGED' : 'DATABASE_UNREADABLE'
      const done = isOld
        ? 'lost; older values of the same keys are used where there are some'
        : 'nothing of it is needed'
      this.#changes.add({ code, key: file, message: part, done, isLoss: isOld })
      this.#isOlder ||= isOld
    }
  }

  noteCommits(found: readonly Found[]): void {
    for (const each of found)
      this.#changes.add({ ...each, done: 'accepted: the store continues without them', isLoss: true })
    this.#isOlder ||= found.length > 0
  }

  async pass(found: readonly Found[]): Promise<void> {
    const damage = new Map<string, Found[]>()
    const shared: Found[] = []
    for (const each of found) {
      const [kind = '', taskId = ''] = each.key.split('/')
      if (KINDS.has(kind)) damage.set(taskId, [...(damage.get(taskId) ?? []), each])
      else shared.push(each)
    }
    const removed = new Set<string>()
    for (const [taskId, findings] of damage) {
      if (!(await this.#repairTask(taskId, findings))) removed.add(taskId)
    }
    if (removed.size > 0) await this.#failParents(removed)
    const { level, lostFound, settings } = this
    const { identity, now, retentionMs } = settings
    const changes = this.#changes
    await this.#write(await repairShared(shared, { level, lostFound, changes, identity, now, retentionMs }))
  }

  /** @returns false if the task has left the store */
  async #repairTask(taskId: string, findings: readonly Found[]): Promise<boolean> {
    const { now, retentionMs } = this.settings
    const [first] = findings
    const damage = `${first?.key}: ${first?.message}`
    const inAudit = await this.#inAudit(taskId)
    const records = await this.#recordsOf(taskId)
    const { operations, moved, entries, result, hasFailed } = repairTask(taskId, records, {
      now,
      retentionMs,
      inAudit,
      damage,
    })
    for (const [key, text] of moved) await this.lostFound.add(key, text, damage)
    for (const each of findings) this.#changes.add({ ...each, done: result, isLoss: !HARMLESS.has(each.code) })
    if (hasFailed) this.#changes.addFailed(taskId)
    this.#entries.push(...entries)
    await this.#write(operations)
    return operations.some(({ value }) => value !== undefined) || moved.length < records.length
  }

  /**
   * Fails the parents that wait for a task that has left the store. Without this, they would start it again under its ID.
   */
  async #failParents(removed: ReadonlySet<string>): Promise<void> {
    const parents = new Map<string, Found>()
    for await (const page of pages(this.level, under('note/'))) {
      for (const [key, text] of page) {
        const [, parentId = ''] = key.split('/')
        if (parentId === '~') continue
        const childId = childIn(key, text)
        if (childId === undefined || !removed.has(childId)) continue
        parents.set(parentId, { code: 'ORPHAN', key, message: `it waits for the task ${childId}, which is lost` })
      }
    }
    for (const [parentId, found] of parents) await this.#repairTask(parentId, [found])
  }

  async #recordsOf(taskId: string): Promise<StoredEntry[]> {
    const records: StoredEntry[] = []
    for (const kind of TASK_KINDS) {
      const key = `${kind}/${taskId}`
      const text = await this.level.get(key)
      if (text !== undefined) records.push([key, text])
      for await (const page of pages(this.level, under(`${key}/`))) records.push(...page)
    }
    return records
  }

  /** Type and owner of a task, as its first audit entry has them. */
  async #inAudit(taskId: string): Promise<{ type: string; owner: string | undefined }> {
    for await (const page of pages(this.level, under(trailPrefix(taskId)))) {
      for (const [key] of page) {
        const auditKey = `audit/${lastPart(key)}`
        const text = await this.level.get(auditKey)
        const value =
          text === undefined ? undefined : readOr(() => unsealJson<{ entries: NewAuditEntry[] }>(auditKey, text))
        const entry = value?.entries.find((each) => each.taskId === taskId)
        if (entry) return { type: entry.type, owner: ownerIn(entry) }
      }
    }
    return { type: 'unknown', owner: undefined }
  }

  async #write(operations: readonly Operation[]): Promise<void> {
    for (let at = 0; at < operations.length; at += 1_000) {
      await writeBatch(this.level, operations.slice(at, at + 1_000), true)
    }
  }

  /** Writes the audit entries, the end of the ring of commits, and an opening that ended well. */
  async end(newest: number): Promise<RepairedDatabase> {
    const { level, settings } = this
    const unfinished = await this.#countUnfinished()
    const { lost, madeAnew } = this.#changes.counts
    if (lost + madeAnew > 0) this.#entries.push(entryOfStore(settings.now, `${lost} lost, ${madeAnew} made anew`))
    let commit = newest + NUMBERS_SKIPPED
    const auditEnd: AuditEnd = await readAuditEnd(level, silentLogger)
    const audit = new AuditWriter(auditEnd)
    for (let at = 0; at < this.#entries.length; at += ENTRIES_PER_COMMIT) {
      const operations = audit.operations([{ entries: this.#entries.slice(at, at + ENTRIES_PER_COMMIT) }], commit)
      await writeBatch(level, [...operations, chainOperation(commit, operations)], true)
      audit.landed()
      commit++
    }
    const last = await this.#lastOpening()
    const held =
      last?.held ?? (this.#isOlder && !settings.start && unfinished > 0 ? heldReason(settings.now) : undefined)
    const opening: OpeningRecord = {
      life: last?.life ?? 0,
      closed: true,
      starts: 0,
      recovering: false,
      held,
      newestOrder: last?.newestOrder,
      repaired: { at: settings.now, lost },
    }
    const operations: Operation[] = []
    for await (const page of pages(level, { ...under(CHAIN), values: false }))
      operations.push(...page.map(([key]) => ({ key })))
    const end = [acceptOperation(commit), openingOperation(opening, commit)]
    await this.#write(operations)
    await writeBatch(level, [...end, chainOperation(commit, end)], true)
    await this.lostFound.end()
    const { list: changes, counts, failedTaskIds, failedTasks } = this.#changes
    return { commit, changes, counts, failedTaskIds, failedTasks, lostFound: this.lostFound.count, unfinished, held }
  }

  async #countUnfinished(): Promise<number> {
    let count = 0
    for await (const page of pages(this.level, { ...under(LIVE), values: false })) count += page.length
    return count
  }

  async #lastOpening(): Promise<OpeningRecord | undefined> {
    const text = await this.level.get(META_LIFE)
    return text === undefined ? undefined : (JSON.parse(unseal(META_LIFE, text).body) as OpeningRecord)
  }
}

/** Findings about a task whose repair loses nothing. */
const HARMLESS: ReadonlySet<FindingCode> = new Set(['HEAD_TWICE'])

/** The audit entry of a repair: it is about the store, and no task. */
function entryOfStore(at: number, why: string): NewAuditEntry {
  return { taskId: 'store', type: 'store', at, action: 'repaired', by: 'repair', why }
}

function heldReason(now: number): string {
  return `the store was repaired on ${new Date(now).toISOString()} and lost records, so unfinished tasks may be older than they were; see the report of the repair, then call \`recover()\``
}

function childIn(key: string, text: string): string | undefined {
  return readOr(() => decodePendingRecord(unseal(key, text).body).child?.taskId)
}

/** The owner that created a task. The words for callers without an owner are none. */
function ownerIn({ action, by }: NewAuditEntry): string | undefined {
  const isOwner = action === 'created' && !['admin', 'body', 'engine', 'recovery'].includes(by)
  return isOwner ? by : undefined
}

function readOr<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
