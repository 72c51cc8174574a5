/** Reads a task from a database that does not change, and writes it as an export. */
import { HoldfastError } from '../../base/errors.js'
import { auditIdOf } from '../../store/audit.js'
import * as layout from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import { pages } from '../../store/disk/pages.js'
import { seal, unseal, unsealJson } from '../../store/integrity/envelope.js'
import { readHead } from '../../store/reads.js'
import type { AuditEntry } from '../../task/changes.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import { bytesLeft, encodeMovingPart, splitValue, withValue } from '../../task/head-codec.js'
import { cutText } from '../../task/names.js'
import { TASK_KINDS, TaskCheck } from '../verify/task-rules.js'
import { EXPORT_VERSION, type ExportFooter, type ExportHeader, ExportWriter } from './format.js'
import { redactEntry, redactRecord } from './redact.js'

const RECORDS_PER_READ = 64
/** Most audit entries of a task that are exported: the newest ones. */
export const ENTRIES_MAX = 10_000
const REASON_BYTES_MAX = 200

/** A task to export, and fields of its header. */
export interface TaskToExport {
  readonly taskId: string
  readonly about: Pick<ExportHeader, 'format' | 'version' | 'storeId' | 'exportedAt' | 'move' | 'redacted'>
}

/** An exported task. */
export interface Exported extends ExportFooter {
  readonly header: ExportHeader
}

/**
 * Writes a task: its records, and its audit.
 * @param write writes bytes to the end of the file
 * @throws HoldfastError `TASK_NOT_FOUND`; `RECORD_DAMAGED` for a task with damage
 */
export async function writeTask(
  level: Level,
  { taskId, about }: TaskToExport,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<Exported> {
  const head = await readHead(level, taskId)
  if (!head || head.sweeping) {
    throw new HoldfastError('TASK_NOT_FOUND', `There is no task ${JSON.stringify(taskId)}`, { details: { taskId } })
  }
  const { type, status, seq, children, parked } = head
  const header: ExportHeader = {
    holdfastTask: EXPORT_VERSION,
    ...about,
    taskId,
    type,
    status,
    commits: seq,
    children: isLive(head) ? children : undefined,
    parked: parked && { code: parked.code, reason: parked.reason },
  }
  const writer = new ExportWriter(write)
  await writer.begin(header)
  const check = new TaskCheck(taskId, (_code, key, message) => {
    throw new HoldfastError('RECORD_DAMAGED', `The record ${key} is damaged: ${message}`, { details: { key } })
  })
  for await (const { kind, key, text } of recordsOf(level, head)) {
    const { seq: number, body } = unseal(key, text)
    check.add(kind, key, number, body)
    const shown = kind === 'live' ? seal(key, number, parkedBody(head, body, about.exportedAt)) : text
    const written = about.redacted ? redactRecord(key, shown) : shown
    if (written !== undefined) await writer.record(key, written)
  }
  check.end(false)
  const key = keyOf(head)
  const keyText = key === undefined || about.redacted ? undefined : await level.get(key)
  if (key !== undefined && keyText !== undefined && unsealJson<{ taskId: string }>(key, keyText).taskId === taskId) {
    await writer.record(key, keyText)
  }
  for (const entry of await entriesOf(level, taskId)) await writer.audit(about.redacted ? redactEntry(entry) : entry)
  return { header, ...(await writer.end()) }
}

/** Key of the idempotency key of a task. */
export function keyOf({ owner, type, idempotencyKey: key }: TaskHead): string | undefined {
  return key === undefined ? undefined : layout.idempotencyKey(owner, type, key)
}

async function* recordsOf(level: Level, head: TaskHead) {
  const { taskId, status } = head
  const done = layout.doneKey(taskId)
  for (const kind of TASK_KINDS) {
    // A live head beside a settled one is an old value (layout-2).
    if (kind === 'live' && isSettled(status) && (await level.get(done)) !== undefined) continue
    const own = `${kind}/${taskId}`
    const text = await level.get(own)
    if (text !== undefined) yield { kind, key: own, text }
    for await (const page of pages(level, layout.under(`${own}/`), RECORDS_PER_READ)) {
      for (const [key, text] of page) yield { kind, key, text }
    }
  }
}

/** The body of a live head, parked: another store is to run the task only after a `resume`. */
function parkedBody(head: TaskHead, body: string, exportedAt: number): string {
  if (head.kind === 'session') return body
  const at = new Date(exportedAt).toISOString()
  const before = head.parked && head.parked.code !== 'EXPORTED' ? `; it was parked as ${head.parked.code}` : ''
  const parked = { code: 'EXPORTED', reason: '', since: exportedAt } as const
  const bytesMax = bytesLeft({ ...head, parked }, REASON_BYTES_MAX)
  const reason = cutText(`it was exported on ${at}, and may run in the store that it comes from${before}`, bytesMax)
  return withValue(encodeMovingPart({ ...head, parked: { ...parked, reason } }), splitValue(body).value)
}

/** The newest audit entries of a task, in their order. */
async function entriesOf(level: Level, taskId: string): Promise<AuditEntry[]> {
  const entries: AuditEntry[] = []
  const range = { ...layout.under(layout.trailPrefix(taskId)), reverse: true, values: false }
  for await (const page of pages(level, range, RECORDS_PER_READ)) {
    const keys = page.map(([trail]) => layout.auditKey(layout.commitOf(trail)))
    const texts = await level.getMany(keys)
    for (const [index, key] of keys.entries()) {
      const text = texts[index]
      if (text === undefined) continue
      const value = unsealJson<{ entries: readonly Omit<AuditEntry, 'id'>[] }>(key, text)
      const commit = layout.commitOf(key)
      const all = value.entries.map((entry, at) => ({ id: auditIdOf(commit, at), ...entry }))
      entries.push(...all.filter((entry) => entry.taskId === taskId).toReversed())
    }
    if (entries.length >= ENTRIES_MAX) break
  }
  return entries.slice(0, ENTRIES_MAX).toReversed()
}
