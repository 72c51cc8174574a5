/** How fast something has been going lately: how often tasks settle, or leave the queue. For estimates, and said to be one. */

// Enough to even out a burst, few enough to follow a change.
const KEPT = 64
// Nothing has been seen yet: as good a guess as any, and soon enough to be corrected.
const UNKNOWN_MS = 1_000
const SHORTEST_MS = 50
const LONGEST_MS = 3_600_000

export class Pace {
  readonly #seen: number[] = []

  /** It happened once more. */
  note(now: number): void {
    this.#seen.push(now)
    if (this.#seen.length > KEPT) this.#seen.shift()
  }

  /**
   * The mean time from one to the next, between the latest 64 and now, so that a standstill makes it longer; one second
   * while nothing has been seen. From 50 ms to an hour, whatever the clock did.
   */
  intervalMs(now: number): number {
    const [first] = this.#seen
    const mean = first === undefined ? UNKNOWN_MS : (now - first) / this.#seen.length
    return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, Math.ceil(mean)))
  }
}
