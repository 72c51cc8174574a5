/** A task in the words of 2025-11-25. Pure. */
import type { Task } from '@modelcontextprotocol/sdk/types.js'
import type { TaskView } from '../../engine/view.js'
import { cleanText } from '../text.js'

/** Names this revision in what is stored for it. */
export const ERA = '2025-11-25'

const STATUS_MESSAGE_BYTES_MAX = 500

/** What the view alone doesn't say. */
export interface TaskAbout {
  readonly pollIntervalMs: number
  /** Whether a completed task's tool result says that the tool failed: this revision calls that task `failed`. */
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

function statusOf({ status }: TaskView, isError: boolean): Task['status'] {
  if (status === 'pending' || status === 'running') return 'working'
  return status === 'completed' && isError ? 'failed' : status
}

function statusMessageOf({ status, parked, progress, error, outcome }: TaskView): string | undefined {
  if (parked) return `Waiting: ${parked.code}: ${parked.reason}`
  if (status === 'failed') return error?.message
  if (status === 'cancelled') return outcome?.kind === 'cancelled' ? outcome.reason : undefined
  if (!progress) return undefined
  const { done, total, message } = progress
  if (message !== undefined) return message
  if (done === undefined) return undefined
  return total === undefined ? `${done}` : `${done} of ${total}`
}
