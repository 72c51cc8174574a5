/** Checks the answers of a client before a body receives them. A body relies on the form of an answer. */
import { isSpecType } from '@modelcontextprotocol/server'
import type { TaskView } from '../../../api/task-view.js'
import { invalidParams } from '../../access/refusal.js'
import { type Question, questionsOf } from '../../tools/inputs.js'

/** Answers by the keys of their questions. */
export type InputResponses = Readonly<Record<string, unknown>>

/**
 * Selects the answers to open questions. Other answers are dropped, because a late answer or a wrong key is no error.
 * @throws ProtocolError -32602 for an answer that does not fit its question; then no answer is used
 */
export function answersTo(view: TaskView, responses: InputResponses): InputResponses {
  const questions = questionsOf(view)
  const known = Object.entries(responses).filter(([key]) => questions.has(key))
  for (const [key, answer] of known) {
    const question = questions.get(key) as Question
    if (!fits(question, answer)) {
      throw invalidParams(`The response to '${key.slice(0, 80)}' is no result of ${question.method}`)
    }
  }
  return Object.fromEntries(known)
}

/** Selects the answers to open questions that fit their question. */
export function fittingAnswersTo(view: TaskView, responses: InputResponses): InputResponses {
  const questions = questionsOf(view)
  return Object.fromEntries(
    Object.entries(responses).filter(([key, answer]) => {
      const question = questions.get(key)
      return question !== undefined && fits(question, answer)
    }),
  )
}

function fits({ method }: Question, answer: unknown): boolean {
  if (method === 'elicitation/create') return isSpecType.ElicitResult(answer)
  if (method === 'roots/list') return isSpecType.ListRootsResult(answer)
  return isSpecType.CreateMessageResult(answer) || isSpecType.CreateMessageResultWithTools(answer)
}
