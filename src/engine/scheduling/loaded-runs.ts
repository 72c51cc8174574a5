/**
 * The runs in memory: their number, the runs without a slot, and the choice of the run to unload for another one. A
 * run is in memory from its first slot until it has ended, or until its unload is on disk.
 *
 * - The limit never leaves a slot unused. If no run can be unloaded, one more is loaded.
 * - To load a run, the run whose wait ends last is unloaded. A run whose wait has ended, and that waits for a slot,
 *     comes after all runs that still wait. It is unloaded only if the limit of its type or owner blocks it, because
 *     the scheduler gives a free slot to any other such run before it loads another run.
 */
import { Heap } from '../../base/collections.js'

/** A run in memory without a slot. */
export interface IdleRun {
  /** Instant at which the wait ends by itself, or ended. */
  readonly endsAt: number
  /** Unloads the run. */
  readonly unload: () => void
}

export class LoadedRuns {
  #count = 0
  #leaving = 0
  readonly #idle = new Heap<IdleRun>((one, other) => one.endsAt > other.endsAt)

  /** @param max `limits.loadedRunsMax` */
  constructor(private readonly max: number) {}

  /** The number of runs in memory. */
  get count(): number {
    return this.#count
  }

  /** True if the limit of runs in memory is reached, runs that are being unloaded included. */
  get isAtCap(): boolean {
    return this.#count >= this.max
  }

  /** True if a run must be unloaded before another one is loaded. Runs that are being unloaded do not count. */
  get isFull(): boolean {
    return this.#count - this.#leaving >= this.max
  }

  /** Counts a run that is loaded now. Unloads others if that exceeds the limit. */
  enter(): void {
    for (let last = this.#idle.first; last && this.isFull; last = this.#idle.first) {
      this.#idle.remove(last)
      last.unload()
    }
    this.#count++
  }

  /** To be called when the unload of a run begins. */
  beginLeaving(): void {
    this.#leaving++
  }

  /** Stops counting a run that has ended, or whose unload is on disk. */
  leave(from: 'loaded' | 'leaving'): void {
    this.#count--
    if (from === 'leaving') this.#leaving--
  }

  /** Adds a run without a slot, which may be unloaded. */
  addIdle(run: IdleRun): void {
    this.#idle.add(run)
  }

  /** Removes a run that has a slot again, or has ended. */
  removeIdle(run: IdleRun): void {
    this.#idle.remove(run)
  }
}
