/** Checks what a client answers before a body gets it: a body trusts that an elicitation was accepted, or was not. */
import { isSpecType } from '@modelcontextprotocol/server'
import type { TaskView } from '../../../api/task-view.js'
import { invalidParams } from '../../access/refusal.js'
import { type Question, questionsOf } from '../../tools/inputs.js'

/** Answers by the keys of the questions. */
export type InputResponses = Readonly<Record<string, unknown>>

/**
 * The answers to what is outstanding; others are left out, since to be late or wrong about a key is no error.
 * @throws ProtocolError -32602 for one that does not fit its question: nothing is answered
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

/** The answers to what is outstanding and that fit it. */
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
