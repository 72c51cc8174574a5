/**
 * Runs one call of `child`: starts a child task, and waits until the child has ended and is cleaned up.
 *
 * A pending record with the ID of the child is written before the child is created. After a crash, the next run
 * creates the child if it does not exist, and then waits for it.
 */
import { type HoldfastError, TaskCancelledError, TaskFailedError } from '../../base/errors.js'
import { readHead, readOutcome } from '../../store/reads.js'
import { isLive, NEVER } from '../../task/head.js'
import { describeError, failureCode, type Outcome, reviveError, type TaskError } from '../../task/log/outcome.js'
import type { ChildCall } from '../core/collaborators.js'
import { settleIfLate } from '../replay/begin-calls.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { commitResult } from './record-result.js'

/** Starts a child, or finds the one that an earlier run started, and records its end. */
export async function runChild(run: Run, asked: PendingCall, call: () => Promise<ChildCall>): Promise<void> {
  const { host, task } = run
  const { clock, ids, store } = host
  let note = run.noteOf(asked)
  if (note && note.id !== asked.ask.id) return
  const startedAt = note?.child?.startedAt ?? clock.now()
  const record = async (childId: string, end: { value?: string | undefined } | { failed: TaskError }) => {
    await commitResult(run, asked, {
      record: { kind: 'child', ...placeOf(asked), startedAt, childId, ...end },
      beside: { ended: note ? [note] : [] },
    })
  }
  const fail = (childId: string, error: unknown) => record(childId, { failed: describeError(error) })

  const begun = note?.child?.taskId
  let child: ChildCall | undefined
  // A child that exists is awaited without a check of its type or input, because these were checked at its creation.
  if (begun === undefined || !(await store.readPatiently((level) => readHead(level, begun)))) {
    try {
      child = await call()
    } catch (error) {
      return fail(begun ?? '', error)
    }
  }
  if (!note?.child) {
    if (run.isOverFor(asked)) return
    note = { ...newPendingRecord(asked), child: { taskId: ids.taskId(startedAt), startedAt } }
    await host.record(task, { kind: 'note', run: run.number, beside: { begun: [note] } })
  }
  const childId = note.child?.taskId ?? ''
  if (run.isOverFor(asked) || (child && settleIfLate(run))) return
  try {
    if (child) await host.children.create(task, childId, child)
  } catch (error) {
    return fail(childId, error)
  }
  // No `await` between the check and the wait. Without this, the end of the child in between would not wake the wait.
  while (host.isUnfinished(childId)) {
    if (!(await run.waits.until(asked, NEVER, true))) return
  }
  const ended = await store.readPatiently(async (level) => {
    const head = await readHead(level, childId)
    return head && !isLive(head) ? await readOutcome(level, childId) : undefined
  })
  if (!ended) return
  if (ended.kind !== 'result') return fail(childId, failureOf(childId, ended))
  await record(childId, { value: ended.result === undefined ? undefined : JSON.stringify(ended.result) })
}

function failureOf(childId: string, outcome: Exclude<Outcome, { kind: 'result' }>): HoldfastError {
  if (outcome.kind === 'cancelled') return new TaskCancelledError(childId, outcome.reason)
  const { error } = outcome
  return new TaskFailedError(childId, failureCode(error), error.message, reviveError(error))
}
