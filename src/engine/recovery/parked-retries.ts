/**
 * Retries tasks that are parked as `CODE_CHANGED` although the code mark of their definition is the same, because the
 * fix may be in a function that the body calls. Each retry replays the whole log. So an open retries only some of
 * them, those with the oldest retry first. Over several opens each task has its turn. `resume` retries a task at once.
 */
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/** Most retries of parked tasks in one opening. */
export const RETRIES_PER_OPEN = 100

export class ParkedRetries {
  #left = RETRIES_PER_OPEN
  readonly #waiting = new Set<LiveTask>()

  constructor(private readonly engine: Engine) {}

  /** Adds a task that may be retried. Tasks added in the same turn are handled together. */
  add(task: LiveTask): void {
    if (this.#waiting.size === 0) queueMicrotask(() => this.flush())
    this.#waiting.add(task)
  }

  /** Retries as many tasks as allowed, and reports the others as parked. */
  flush(): void {
    const { engine } = this
    const tasks = [...this.#waiting].filter((task) => task.head.parked !== undefined && !task.recovery.isRetrying)
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
