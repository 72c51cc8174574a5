/** Brings what runs to rest before the store is closed, or leaves it behind. */
import type { Engine } from './engine.js'

/** Lets what is in flight finish within the grace; then aborts the signals of what is left, which is told nothing else. */
export async function drain(engine: Engine, graceMs: number): Promise<void> {
  const tasks = [...engine.tasks.values()]
  for (const task of tasks) {
    task.disarm()
    task.disarmWake()
  }
  const runs = tasks.flatMap(({ run }) => (run ? [run.idle()] : []))
  const cleanings = tasks.flatMap(({ cleaning }) => (cleaning ? [cleaning.over] : []))
  if (runs.length + cleanings.length > 0 && graceMs > 0) {
    let disarm = () => {}
    const grace = new Promise<void>((resolve) => {
      disarm = engine.clock.setTimer(engine.clock.now() + graceMs, resolve, { elapsed: true })
    })
    await Promise.race([Promise.all([...runs, ...cleanings]), grace])
    disarm()
  }
  for (const { run, cleaning } of engine.tasks.values()) {
    run?.abandon()
    cleaning?.abort(new DOMException('The engine is closed; the clean-up goes on at the next open', 'AbortError'))
  }
}

/** Another process may own the store and run its tasks: nothing goes on here, and nobody waits any more. */
export function stopAtOnce(engine: Engine): void {
  engine.closing = true
  engine.scheduler.stop()
  engine.suspects.stop()
  void drain(engine, 0)
  engine.report.abandon()
  engine.waiters.close()
}
