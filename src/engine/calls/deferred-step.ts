/**
 * Runs one deferred step: calls its function once, decides the record, and hands it over at once. The next commit of the
 * task writes the record (engine/core/deferred-records.ts).
 *
 * deferred-4. Before the function of any other step, a question, a child, or the undoing of branches, the deferred records
 *     are on disk. So nothing outside the task is done because of a result that a crash takes back.
 * deferred-5. A step with a pending record or a saved state on disk is recorded like any other.
 */
import type { NamedRecord } from '../../task/log/records.js'
import { defer } from '../core/deferred-records.js'
import type { Ended } from '../replay/outcome-of.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { notDeferred, type StepCall } from './checked-step.js'
import { failCall, recordResult } from './record-result.js'
import { recorded, runStep } from './step.js'
import { hasUndo, StepExecution } from './step-execution.js'

/** Marks the call of a deferred step for the run. */
export const DEFERRED = { isDeferred: true } as const

const RESOLVED = Promise.resolve()

/** Refuses a deferred step with an undo, which needs a record of the begin. @throws TypeError */
export function refuseUndo(run: Run, step: StepCall): void {
  if (hasUndo(run, step)) throw notDeferred(step.name, 'an `undo` in its definition')
}

/** Runs a deferred step without a record in the log. Never rejects. */
export function runDeferredStep(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  // An earlier run, whose code did not defer the step, left a pending record (deferred-5).
  if (run.noteOf(asked)) return runStep(run, asked, step)
  const execution = new StepExecution(run, asked, step, undefined)
  if (execution.mayNotBegin()) {
    run.dropped(asked)
    return RESOLVED
  }
  return execution.attempt().then((ended) => conclude(run, asked, execution, ended))
}

function conclude(run: Run, asked: PendingCall, execution: StepExecution, ended: Ended): Promise<void> | undefined {
  const { host, task, number } = run
  const onDisk = (record: NamedRecord) => recorded(run, asked, record)
  if (!execution.saving && run.beginnings.mayDefer && !execution.isDropped(ended)) {
    try {
      const { record: given } = execution.resultOf(ended)
      const record = defer(host, task, { kind: 'record', run: number, record: given, progress: task.progress }, onDisk)
      if (record) {
        run.recorded(asked, record)
        return undefined
      }
    } catch (error) {
      failCall(run, asked, error)
      return undefined
    }
  }
  const act = async () => {
    await execution.saving
    return execution.isDropped(ended) ? undefined : execution.resultOf(ended)
  }
  return recordResult(run, asked, act, onDisk)
}
