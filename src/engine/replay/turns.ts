/**
 * The turns of a body (rule 2 of the log). A body runs only in turns, and a turn begins with one answer. So concurrent
 * promise chains make their calls in the same order in the first run and in every replay.
 *
 * Two immediates are queued together: the first resolves the answer, the second ends the turn. Between the two, Node
 * runs all microtasks, and no I/O callbacks or timers. So at the second one, every promise chain that the answer woke
 * waits for a call of the context, or for something else. (`untilIdle` of `holdfast/testing` detects a planned turn by
 * its immediates.)
 */
import { setImmediate, setTimeout } from 'node:timers'

/** Number of turns of all bodies of this process that are planned or in progress. */
let plannedInProcess = 0

/** True if a turn of any body of this process is planned or in progress. */
export function anyBodyHasTurn(): boolean {
  return plannedInProcess > 0
}

let whenNone: (() => void)[] = []

/** Resolves once no turn of any body of this process is planned or in progress. */
export function noBodyHasTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (plannedInProcess === 0) resolve()
    else whenNone.push(resolve)
  })
}

function resolveIfNone(): void {
  if (plannedInProcess > 0 || whenNone.length === 0) return
  const waiting = whenNone
  whenNone = []
  for (const resolve of waiting) resolve()
}

export class Turns {
  #open = false
  #number = 0
  #planned = 0
  /** Turns that wait for the end of a pause, in their order. */
  #held: (() => void)[] | undefined

  /** @param rest called after each turn, when the body only waits */
  constructor(private readonly rest: () => void) {}

  /** True during a turn. */
  get open(): boolean {
    return this.#open
  }

  /** Number of the current turn, or of the last one. */
  get number(): number {
    return this.#number
  }

  /** True if a turn is planned or in progress. */
  get planned(): boolean {
    return this.#planned > 0
  }

  /** Plans a turn that begins with `answer`. Turns begin in the order of their planning. */
  plan(answer: () => void): void {
    this.#planned++
    plannedInProcess++
    if (this.#held) this.#held.push(answer)
    else this.#begin(answer)
  }

  /** Plans a turn after a pause of a millisecond, so that a looping body leaves processor time to others. */
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
      resolveIfNone()
    })
  }
}
