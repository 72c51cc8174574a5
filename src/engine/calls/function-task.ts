/**
 * Runs the function of a task of one function. Its result is the outcome of the task, and no record holds it: the commit that
 * settles the task is the record.
 *
 * function-task-1. Before that commit, a crash or a close runs the function again, under the same key. A retry of the task
 *     does too. After the commit it never runs again.
 * - The function begins under the conditions of a step: the store is up, no time limit of the task has passed, and the undo
 *     record is on disk if there is an undo. A close waits for the function as for one of a step.
 */
import { currentContext } from '../../base/empty-context.js'
import type { StepContext } from '../../task/definition/context.js'
import { FUNCTION_STEP } from '../../task/definition/definition.js'
import { ONE_ATTEMPT } from '../../task/definition/retry-options.js'
import { newPendingRecord, type PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import type { StepCall } from './checked-step.js'
import { runCall } from './record-result.js'
import { StepExecution } from './step-execution.js'

type TaskFunction = (input: never, step: StepContext) => unknown

/** Calls the function. The promise settles as the function does, and stays pending if the run is over. */
export function runFunction(run: Run, fn: TaskFunction, input: unknown): Promise<unknown> {
  if (run.definition.undo) run.stepNames.add(FUNCTION_STEP)
  const step: StepCall = {
    name: FUNCTION_STEP,
    fn: (context) => fn(input as never, context),
    retry: ONE_ATTEMPT,
    timeoutMs: undefined,
    onInterrupted: 'retry',
    isDeferred: false,
    context: currentContext(),
  }
  return run.ask(
    () => run.history.askNamed('step', FUNCTION_STEP),
    (asked) => runCall(run, asked, attemptOnce(run, asked, step)),
  )
}

async function attemptOnce(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  const stored = run.noteOf(asked)
  if (stored && stored.id !== asked.ask.id) return
  // The attempts are those of the task.
  const note = { ...(stored ?? newPendingRecord(asked)), failedAttempts: run.task.head.attempt - 1 }
  const execution = new StepExecution(run, asked, step, stored, note)
  if (execution.isNoted && (await execution.begin()).kind === 'over') return
  if (execution.mayNotBegin()) return
  const attempt = execution.newAttempt()
  const ended = await execution.callOnce(attempt).then(
    (value) => ({ value }),
    (thrown: unknown) => ({ thrown }),
  )
  execution.endAttempt(attempt, ended)
  if (execution.saving) await execution.saving
  // The task was settled, or the engine closes.
  if (run.isOverFor(asked)) return
  run.answeredAtEnd(asked)
  if ('thrown' in ended) asked.reject(ended.thrown)
  else asked.resolve(ended.value)
}
