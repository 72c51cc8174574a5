/** A clock that stands still until a test moves it. */
import type { Clock, TimerOptions } from '../base/clock.js'
import { anyBodyHasTurn, noBodyHasTurn } from '../engine/replay/turns.js'
import { hasImmediates, turn } from './immediates.js'

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
  /** End of the current move, or of the last one. */
  #target = Number.NEGATIVE_INFINITY
  /** Resolves once all moves so far have ended. */
  #moving: Promise<void> = Promise.resolve()

  /** @param now instant at which the clock begins; by default an ordinary one, so that IDs and dates look ordinary */
  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  setTimer(dueAt: number, fire: () => void, { elapsed = false, background = false }: TimerOptions = {}): () => void {
    const timer: Timer = { dueAt: background ? this.#lastOf(dueAt) : dueAt, elapsed, order: this.#order++, fire }
    this.#timers.add(timer)
    // A timer that is due already fires soon, as on the machine's clock, and not inside this call.
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
   * Moves forward by `ms`. First, ready work begins: a task that was just started reaches its first sleep. Then each
   * timer that is due on the way fires, in order, and takes effect before the next one. Of the engine's sweeps, of
   * which one is due every minute, the first and the last run. Calls that overlap are carried out one after the other.
   *
   * Work that waits for a file, a socket or another process is not waited for. With a store on a disk, call `untilIdle`
   * before.
   */
  advance(ms: number): Promise<void> {
    return this.#inTurn(async () => {
      await atRest()
      await this.#moveTo(this.#now + ms)
    })
  }

  /** Moves forward to `instant`, in the same way. */
  advanceTo(instant: number): Promise<void> {
    return this.#inTurn(async () => {
      await atRest()
      await this.#moveTo(instant)
    })
  }

  /**
   * Sets the clock forward, or back by a negative `ms`, as an administrator does: no time passes. Timers for an instant
   * that has passed then fire. Timers for a duration wait as long as before.
   */
  jump(ms: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#now += ms
      for (const timer of this.#timers) if (timer.elapsed) timer.dueAt += ms
      await this.#moveTo(this.#now)
    })
  }

  /**
   * Instant for a background timer that is armed again at each firing: the last one within the move. The engine sweeps
   * every minute, which would be half a million sweeps in a year. One sweep at the end deletes the same records.
   */
  #lastOf(dueAt: number): number {
    const every = dueAt - this.#now
    const times = every > 0 ? Math.floor((this.#target - this.#now) / every) : 0
    return times > 1 ? this.#now + times * every : dueAt
  }

  async #moveTo(instant: number): Promise<void> {
    this.#target = instant
    for (let timer = this.#earliest(); timer && timer.dueAt <= instant; timer = this.#earliest()) {
      this.#now = Math.max(this.#now, timer.dueAt)
      this.#fire(timer)
      await atRest()
    }
    this.#now = Math.max(this.#now, instant)
    await atRest()
  }

  #inTurn(move: () => Promise<void>): Promise<void> {
    const moved = this.#moving.then(move)
    this.#moving = moved.catch(() => {})
    return moved
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

// More turns than a commit, a read and the start of a step need in sequence, with the disk in memory.
const QUIET_TURNS = 50

/**
 * Resolves once no body is in a turn and no immediate of the process is queued. A test that queues immediates for ever,
 * as a polling test does, delays this only for some turns after the last turn of a body.
 */
async function atRest(): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    await turn()
    if (anyBodyHasTurn()) {
      // A replay takes a turn for each record of the log. One promise for all of them costs less than one for each.
      await noBodyHasTurn()
      quiet = -1
    } else if (!hasImmediates()) return
  }
}
