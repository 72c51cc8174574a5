/**
 * Asks a client what a task asks for, on the stream of the request that waits for the task. A question that was asked
 * and not answered when the process died is asked again, under the same key, as soon as somebody waits again.
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

// A person may think for longer than the SDK's minute; the task's own timeout counts.
const TIMEOUT_MS = 2 ** 31 - 1

const RESULT_SCHEMAS = {
  'elicitation/create': ElicitResultSchema,
  'sampling/createMessage': CreateMessageResultSchema,
  'roots/list': ListRootsResultSchema,
} as const satisfies Record<Question['method'], unknown>

/** Whose questions, and to whom. */
export interface AskOptions {
  readonly durable: DurableBinding
  readonly attachment: Attachment
  readonly taskId: string
  readonly caller: Caller
  readonly extra: Extra
  /** A client that asked for no task doesn't know of one, and nobody else can answer for it. */
  readonly isInline: boolean
}

/** The questions that one request's client is asked. */
export class InputAsker {
  readonly #asked = new Map<string, AbortController>()

  constructor(private readonly options: AskOptions) {}

  /** Asks what is new, and takes back what somebody else has answered. */
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

  /** The request is over. */
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
      // Taken back, or the connection is over: that the client is gone is no answer of its.
      if (aborter.signal.aborted || this.options.extra.signal.aborted) return
      logger.debug('A question of a task was not answered', { taskId, key, error: faultOf(error) })
      // Another of the owner's clients may answer a task's question; an inline call has only this one.
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

/** Why a question was not answered, without what an error of the engine's says of the server's disk. */
function whyOf(error: unknown): string {
  return error instanceof HoldfastError ? clientWordsOf(error.code, error.message) : String(error)
}
