/**
 * Runs one call of `input`: requests the input, waits for the answer or the timeout, and records the first of the two.
 */
import { HoldfastError } from '../../base/errors.js'
import { describeError } from '../../task/log/outcome.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { askAndWait, type InputQuestion } from './question.js'
import { commitResult } from './record-result.js'

/** Requests an input and records the answer. */
export async function runInput(run: Run, asked: PendingCall, question: InputQuestion): Promise<void> {
  const note = run.noteOf(asked) ?? newPendingRecord(asked)
  if (note.id !== asked.ask.id) return
  await askAndWait(run, asked, note, question, (answered, answer) => {
    const { key = '', requestedAt: startedAt = 0, refused } = answered.input ?? {}
    const failure =
      refused === undefined
        ? answer === undefined && tooLate(run.task.taskId, key)
        : unavailable(run.task.taskId, key, refused)
    const end = failure ? { failed: describeError(failure) } : { value: answer === '' ? undefined : answer }
    const record = { kind: 'input', ...placeOf(asked), startedAt, key, ...end } as const
    return commitResult(run, asked, { record, beside: { ended: [answered] } })
  })
}

function unavailable(taskId: string, key: string, why: string): HoldfastError {
  return new HoldfastError('INPUT_UNAVAILABLE', `Input '${key}' of task ${taskId} cannot be requested: ${why}`, {
    details: { taskId, key },
  })
}

function tooLate(taskId: string, key: string): HoldfastError {
  return new HoldfastError('INPUT_TIMEOUT', `Input '${key}' of task ${taskId} was not answered in time`, {
    details: { taskId, key },
  })
}
