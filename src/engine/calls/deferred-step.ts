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
import { newPendingRecord, type PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { attempt, type Ended, type StepTrial } from './attempt.js'
import { notDeferred, type StepCall } from './checked-step.js'
import { failCall, recordResult } from './record-result.js'
import { hasUndo, mayNotBegin, recorded, runStep, stepResultOf } from './step.js'

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
  if (mayNotBegin(run, asked)) {
    run.dropped(asked)
    return RESOLVED
  }
  const trial: StepTrial = { note: newPendingRecord(asked), isStored: false }
  return attempt(run, asked, step, trial).then((ended) => conclude(run, asked, trial, ended))
}

function conclude(run: Run, asked: PendingCall, trial: StepTrial, ended: Ended): Promise<void> | undefined {
  const { host, task, number } = run
  const onDisk = (record: NamedRecord) => recorded(run, asked, record)
  const isDropped = () => run.isOverFor(asked) || (ended.failed !== undefined && asked.aborted === true)
  const answer = () => stepResultOf(asked, trial, asked.startedAt ?? host.clock.now(), ended)
  if (!trial.pending && run.beginnings.mayDefer && !isDropped()) {
    try {
      const event = { kind: 'record', run: number, record: answer().record, progress: task.progress } as const
      const record = defer(host, task, event, onDisk)
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
    await trial.pending
    return isDropped() ? undefined : answer()
  }
  return recordResult(run, asked, act, onDisk)
}
