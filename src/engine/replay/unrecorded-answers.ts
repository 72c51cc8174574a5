/**
 * Answers without a record: refusals of calls, and values derived from the log (`now()`, `uuid()`, `patched()`, the
 * end of branches without a decision). Owns the counts that end a loop of such calls.
 *
 * - Every refusal, and every hundredth derived answer of a turn, has a turn of its own. That turn is planned at once,
 *     so it comes before any record and any read. So the order of the turns does not depend on timing, and is the same
 *     in the first run and in every replay.
 * - The event loop turns before each such turn. So timers, I/O, a cancel and a close run while a body loops. After
 *     1,000 derived answers in a row, each such turn also waits a millisecond, so that a loop without progress leaves
 *     most of the processor time to others.
 * unrecorded-answers-3. A record that the body receives resets both counts. So does a restore that moves the body to a
 *     checkpoint, because the run that saved the checkpoint received its record there.
 */

import { SmallSet } from '../../base/collections.js'
import type { HoldfastError } from '../../base/errors.js'
import { DERIVED_MAX, noProgress, REFUSALS_MAX, refusedTooOften } from './body-errors.js'
import type { Branch } from './branch-scopes.js'
import type { RunCore } from './host.js'
import type { Turns } from './turns.js'

/** One in so many derived answers of a turn has a turn of its own. */
const DERIVED_PER_TURN = 100
/** Number of derived answers in a row after which each turn of its own waits a millisecond. */
const DERIVED_WITHOUT_PAUSE_MAX = 1_000

interface UnrecordedAnswer {
  readonly branch: Branch | undefined
  readonly reject: (error: unknown) => void
}

export class UnrecordedAnswers {
  #lastRecordAt: number
  #refusals = 0
  #derived = 0
  /** The turn of the last derived answer. `#derivedInTurn` counts the derived answers of that turn. */
  #turn = -1
  #derivedInTurn = 0
  /** Answers that wait for their turn, in order. */
  readonly pending = new SmallSet<UnrecordedAnswer>()

  constructor(
    private readonly run: Pick<RunCore, 'task' | 'isOver' | 'fail'>,
    private readonly turns: Turns,
    firstInstant: number,
  ) {
    this.#lastRecordAt = firstInstant
  }

  /** Time of the record that the body received last. Before the first record, the start of the task. */
  get lastRecordAt(): number {
    return this.#lastRecordAt
  }

  /** Rejects a call with `error`, in a turn of its own. */
  refuse(call: string, error: unknown, branch: Branch | undefined): Promise<never> {
    return this.#inOwnTurn(branch, (_, reject) => {
      this.#refusals++
      reject(this.#refusals < REFUSALS_MAX ? error : this.#fail(refusedTooOften(this.run.task.taskId, call, error)))
    })
  }

  /** Answers a call with `value` at once. Every hundredth answer has a turn of its own. */
  derive<T>(call: string, value: T, branch: Branch | undefined): T | Promise<T> {
    const error = this.count(call)
    if (error) return Promise.reject(error)
    const { number } = this.turns
    if (number !== this.#turn) {
      this.#turn = number
      this.#derivedInTurn = 0
    }
    this.#derivedInTurn++
    if (this.#derivedInTurn % DERIVED_PER_TURN !== 0) return value
    return this.#inOwnTurn(branch, (resolve) => resolve(value))
  }

  /** Counts a derived answer. At the limit, fails the task and returns the error. */
  count(call: string): HoldfastError | undefined {
    this.#derived++
    return this.#derived < DERIVED_MAX ? undefined : this.#fail(noProgress(this.run.task.taskId, call))
  }

  /** Drops the answers for branches that lost. */
  closeBranches(): void {
    for (const waiting of this.pending) if (waiting.branch?.isOver) this.pending.delete(waiting)
  }

  /** To be called for a record that the body receives, and for a restored checkpoint (unrecorded-answers-3). */
  handedOver({ at }: { readonly at: number }): void {
    this.#lastRecordAt = at
    this.#refusals = 0
    this.#derived = 0
  }

  #fail(error: HoldfastError): HoldfastError {
    this.run.fail(error)
    return error
  }

  #inOwnTurn<T>(
    branch: Branch | undefined,
    hand: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = { branch, reject }
      this.pending.add(waiting)
      const turn = () => {
        // Not removed if the run has ended, so that the interruption of the run rejects it.
        if (!this.run.isOver && this.pending.delete(waiting)) hand(resolve, reject)
      }
      if (this.#derived > DERIVED_WITHOUT_PAUSE_MAX) this.turns.planAfterPause(turn)
      else this.turns.plan(turn)
    })
  }
}
