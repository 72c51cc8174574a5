/**
 * Runs one step and commits its result. Most of the work of a task is ordinary steps: no pending record, no undo, no
 * `onInterrupted` that needs a committed begin. The first attempt of such a step and the commit of its result take few
 * promises. The rest is `StepExecution.attempts` and `recordResult`.
 */
import type { NamedRecord } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import type { Ended } from '../replay/outcome-of.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import type { StepCall } from './checked-step.js'
import { type CallResult, failCall, recordResult } from './record-result.js'
import { StepExecution } from './step-execution.js'

const RESOLVED = Promise.resolve()

/** Runs a step without a record in the log, and records its result. Never rejects. */
export function runStep(run: Run, asked: PendingCall, step: StepCall): Promise<void> {
  const stored = run.noteOf(asked)
  const execution = new StepExecution(run, asked, step, stored)
  if (run.task.deferred || stored || execution.isNoted) return runAttempts(run, asked, execution)
  if (execution.mayNotBegin()) {
    run.dropped(asked)
    return RESOLVED
  }
  return execution.attempt().then((ended) => {
    if (ended.failed || execution.saving) return runAttempts(run, asked, execution, ended)
    if (run.isOverFor(asked)) run.dropped(asked)
    else commitOnce(run, asked, execution.resultOf(ended))
    return undefined
  })
}

/** Commits the result, and hands the record to the run. No caller waits for that, so no promise is returned. */
function commitOnce(run: Run, asked: PendingCall, { record }: CallResult): void {
  const { host, task, number } = run
  const fail = (error: unknown) => failCall(run, asked, error)
  host.record(task, { kind: 'record', run: number, record, progress: task.progress }).then(({ record: written }) => {
    try {
      if (written === undefined || written.kind === 'checkpoint') return
      run.recorded(asked, written)
      recorded(run, asked, written)
    } catch (error) {
      fail(error)
    }
  }, fail)
}

/**
 * Runs the attempts of a step of any kind, and records its result. Never rejects.
 * @param first the end of the first attempt, if the caller made that attempt
 */
function runAttempts(run: Run, asked: PendingCall, execution: StepExecution, first?: Ended): Promise<void> {
  const onRecorded = (record: NamedRecord) => recorded(run, asked, record)
  return recordResult(run, asked, () => execution.attempts(first), onRecorded)
}

/** The record of a step is on disk. */
export function recorded({ host, task, functions }: Run, { ask }: PendingCall, record: NamedRecord): void {
  if (record.kind !== 'step') return
  // An undo may need the result of the function until the result is on disk. A step that timed out may still return
  // one.
  if (!record.failed) functions.delete(ask.id)
  if (!host.events.has('step:recorded')) return
  const { taskId, type } = task.head
  const { name: step, number, startedAt, at: recordedAt } = record
  const segment = record.segment === PREFIX ? 'prefix' : record.segment
  const failed = record.failed !== undefined
  host.events.emit('step:recorded', { taskId, type, step, segment, number, failed, startedAt, recordedAt })
}
