/** A task in the words of 2026-07-28. Pure. */
import type { TaskView } from '../../../api/task-view.js'
import { cleanText } from '../../access/clean-text.js'
import { parkedWordsOf } from '../../access/refusal.js'
import type { Answer } from '../../tools/answer.js'
import { type Question, questionsOf } from '../../tools/inputs.js'
import type { ToolResult } from '../../tools/tool.js'

/** Names this revision in what is stored for it. */
export const REVISION = '2026-07-28'

const STATUS_MESSAGE_BYTES_MAX = 500

/** What every task has, whatever its status. */
export interface TaskFields {
  readonly taskId: string
  readonly statusMessage?: string
  readonly createdAt: string
  readonly lastUpdatedAt: string
  readonly ttlMs: number | null
  readonly pollIntervalMs: number
}

/** A task, with everything that belongs to its status. */
export type DetailedTask = TaskFields &
  (
    | { readonly status: 'working' | 'cancelled' }
    | { readonly status: 'input_required'; readonly inputRequests: Readonly<Record<string, Question>> }
    | { readonly status: 'completed'; readonly result: ToolResult }
    | { readonly status: 'failed'; readonly error: Extract<Answer, { kind: 'error' }>['error'] }
  )

/** The task without what belongs to its status: the answer to the call that created it. */
export type CreatedTask = TaskFields & { readonly status: DetailedTask['status'] }

/** An unfinished task. */
export function projectTask(view: TaskView, pollIntervalMs: number): DetailedTask {
  const fields = fieldsOf(view, pollIntervalMs, saidBy(view))
  if (view.status !== 'input_required') return { ...fields, status: 'working' }
  // Between the answer and the body that goes on with it nothing is asked for, and nothing is to be answered.
  const inputRequests = Object.fromEntries(questionsOf(view))
  if (Object.keys(inputRequests).length === 0) return { ...fields, status: 'working' }
  return { ...fields, status: 'input_required', inputRequests }
}

/**
 * A task that is settled. `failed` is for errors of JSON-RPC alone; a tool that says that it failed has completed, which
 * is the opposite of 2025-11-25.
 */
export function projectSettled(view: TaskView, answer: Answer, pollIntervalMs: number): DetailedTask {
  const fields = (said?: string) => fieldsOf(view, pollIntervalMs, said)
  if (view.status === 'cancelled') {
    return { ...fields(view.outcome?.kind === 'cancelled' ? view.outcome.reason : undefined), status: 'cancelled' }
  }
  if (answer.kind === 'error') return { ...fields(answer.error.message), status: 'failed', error: answer.error }
  // The official client takes no result without it for one.
  return { ...fields(), status: 'completed', result: { ...answer.result, resultType: 'complete' } }
}

/** A task in the moment of its creation: it begins as `working`, however quick it is. */
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

/** Progress travels as the status message: this revision has no other way for a task's. */
function saidBy({ parked, progress }: TaskView): string | undefined {
  if (parked) return `Waiting: ${parkedWordsOf(parked)}`
  if (!progress) return undefined
  const { done, total, message } = progress
  if (message !== undefined) return message
  if (done === undefined) return undefined
  return total === undefined ? `${done}` : `${done} of ${total}`
}
