/** Views of a task for callers. */

import { readConsistentOutcome } from '../engine/core/consistent-read.js'
import type { Engine } from '../engine/core/engine.js'
import { readPendingRecords, readUndoRecords } from '../store/reads.js'
import type { TaskAttributes } from '../task/attributes.js'
import { deadlineOf } from '../task/decisions/expiry.js'
import {
  attributesOf,
  type Durability,
  isSettled,
  type Parked,
  type Progress,
  type TaskHead,
  type TaskStatus,
} from '../task/head.js'
import type { Outcome } from '../task/log/outcome.js'
import { type AskedInput, isOutstanding } from '../task/log/pending-record.js'
import { ON_CANCEL, type UndoRecord } from '../task/log/undo-record.js'

/** A task as `get` and `list` show it. Instants are milliseconds since the epoch. */
export interface TaskView {
  readonly taskId: string
  readonly type: string
  /** `session` for a task without a body, driven from outside. */
  readonly kind: 'body' | 'session'
  readonly version: string | undefined
  readonly owner: string | undefined
  readonly status: TaskStatus
  /** Title for people. */
  readonly title: string | undefined
  /** Attributes by name; `undefined` for a task without any. */
  readonly attributes: TaskAttributes | undefined
  /** `buffered` if any of it was written without waiting for the disk. */
  readonly durability: Durability
  readonly createdAt: number
  readonly updatedAt: number
  /** Start of the first run. */
  readonly startedAt: number | undefined
  readonly settledAt: number | undefined
  /**
   * Time that the task is kept, in milliseconds from its creation. Unfinished after it, the task fails with `EXPIRED`;
   * settled, it is deleted. `undefined` for a task without one.
   */
  readonly ttl: number | undefined
  /** Instant at which an unfinished task fails with `TIMEOUT`. */
  readonly deadlineAt: number | undefined
  /** Order among the waiting tasks of its owner: from -100 to 100, higher ones first. */
  readonly priority: number
  readonly attempt: number
  /** Number of completed steps. */
  readonly completedSteps: number
  /**
   * For a fork: the task that it continues, and the number of the last record that was copied. `undefined` for any
   * other task.
   */
  readonly forkedFrom: { readonly taskId: string; readonly at: number } | undefined
  /** Last reported progress. */
  readonly progress: Progress | undefined
  /** Reason for which a parked task cannot continue. */
  readonly parked: Parked | undefined
  /** The task that started this one as its child. */
  readonly parentId: string | undefined
  /** State of the clean-up after the task settled: children, undos, `onCancel`. The outcome does not depend on it. */
  readonly cleanUp: 'none' | 'pending' | 'done' | 'failed'
  /** Reason for which the clean-up failed: `NOT_RUN` for a parked task that was cancelled with `force`. */
  readonly cleanUpReason: string | undefined
  /** Error of a failed task: name, message and code, without the stack. */
  readonly error: TaskHead['error']
  /** Outcome of a settled task; `get` only. */
  readonly outcome?: Outcome | undefined
  /** Open inputs by key, while the task is `input_required`; `get` only. */
  readonly inputRequests?: Readonly<Record<string, InputRequest>> | undefined
  /** Steps whose undo has run or will run, the newest first; `get` only, and only if there are any. */
  readonly undone?: readonly UndoneStep[] | undefined
}

/** An open input of a task. */
export interface InputRequest extends Omit<AskedInput, 'key' | 'answer'> {}

/** A step that has an undo, of a task that did not complete. */
export interface UndoneStep {
  readonly step: string
  /** Number of the step among those of its name in its segment, from 1. */
  readonly number: number
  /** State of the undo. `failed` if it has no attempts left, or the clean-up ended before it. */
  readonly state: 'pending' | 'undone' | 'failed'
  /** Number of failed attempts of the undo. */
  readonly failedAttempts: number
  /** Last error of the undo; `NOT_RUN` for an undo that never ran and never will. */
  readonly error?: string | undefined
}

/**
 * Makes the view of a head, with the newest progress in memory. A parked task that is being tried again is shown
 * without its reason.
 */
export function viewOf(
  head: TaskHead,
  live: { readonly progress?: Progress | undefined; readonly recovery: { readonly isRetrying: boolean } } | undefined,
): TaskView {
  return {
    taskId: head.taskId,
    type: head.type,
    kind: head.kind,
    version: head.version,
    owner: head.owner,
    status: head.status,
    title: head.title,
    attributes: shownAttributes(head),
    durability: head.durability,
    createdAt: head.createdAt,
    updatedAt: head.updatedAt,
    startedAt: head.startedAt,
    settledAt: head.settledAt,
    ttl: head.ttlMs,
    deadlineAt: deadlineOf(head),
    priority: head.priority ?? 0,
    attempt: head.attempt,
    completedSteps: head.completedSteps,
    forkedFrom: head.forkedFrom && { taskId: head.forkedFrom.taskId, at: head.forkedFrom.at },
    progress: live?.progress ?? head.progress,
    parked: live?.recovery.isRetrying ? undefined : head.parked,
    parentId: head.parentId,
    cleanUp: head.cleanUp,
    cleanUpReason: head.cleanUpReason,
    error: head.error,
  }
}

function shownAttributes(head: TaskHead): TaskAttributes | undefined {
  const attributes = attributesOf(head)
  return attributes && Object.keys(attributes).length > 0 ? attributes : undefined
}

/** Makes the view with the records stored apart from the head: outcome, open inputs, undone steps. */
export async function wholeViewOf(engine: Pick<Engine, 'store' | 'tasks'>, head: TaskHead): Promise<TaskView> {
  const { store, tasks } = engine
  const view = viewOf(head, tasks.get(head.taskId))
  const { taskId, status } = head
  if (isSettled(status)) {
    const outcome = await readConsistentOutcome(engine, head)
    const undoes = head.intents !== undefined && status !== 'completed'
    const intents = undoes ? await store.read((level) => readUndoRecords(level, taskId)) : []
    const undone = intents.filter(({ id }) => id !== ON_CANCEL).map((intent) => undoneStep(intent, head))
    return { ...view, outcome, ...(undone.length > 0 ? { undone } : {}) }
  }
  if (head.inputs === undefined) return view
  const notes = [...(await store.read((level) => readPendingRecords(level, taskId))).values()].filter(isOutstanding)
  const asked = notes.map(({ input }) => input as AskedInput)
  asked.sort((one, other) => one.requestedAt - other.requestedAt)
  const inputRequests = Object.fromEntries(asked.map(({ key, answer: _, ...request }) => [key, request]))
  return { ...view, inputRequests }
}

function undoneStep({ name: step, number, undoing }: UndoRecord, { cleanUp, cleanUpReason }: TaskHead): UndoneStep {
  const { doneAt, failedAt, failedAttempts = 0, error } = undoing ?? {}
  if (doneAt !== undefined) return { step, number, state: 'undone', failedAttempts, error }
  // A clean-up that failed runs no more undos.
  const isOver = failedAt !== undefined || cleanUp === 'failed'
  const why = failedAt === undefined && isOver ? (error ?? cleanUpReason) : error
  return { step, number, state: isOver ? 'failed' : 'pending', failedAttempts, error: why }
}
