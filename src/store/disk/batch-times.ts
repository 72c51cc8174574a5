/**
 * Times of the batches of commits, from the write to the acknowledgement, as a histogram. Counting allocates nothing: one batch
 * is in flight (commit-1), and the counters are numbers of a fixed array.
 */

/** Upper bounds of the buckets, in seconds. */
export const BATCH_SECONDS_BOUNDS = [
  0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const

const BOUNDS_MS = Float64Array.from(BATCH_SECONDS_BOUNDS, (seconds) => seconds * 1_000)

/** A histogram: the number of times in each bucket and in those below it, as Prometheus counts. */
export interface BatchTimesHistogram {
  /** For each of `BATCH_SECONDS_BOUNDS`, the number of batches that took at most so long. */
  readonly atMost: readonly number[]
  readonly count: number
  readonly seconds: number
}

/** Called at the end of a batch, with the number of its commits and its time in milliseconds. Must not throw. */
export type OnBatch = (commits: number, ms: number) => void

export class BatchTimes {
  /** Called at the end of each batch. */
  onBatch: OnBatch | undefined
  readonly #buckets = new Float64Array(BOUNDS_MS.length + 1)
  // Start of the batch in flight, and the sum of all times, in milliseconds. In an array, so that a change allocates no number.
  readonly #times = new Float64Array(2)

  begin(): void {
    this.#times[0] = performance.now()
  }

  end(commits: number): void {
    const times = this.#times
    const ms = performance.now() - (times[0] as number)
    times[1] = (times[1] as number) + ms
    let at = 0
    while (at < BOUNDS_MS.length && ms > (BOUNDS_MS[at] as number)) at++
    this.#buckets[at] = (this.#buckets[at] as number) + 1
    this.onBatch?.(commits, ms)
  }

  get histogram(): BatchTimesHistogram {
    let count = 0
    const sums = Array.from(this.#buckets, (batches) => {
      count += batches
      return count
    })
    return { atMost: sums.slice(0, -1), count, seconds: (this.#times[1] as number) / 1_000 }
  }
}
