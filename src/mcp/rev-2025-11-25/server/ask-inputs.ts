/**
 * Asks a client the open questions of a task, on the stream of the request that waits for the task. A question that was
 * unanswered when the process crashed is asked again, under the same key, as soon as a client waits for the task again.
 */
import {
  CreateMessageResultSchema,
  ElicitResultSchema,
  ListRootsResultSchema,
  RELATED_TASK_META_KEY,
} from '@modelcontextprotocol/sdk/types.js'
import type { TaskView } from '../../../api/task-view.js'
import { HoldfastError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import type { Caller } from '../../access/caller.js'
import { clientWordsOf } from '../../access/refusal.js'
import { answerInput, canAnswer, type Question, questionsOf, refuseInput } from '../../tools/inputs.js'
import { INPUT_META, questionId } from './transport.js'
import type { Attachment, DurableBinding, Extra } from './types.js'

// A person may need longer than the SDK's minute. The timeout of the task applies.
const TIMEOUT_MS = 2 ** 31 - 1

const RESULT_SCHEMAS = {
  'elicitation/create': ElicitResultSchema,
  'sampling/createMessage': CreateMessageResultSchema,
  'roots/list': ListRootsResultSchema,
} as const satisfies Record<Question['method'], unknown>

/** The task, its client and the request on which to ask. */
export interface AskOptions {
  readonly durable: DurableBinding
  readonly attachment: Attachment
  readonly taskId: string
  readonly caller: Caller
  readonly extra: Extra
  /** True for a call without a task. Its client does not know the task, so no other client can answer. */
  readonly isInline: boolean
}

/** Asks the questions of a task within one request. */
export class InputAsker {
  readonly #asked = new Map<string, AbortController>()

  constructor(private readonly options: AskOptions) {}

  /** Asks new questions, and withdraws those that another client has answered. */
  look(view: TaskView): void {
    const questions = questionsOf(view)
    for (const [key, aborter] of this.#asked) {
      if (questions.has(key)) continue
      this.#asked.delete(key)
      aborter.abort('It was answered elsewhere')
    }
    for (const [key, question] of questions) {
      if (!this.#asked.has(key)) void this.#ask(key, question)
    }
  }

  /** Withdraws all questions, because the request is over. */
  stop(): void {
    for (const aborter of this.#asked.values()) aborter.abort('The request is over')
    this.#asked.clear()
  }

  async #ask(key: string, question: Question): Promise<void> {
    const { durable, taskId, caller, isInline, attachment } = this.options
    const aborter = new AbortController()
    this.#asked.set(key, aborter)
    const { logger } = durable.core
    let failure: unknown
    try {
      if (!canAnswer(attachment.server.getClientCapabilities(), question.method)) {
        if (isInline) await refuseInput(durable.core, taskId, key, `The client can't answer ${question.method}`)
        return
      }
      const answer = await this.#send(key, question, aborter.signal)
      const scope = await durable.core.scope('update', caller, { taskId })
      const tell = (error: unknown) => attachment.transport?.answered(questionId(taskId, key), error)
      await answerInput(durable.core, taskId, key, answer, scope, tell)
    } catch (error) {
      failure = error
      // The question was withdrawn, or the connection is over. Neither is an answer of the client.
      if (aborter.signal.aborted || this.options.extra.signal.aborted) return
      logger.debug('A question of a task was not answered', { taskId, key, error: faultOf(error) })
      // Another client of the owner may answer a question of a task. An inline call has only this client.
      if (isInline) await refuseInput(durable.core, taskId, key, whyOf(error)).catch(() => {})
    } finally {
      attachment.transport?.answered(questionId(taskId, key), failure)
    }
  }

  #send(key: string, { method, params }: Question, signal: AbortSignal): Promise<unknown> {
    const { extra, taskId, isInline } = this.options
    const related = isInline ? {} : { [RELATED_TASK_META_KEY]: { taskId } }
    const _meta = { ...(params['_meta'] as object | undefined), ...related, [INPUT_META]: questionId(taskId, key) }
    return extra.sendRequest({ method, params: { ...params, _meta } } as never, RESULT_SCHEMAS[method] as never, {
      signal,
      timeout: TIMEOUT_MS,
    })
  }
}

/** Reason for which a question was not answered. Details about the server's disk are left out. */
function whyOf(error: unknown): string {
  return error instanceof HoldfastError ? clientWordsOf(error.code, error.message) : String(error)
}
