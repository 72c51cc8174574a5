/** Checks what a client answers before a body gets it: a body trusts that an elicitation was accepted, or was not. */
import { isSpecType } from '@modelcontextprotocol/server'
import type { TaskView } from '../../engine/view.js'
import { type Question, questionsOf } from '../inputs.js'
import { invalidParams } from '../refusal.js'

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
    const { method } = questions.get(key) as Question
    const fits =
      method === 'elicitation/create'
        ? isSpecType.ElicitResult(answer)
        : isSpecType.CreateMessageResult(answer) || isSpecType.CreateMessageResultWithTools(answer)
    if (!fits) throw invalidParams(`The response to '${key.slice(0, 80)}' is no result of ${method}`)
  }
  return Object.fromEntries(known)
}
