/**
 * Runs the function of a task of one function. Its result is the outcome of the task, and no record holds it: the commit that
 * settles the task is the record.
 *
 * function-task-1. Before that commit, a crash or a close runs the function again, under the same key. A retry of the task
 *     does too. After the commit it never runs again.
 * - The function begins under the conditions of a step: the store is up, no time limit of the task has passed, and the undo
 *     record is on disk if there is an undo. A close waits for the function as for one of a step.
 */
import { callIn, currentContext } from '../../base/empty-context.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import type { StepContext } from '../../task/definition/context.js'
import { FUNCTION_STEP } from '../../task/definition/definition.js'
import { ONE_ATTEMPT } from '../../task/definition/retry-options.js'
import { newPendingRecord, type PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { watched } from '../undo/undo-steps.js'
import { type AttemptState, contextOf, type StepTrial } from './attempt.js'
import type { StepCall } from './checked-step.js'
import { failCall } from './record-result.js'
import { beginNoted, hasUndo, mayNotBegin } from './step.js'

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
    (asked) => attemptOnce(run, asked, step).catch((error: unknown) => failCall(run, asked, error)),
  )
}

async function attemptOnce(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  const { task } = run
  const stored = run.noteOf(asked)
  if (stored && stored.id !== asked.ask.id) return run.dropped(asked)
  // The attempts are those of the task.
  const note = { ...(stored ?? newPendingRecord(asked)), failedAttempts: task.head.attempt - 1 }
  const trial: StepTrial = { note, isStored: stored !== undefined }
  if (hasUndo(run, step) && (await beginNoted(run, asked, step, trial)) === 'over') return run.dropped(asked)
  if (mayNotBegin(run, asked)) return run.dropped(asked)
  const state: AttemptState = { isOver: false }
  const aborter = new LazyAbort()
  asked.aborter = aborter
  const call = () => callIn(() => step.fn(contextOf(run, asked, trial, state, aborter)), step.context)
  const working = trial.intent ? watched(run.functions, asked.ask.id, call) : new Promise((resolve) => resolve(call()))
  asked.working = working
  const end = await working.then(
    (value) => () => asked.resolve(value),
    (thrown: unknown) => () => asked.reject(thrown),
  )
  state.isOver = true
  asked.working = undefined
  if (trial.pending) await trial.pending
  // The task was settled, or the engine closes.
  if (run.isOverFor(asked)) return run.dropped(asked)
  run.answeredAtEnd(asked)
  end()
}
