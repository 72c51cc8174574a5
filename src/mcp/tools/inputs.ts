/** Questions of tasks to clients, and the answers. Converts between requests of `task.input` and the protocol. */
import type { TaskView } from '../../api/task-view.js'
import { HoldfastError } from '../../base/errors.js'
import { cleanText } from '../../http/clean-text.js'
import type { Scope } from '../access/rights.js'
import type { McpCore } from './mcp-core.js'

const REASON_BYTES_MAX = 300
const RETRY_MS = 1_000

/** A question in the form of the protocol. */
export interface Question {
  readonly method: 'elicitation/create' | 'sampling/createMessage' | 'roots/list'
  readonly params: Record<string, unknown>
}

/** Client capability that each question needs. */
const NEEDS = {
  'elicitation/create': 'elicitation',
  'sampling/createMessage': 'sampling',
  'roots/list': 'roots',
} as const satisfies Record<Question['method'], string>

/** True if a client with these capabilities can answer the question. */
export function canAnswer(
  capabilities: Partial<Record<(typeof NEEDS)[Question['method']], unknown>> | undefined,
  method: Question['method'],
): boolean {
  return capabilities?.[NEEDS[method]] !== undefined
}

/** Open questions of a task, by key. */
export function questionsOf(view: TaskView): ReadonlyMap<string, Question> {
  const { inputRequests = {} } = view
  return new Map(
    Object.entries(inputRequests).flatMap(([key, { name, request }]) => [[key, questionOf(name, request)]]),
  )
}

/**
 * Converts a request of `task.input` to a question. The request may be one of the protocol, with `method` and `params`,
 * or the parameters of a sampling or an elicitation. Any other request is asked as a question in words.
 */
function questionOf(name: string, request: unknown): Question {
  const given = (typeof request === 'object' && request !== null ? request : {}) as Record<string, unknown>
  const { method, params } = given
  if (typeof method === 'string' && Object.hasOwn(NEEDS, method)) {
    return { method: method as Question['method'], params: (params ?? {}) as Record<string, unknown> }
  }
  if ('messages' in given) return { method: 'sampling/createMessage', params: given }
  const message = typeof request === 'string' ? request : typeof given['message'] === 'string' ? given['message'] : name
  const { requestedSchema = ANSWER_IN_WORDS } = given
  return { method: 'elicitation/create', params: { ...given, message, requestedSchema } }
}

const ANSWER_IN_WORDS = { type: 'object', properties: { answer: { type: 'string' } }, required: ['answer'] }

/**
 * Passes an answer to the task. Tries again while the store is down, because a person who has answered is not asked
 * again.
 * @param onDown called if the answer could not be written yet
 * @returns true if the answer was accepted; false for a late or repeated one
 */
export async function answerInput(
  core: McpCore,
  taskId: string,
  key: string,
  answer: unknown,
  scope: Scope,
  onDown: (error: HoldfastError) => void = () => {},
): Promise<boolean> {
  const { accepted } = await core.holdfast.respond(taskId, { [key]: answer }, scope).catch(async (error: unknown) => {
    if (!(error instanceof HoldfastError && error.code === 'STORE_UNAVAILABLE')) throw error
    onDown(error)
    const { clock } = core.binding
    await new Promise<void>(
      (resolve) => void clock.setTimer(clock.now() + RETRY_MS, resolve, { background: true, elapsed: true }),
    )
    return { accepted: (await answerInput(core, taskId, key, answer, scope)) ? [key] : [] }
  })
  core.hub.tell(taskId, { kind: 'changed' })
  return accepted.includes(key)
}

/**
 * Passes several answers to the task at once. Keys without an open question are ignored.
 * @returns true if any of the answers was accepted
 */
export async function answerInputs(
  core: McpCore,
  taskId: string,
  answers: Readonly<Record<string, unknown>>,
  scope: Scope,
): Promise<boolean> {
  const { accepted } = await core.holdfast.respond(taskId, answers, scope)
  if (accepted.length > 0) core.hub.tell(taskId, { kind: 'changed' })
  return accepted.length > 0
}

/** Refuses an input that no client can answer: the task's `input` rejects with `INPUT_UNAVAILABLE`. */
export async function refuseInput(core: McpCore, taskId: string, key: string, why: string): Promise<void> {
  await core.binding.refuseInput(taskId, key, cleanText(why, REASON_BYTES_MAX), 'engine')
  core.hub.tell(taskId, { kind: 'changed' })
}
