/** A task in the words of 2025-11-25. Pure. */
import type { Task } from '@modelcontextprotocol/sdk/types.js'
import type { TaskView } from '../../../api/task-view.js'
import { isSettled } from '../../../task/head.js'
import { cleanText } from '../../access/clean-text.js'
import { clientWordsOf, parkedWordsOf } from '../../access/refusal.js'
import { type Answer, answerOf } from '../../tools/answer.js'
import type { StoreState } from './store-state.js'

/** Names this revision in what is stored for it. */
export const REVISION = '2025-11-25'

const STATUS_MESSAGE_BYTES_MAX = 500

/** What the view alone doesn't say. */
export interface TaskAbout {
  readonly pollIntervalMs: number
  /** True if a completed task's tool result says that the tool failed: this revision calls that task `failed`. */
  readonly isError: boolean
}

/** The task as clients see it. */
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

/** A task in the moment of its creation: it begins as `working`, however quick it is. */
export function projectNewTask(view: TaskView, pollIntervalMs: number): Task {
  const created: TaskView = { ...view, status: 'running', updatedAt: view.createdAt, outcome: undefined }
  return projectTask(
    { ...created, progress: undefined, parked: undefined, error: undefined },
    { pollIntervalMs, isError: false },
  )
}

/** A task without a body: it is as its server said. */
export function projectStoreTask(view: TaskView, state: StoreState | undefined, pollIntervalMs: number): Task {
  const task = projectTask(view, { pollIntervalMs: state?.pollIntervalMs ?? pollIntervalMs, isError: false })
  if (!state || view.status === 'cancelled') return task
  const { statusMessage } = state
  // What the server said of its end counts from the commit that settles it.
  const isLive = state.status === 'working' || state.status === 'input_required'
  const status = isLive && !isSettled(view.status) ? state.status : task.status
  return { ...task, status, ...(statusMessage === undefined ? {} : { statusMessage }) }
}

/** What clients are told of one that settled without a result. */
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
