/**
 * Functions that go on although nobody waits for them any more: their step timed out, or their task was settled, and
 * they ignore their signal. They can't write (C6), but they hold memory and connections, so they are counted and told.
 */
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'

// A function that heeds its signal needs a moment to come to its end.
const HEEDED_MS = 5_000

export class Leaks {
  #running = 0

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** How many go on now. */
  get running(): number {
    return this.#running
  }

  /** Watches a function that was told to stop. */
  watch(taskId: string, step: string, working: Promise<unknown>): void {
    let leaked = false
    const disarm = this.clock.setTimer(
      this.clock.now() + HEEDED_MS,
      () => {
        leaked = true
        this.#running++
        this.logger.warn('A step ignores its signal and goes on; what it does is not recorded', { taskId, step })
      },
      { background: true },
    )
    const ended = () => {
      disarm()
      if (leaked) this.#running--
    }
    working.then(ended, ended)
  }
}
