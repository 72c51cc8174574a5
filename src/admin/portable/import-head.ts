/** The head and the idempotency key of an imported task, as its new store keeps them (import-2, import-3). */
import { HoldfastError } from '../../base/errors.js'
import * as layout from '../../store/disk/layout.js'
import { seal, unseal, unsealJson } from '../../store/integrity/envelope.js'
import { sweepKeyOf } from '../../store/operations.js'
import { indexEntriesOf } from '../../store/settled-index.js'
import type { Store } from '../../store/store.js'
import { isTitleAndAttributes } from '../../task/attributes.js'
import type { IdempotencyEntry } from '../../task/changes.js'
import { forgetAt } from '../../task/decisions/expiry.js'
import { draftOf, isLive, TASK_STATUSES, type TaskHead } from '../../task/head.js'
import {
  bytesLeft,
  decodeMovingPart,
  encodeMovingPart,
  joinParts,
  splitValue,
  withValue,
} from '../../task/head-codec.js'
import { checkName, cutText, NAME_BYTES_MAX } from '../../task/names.js'
import { damagedExport, type ExportHeader } from './format.js'
import { keyOf } from './read-task.js'

const REASON_BYTES_MAX = 200

/** Records of a file that are written with the head: by key, with their texts. */
export type HeadRecords = ReadonlyMap<string, string>

/** The head of a task in its new store, and the operations that write it. */
export interface ImportedHead {
  readonly head: TaskHead
  readonly operations: layout.Operation[]
}

/**
 * The head of a task in its new store.
 * @throws HoldfastError `EXPORT_INVALID` for a head with values that no task has
 */
export function importedHead(
  records: HeadRecords,
  header: ExportHeader,
  { now, durability }: { readonly now: number; readonly durability: TaskHead['durability'] },
): ImportedHead {
  const { taskId } = header
  const [task, live, done] = [layout.taskKey(taskId), layout.liveKey(taskId), layout.doneKey(taskId)]
  const movingKey = records.has(done) ? done : live
  const [fixedText, movingText] = [records.get(task), records.get(movingKey)]
  if (fixedText === undefined || movingText === undefined) throw damagedExport()
  const { seq: fixedSeq, body: fixedBody } = unseal(task, fixedText)
  const fixed = splitValue(fixedBody)
  // Without the parent, and with every other field, also of a later version.
  const { parentId: _parent, depth: _depth, ...own } = JSON.parse(fixed.part) as Record<string, unknown>
  const part = JSON.stringify(own)
  const { seq, body } = unseal(movingKey, movingText)
  const { part: movingPart, value } = splitValue(body)
  const moving = decodeMovingPart(taskId, seq, movingPart)
  const found = moving && draftOf(joinParts(moving, part))
  if (!found || !isSound(found) || isLive(found) !== (movingKey === live)) throw damagedExport()
  const head = parkedHead({ ...found, life: undefined, durability }, header, now)
  const seals = (key: string, text: string) => ({ key, value: seal(key, seq, text) })
  const operations: layout.Operation[] = [
    { key: task, value: seal(task, fixedSeq, withValue(part, fixed.value)) },
    seals(movingKey, withValue(encodeMovingPart(head), value)),
  ]
  const dropped = layout.droppedKey(taskId)
  const droppedText = records.get(dropped)
  if (droppedText !== undefined) operations.push({ key: dropped, value: droppedText })
  if (!isLive(head)) {
    operations.push(...indexEntriesOf(head).map(({ key, body }) => seals(key, body)), seals(sweepKeyOf(head), ''))
  }
  return { head, operations }
}

/** The head, parked if the task or its clean-up is not over. A session task runs no code, so it is not parked. */
function parkedHead(
  head: TaskHead,
  { storeId, exportedAt, move, parked: before }: ExportHeader,
  now: number,
): TaskHead {
  if (!isLive(head) || head.kind === 'session') return { ...head, parked: undefined }
  const at = new Date(exportedAt).toISOString()
  const origin = `it was imported from store ${storeId.slice(0, 12)}, which exported it on ${at}`
  const other = move ? 'if that store shows it as cancelled (moved)' : 'once that store does not run it'
  const cause = before && before.code !== 'EXPORTED' ? `; it was parked there as ${before.code}` : ''
  const bare = { code: 'EXPORTED', reason: '', since: now } as const
  const bytesMax = bytesLeft({ ...head, parked: bare }, REASON_BYTES_MAX)
  return { ...head, parked: { ...bare, reason: cutText(`${origin}; resume it ${other}${cause}`, bytesMax) } }
}

/** True if the fields that decide about keys and runs have values that a task can have. */
function isSound(head: TaskHead): boolean {
  try {
    checkName(head.type, 'type', NAME_BYTES_MAX.type)
    if (head.owner !== undefined) checkName(head.owner, 'owner', NAME_BYTES_MAX.owner)
    if (head.idempotencyKey !== undefined) checkName(head.idempotencyKey, 'key', NAME_BYTES_MAX.idempotencyKey)
  } catch {
    return false
  }
  const { title, attributes, changedAttributes } = head
  const isNamed = isTitleAndAttributes(title, attributes) && isTitleAndAttributes(title, changedAttributes)
  const counts = [head.createdAt, head.updatedAt, head.run, head.attempt, head.seq, head.nextRecord]
  const isKnown = TASK_STATUSES.includes(head.status) && (head.kind === 'body' || head.kind === 'session')
  return isNamed && isKnown && typeof head.seed === 'string' && counts.every(Number.isFinite)
}

/**
 * The operations that write the idempotency key of the task; none if the key is forgotten by now.
 * @throws HoldfastError `IDEMPOTENCY_CONFLICT` if another task of this store has it
 */
export async function keyOperations(
  head: TaskHead,
  records: HeadRecords,
  { store, retentionMs, now }: { readonly store: Store; readonly retentionMs: number; readonly now: number },
): Promise<layout.Operation[]> {
  const key = keyOf(head)
  const text = key === undefined ? undefined : records.get(key)
  if (key === undefined || text === undefined || head.idempotencyKey === undefined) return []
  const until = forgetAt(head, retentionMs)
  if (until !== undefined && until <= now) return []
  const present = await store.read((level) => level.get(key))
  const other = present === undefined ? undefined : unsealJson<IdempotencyEntry>(key, present)
  const isFree = !other || other.taskId === head.taskId || (other.forgetAt ?? Number.POSITIVE_INFINITY) <= now
  if (!isFree) {
    const message = `The idempotency key of task ${head.taskId} belongs to task ${other.taskId} in this store. Nothing was imported`
    throw new HoldfastError('IDEMPOTENCY_CONFLICT', message, { details: { taskId: other.taskId } })
  }
  const { owner, type } = head
  const scope = { owner, type, key: head.idempotencyKey }
  const { fingerprint } = unsealJson<IdempotencyEntry>(key, text)
  const entry: IdempotencyEntry = { ...scope, taskId: head.taskId, fingerprint }
  const operations = [{ key, value: seal(key, head.seq, JSON.stringify(entry)) }]
  if (until !== undefined) {
    const timer = layout.timerKey(until, 'forget-key', head.taskId)
    operations.push({ key: timer, value: seal(timer, head.seq, JSON.stringify(scope)) })
  }
  return operations
}
