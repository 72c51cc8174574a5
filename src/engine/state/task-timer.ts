/** One timer of a task. Setting it cancels the timer that was set before. */
import type { Clock } from '../../base/clock.js'

const NONE = () => {}

export class TaskTimer {
  #cancel = NONE

  /** Calls `act` at an instant, unless the timer is cancelled or set again before. */
  set(clock: Clock, at: number, act: () => void): void {
    this.#cancel()
    this.#cancel = clock.setTimer(at, act)
  }

  cancel(): void {
    this.#cancel()
    this.#cancel = NONE
  }
}
