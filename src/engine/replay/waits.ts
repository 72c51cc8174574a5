/**
 * Waits of a run. A run that only waits holds no slot. In a long wait it is unloaded from memory. Pending records on
 * disk have the end and the reason of each wait.
 *
 * - A call that only waits is not in flight. A close does not wait for it, and the next open continues it.
 * - A run in a long wait for an instant is unloaded at once. If nothing else is pending, one commit writes the record of the
 *     wait and the unload. A run that news can wake stays in memory for `unloadAfter`
 *     first, because a replay for each answer of a conversation would cost more than the memory.
 * - If `limits.loadedRunsMax` runs are in memory, a run that begins to wait is unloaded at once. A run that already
 *     waits may be unloaded to make room for another one (loaded-runs.ts).
 * - A run whose wait is due keeps its slot. Without this, tasks that are due together would all be loaded before one of
 *     them continues.
 */

import type { Ask } from '../../task/log/history.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { RunCore } from './host.js'
import type { InFlight } from './in-flight.js'
import { Pauses } from './pauses.js'
import type { PendingCall, RunEnd } from './pending-call.js'

/** Members of a run that its waits use. */
interface WaitingRun extends RunCore {
  readonly waits: Waits
}

/** State of the run that its waits need. */
export interface WaitHost {
  readonly inFlight: InFlight
  /** True if no turn is planned, and these pauses are all that the body waits for. */
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
   * Waits until an instant. With `listens`, a nudge ends the wait too.
   * @returns true to continue. False if the run has ended, the branch lost, or the engine closes
   */
  async until(asked: PendingCall, instant: number, listens = false): Promise<boolean> {
    const { host, task } = this.run
    const { connection } = host.store
    const { inFlight } = this.waiter
    inFlight.delete(asked)
    inFlight.look()
    // The branch lost during the commit of the wait. Nothing would end a pause that begins now, and it would block the
    // run.
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

  /** The calls that wait. */
  get paused(): Iterable<{ readonly asked: { readonly ask: Ask }; readonly endsAt: number }> {
    return this.#pauses.all
  }

  /** Ends the waits of steps for their next attempts. */
  endAttempts(): void {
    for (const pause of this.#pauses.all) if (pause.asked.ask.name.kind === 'step' && !pause.listens) pause.end()
  }

  /** Ends the waits that listen for news, so that their calls check for it. @param ids only the waits of these calls */
  nudge(ids?: readonly string[]): void {
    this.#pauses.nudge(ids)
  }

  /** Ends the waits of the calls for which `isOver` is true. By default, all waits. */
  endAll(isOver?: (asked: PendingCall) => boolean): void {
    this.#disarm()
    this.#pauses.endAll(isOver)
  }

  /** Releases the slot of a run that only waits, or unloads the run in a long wait. */
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

  /**
   * Unloads the run if it only waits. A run whose wait has ended and that has no slot yet is queued to be loaded again.
   */
  unload(): void {
    const { host, task } = this.run
    const { nextAt: wakeAt, listens } = this.#pauses
    if (this.#onlyWaits) this.waiter.unload({ kind: 'unload', wakeAt, listens })
    if (this.run.isOver) host.slots.unload(task)
  }

  /**
   * Unloads the run for a long wait that only time ends, if nothing else is pending. The commit of the unload writes the
   * pending record of the wait.
   * @returns false if the run stays in memory. The caller then writes the record
   */
  unloadAtOnce(begun: PendingRecord, wakeAt: number): boolean {
    const { host, task } = this.run
    if (wakeAt - host.clock.now() <= host.unloadAfterMs) return false
    if (this.run.isOver || this.#pauses.count > 0 || !this.waiter.onlyWaits(1)) return false
    this.waiter.unload({ kind: 'unload', wakeAt, listens: false, begun })
    host.slots.unload(task)
    return true
  }

  get #onlyWaits(): boolean {
    const { count } = this.#pauses
    return count > 0 && !this.run.isOver && this.waiter.onlyWaits(count)
  }
}
