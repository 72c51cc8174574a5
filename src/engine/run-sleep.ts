/** Runs one sleep: notes until when it is, waits, and records that it ended. The note makes it survive a crash. */
import type { Asked } from './asked.js'
import type { Run } from './run.js'
import { isFenced } from './run-host.js'

/** Sleeps until the instant that `until` makes of the time it begins, and records it. Never rejects. */
export async function runSleep(run: Run, asked: Asked, name: string, until: (now: number) => number): Promise<void> {
  const { host, task } = run
  const { segment, scope, ask, after, name: which } = asked.ask
  try {
    const stored = run.progressOf(asked)
    if (stored && stored.id !== asked.ask.id) return run.dropped(asked)
    let sleep = stored?.sleep
    if (!sleep) {
      const startedAt = host.clock.now()
      sleep = { startedAt, dueAt: until(startedAt) }
      const step = { id: asked.ask.id, failedAttempts: 0, sleep }
      await host.record(task, { kind: 'step-progress', run: run.number, segment, ask, step })
    }
    if (!(await run.waitUntil(asked, sleep.dueAt))) return run.dropped(asked)
    const number = which.kind === 'checkpoint' ? 0 : which.number
    const { record } = await host.record(task, {
      kind: 'record',
      run: run.number,
      record: { kind: 'sleep', name, number, segment, scope, ask, after, ...sleep },
      dropStepState: true,
      progress: task.progress,
    })
    if (record) run.recorded(asked, record)
    else run.dropped(asked)
  } catch (error) {
    run.dropped(asked)
    if (!isFenced(error)) run.fail(error)
  }
}
