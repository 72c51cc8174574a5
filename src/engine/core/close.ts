/** Waits, at a close, for what runs; then aborts the rest. */
import type { Clock } from '../../base/clock.js'
import type { LiveTasks } from './live-tasks.js'

/** What a close needs of the engine. */
interface ClosingHost {
  readonly clock: Clock
  readonly tasks: LiveTasks
}

/** Lets what is in flight finish within the grace; then aborts the signals of what is left, which is told nothing else. */
export async function drain({ clock, tasks: live }: ClosingHost, graceMs: number): Promise<void> {
  const tasks = [...live.values()]
  for (const task of tasks) {
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
