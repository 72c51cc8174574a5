/**
 * How a run waits: without a slot while it only waits, and without memory if that is for long. What is on disk says until
 * when it is, or for what.
 *
 * - While something only waits, nothing of it is in flight: a close doesn't wait for it, and leaves it to the next
 *     open.
 * - A wait for time alone is unloaded at once if it is long; one that something from outside may end stays for
 *     `unloadAfter` first, since a replay for each answer of a lively conversation would cost more than the memory.
 * - Where `limits.loadedRunsMax` runs are in memory, a run that begins to wait is unloaded at once, however short its
 *     wait; and one that waits already may be unloaded to make room for another (loaded-runs.ts).
 * - A wait whose time is over gives up no slot. Without this, tasks that are due together would all be loaded before
 *     one of them continues.
 */

import type { RunCore } from './host.js'
import type { InFlight } from './in-flight.js'
import { Pauses } from './pauses.js'
import type { PendingCall, RunEnd } from './pending-call.js'

/** A run, as its waits see it. */
interface WaitingRun extends RunCore {
  readonly waits: Waits
}

/** What waits need to know of their run. */
export interface WaitHost {
  readonly inFlight: InFlight
  /** True if the body is at rest, and this many pauses are all that it waits for. */
  readonly onlyWaits: (pauses: number) => boolean
  readonly unload: (end: RunEnd) => void
}

export class Waits {
  readonly #pauses: Pauses
  #disarm = () => {}

  constructor(
    private readonly run: WaitingRun,
    private readonly waiter: WaitHost,
  ) {
    this.#pauses = new Pauses(run.host.clock)
  }

  /**
   * Waits for a sleep's end, or between two attempts of a step; where it `listens`, also until it is nudged.
   * @returns whether to continue; `false` once the run is over, or the branch lost
   */
  async until(asked: PendingCall, instant: number, listens = false): Promise<boolean> {
    const { host, task } = this.run
    const { connection } = host.store
    const { inFlight } = this.waiter
    inFlight.delete(asked)
    inFlight.look()
    // Its branch lost while it wrote down how long to wait: nothing would end this pause, and it would count as the run's.
    if (this.run.isOverFor(asked)) return false
    const pause = this.#pauses.begin(asked, instant, listens)
    this.restOrUnload()
    await pause.over
    this.#disarm()
    if (!this.run.isOverFor(asked)) await host.slots.wake(task, this.run)
    this.#pauses.delete(pause)
    if (!connection.isUp) await connection.up
    if (this.run.isOverFor(asked) || host.closing) return false
    inFlight.add(asked)
    return true
  }

  /** Something came from outside: a wait that listens looks whether it is over. @param ids only these, if they are known */
  nudge(ids?: readonly string[]): void {
    this.#pauses.nudge(ids)
  }

  /** Ends the waits of asks that `isOver` says are over; all of them by default. */
  endAll(isOver?: (asked: PendingCall) => boolean): void {
    this.#disarm()
    this.#pauses.endAll(isOver)
  }

  /** A body that waits for nothing but time and news needs no slot; for a long time, no memory either. */
  restOrUnload(): void {
    if (!this.#onlyWaits) return
    const { host, task } = this.run
    const now = host.clock.now()
    const { nextAt, listens } = this.#pauses
    if (nextAt <= now) {
      this.#pauses.endDue(now)
      return
    }
    const isLong = nextAt - now > host.unloadAfterMs
    this.#disarm()
    if ((isLong && !listens) || host.loaded.isFull) this.unload()
    else host.slots.rest(task, this.run, nextAt)
    if (isLong && listens && !this.run.isOver)
      this.#disarm = host.clock.setTimer(now + host.unloadAfterMs, () => this.unload(), { elapsed: true })
  }

  /** Unloads the run if it only waits. One whose wait is over, and that has no slot yet, is queued to be loaded again. */
  unload(): void {
    const { host, task } = this.run
    const { nextAt: wakeAt, listens } = this.#pauses
    if (this.#onlyWaits) this.waiter.unload({ kind: 'unload', wakeAt, listens })
    if (this.run.isOver) host.slots.unload(task)
  }

  get #onlyWaits(): boolean {
    const { count } = this.#pauses
    return count > 0 && !this.run.isOver && this.waiter.onlyWaits(count)
  }
}
