/**
 * Time, handed in. The engine asks a `Clock` for the hour and for timers, and
 * nothing else in `src` reads the machine's clock, so the whole of it runs
 * under a simulated one (`ManualClock` in `holdfast/testing`).
 */

/** Tells the time and arms timers. Instants are milliseconds since the epoch. */
export interface Clock {
  /** The current instant. */
  now(): number
  /**
   * Calls `fire` once at `dueAt` or soon after, at once if that has passed. Returns how to disarm it.
   * A `background` timer is housekeeping: it doesn't keep the process alive.
   */
  setTimer(dueAt: number, fire: () => void, options?: { background?: boolean }): () => void
}

// Node fires a longer timer after one millisecond, with a warning, so longer waits are walked in stages.
const TIMER_MS_MAX = 2 ** 31 - 1

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(dueAt, fire, { background = false } = {}) {
    let timer: NodeJS.Timeout
    const arm = () => {
      const left = dueAt - Date.now()
      timer = left > TIMER_MS_MAX ? setTimeout(arm, TIMER_MS_MAX) : setTimeout(fire, Math.max(0, left))
      if (background) timer.unref()
    }
    arm()
    return () => clearTimeout(timer)
  },
}
