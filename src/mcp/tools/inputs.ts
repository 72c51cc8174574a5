/** What a task asks its client for, and the way of the answer back. The one place that knows how the engine says it. */
import type { TaskView } from '../../api/task-view.js'
import { HoldfastError } from '../../base/errors.js'
import { cleanText } from '../access/clean-text.js'
import type { Scope } from '../access/rights.js'
import type { McpCore } from './mcp-core.js'

const REASON_BYTES_MAX = 300
const RETRY_MS = 1_000

/** A question as a protocol sends it. */
export interface Question {
  readonly method: 'elicitation/create' | 'sampling/createMessage' | 'roots/list'
  readonly params: Record<string, unknown>
}

/** The client capability that each question needs. */
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

/** What a task asks for now, by key. */
export function questionsOf(view: TaskView): ReadonlyMap<string, Question> {
  const { inputRequests = {} } = view
  return new Map(
    Object.entries(inputRequests).flatMap(([key, { name, request }]) => [[key, questionOf(name, request)]]),
  )
}

/**
 * The question in a request of `task.input`: one of the protocol's, with `method` and `params`; the parameters of a
 * sampling or an elicitation alone; or anything else, which a person is asked for in words.
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
 * Hands an answer to the task. While the store is down it is tried again: a person answered, and will not be asked again.
 * @param onDown told that it could not be written yet
 * @returns whether the answer counts; a late or repeated one does not
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
 * The same for several at once. Keys that are not outstanding are ignored.
 * @returns whether any of the answers counts
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

/** Says that nobody can be asked: the task's `input` rejects with `INPUT_UNAVAILABLE`. */
export async function refuseInput(core: McpCore, taskId: string, key: string, why: string): Promise<void> {
  await core.binding.refuseInput(taskId, key, cleanText(why, REASON_BYTES_MAX), 'engine')
  core.hub.tell(taskId, { kind: 'changed' })
}
