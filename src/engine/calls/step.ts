/**
 * Runs one step and commits its result. Most of the work of a task is ordinary steps: no pending record, no undo, no
 * `onInterrupted` that needs a committed begin. The first attempt of such a step and the commit of its result take one
 * promise. The rest is `StepExecution.attempts`.
 */
import type { Ended } from '../replay/outcome-of.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import type { StepCall } from './checked-step.js'
import { beginCommit, commitResult, runCall } from './record-result.js'
import { StepExecution } from './step-execution.js'

/** Runs a step without a record in the log, and records its result. Never throws. */
export function runStep(run: Run, asked: PendingCall, step: StepCall): void {
  const stored = run.noteOf(asked)
  const execution = new StepExecution(run, asked, step, stored)
  if (run.task.deferred || stored || execution.isNoted) runAttempts(run, asked, execution)
  else if (execution.mayNotBegin()) run.dropped(asked)
  else execution.attempt((ended) => conclude(run, asked, execution, ended))
}

/** Commits the result of the first attempt. If there is more to do, continues with `runAttempts`. */
function conclude(run: Run, asked: PendingCall, execution: StepExecution, ended: Ended): void {
  if (ended.failed || execution.saving) runAttempts(run, asked, execution, ended)
  else if (run.isOverFor(asked)) run.dropped(asked)
  else beginCommit(run, asked, execution.resultOf(ended))
}

/**
 * Runs the attempts of a step of any kind, and records its result. Never throws.
 * @param first the end of the first attempt, if the caller made that attempt
 */
function runAttempts(run: Run, asked: PendingCall, execution: StepExecution, first?: Ended): void {
  const recordAttempts = async () => {
    const result = await execution.attempts(first)
    if (result) await commitResult(run, asked, result)
  }
  runCall(run, asked, recordAttempts())
}
