/**
 * Turns the changes of a decision into operations of one batch: keys to put and keys to delete. Only this file makes
 * the records of a task. The keys are those of `layout.ts`.
 */

import type { Change, TaskDecision } from '../task/changes.js'
import { sweepAt } from '../task/decisions/expiry.js'
import { HEAD_BYTES_MAX, isLive, isSettled, type TaskHead } from '../task/head.js'
import {
  decodeMovingPart,
  encodeFixedPart,
  encodeMovingPart,
  isStoredInline,
  joinParts,
  limitedBytes,
  type MovingPart,
  splitValue,
  withValue,
} from '../task/head-codec.js'
import { encodePendingRecord } from '../task/log/pending-record.js'
import { encodeUndoRecord } from '../task/log/undo-record.js'
import type { NewAuditEntry } from './audit.js'
import type { Operation } from './disk/layout.js'
import {
  checkpointKey,
  doneKey,
  droppedKey,
  idempotencyKey,
  inputKey,
  inputKeyKey,
  intentKey,
  lastPart,
  liveKey,
  logKey,
  messageKey,
  messageKeyKey,
  noteKey,
  outcomeKey,
  patchKey,
  settledKey,
  stateKey,
  taskKey,
  timerKey,
} from './disk/layout.js'
import { damaged, seal, unseal } from './integrity/envelope.js'
import { indexEntriesOf } from './settled-index.js'

/** Content of a commit: operations, and the audit entries that get their key with the number of the commit. */
export interface Writes {
  readonly operations: Operation[]
  readonly entries: NewAuditEntry[] | undefined
}

/** The content of the commit of `decision`. */
export function toWrites(decision: TaskDecision): Writes {
  const operations: Operation[] = []
  const about = { task: decision.head, outcomeText: inlineOutcomeOf(decision) }
  let entries: NewAuditEntry[] | undefined
  for (const change of decision.changes) {
    if (change.kind === 'audit') {
      entries ??= []
      entries.push(entryOf(decision.head, change))
    } else add(operations, about, change)
  }
  return { operations, entries }
}

function entryOf({ taskId, type }: TaskHead, change: Extract<Change, { kind: 'audit' }>): NewAuditEntry {
  // Field by field, since a copy by spread gives each entry a shape of its own.
  const { at, action, from, to, by, why } = change.entry
  return { taskId: change.taskId ?? taskId, type, at, action, from, to, by, why }
}

/** The outcome, if it is stored with the head. The head of a task with a clean-up is written again, without the outcome. */
function inlineOutcomeOf({ head, changes }: TaskDecision): string | undefined {
  if (isLive(head)) return undefined
  const outcome = changes.find((change) => change.kind === 'outcome')
  return outcome && isStoredInline(outcome.text) ? outcome.text : undefined
}

interface About {
  readonly task: TaskHead
  readonly outcomeText: string | undefined
}

function add(operations: Operation[], { task, outcomeText }: About, change: Exclude<Change, { kind: 'audit' }>): void {
  const { taskId, seq } = task
  const put = (key: string, body: string) => operations.push({ key, value: seal(key, seq, body) })
  switch (change.kind) {
    case 'head': {
      if (isLive(change.head)) return void put(liveKey(taskId), encodeLiveHead(change.head))
      operations.push({ key: liveKey(taskId) })
      put(doneKey(taskId), withValue(encodeMovingPart(change.head), outcomeText))
      for (const { key, body } of indexEntriesOf(change.head)) put(key, body)
      return void put(sweepKeyOf(change.head), '')
    }
    case 'task': {
      const { inputText } = change
      const isInline = inputText !== undefined && isStoredInline(inputText)
      put(taskKey(taskId), withValue(encodeFixedPart(task), isInline ? inputText : undefined))
      if (inputText !== undefined && !isInline) put(inputKey(taskId), inputText)
      return
    }
    case 'outcome':
      if (outcomeText === undefined) put(outcomeKey(taskId), change.text)
      return
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
  }
}

/**
 * Key that leads the sweeper to a settled task, written with its head: a timer, or the instant of settling if there is
 * no `ttl`.
 */
export function sweepKeyOf(head: TaskHead): string {
  const at = sweepAt(head, undefined)
  return at === undefined ? settledKey(head.settledAt ?? 0, head.taskId) : timerKey(at, 'sweep', head.taskId)
}

function encodeLiveHead(head: TaskHead): string {
  const text = encodeMovingPart(head)
  // A settled head also holds the error, and is not written with every step. So the limit does not apply.
  if (!isSettled(head.status) && text.length > HEAD_BYTES_MAX / 3) {
    const bytes = limitedBytes(head, text)
    if (bytes > HEAD_BYTES_MAX) {
      throw new RangeError(`The head of task ${head.taskId} takes ${bytes} bytes; ${HEAD_BYTES_MAX} fit`)
    }
  }
  return text
}

/**
 * The head of a task, from both of its parts.
 * @param key of the moving part: `live/<taskId>` or `done/<taskId>`
 * @param fixedText what `task/<taskId>` has; `undefined` if it is missing
 * @throws HoldfastError `RECORD_DAMAGED` naming the key
 */
export function decodeHead(key: string, text: string, fixedText: string | undefined, taskId?: string): TaskHead {
  return withFixedPart(decodeMoving(key, text, taskId), fixedText)
}

/** The moving part of the head that was read under `key`. @throws HoldfastError `RECORD_DAMAGED` naming the key */
export function decodeMoving(key: string, text: string, taskId = lastPart(key)): MovingPart {
  const { seq, body } = unseal(key, text)
  const moving = decodeMovingPart(taskId, seq, splitValue(body).part)
  if (!moving) throw damaged(key, 'it is no head')
  return moving
}

/** The head with this moving part. @throws HoldfastError `RECORD_DAMAGED` naming the key of the fixed part */
export function withFixedPart(moving: MovingPart, fixedText: string | undefined): TaskHead {
  const key = taskKey(moving.taskId)
  if (fixedText === undefined) throw damaged(key, 'it is missing')
  return joinParts(moving, splitValue(unseal(key, fixedText).body).part)
}
