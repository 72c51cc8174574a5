/**
 * Begins the pending calls of a body after the replay, in their order, one slice in each turn of the event loop.
 * Without slices, a body with thousands of calls at once would block the event loop until all of them had begun.
 *
 * - A call is released when no record is left to replay (rule 3 of the log). It then begins, even if the body receives
 *     further records before that.
 * - Each slice first waits for the store to be up, for the commit of `patched` answers, and for the record of a
 *     suspect.
 */
import { setImmediate } from 'node:timers'
import { isOutOfTime } from '../../task/decisions/expiry.js'
import { isSettled } from '../../task/head.js'
import type { RecordName } from '../../task/log/records.js'
import { flush } from '../core/deferred-records.js'
import type { PatchKeeper, RunCore } from './host.js'
import type { InFlight } from './in-flight.js'
import type { PendingCall } from './pending-call.js'

/** Members of a run that `Beginnings` uses. */
interface BeginningRun extends RunCore {
  readonly patched: PatchKeeper
}

/** Calls in a slice. One call takes about 0.1 ms for its begin and its record, so a slice takes about 10 ms. */
export const CALLS_PER_SLICE = 100

export class Beginnings {
  #released: PendingCall[] = []
  /** True while the next slice waits for a turn of the event loop or for a commit. */
  #waits = false
  /** So many wait for the disk before a function. Meanwhile no record is deferred, or one chain of calls could hold up another. */
  #held = 0

  constructor(
    private readonly run: BeginningRun,
    private readonly inFlight: InFlight,
  ) {}

  /** Releases calls, and begins the first slice now, unless it must wait for a commit. */
  release(calls: Iterable<PendingCall>): void {
    this.#released.push(...calls)
    if (!this.#waits) this.#beginSlice()
  }

  /** True if a record may be deferred: nothing waits for the disk, and every record before it is in the history (deferred-1). */
  get mayDefer(): boolean {
    const { task, history } = this.run
    return this.#held === 0 && task.head.nextRecord === history.newest + 1
  }

  /** Resolves once no record is deferred. */
  async untilOnDisk(): Promise<void> {
    const { host, task } = this.run
    this.#held++
    try {
      await flush(host, task)
    } finally {
      this.#held--
    }
  }

  #beginSlice(): void {
    const { run } = this
    const { host } = run
    if (run.isOver || host.closing) return
    const slice = this.#released.slice(0, CALLS_PER_SLICE).filter((asked) => !run.isOverFor(asked))
    const held = slice.length === 0 ? undefined : heldBack(run, slice)
    if (held) {
      this.#waits = true
      this.#held++
      // Outside the microtasks of a turn of the body. Without this, a call made inside a function would look like one
      // of the body.
      void held.then(() =>
        setImmediate(() => {
          this.#held--
          this.#continue()
        }),
      )
      return
    }
    if (slice.length > 0 && settleIfLate(run)) return
    this.#released = this.#released.slice(CALLS_PER_SLICE)
    for (const asked of slice) {
      asked.startedAt = host.clock.now()
      this.inFlight.add(asked)
      asked.begin()
    }
    if (this.#released.length === 0) return
    this.#waits = true
    setImmediate(() => this.#continue())
  }

  #continue(): void {
    this.#waits = false
    this.#beginSlice()
  }
}

/** Returns the promise that a slice must await before it begins. `undefined` if it may begin now. */
function heldBack(run: BeginningRun, asked: readonly PendingCall[]): Promise<void> | undefined {
  const { store, closing, suspects } = run.host
  // While the store is down, results could not be recorded, so nothing begins.
  if (!store.connection.isUp) return store.connection.up
  if (closing) return undefined
  return run.patched.keep(run) ?? suspects.beforeBegin(run.task, asked) ?? recordsBefore(run, asked)
}

/**
 * Returns the write of the deferred records, if one of the calls acts outside the task: a function, an input, a child, or the
 * undo of branches. Such a call must not act on a result that a crash can lose (deferred-4). The commits of other calls
 * contain the deferred records.
 */
function recordsBefore({ host, task }: RunCore, asked: readonly PendingCall[]): Promise<void> | undefined {
  return task.deferred && asked.some(actsOutside) ? flush(host, task) : undefined
}

function actsOutside({ ask, isDeferred }: PendingCall): boolean {
  return !isDeferred && ACTS_OUTSIDE.has(ask.name.kind)
}

const ACTS_OUTSIDE: ReadonlySet<RecordName['kind']> = new Set(['step', 'input', 'child', 'decision'])

/**
 * Checks the time limits of a task directly before a step, a child or an isolated step begins, because the timer of a
 * limit may be late. Settles the task if a limit has passed.
 * @returns true if a limit has passed. Then the call must not begin
 */
export function settleIfLate({ host, task }: RunCore): boolean {
  if (!isOutOfTime(task.head, host.clock.now())) return false
  if (!task.commits.isSettling && !isSettled(task.head.status)) void host.timeOut(task)
  return true
}
