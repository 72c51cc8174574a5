/** A clock that stands still until a test moves it. */
import type { Clock, TimerOptions } from '../base/clock.js'

interface Timer {
  dueAt: number
  readonly elapsed: boolean
  readonly order: number
  readonly fire: () => void
}

/** Clock that a test controls. Instants are milliseconds since the epoch. */
export class ManualClock implements Clock {
  #now: number
  #timers = new Set<Timer>()
  #order = 0

  /** @param now where it begins; the default is an ordinary instant, so that IDs and dates look ordinary */
  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  setTimer(dueAt: number, fire: () => void, { elapsed = false }: TimerOptions = {}): () => void {
    const timer: Timer = { dueAt, elapsed, order: this.#order++, fire }
    this.#timers.add(timer)
    // One that is due already fires soon, as on the machine's clock, and not inside this call.
    if (dueAt <= this.#now) queueMicrotask(() => this.#fire(timer))
    return () => void this.#timers.delete(timer)
  }

  /** Number of armed timers. */
  get armed(): number {
    return this.#timers.size
  }

  /** Instant of the next timer; `undefined` if none is armed. */
  get nextDueAt(): number | undefined {
    return this.#earliest()?.dueAt
  }

  /**
   * Moves on by `ms`, firing what is due on the way, in order, and letting each take effect before the next. Of two that
   * overlap, each moves on from where the clock was when it was called; neither sets it back.
   */
  async advance(ms: number): Promise<void> {
    await this.advanceTo(this.#now + ms)
  }

  /** Moves on to `instant`. */
  async advanceTo(instant: number): Promise<void> {
    for (let timer = this.#earliest(); timer && timer.dueAt <= instant; timer = this.#earliest()) {
      this.#now = Math.max(this.#now, timer.dueAt)
      this.#fire(timer)
      await settle()
    }
    // Another one may have moved on further meanwhile.
    this.#now = Math.max(this.#now, instant)
    await settle()
  }

  /**
   * Sets the clock forward, or back by a negative `ms`, as an administrator does: no time passes. What waits for an
   * instant that has come by then fires; what waits for a duration waits as long as before.
   */
  async jump(ms: number): Promise<void> {
    this.#now += ms
    for (const timer of this.#timers) if (timer.elapsed) timer.dueAt += ms
    await this.advanceTo(this.#now)
  }

  #earliest(): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) {
      if (!first || timer.dueAt < first.dueAt || (timer.dueAt === first.dueAt && timer.order < first.order))
        first = timer
    }
    return first
  }

  #fire(timer: Timer): void {
    if (this.#timers.delete(timer)) timer.fire()
  }
}

// A few turns of the event loop, so that what a timer woke comes to rest.
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}
