/** A task in the form of 2026-07-28. Pure. */
import type { TaskView } from '../../../api/task-view.js'
import { cleanText } from '../../../http/clean-text.js'
import { parkedWordsOf } from '../../access/refusal.js'
import type { Answer } from '../../tools/answer.js'
import { type Question, questionsOf } from '../../tools/inputs.js'
import type { ToolResult } from '../../tools/tool.js'

/** Name of this revision in records. */
export const REVISION = '2026-07-28'

const STATUS_MESSAGE_BYTES_MAX = 500

/** Fields of every task, in any status. */
interface TaskFields {
  readonly taskId: string
  readonly statusMessage?: string
  readonly createdAt: string
  readonly lastUpdatedAt: string
  readonly ttlMs: number | null
  readonly pollIntervalMs: number
}

/** A task with the fields of its status. */
export type DetailedTask = TaskFields &
  (
    | { readonly status: 'working' | 'cancelled' }
    | { readonly status: 'input_required'; readonly inputRequests: Readonly<Record<string, Question>> }
    | { readonly status: 'completed'; readonly result: ToolResult }
    | { readonly status: 'failed'; readonly error: Extract<Answer, { kind: 'error' }>['error'] }
  )

/** A task without the fields of its status: the answer to the call that created it. */
export type CreatedTask = TaskFields & { readonly status: DetailedTask['status'] }

/** Converts the view of an unfinished task. */
export function projectTask(view: TaskView, pollIntervalMs: number): DetailedTask {
  const fields = fieldsOf(view, pollIntervalMs, saidBy(view))
  if (view.status !== 'input_required') return { ...fields, status: 'working' }
  // Between an answer and the next question of the body, there is no open question.
  const inputRequests = Object.fromEntries(questionsOf(view))
  if (Object.keys(inputRequests).length === 0) return { ...fields, status: 'working' }
  return { ...fields, status: 'input_required', inputRequests }
}

/**
 * Converts the view of a settled task. `failed` is only for JSON-RPC errors. A tool result with `isError` is
 * `completed`, unlike in 2025-11-25.
 */
export function projectSettled(view: TaskView, answer: Answer, pollIntervalMs: number): DetailedTask {
  const fields = (said?: string) => fieldsOf(view, pollIntervalMs, said)
  if (view.status === 'cancelled') {
    return { ...fields(view.outcome?.kind === 'cancelled' ? view.outcome.reason : undefined), status: 'cancelled' }
  }
  if (answer.kind === 'error') return { ...fields(answer.error.message), status: 'failed', error: answer.error }
  // The official client accepts a result only with this field.
  return { ...fields(), status: 'completed', result: { ...answer.result, resultType: 'complete' } }
}

/** Converts a view to the task at its creation. Its status is `working`, even if the task has settled since. */
export function projectNewTask(view: TaskView, pollIntervalMs: number): CreatedTask {
  return { ...fieldsOf({ ...view, updatedAt: view.createdAt }, pollIntervalMs, undefined), status: 'working' }
}

function fieldsOf(view: TaskView, pollIntervalMs: number, said: string | undefined): TaskFields {
  return {
    taskId: view.taskId,
    ...(said === undefined ? {} : { statusMessage: cleanText(said, STATUS_MESSAGE_BYTES_MAX) }),
    createdAt: new Date(view.createdAt).toISOString(),
    lastUpdatedAt: new Date(view.updatedAt).toISOString(),
    ttlMs: view.ttl ?? null,
    pollIntervalMs,
  }
}

/** Status message of an unfinished task. This revision has no other field for the progress of a task. */
function saidBy({ parked, progress }: TaskView): string | undefined {
  if (parked) return `Waiting: ${parkedWordsOf(parked)}`
  if (!progress) return undefined
  const { done, total, message } = progress
  if (message !== undefined) return message
  if (done === undefined) return undefined
  return total === undefined ? `${done}` : `${done} of ${total}`
}
