/**
 * Runs one call of `sleep`: writes a pending record with its end, waits, and records the end. So a sleep survives a
 * crash.
 */
import { newPendingRecord, type PendingCall, placeOf } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { commitResult } from './record-result.js'

/** Sleeps until the instant that `until` returns for the start of the sleep, and records the end. */
export async function runSleep(run: Run, asked: PendingCall, until: (now: number) => number): Promise<void> {
  const { host, task } = run
  let note = run.noteOf(asked)
  if (note && note.id !== asked.ask.id) return
  if (!note?.wait) {
    const startedAt = host.clock.now()
    const wait = { startedAt, dueAt: until(startedAt) }
    note = { ...newPendingRecord(asked), wait }
    if (run.waits.unloadAtOnce(note, wait.dueAt)) return
    await host.record(task, { kind: 'note', run: run.number, beside: { begun: [note] } })
  }
  const wait = note.wait as NonNullable<typeof note.wait>
  if (!(await run.waits.until(asked, wait.dueAt))) return
  const record = { kind: 'sleep', ...placeOf(asked), ...wait } as const
  await commitResult(run, asked, { record, beside: { ended: [note] } })
}
