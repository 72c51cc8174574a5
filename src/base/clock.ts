/**
 * Time, handed in. The engine asks a `Clock` for the hour and for timers, and
 * nothing else in `src` reads the machine's clock, so the whole of it runs
 * under a simulated one (`ManualClock` in `holdfast/testing`).
 *
 * - What is stored is an instant, and the clock's word is what counts: a timer for it never fires before `now()` says
 *     so, and soon after that, also where the clock was set forward or back meanwhile.
 * - What is only a duration in this process (a step's timeout, a grace) is `elapsed` time: setting the clock neither
 *     shortens nor lengthens it.
 */
import { Heap } from './heap.js'

/** How a timer is meant. */
export interface TimerOptions {
  /** It is housekeeping: it doesn't keep the process alive. */
  readonly background?: boolean
  /** `dueAt` is `now()` and a duration: it fires once so much time has passed, whatever the clock is set to meanwhile. */
  readonly elapsed?: boolean
}

/** Source of the time and of timers. Instants are milliseconds since the epoch. */
export interface Clock {
  /** The current instant. */
  now(): number
  /** Calls `fire` once, at `dueAt` or soon after, at once if that has passed. Returns how to disarm it. */
  setTimer(dueAt: number, fire: () => void, options?: TimerOptions): () => void
}

// Node fires a longer timer after one millisecond, with a warning, so longer waits are walked in stages.
const TIMER_MS_MAX = 2 ** 31 - 1

// So late it is noticed that the clock was set forward, or that the machine was asleep; and so often the process is woken
// for all that it waits for.
const LOOK_EVERY_MS = 60_000

interface Waiting {
  readonly dueAt: number
  readonly fire: () => void
  readonly background: boolean
}

/** The machine's clock. All instants share one timer of Node's, which looks at the clock whether their time has come. */
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
    // The clock was set forward, where another is due that was not: what is armed is for later.
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
    // Put off again and again by those that are armed meanwhile, it would never look.
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
      // One that is armed by what fires here, and due already, is for the next look.
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
