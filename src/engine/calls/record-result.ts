/** Runs a pending call and commits its result. Every kind of call except a checkpoint ends here. */

import type { TaskDecision } from '../../task/changes.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { NamedRecord } from '../../task/log/records.js'
import type { AuxiliaryChanges, NewRecord } from '../../task/task-event.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'

/** Result of a call: its record, and the changes in the same batch. */
export interface CallResult {
  readonly record: NewRecord
  readonly beside?: AuxiliaryChanges | undefined
}

/**
 * Commits the result of `act`, and passes the record to the run. Never rejects.
 * @param act runs the call. Returns `undefined` if the run ended first, and `'recorded'` if `act` committed the result
 *   itself
 * @param onRecorded called with the record, if this function committed it
 */
export async function recordResult(
  run: Run,
  asked: PendingCall,
  act: () => Promise<CallResult | 'recorded' | undefined>,
  onRecorded?: (record: NamedRecord) => void,
): Promise<void> {
  try {
    const answer = await act()
    // Checked directly before the decision, with no `await` in between, so that a run that has ended writes nothing.
    if (answer && answer !== 'recorded' && !run.isOverFor(asked)) {
      const record = handOver(run, asked, await decisionOn(run, answer))
      if (record) onRecorded?.(record)
    } else if (answer !== 'recorded') run.dropped(asked)
  } catch (error) {
    failCall(run, asked, error)
  }
}

/** Ends a call with an error of the engine, such as a refused write. The run fails, unless it is superseded or its task settled. */
export function failCall(run: Run, asked: PendingCall, error: unknown): void {
  run.dropped(asked)
  if (!isFenced(error)) run.fail(error)
}

/** Commits the result of a call, and passes the record to the run. */
export async function commitResult(run: Run, asked: PendingCall, answer: CallResult): Promise<void> {
  handOver(run, asked, await decisionOn(run, answer))
}

function decisionOn({ host, task, number }: Run, { record, beside }: CallResult): Promise<TaskDecision> {
  return host.record(task, { kind: 'record', run: number, record, beside, progress: task.progress })
}

function handOver(run: Run, asked: PendingCall, { record }: TaskDecision): NamedRecord | undefined {
  if (record === undefined || record.kind === 'checkpoint') return undefined
  run.recorded(asked, record)
  return record
}
