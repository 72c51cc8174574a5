/**
 * Runs a pending call and commits its result. Every call that has a record ends here.
 *
 * record-result-1. A record reaches its run while the store reports the end of its commit, with no `await` in between. So
 *     the body receives records in the order of the log, in the first run as in a replay.
 */

import type { TaskDecision } from '../../task/changes.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { LogRecord } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import type { EventOf } from '../../task/task-event.js'
import type { RecordEnd } from '../core/task-commits.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'

/** Result of a call: its record, and the changes in the same batch. */
export type CallResult = Pick<EventOf<'record'>, 'record' | 'beside' | 'checkpoint'>

/**
 * Ends a call with its work, which runs the call and commits its result. A call whose run ended first, or whose branch
 * lost, has no result.
 */
export function runCall(run: Run, asked: PendingCall, work: Promise<unknown>): void {
  // Without a result, the call is still in flight.
  const over = () => run.dropped(asked)
  work.then(over, (error: unknown) => failCall(run, asked, error))
}

/** Ends a call with an error of the engine, such as a refused write. The run fails, unless it is superseded or its task settled. */
export function failCall(run: Run, asked: PendingCall, error: unknown): void {
  run.dropped(asked)
  if (!isFenced(error)) run.fail(error)
}

/**
 * Commits the result of a call, and hands its record to the run.
 * @returns true once that is done. False if the run is over for the call: then nothing is written
 */
export function commitResult(run: Run, asked: PendingCall, result: CallResult): Promise<boolean> {
  return new Promise((ended, failed) => {
    // Checked directly before the decision, so that a run that has ended writes nothing.
    if (run.isOverFor(asked)) ended(false)
    else beginCommit(run, asked, result, { handed: () => ended(true), failed })
  })
}

/** Functions for the end of the commit of a result. One of them is called, once. */
interface ResultEnd {
  /** Called when the run has the record. */
  readonly handed: () => void
  readonly failed: (error: unknown) => void
}

/** Commits the result of a call, and hands its record to the run. Without an `end`, an error fails the call. */
export function beginCommit(run: Run, asked: PendingCall, result: CallResult, end?: ResultEnd): void {
  const { host, task, number } = run
  const { record, beside, checkpoint } = result
  const event = { kind: 'record', run: number, record, beside, checkpoint, progress: task.progress } as const
  host.beginRecord(task, event, new ResultCommit(run, asked, end))
}

/** The commit of a result. Hands the record to the run at once (record-result-1). */
class ResultCommit implements RecordEnd {
  constructor(
    private readonly run: Run,
    private readonly asked: PendingCall,
    private readonly end: ResultEnd | undefined,
  ) {}

  onDisk({ record }: TaskDecision): void {
    if (record) {
      this.run.recorded(this.asked, record)
      noteOnDisk(this.run, this.asked, record)
    }
    this.end?.handed()
  }

  failed(error: unknown): void {
    if (this.end) this.end.failed(error)
    else failCall(this.run, this.asked, error)
  }
}

/** Notes that the record of a call is on disk. For a step, listeners are notified. */
export function noteOnDisk(run: Run, { ask }: PendingCall, record: LogRecord): void {
  if (record.kind !== 'step') return
  // An undo may need the result of the function until the result is on disk. A step that timed out may still return
  // one.
  if (!record.failed && run.definition.undo) run.functions.delete(ask.id)
  const { host, task } = run
  if (!host.events.has('step:recorded')) return
  const { taskId, type } = task.head
  const { name: step, number, startedAt, at: recordedAt } = record
  const segment = record.segment === PREFIX ? 'prefix' : record.segment
  const failed = record.failed !== undefined
  host.events.emit('step:recorded', { taskId, type, step, segment, number, failed, startedAt, recordedAt })
}
