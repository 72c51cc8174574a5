/** Does what was asked for and puts its answer on disk. Every kind of ask but a checkpoint ends here. */

import type { TaskDecision } from '../../task/changes.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { NamedRecord } from '../../task/log/records.js'
import type { AuxiliaryChanges, NewRecord } from '../../task/task-event.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'

/** What came of an ask: its record, and what is written with it. */
export interface CallResult {
  readonly record: NewRecord
  readonly beside?: AuxiliaryChanges | undefined
}

/**
 * Records what `act` comes to, and hands it to the run. Never rejects.
 * @param act `undefined` if the run ends before; `recorded` if it did all of it
 * @param onRecorded called with the record, if this wrote it
 */
export async function recordResult(
  run: Run,
  asked: PendingCall,
  act: () => Promise<CallResult | 'recorded' | undefined>,
  onRecorded?: (record: NamedRecord) => void,
): Promise<void> {
  try {
    const answer = await act()
    // Asked once more: from here to the decision nothing is awaited, so a run that is over writes nothing.
    if (answer && answer !== 'recorded' && !run.isOverFor(asked)) {
      const record = handOver(run, asked, await decisionOn(run, answer))
      if (record) onRecorded?.(record)
    } else if (answer !== 'recorded') run.dropped(asked)
  } catch (error) {
    run.dropped(asked)
    if (!isFenced(error)) run.fail(error)
  }
}

/** Writes an answer and hands it to the run. */
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
