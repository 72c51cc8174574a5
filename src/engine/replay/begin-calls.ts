/**
 * Begins what a body asked for, once the log is used up: in the order of the calls, a slice in each turn of the event loop.
 * Without slices, a body that asks for thousands of steps at once would hold the event loop until all of them had begun.
 *
 * - A call is released when the log is used up (rule 3 of the log). It begins even if records of calls before it are
 *     handed over meanwhile.
 * - Before each slice is asked what has to be waited for: for the disk, answers of `patched`, a suspect's note.
 */
import { setImmediate } from 'node:timers'
import { isOutOfTime } from '../../task/decisions/expiry.js'
import { isSettled } from '../../task/head.js'
import type { PatchKeeper, RunCore } from './host.js'
import type { InFlight } from './in-flight.js'
import type { PendingCall } from './pending-call.js'

/** A run, as what it begins sees it. */
interface BeginningRun extends RunCore {
  readonly patched: PatchKeeper
}

/** Beginning a step and deciding its record takes about 0.1 ms, so a slice takes about 10 ms. */
export const CALLS_PER_SLICE = 100

export class Beginnings {
  #released: PendingCall[] = []
  /** True while the next slice waits for its turn, or for what holds it back. */
  #waits = false

  constructor(
    private readonly run: BeginningRun,
    private readonly inFlight: InFlight,
  ) {}

  /** Begins calls that have not begun: the first of them now, unless something holds them back. */
  release(calls: Iterable<PendingCall>): void {
    this.#released.push(...calls)
    if (!this.#waits) this.#beginSlice()
  }

  #beginSlice(): void {
    const { run } = this
    const { host } = run
    if (run.isOver || host.closing) return
    const slice = this.#released.slice(0, CALLS_PER_SLICE).filter((asked) => !run.isOverFor(asked))
    const held = slice.length === 0 ? undefined : heldBack(run, slice)
    if (held) {
      this.#waits = true
      // Not in the microtasks of a turn of the body: what a function asks for would pass for the body's.
      void held.then(() => setImmediate(() => this.#goOn()))
      return
    }
    if (slice.length > 0 && settleIfLate(run)) return
    this.#released = this.#released.slice(CALLS_PER_SLICE)
    for (const asked of slice) {
      asked.startedAt = host.clock.now()
      this.inFlight.add(asked)
      void asked.begin()
    }
    if (this.#released.length === 0) return
    this.#waits = true
    setImmediate(() => this.#goOn())
  }

  #goOn(): void {
    this.#waits = false
    this.#beginSlice()
  }
}

/** What a body that asked for something has to wait for before anything may begin; `undefined` if it is nothing. */
function heldBack(run: BeginningRun, asked: readonly PendingCall[]): Promise<void> | undefined {
  const { store, closing, suspects } = run.host
  // An effect now could not be recorded. The tasks pause until the disk takes writes again.
  if (!store.connection.isUp) return store.connection.up
  return closing ? undefined : (run.patched.keep(run) ?? suspects.beforeBegin(run.task, asked))
}

/**
 * Asked before each function of a step, child or isolated step begins, after whatever was waited for before it. The timer
 * of a limit may be late. Settles the task if its time is over.
 * @returns true if so: then nothing of it may begin any more
 */
export function settleIfLate({ host, task }: RunCore): boolean {
  if (!isOutOfTime(task.head, host.clock.now())) return false
  if (!task.settling && !isSettled(task.head.status)) void host.timeOut(task)
  return true
}
