/** Lets a limited number of callers through in each turn of the event loop, in their order. Others wait for the next turn. */
import { setImmediate } from 'node:timers'

/** Most answers of callers decided in one turn. Each costs about 0.1 ms, and its run as much again. */
export const ANSWERS_PER_TURN = 50

export class TurnGate {
  #waiting: (() => void)[] = []
  #passed = 0
  #isArmed = false

  constructor(private readonly perTurn: number) {}

  /** Returns a promise to await before passing. `undefined` if the caller may pass at once. */
  pass(): Promise<void> | undefined {
    this.#arm()
    if (this.#waiting.length === 0 && this.#passed < this.perTurn) {
      this.#passed++
      return undefined
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    setImmediate(() => this.#nextTurn())
  }

  #nextTurn(): void {
    const passing = this.#waiting.slice(0, this.perTurn)
    this.#waiting = this.#waiting.slice(this.perTurn)
    this.#passed = passing.length
    this.#isArmed = false
    if (passing.length > 0) this.#arm()
    for (const pass of passing) pass()
  }
}
