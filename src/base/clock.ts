/**
 * Time as a parameter. The engine gets the current time and its timers from a `Clock`. No other file of `src` reads the
 * clock of the machine, so the engine also runs under a simulated one (`ManualClock` in `holdfast/testing`).
 *
 * - An instant that is stored is compared with `now()`. A timer for an instant never fires before `now()` reaches the
 *   instant, and
 *  fires soon after that, also if the clock was set forward or back meanwhile.
 * - A duration within this process, such as a step's timeout, is `elapsed` time. Setting the clock neither shortens nor
 *   lengthens it.
 */
import { Heap } from './collections.js'

/** Options of a timer. */
export interface TimerOptions {
  /** True if the timer does not keep the process alive. It is for housekeeping. */
  readonly background?: boolean
  /**
   * True if `dueAt` is `now()` plus a duration. The timer fires once that duration has passed, even if the clock is set
   * meanwhile.
   */
  readonly elapsed?: boolean
}

/** Source of the time and of timers. Instants are milliseconds since the epoch. */
export interface Clock {
  /** The current instant. */
  now(): number
  /**
   * Calls `fire` once, at `dueAt` or soon after; soon if `dueAt` has passed. Returns a function that disarms the timer.
   */
  setTimer(dueAt: number, fire: () => void, options?: TimerOptions): () => void
}

// Node fires a timer longer than this after one millisecond, with a warning. So a longer wait is made of several
// timers.
const TIMER_MS_MAX = 2 ** 31 - 1

// Longest time between two looks at the clock. After a forward jump of the clock, or a sleep of the machine, a due
// timer fires at most this much late.
const LOOK_EVERY_MS = 60_000

interface Waiting {
  readonly dueAt: number
  readonly fire: () => void
  readonly background: boolean
}

/** Clock of the machine. All instants share one timer of Node's, which checks the clock for due ones. */
class SystemClock implements Clock {
  readonly #waiting = new Heap<Waiting>((one, other) => one.dueAt < other.dueAt)
  #foreground = 0
  #timer: NodeJS.Timeout | undefined
  #looksSoon = false

  now(): number {
    return Date.now()
  }

  setTimer(dueAt: number, fire: () => void, { background = false, elapsed = false }: TimerOptions = {}): () => void {
    if (elapsed) return after(dueAt - Date.now(), fire, background)
    const waiting = { dueAt, fire, background }
    this.#waiting.add(waiting)
    if (!background) this.#foreground++
    const first = this.#waiting.first as Waiting
    // After a forward jump of the clock, an earlier instant may be due. Without re-arming, it would fire late.
    if (first === waiting || first.dueAt <= Date.now()) this.#arm()
    else if (!background) this.#timer?.ref()
    return () => this.#remove(waiting)
  }

  #remove(waiting: Waiting): void {
    if (!this.#waiting.remove(waiting)) return
    if (!waiting.background) this.#foreground--
    if (this.#foreground === 0) this.#timer?.unref()
  }

  #arm(): void {
    const { first } = this.#waiting
    const left = first ? Math.max(0, Math.min(first.dueAt - Date.now(), LOOK_EVERY_MS)) : LOOK_EVERY_MS
    // The planned look at the clock stays. If each new timer postponed it, it would never take place.
    if (this.#looksSoon && left === 0) return
    clearTimeout(this.#timer)
    this.#looksSoon = left === 0
    if (!first) return
    this.#timer = setTimeout(() => this.#look(), left)
    if (this.#foreground === 0) this.#timer.unref()
  }

  #look(): void {
    this.#looksSoon = false
    try {
      // A timer that is armed by `fire`, and is due already, fires in the next look. Without this limit, the loop could
      // run forever.
      for (let left = this.#waiting.size; left > 0; left--) {
        const { first } = this.#waiting
        if (!first || first.dueAt > Date.now()) break
        this.#remove(first)
        first.fire()
      }
    } finally {
      this.#arm()
    }
  }
}

function after(ms: number, fire: () => void, background: boolean): () => void {
  let timer: NodeJS.Timeout
  const arm = (left: number) => {
    timer =
      left > TIMER_MS_MAX
        ? setTimeout(() => arm(left - TIMER_MS_MAX), TIMER_MS_MAX)
        : setTimeout(fire, Math.max(0, left))
    if (background) timer.unref()
  }
  arm(ms)
  return () => clearTimeout(timer)
}

/** The machine's clock. */
export const systemClock: Clock = new SystemClock()
