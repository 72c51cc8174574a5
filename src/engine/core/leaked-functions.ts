/**
 * Functions that go on although nobody waits for them any more: their step timed out, or their task was settled, and
 * they ignore their signal. They can't write (commit-6), but they hold memory and connections, so they are counted and told.
 */
import type { Clock } from '../../base/clock.js'
import type { Logger } from '../../base/logger.js'

// A function that heeds its signal needs a moment to come to its end.
const HEEDED_MS = 5_000

export class LeakedFunctions {
  #running = 0

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** How many go on now. */
  get running(): number {
    return this.#running
  }

  /**
   * Watches a function that was told to stop.
   * @param step its step's name; empty for the body of the task
   */
  watch(taskId: string, step: string, working: Promise<unknown>): void {
    let leaked = false
    const disarm = this.clock.setTimer(
      this.clock.now() + HEEDED_MS,
      () => {
        leaked = true
        this.#running++
        if (step === '') {
          this.logger.warn(
            'The body of a settled task ignores its signal and continues; its effects are not recorded',
            {
              taskId,
            },
          )
        } else {
          this.logger.warn('A step ignores its signal and continues; its effects are not recorded', { taskId, step })
        }
      },
      { background: true, elapsed: true },
    )
    const ended = () => {
      disarm()
      if (leaked) this.#running--
    }
    working.then(ended, ended)
  }
}
