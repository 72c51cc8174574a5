/**
 * Decides the end of a task and the end of its clean-up. The outcome is fixed by the commit that settles the task. The
 * clean-up runs after it, has its own state, and never changes the outcome.
 *
 * settle-1. Children that have not ended are cleaned up after every outcome. Steps with an undo are undone after a
 *     failure, a cancel, a timeout and an expiry. `onCancel` runs after the last three.
 * - Settling a task ends its run. The clean-up has a run of its own, and only that run may write (commit-6).
 */

import { HoldfastError } from '../../base/errors.js'
import { bytesOf, grownCount } from '../byte-count.js'
import type { Change, TaskDecision } from '../changes.js'
import { cleanUpTally, settledTally } from '../counters.js'
import type { HeadDraft, TaskHead } from '../head.js'
import { bytesLeft } from '../head-codec.js'
import { failureCode, type TaskError } from '../log/outcome.js'
import { isUndoingOver, ON_CANCEL } from '../log/undo-record.js'
import { cutText } from '../names.js'
import type { EventOf } from '../task-event.js'
import { decide, type Entry } from './decide.js'
import { forgetAt } from './expiry.js'

const HEADLINE_BYTES_MAX = 400
// A clean-up may be parked: room for that in the head.
const PARKING_BYTES = 90

/** Reason of a clean-up that was given up before it ran. */
const NOT_RUN = 'NOT_RUN'

/** Decides the end of a task. @param head the head that the decision changes. @throws HoldfastError `TASK_IN_USE` */
export function settle(head: HeadDraft, event: EventOf<'settle'>, now: number): TaskDecision {
  const { outcome, by, stoppedBy, givesUp, movedAt } = event
  if (movedAt !== undefined && movedAt !== head.seq - 1) throw changedMeanwhile(head.taskId)
  const action = ({ result: 'completed', error: 'failed', cancelled: 'cancelled' } as const)[outcome.kind]
  const isPending = movedAt === undefined && needsCleanUp(head, event)
  const cleanUp = givesUp ? 'failed' : isPending ? 'pending' : 'none'
  const text = JSON.stringify(outcome)
  const from = head.status
  head.bytes = grownCount(head, bytesOf(text))
  head.status = action
  head.settledAt = now
  head.run++
  head.parked = undefined
  head.triedWith = undefined
  head.wakeAt = undefined
  head.listens = undefined
  head.hasNews = undefined
  head.attemptsBefore = undefined
  head.wantsAttempt = undefined
  head.inputs = undefined
  if (event.progress !== undefined) head.progress = event.progress
  head.stoppedBy = stoppedBy
  head.cleanUp = cleanUp
  head.cleanUpReason = givesUp ? NOT_RUN : undefined
  if (outcome.kind === 'error') head.error = headline(head, outcome.error)
  const why = outcome.kind === 'cancelled' ? outcome.reason : head.error?.code
  const entry: Entry = { at: now, action, from, to: action, by, why }
  const { owner, type, idempotencyKey: key } = head
  const at = forgetAt(head, event.retentionMs)
  const forget: Change[] =
    key === undefined || at === undefined ? [] : [{ kind: 'forget-key', at, scope: { owner, type, key } }]
  const tally = givesUp ? { ...settledTally(head), notCleanedUp: 1 } : settledTally(head)
  const { changes } = decide(head, entry, { kind: 'outcome', text }, ...forget)
  return { head, changes, tally }
}

function changedMeanwhile(taskId: string): HoldfastError {
  const message = `Task ${taskId} has changed since it was written to the file. It stays parked here; move it again`
  return new HoldfastError('TASK_IN_USE', message, { details: { taskId } })
}

/** True if children, undo records or an `onCancel` need a clean-up (settle-1). */
function needsCleanUp(head: TaskHead, { outcome, stoppedBy, onCancel }: EventOf<'settle'>): boolean {
  if (head.children !== undefined) return true
  if (outcome.kind === 'result') return false
  return head.intents !== undefined || (stoppedBy !== undefined && onCancel !== undefined && onCancel !== false)
}

/** Decides the change of an undo's state. The end of an undo gets an audit entry. */
export function decideUndo(head: TaskHead, { intent }: EventOf<'undo'>, now: number): TaskDecision {
  const change: Change = { kind: 'intent', intent }
  if (!isUndoingOver(intent) || intent.id === ON_CANCEL) return decide(head, undefined, change)
  const { name, number, undoing } = intent
  const why = number === 1 ? name : `${name} (number ${number})`
  const action = undoing?.doneAt === undefined ? 'undo-failed' : 'undone'
  return decide(head, { at: now, action, by: 'engine', why }, change)
}

/** Decides the end of a clean-up. */
export function cleanedUp(head: TaskHead, { failed }: EventOf<'cleaned-up'>, now: number): TaskDecision {
  const reason = failed === undefined ? undefined : cutText(failed, HEADLINE_BYTES_MAX)
  const action = reason === undefined ? 'cleaned-up' : 'clean-up-failed'
  const over: TaskHead = {
    ...head,
    parked: undefined,
    children: undefined,
    cleanUp: reason === undefined ? 'done' : 'failed',
    cleanUpReason: reason,
  }
  return { ...decide(over, { at: now, action, by: 'engine', why: reason }), tally: cleanUpTally(over) }
}

function headline(head: TaskHead, error: TaskError): NonNullable<TaskHead['error']> {
  const bare = { name: '', message: '', code: failureCode(error) }
  const left = bytesLeft({ ...head, error: bare }, 2 * HEADLINE_BYTES_MAX + PARKING_BYTES) - PARKING_BYTES
  const bytesMax = Math.max(0, Math.floor(left / 2))
  return { ...bare, name: cutText(error.name, bytesMax), message: cutText(error.message, bytesMax) }
}
