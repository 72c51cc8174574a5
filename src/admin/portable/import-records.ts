/**
 * Writes an exported task into a store.
 *
 * import-1. The head is written last, after the whole file was read and checked. Before that, the records of the task belong
 *   to no task, and have a timer that deletes them (`sweep-orphan`), as those of a fork do. So a kill leaves no task, or all
 *   of it.
 * import-2. An unfinished task is parked as `EXPORTED`, whatever the file has: only `resume` runs it.
 * import-3. Owner, idempotency key, instants, counts and step keys stay. The parent does not: the task is its own from now on.
 */
import { HoldfastError } from '../../base/errors.js'
import { isTaskId } from '../../engine/checks/arguments.js'
import type { NewAuditEntry } from '../../store/audit.js'
import * as layout from '../../store/disk/layout.js'
import { seal, unseal } from '../../store/integrity/envelope.js'
import { hasTraces } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { AuditEntry } from '../../task/changes.js'
import { settledTally } from '../../task/counters.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import { TASK_KINDS, TaskCheck, type TaskKind } from '../verify/task-rules.js'
import { damagedExport, type ExportHeader, type ExportPart, invalidExport } from './format.js'
import { importedHead, keyOperations } from './import-head.js'
import { ENTRIES_MAX } from './read-task.js'

const ORPHAN_AFTER_MS = 3_600_000
const OPERATIONS_PER_BATCH = 64
const BYTES_PER_BATCH = 1024 * 1024
const ENTRIES_PER_BATCH = 50
// Longer than an entry with the longest names and reason.
const ENTRY_CHARS_MAX = 16_384

/** The store that a task is imported into. */
export interface ImportHost {
  readonly store: Store
  readonly retentionMs: number
  readonly durability: TaskHead['durability']
  now(): number
  /** Runs `act` while nothing else begins, reads or deletes the task. */
  alone<T>(taskId: string, act: () => Promise<T>): Promise<T>
  /** Runs `act` while no task is started under the idempotency key. */
  underKey<T>(head: TaskHead, act: () => Promise<T>): Promise<T>
  /**
   * Called before the head is written. @returns a function to call when it is written, or with the error
   * @throws HoldfastError `LIMIT_EXCEEDED`
   */
  create(head: TaskHead): Promise<(error?: unknown) => void>
}

/** A task that was imported. */
export interface ImportReport {
  readonly taskId: string
  readonly type: string
  readonly status: TaskHead['status']
  /** True if the task waits for `resume`. */
  readonly isParked: boolean
  /** Number of records that were written. */
  readonly records: number
  /** Number of audit entries that were written, without the one of the import. */
  readonly entries: number
  /** The store that the task comes from, and the instant of the export. */
  readonly importedFrom: { readonly storeId: string; readonly exportedAt: number }
}

/**
 * Imports the task of a file.
 * @param by actor of the audit entry
 * @throws HoldfastError `EXPORT_INVALID`, `TASK_EXISTS`, `TASK_NOT_PORTABLE`, `IDEMPOTENCY_CONFLICT`, `LIMIT_EXCEEDED`,
 *   `STORE_UNAVAILABLE`. No task is there then, unless `mayBeWritten` is true.
 */
export async function importTaskInto(
  host: ImportHost,
  parts: AsyncGenerator<ExportPart>,
  by: string,
): Promise<ImportReport> {
  const first = await parts.next()
  if (first.done || first.value.kind !== 'header') throw damagedExport()
  const { header } = first.value
  assertPortable(header)
  return host.alone(header.taskId, () => new Import(host, header, by).run(parts))
}

function assertPortable({ redacted, format, taskId, children }: ExportHeader): void {
  if (redacted)
    throw invalidExport('it is redacted, so it lacks inputs and results', 'Export the task without `redact`.')
  if (format > layout.FORMAT_VERSION) {
    throw invalidExport(`its records have format ${format} of the store`, 'Use a newer version of holdfast.')
  }
  if (!isTaskId(taskId)) throw damagedExport()
  if (children !== undefined) throw hasChildren(taskId, children)
}

