/** Answers of clients to questions whose own request has ended. */
import { CreateMessageResultSchema, ElicitResultSchema, type JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import { faultOf } from '../../../base/fault.js'
import { callerOf } from '../../access/caller.js'
import { isStoreAway } from '../../access/refusal.js'
import { answerInputs } from '../../tools/inputs.js'
import type { DurableBinding } from '../server/types.js'

// The SDK checks only answers to its own requests. These answers bypass it, so they are checked here.
const ANSWERS = z.union([ElicitResultSchema, CreateMessageResultSchema])

/**
 * Accepts an answer to a question that an earlier process asked, or that was asked again since. The answer counts if
 * the question is still open. Otherwise it is dropped.
 * @throws HoldfastError `STORE_UNAVAILABLE`, `CLOSED`. The client may send the answer again.
 */
export async function answerLate({ core }: DurableBinding, question: string, response: JSONRPCMessage): Promise<void> {
  const at = question.indexOf(':')
  if (at < 0 || !('result' in response)) return
  const [taskId, key] = [question.slice(0, at), question.slice(at + 1)]
  try {
    const answer = ANSWERS.parse(response.result)
    const scope = await core.scope('update', await callerOf(core.options), { taskId })
    await answerInputs(core, taskId, { [key]: answer }, scope)
  } catch (error) {
    if (isStoreAway(error)) throw error
    core.logger.debug('A late answer was dropped', { taskId, key, error: faultOf(error) })
  }
}
