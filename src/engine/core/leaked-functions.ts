/**
 * Leaked functions: functions that still run after their step timed out or their task was settled, because they ignore
 * their signal. They cannot write (commit-6), but they hold memory and connections. So they are counted and logged.
 */
import type { Clock } from '../../base/clock.js'
import type { Logger } from '../../base/logger.js'

// Time that a function has to end after its signal is aborted.
const HEEDED_MS = 5_000

export class LeakedFunctions {
  #running = 0

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** Number of leaked functions that run now. */
  get running(): number {
    return this.#running
  }

  /**
   * Watches a function whose signal was aborted.
   * @param step name of the step, or empty text for the body of the task
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
