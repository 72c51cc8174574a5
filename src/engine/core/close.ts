/** Drains the engine at a close: waits for running calls within the grace, then aborts the rest. */
import type { Clock } from '../../base/clock.js'
import { type DeferringHost, flush } from './deferred-records.js'
import type { LiveTasks } from './live-tasks.js'

/** Members of the engine that a close uses. */
interface ClosingHost extends DeferringHost {
  readonly clock: Clock
  readonly tasks: LiveTasks
}

/**
 * Has the deferred records written. Waits until the running calls and clean-ups end, at most `graceMs`. Then leaves the
 * remaining runs, and aborts their signals.
 */
export async function drain(host: ClosingHost, graceMs: number): Promise<void> {
  const { clock, tasks: live } = host
  const tasks = [...live.values()]
  for (const task of tasks) {
    void flush(host, task)
    task.disarm()
    task.disarmWake()
  }
  const runs = tasks.flatMap(({ run }) => (run ? [run.idle()] : []))
  const cleanings = tasks.flatMap(({ cleaning }) => (cleaning ? [cleaning.over] : []))
  if (runs.length + cleanings.length > 0 && graceMs > 0) {
    let disarm = () => {}
    const grace = new Promise<void>((resolve) => {
      disarm = clock.setTimer(clock.now() + graceMs, resolve, { elapsed: true })
    })
    await Promise.race([Promise.all([...runs, ...cleanings]), grace])
    disarm()
  }
  for (const { run, cleaning } of live.values()) {
    run?.abandon()
    cleaning?.abort(new DOMException('The engine is closed. The clean-up continues at the next open.', 'AbortError'))
  }
}
