/**
 * Runs one deferred step: calls its function once, decides the record, and hands it over at once. The next commit of the
 * task writes the record (engine/core/deferred-records.ts).
 *
 * deferred-4. Before the function of any other step, a question, a child, or the undoing of branches, the deferred records
 *     are on disk. So nothing outside the task is done because of a result that a crash takes back.
 * deferred-5. A step with a pending record or a saved state on disk is recorded like any other.
 */
import { defer } from '../core/deferred-records.js'
import type { Ended } from '../replay/outcome-of.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { hasUndo, notDeferred, type StepCall } from './checked-step.js'
import { commitResult, failCall, noteOnDisk, runCall } from './record-result.js'
import { runStep } from './step.js'
import { StepExecution } from './step-execution.js'

/** Marks the call of a deferred step for the run. */
export const DEFERRED = { isDeferred: true } as const

/** Refuses a deferred step with an undo, which needs a record of the begin. @throws TypeError */
export function refuseUndo(run: Run, step: StepCall): void {
  if (hasUndo(run, step)) throw notDeferred(step.name, 'an `undo` in its definition')
}

/** Runs a deferred step without a record in the log. Must not throw. */
export function runDeferredStep(run: Run, asked: PendingCall, step: StepCall): void {
  // An earlier run, whose code did not defer the step, left a pending record (deferred-5).
  if (run.noteOf(asked)) {
    runStep(run, asked, step)
    return
  }
  const execution = new StepExecution(run, asked, step, undefined)
  if (execution.mayNotBegin()) run.dropped(asked)
  else execution.attempt((ended) => conclude(run, asked, execution, ended))
}

/** Hands the result over at once if that is possible, and commits it otherwise. */
function conclude(run: Run, asked: PendingCall, execution: StepExecution, ended: Ended): void {
  if (execution.saving || execution.isDropped(ended) || !handOver(run, asked, execution, ended)) {
    runCall(run, asked, commitEnd(run, asked, execution, ended))
  }
}

/** Returns false if the record cannot be deferred. */
function handOver(run: Run, asked: PendingCall, execution: StepExecution, ended: Ended): boolean {
  const { host, task, number, beginnings } = run
  if (!beginnings.mayDefer) return false
  try {
    const { record: given } = execution.resultOf(ended)
    const event = { kind: 'record', run: number, record: given, progress: task.progress } as const
    const record = defer(host, task, event, (written) => noteOnDisk(run, asked, written))
    if (record) run.recorded(asked, record)
    return record !== undefined
  } catch (error) {
    failCall(run, asked, error)
    return true
  }
}

async function commitEnd(run: Run, asked: PendingCall, execution: StepExecution, ended: Ended): Promise<void> {
  if (execution.saving) await execution.saving
  if (!execution.isDropped(ended)) await commitResult(run, asked, execution.resultOf(ended))
}
