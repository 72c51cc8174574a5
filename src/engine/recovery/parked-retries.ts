/**
 * Tries tasks again that are parked as `CODE_CHANGED` although their definition looks the same: the fix may be in a
 * function that the body calls. Each try replays the whole log, so only a few are tried an open, those that were tried
 * longest ago first. Over some opens each has its turn. `resume` tries any of them at once.
 */
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/** How many are tried an open. */
export const RETRIES_PER_OPEN = 100

export class ParkedRetries {
  #left = RETRIES_PER_OPEN
  readonly #waiting = new Set<LiveTask>()

  constructor(private readonly engine: Engine) {}

  /** Adds a task that may be tried. Definitions that are registered one after the other are looked at together. */
  add(task: LiveTask): void {
    if (this.#waiting.size === 0) queueMicrotask(() => this.flush())
    this.#waiting.add(task)
  }

  /** Tries as many as may be tried, and reports the others as parked still. */
  flush(): void {
    const { engine } = this
    const tasks = [...this.#waiting].filter((task) => task.head.parked !== undefined && !task.awaitsRun)
    this.#waiting.clear()
    tasks.sort((one, other) => triedAt(one) - triedAt(other))
    const tried = tasks.slice(0, this.#left)
    this.#left -= tried.length
    engine.scheduler.together(() => {
      for (const task of tried) engine.schedule(task, { now: true })
    })
    for (const { taskId, head } of tasks.slice(tried.length)) {
      const { type, parked } = head
      const reason = `${parked?.code}: ${parked?.reason}; not tried again, since its definition is the same and others were tried longer ago`
      engine.report.note({ taskId, type, action: 'parked', reason }, engine.clock.now())
    }
  }
}

function triedAt({ head }: LiveTask): number {
  return head.parked?.since ?? 0
}
