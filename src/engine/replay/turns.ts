/**
 * The turns of a body (rule 2 of the log). A body runs only in turns, and a turn begins with one answer, so that chains
 * which run side by side ask in the same order in the first run and in every replay.
 *
 * Two immediates are queued together: the first hands the answer over, the second closes the turn. Node empties the
 * queue of microtasks between the two and lets nothing foreign in (no I/O, no timer), so when the second one runs every
 * promise chain that the answer woke has come to rest, or waits for something other than a call of the context. (`untilIdle` of
 * `holdfast/testing` sees a planned turn by its immediates.)
 */
import { setImmediate, setTimeout } from 'node:timers'

/** Turns of all bodies of this process that are about to begin, or going on. */
let plannedInProcess = 0

/** True if a body of this process is in a turn, or about to begin one. */
export function anyBodyHasTurn(): boolean {
  return plannedInProcess > 0
}

export class Turns {
  #open = false
  #number = 0
  #planned = 0
  /** Turns that wait for a pause to end, in their order. */
  #held: (() => void)[] | undefined

  /** @param rest called after each turn, with the body at rest */
  constructor(private readonly rest: () => void) {}

  /** True if the body is running because of an answer. */
  get open(): boolean {
    return this.#open
  }

  /** Counts the turns: that of the one that continues, or went on last. */
  get number(): number {
    return this.#number
  }

  /** True if a turn is about to begin, or going on. */
  get planned(): boolean {
    return this.#planned > 0
  }

  /** Begins a turn with `answer`, soon. Turns begin in the order in which they were planned. */
  plan(answer: () => void): void {
    this.#planned++
    plannedInProcess++
    if (this.#held) this.#held.push(answer)
    else this.#begin(answer)
  }

  /** The same, after a pause of a millisecond: whoever loops leaves the processor to others. */
  planAfterPause(answer: () => void): void {
    if (!this.#held) {
      this.#held = []
      setTimeout(() => {
        const held = this.#held ?? []
        this.#held = undefined
        for (const next of held) this.#begin(next)
      }, 1)
    }
    this.plan(answer)
  }

  #begin(answer: () => void): void {
    setImmediate(() => {
      this.#open = true
      this.#number++
      answer()
    })
    setImmediate(() => {
      this.#open = false
      this.#planned--
      plannedInProcess--
      this.rest()
    })
  }
}
