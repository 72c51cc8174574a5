/**
 * Answers that no record holds: refusals of a body's calls, and what is derived from the log (`now()`, `uuid()`, `patched()`,
 * the end of branches that nothing had to be recorded for). Owns the counts that end a loop of such calls.
 *
 * - Every refusal, and every hundredth derived answer of a turn, is handed over in a turn of its own. That turn is
 *     planned at once, so it comes before any record and any read. The order of turns then depends on no timing, and
 *     the first run and every replay see the same one.
 * - The event loop turns before each such turn. So timers, I/O, a cancel and a close get on while a body loops. Past
 *     1,000 derived answers in a row it also pauses: a loop that gets nowhere leaves most of the processor to others.
 * unrecorded-answers-3. A record that is handed over begins both counts anew. So does a restore that moves the body to
 *     a checkpoint: the run that saved it was handed the checkpoint's record there.
 */
import type { HoldfastError } from '../../base/errors.js'
import { DERIVED_MAX, noProgress, REFUSALS_MAX, refusedTooOften } from './body-errors.js'
import type { Branch } from './branch-scopes.js'
import type { RunCore } from './host.js'
import type { Turns } from './turns.js'

/** A turn gives as many derived answers, but for one, before the event loop turns. */
const DERIVED_PER_TURN = 100
/** Past so many in a row, each turn waits a millisecond. */
const DERIVED_WITHOUT_PAUSE_MAX = 1_000

interface UnrecordedAnswer {
  readonly branch: Branch | undefined
  readonly reject: (error: unknown) => void
}

export class UnrecordedAnswers {
  #lastRecordAt: number
  #refusals = 0
  #derived = 0
  /** The turn that the last derived answer was given in, and how many it has given. */
  #turn = -1
  #derivedInTurn = 0
  /** What the body waits for here, in the order of the turns. */
  readonly pending = new Set<UnrecordedAnswer>()

  constructor(
    private readonly run: Pick<RunCore, 'task' | 'isOver' | 'fail'>,
    private readonly turns: Turns,
    firstInstant: number,
  ) {
    this.#lastRecordAt = firstInstant
  }

  /** The stored time of the record that the body was handed last; before any, of the task's start. */
  get lastRecordAt(): number {
    return this.#lastRecordAt
  }

  /** Refuses a call with `error`, in a turn of its own. */
  refuse(call: string, error: unknown, branch: Branch | undefined): Promise<never> {
    return this.#inOwnTurn(branch, (_, reject) => {
      this.#refusals++
      reject(this.#refusals < REFUSALS_MAX ? error : this.#fail(refusedTooOften(this.run.task.taskId, call, error)))
    })
  }

  /** Answers a call with `value`: at once, or, every hundredth time, in a turn of its own. */
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

  /** Counts a derived answer. Returns the error that the task fails with if it was one too many. */
  count(call: string): HoldfastError | undefined {
    this.#derived++
    return this.#derived < DERIVED_MAX ? undefined : this.#fail(noProgress(this.run.task.taskId, call))
  }

  /** Branches lost: what they wait for is answered no more. */
  closeBranches(): void {
    for (const waiting of this.pending) if (waiting.branch?.isOver) this.pending.delete(waiting)
  }

  /** The body is handed a record, or continues from a checkpoint as if it were handed its record (unrecorded-answers-3). */
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
        // Left there when the run is over: an interrupted body gets its interrupt instead.
        if (!this.run.isOver && this.pending.delete(waiting)) hand(resolve, reject)
      }
      if (this.#derived > DERIVED_WITHOUT_PAUSE_MAX) this.turns.planAfterPause(turn)
      else this.turns.plan(turn)
    })
  }
}
