/**
 * The turns of a body (rule 2 of the log). A body runs only in turns, and a turn begins with one answer, so that chains
 * which run side by side ask in the same order in the first run and in every replay.
 *
 * Two immediates are queued together: the first hands the answer over, the second closes the turn. Node empties the
 * queue of microtasks between the two and lets nothing foreign in (no I/O, no timer), so when the second one runs every
 * promise chain that the answer woke has come to rest, or waits for something that is not a step. (`untilIdle` of
 * `holdfast/testing` sees a planned turn by its immediates.)
 */
import { setImmediate } from 'node:timers'

export class Turns {
  #open = false
  #planned = 0

  /** @param rest called after each turn, with the body at rest */
  constructor(private readonly rest: () => void) {}

  /** Whether the body is running because of an answer. */
  get open(): boolean {
    return this.#open
  }

  /** Whether a turn is about to begin, or going on. */
  get planned(): boolean {
    return this.#planned > 0
  }

  /** Begins a turn with `answer`, soon. */
  plan(answer: () => void): void {
    this.#planned++
    setImmediate(() => {
      this.#open = true
      answer()
    })
    setImmediate(() => {
      this.#open = false
      this.#planned--
      this.rest()
    })
  }
}
