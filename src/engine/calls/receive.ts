/**
 * Runs one call of `receive`: takes the oldest message of its name, or waits for one. One batch deletes the message
 * and writes the log record. So no message is received twice, and none is lost.
 */
import { HoldfastError } from '../../base/errors.js'
import { readMessage } from '../../store/reads.js'
import { NEVER } from '../../task/head.js'
import { describeError } from '../../task/log/outcome.js'
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { commitResult } from './record-result.js'

/** Name of the mutex for changes to the messages of a task. */
export const messagesOf = (taskId: string) => `messages/${taskId}`

/** Receives a message and records it. */
export async function runReceive(
  run: Run,
  asked: PendingCall,
  name: string,
  timeoutMs: number | undefined,
): Promise<void> {
  const { host, task } = run
  const { clock, keys, store } = host
  const { taskId } = task
  let note = run.noteOf(asked)
  if (note && note.id !== asked.ask.id) return
  const startedAt = note?.wait?.startedAt ?? clock.now()
  const dueAt = note?.wait?.dueAt ?? (timeoutMs === undefined ? NEVER : startedAt + timeoutMs)

  /** Commits a message or the timeout. Otherwise begins a wait, inside an object, so that the mutex is not held during it. */
  const takeOrWait = async (): Promise<{ readonly waiting: Promise<boolean> } | undefined> => {
    if (run.isOverFor(asked)) return undefined
    const first = task.head.messages && (await store.readPatiently((level) => readMessage(level, taskId, name)))
    if (!first && dueAt > clock.now()) {
      if (!note) {
        note = { ...newPendingRecord(asked), wait: { startedAt, dueAt } }
        await host.record(task, { kind: 'note', run: run.number, beside: { begun: [note] } })
      }
      return { waiting: run.waits.until(asked, dueAt, true) }
    }
    const end = first
      ? { message: first.order, value: first.text === '' ? undefined : first.text }
      : { failed: describeError(tooLate(taskId, name)) }
    const beside = { taken: first || undefined, ended: note && [note] }
    await commitResult(run, asked, { record: { kind: 'receive', ...placeOf(asked), startedAt, ...end }, beside })
    return undefined
  }
  for (;;) {
    const next = await keys.run(messagesOf(taskId), takeOrWait)
    if (!next || !(await next.waiting)) return
  }
}

function tooLate(taskId: string, name: string): HoldfastError {
  return new HoldfastError('RECEIVE_TIMEOUT', `No message '${name}' came for task ${taskId} in time`, {
    details: { taskId, name },
  })
}
