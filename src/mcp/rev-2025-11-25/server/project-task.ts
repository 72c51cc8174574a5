/** A task in the form of 2025-11-25. Pure. */
import type { Task } from '@modelcontextprotocol/sdk/types.js'
import type { TaskView } from '../../../api/task-view.js'
import { cleanText } from '../../../http/clean-text.js'
import { isSettled } from '../../../task/head.js'
import { clientWordsOf, parkedWordsOf } from '../../access/refusal.js'
import { type Answer, answerOf } from '../../tools/answer.js'
import type { StoreState } from './store-state.js'

/** Name of this revision in records. */
export const REVISION = '2025-11-25'

const STATUS_MESSAGE_BYTES_MAX = 500

/** Facts about a task that its view does not contain. */
export interface TaskAbout {
  readonly pollIntervalMs: number
  /** True if the tool result of a completed task has `isError`. In this revision, such a task is `failed`. */
  readonly isError: boolean
}

/** Converts a view to a task of the protocol. */
export function projectTask(view: TaskView, { pollIntervalMs, isError }: TaskAbout): Task {
  const said = statusMessageOf(view)
  return {
    taskId: view.taskId,
    status: statusOf(view, isError),
    ttl: view.ttl ?? null,
    createdAt: new Date(view.createdAt).toISOString(),
    lastUpdatedAt: new Date(view.updatedAt).toISOString(),
    pollInterval: pollIntervalMs,
    ...(said === undefined ? {} : { statusMessage: cleanText(said, STATUS_MESSAGE_BYTES_MAX) }),
  }
}

/** Converts a view to the task at its creation. Its status is `working`, even if the task has settled since. */
export function projectNewTask(view: TaskView, pollIntervalMs: number): Task {
  const created: TaskView = { ...view, status: 'running', updatedAt: view.createdAt, outcome: undefined }
  return projectTask(
    { ...created, progress: undefined, parked: undefined, error: undefined },
    { pollIntervalMs, isError: false },
  )
}

/** Converts the view of a task without a body. Its status is the one that the server set. */
export function projectStoreTask(view: TaskView, state: StoreState | undefined, pollIntervalMs: number): Task {
  const task = projectTask(view, { pollIntervalMs: state?.pollIntervalMs ?? pollIntervalMs, isError: false })
  if (!state || view.status === 'cancelled') return task
  const { statusMessage } = state
  // A final status of the server counts only after the commit that settles the task.
  const isLive = state.status === 'working' || state.status === 'input_required'
  const status = isLive && !isSettled(view.status) ? state.status : task.status
  return { ...task, status, ...(statusMessage === undefined ? {} : { statusMessage }) }
}

/** The client's answer of a task that settled without a stored result. */
export function storeAnswer(view: TaskView): Answer {
  const { outcome, taskId, error } = view
  if (outcome?.kind === 'cancelled') return answerOf(outcome, taskId)
  const message =
    outcome?.kind === 'error' ? (error?.message ?? 'The task failed') : `Task ${taskId} has no result stored`
  return { kind: 'error', error: { code: -32_603, message, data: { taskId } } }
}

function statusOf({ status }: TaskView, isError: boolean): Task['status'] {
  if (status === 'pending' || status === 'running') return 'working'
  return status === 'completed' && isError ? 'failed' : status
}

function statusMessageOf({ status, parked, progress, error, outcome }: TaskView): string | undefined {
  if (parked) return `Waiting: ${parkedWordsOf(parked)}`
  if (status === 'failed') return error && clientWordsOf(error.code, error.message)
  if (status === 'cancelled') return outcome?.kind === 'cancelled' ? outcome.reason : undefined
  if (!progress) return undefined
  const { done, total, message } = progress
  if (message !== undefined) return message
  if (done === undefined) return undefined
  return total === undefined ? `${done}` : `${done} of ${total}`
}