/** The refusal of a task that waits for children. */
export function hasChildren(taskId: string, children: number): HoldfastError {
  const message = `Task ${taskId} waits for ${children} unfinished children, which are tasks of their own. Wait for their end, and export the task then`
  return new HoldfastError('TASK_NOT_PORTABLE', message, { details: { taskId, children } })
}

class Import {
  readonly #taskId: string
  readonly #check: TaskCheck
  readonly #sweepAt: number
  /** Records that are written with the head. */
  readonly #heads = new Map<string, string>()
  #entries: AuditEntry[] = []
  #batch: layout.Operation[] = []
  #batchBytes = 0
  #records = 0
  #place: readonly [kind: number, key: string] = [-1, '']
  #hasBegun = false

  constructor(
    private readonly host: ImportHost,
    private readonly header: ExportHeader,
    private readonly by: string,
  ) {
    this.#taskId = header.taskId
    this.#sweepAt = host.now() + ORPHAN_AFTER_MS
    this.#check = new TaskCheck(this.#taskId, (_code, key, message) => {
      throw invalidExport(`its record ${key} does not fit the others: ${message}`, 'Export the task again.')
    })
  }

  async run(parts: AsyncGenerator<ExportPart>): Promise<ImportReport> {
    const { store } = this.host
    if (await store.read((level) => hasTraces(level, this.#taskId, undefined))) throw taskExists(this.#taskId)
    try {
      for await (const part of parts) {
        if (part.kind === 'record') await this.#take(part.key, part.text)
        else if (part.kind === 'audit') this.#takeEntry(part.entry)
      }
      await this.#flush()
      return await this.#end()
    } catch (error) {
      const mayBeThere = error instanceof HoldfastError && error.mayBeWritten
      if (this.#hasBegun && !mayBeThere) await this.#undo()
      throw error
    }
  }

  /** Deletes what was written. If that fails, the timer leads the next sweep to it. */
  async #undo(): Promise<void> {
    const { store } = this.host
    if (store.connection.isUp) await store.deleteOrphan(this.#taskId, this.#sweepAt).catch(() => {})
  }

  async #take(key: string, text: string): Promise<void> {
    const [name = '', taskId] = key.split('/')
    if (name === 'key') return void this.#heads.set(key, this.#opened(key, text) && text)
    const kind = TASK_KINDS.indexOf(name as TaskKind)
    const [before, last] = this.#place
    const isInOrder = kind > before || (kind === before && key > last)
    if (kind < 0) throw invalidExport(`it has records of the kind '${name}'`, 'Use a newer version of holdfast.')
    if (taskId !== this.#taskId || !isInOrder) throw damagedExport()
    this.#place = [kind, key]
    const { seq, body } = this.#opened(key, text)
    this.#check.add(name as TaskKind, key, seq, body)
    this.#records++
    if (HEAD_KINDS.has(name)) this.#heads.set(key, text)
    else await this.#add({ key, value: name === 'beside' ? withoutOwn(key, seq, body) : text })
  }

  #opened(key: string, text: string): { seq: number; body: string } {
    try {
      return unseal(key, text)
    } catch {
      throw damagedExport()
    }
  }

  #takeEntry(entry: AuditEntry): void {
    const isOwn = entry.taskId === this.#taskId && Number.isFinite(entry.at) && typeof entry.action === 'string'
    const isEntry = isOwn && JSON.stringify(entry).length <= ENTRY_CHARS_MAX
    if (!isEntry || this.#entries.length >= ENTRIES_MAX) throw damagedExport()
    this.#entries.push(entry)
  }

  async #add(operation: layout.Operation): Promise<void> {
    this.#batch.push(operation)
    this.#batchBytes += operation.value?.length ?? 0
    if (this.#batch.length >= OPERATIONS_PER_BATCH || this.#batchBytes >= BYTES_PER_BATCH) await this.#flush()
  }

  async #flush(): Promise<void> {
    if (this.#batch.length === 0) return
    const { store } = this.host
    if (!this.#hasBegun) {
      this.#hasBegun = true
      // An import that was killed may have left records of another file.
      await store.deleteOrphan(this.#taskId, this.#sweepAt)
      const key = this.#timer
      await store.putForCaller(this.#taskId, [{ key, value: seal(key, 0, JSON.stringify({ taskId: this.#taskId })) }])
    }
    await store.putForCaller(this.#taskId, this.#batch)
    this.#batch = []
    this.#batchBytes = 0
  }

  get #timer(): string {
    return layout.timerKey(this.#sweepAt, 'sweep-orphan', this.#taskId)
  }

  /** Writes the head, after everything was read and checked. */
  async #end(): Promise<ImportReport> {
    const { host, header, by } = this
    const { store } = host
    const found = this.#check.end(false)
    if (!found) throw damagedExport()
    if (isLive(found) && found.children !== undefined) throw hasChildren(this.#taskId, found.children)
    const { durability, retentionMs } = host
    const { head, operations } = importedHead(this.#heads, header, { now: host.now(), durability })
    const { storeId, exportedAt } = header
    const entries = this.#entries.map((entry) => entryOf(entry, storeId, host.now()))
    await host.underKey(head, async () => {
      const key = await keyOperations(head, this.#heads, { store, retentionMs, now: host.now() })
      const created = await host.create(head)
      try {
        for (let at = 0; at < entries.length; at += ENTRIES_PER_BATCH) {
          await store.putForCaller(this.#taskId, [], { entries: entries.slice(at, at + ENTRIES_PER_BATCH) })
        }
        const why = `from store ${storeId}, exported on ${new Date(exportedAt).toISOString()}`
        const { taskId, type, status: to } = head
        const entry: NewAuditEntry = { taskId, type, at: host.now(), action: 'imported', to, by, why }
        // No hour counts the task: it did not settle in this store.
        const tally = isSettled(head.status) ? { ...settledTally(head), at: undefined } : undefined
        await store.putForCaller(taskId, [...operations, ...key, { key: this.#timer }], { tally, entries: [entry] })
      } catch (error) {
        created(error)
        throw error
      }
      created()
    })
    const { taskId, type, status, parked } = head
    return {
      taskId,
      type,
      status,
      isParked: parked !== undefined,
      records: this.#records,
      entries: entries.length,
      importedFrom: { storeId, exportedAt },
    }
  }
}

const HEAD_KINDS: ReadonlySet<string> = new Set(['task', 'live', 'done', 'dropped'])

/**
 * The entry as an entry of this store. One that was imported before keeps its first origin. An instant in the future would
 * postpone the end of every later entry (audit-2).
 */
function entryOf(entry: AuditEntry, storeId: string, now: number): NewAuditEntry {
  const { taskId, type, at, action, from, to, by, why, importedFrom = storeId } = entry
  return { taskId, type, at: Math.min(at, now), action, from, to, by, why, importedFrom }
}

/** A record of a binding, without the names of records that are not of the task: sessions and requests of other clients. */
function withoutOwn(key: string, seq: number, body: string): string {
  try {
    const value = JSON.parse(body) as Record<string, unknown> | null
    if (!Array.isArray(value?.['own'])) return seal(key, seq, body)
    const { own: _own, ...rest } = value
    return seal(key, seq, JSON.stringify(rest))
  } catch {
    return seal(key, seq, body)
  }
}

function taskExists(taskId: string): HoldfastError {
  const message = `The store has task ${taskId} already. Nothing was imported`
  return new HoldfastError('TASK_EXISTS', message, { details: { taskId } })
}
