/**
 * Turns the changes of a decision into operations of one batch: keys to put and keys to delete. Only this file makes
 * the records of a task. The keys are those of `layout.ts`.
 */

import type { AuditEntry, Change, TaskDecision } from '../task/changes.js'
import { sweepAt } from '../task/decisions/expiry.js'
import { HEAD_BYTES_MAX, isLive, isSettled, type TaskHead } from '../task/head.js'
import { encodePendingRecord } from '../task/log/pending-record.js'
import { encodeUndoRecord } from '../task/log/undo-record.js'
import type { Operation } from './disk/layout.js'
import {
  auditKey,
  checkpointKey,
  doneKey,
  droppedKey,
  idempotencyKey,
  inputKey,
  inputKeyKey,
  intentKey,
  liveKey,
  logKey,
  messageKey,
  messageKeyKey,
  noteKey,
  outcomeKey,
  ownerKey,
  patchKey,
  settledKey,
  stateKey,
  timerKey,
  trailKey,
} from './disk/layout.js'
import { damaged, seal } from './integrity/envelope.js'

/** Value of the owner's index entry of a task that another task started. */
export const CHILD = 'child'

/** Operations of `decision`. */
export function toOperations(decision: TaskDecision, nextAuditId: (at: number) => string): Operation[] {
  const operations: Operation[] = []
  for (const change of decision.changes) add(operations, decision.head, change, nextAuditId)
  return operations
}

function add(operations: Operation[], task: TaskHead, change: Change, nextAuditId: (at: number) => string): void {
  const { taskId, seq, type } = task
  const put = (key: string, body: string) => operations.push({ key, value: seal(key, seq, body) })
  switch (change.kind) {
    case 'head': {
      if (isLive(change.head)) return void put(liveKey(taskId), encodeLiveHead(change.head))
      operations.push({ key: liveKey(taskId) })
      put(doneKey(taskId), JSON.stringify(change.head))
      return void put(sweepKey(change.head), '')
    }
    case 'input':
      return void put(inputKey(taskId), change.text)
    case 'outcome':
      return void put(outcomeKey(taskId), change.text)
    case 'record':
      return void put(logKey(taskId, change.segment, change.seq), change.text)
    case 'dropped':
      return void put(droppedKey(taskId), change.text)
    case 'drop-checkpoint':
      operations.push({ key: checkpointKey(taskId, change.checkpointId) })
      return void operations.push({ key: stateKey(taskId, change.checkpointId) })
    case 'drop-state':
      return void operations.push({ key: stateKey(taskId, change.checkpointId) })
    case 'checkpoint': {
      const { checkpointId } = change.info
      put(checkpointKey(taskId, checkpointId), JSON.stringify(change.info))
      return void put(stateKey(taskId, checkpointId), change.stateText)
    }
    case 'note':
      return void put(noteKey(taskId, change.note), encodePendingRecord(change.note))
    case 'drop-note':
      return void operations.push({ key: noteKey(taskId, change.note) })
    case 'input-key':
      return void put(inputKeyKey(taskId, change.key), '')
    case 'intent':
      return void put(intentKey(taskId, change.intent.id), encodeUndoRecord(change.intent))
    case 'message': {
      const { name, order, text } = change.message
      return void put(messageKey(taskId, name, order), text)
    }
    case 'binding': {
      const { key, text } = change.record
      return void (text === undefined ? operations.push({ key }) : put(key, text))
    }
    case 'drop-message':
      return void operations.push({ key: messageKey(taskId, change.name, change.order) })
    case 'message-key':
      return void put(messageKeyKey(taskId, change.entry.key), JSON.stringify(change.entry))
    case 'drop-message-key':
      return void operations.push({ key: messageKeyKey(taskId, change.key) })
    case 'owner':
      return void put(ownerKey(change.owner, taskId), change.isChild ? CHILD : '')
    case 'idempotency': {
      const { owner, type, key } = change.entry
      return void put(idempotencyKey(owner, type, key), JSON.stringify(change.entry))
    }
    case 'forget-key':
      return void put(timerKey(change.at, 'forget-key', taskId), JSON.stringify(change.scope))
    case 'patches':
      return void put(patchKey(taskId, change.segment), change.text)
    case 'sweep-orphan': {
      const key = timerKey(change.at, 'sweep-orphan', taskId)
      return void (change.isDone ? operations.push({ key }) : put(key, JSON.stringify({ taskId })))
    }
    case 'audit': {
      const about = change.taskId ?? taskId
      const entry: AuditEntry = { id: nextAuditId(change.entry.at), taskId: about, type, ...change.entry }
      put(auditKey(entry.id), JSON.stringify(entry))
      return void put(trailKey(about, entry.id), '')
    }
  }
}

/**
 * Key that leads the sweeper to a settled task, written with its head: a timer, or the instant of settling if there is
 * no `ttl`.
 */
function sweepKey(head: TaskHead): string {
  const at = sweepAt(head, undefined)
  return at === undefined ? settledKey(head.settledAt ?? 0, head.taskId) : timerKey(at, 'sweep', head.taskId)
}

function encodeLiveHead(head: TaskHead): string {
  const text = JSON.stringify(head)
  // A settled head also holds the error, and is not written with every step. So the limit does not apply.
  if (!isSettled(head.status) && text.length > HEAD_BYTES_MAX / 3 && Buffer.byteLength(text) > HEAD_BYTES_MAX) {
    throw new RangeError(
      `The head of task ${head.taskId} takes ${Buffer.byteLength(text)} bytes; ${HEAD_BYTES_MAX} fit`,
    )
  }
  return text
}

/** Decodes the head that was stored under `key`. */
export function decodeHead(key: string, text: string): TaskHead {
  const head = JSON.parse(text) as TaskHead
  if (!key.endsWith(`/${head.taskId}`)) throw damaged(key, `it is the head of ${head.taskId}`)
  return head
}
