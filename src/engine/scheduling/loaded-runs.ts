/**
 * The runs in memory: how many there are, which of them have no slot, and which one is unloaded to make room for another.
 * A run is in memory from its first slot until it has ended, or until its unloading is on disk.
 *
 * - The limit keeps no slot free. Where nothing can be unloaded, one run more is loaded.
 * - The run that is unloaded for another is the one whose wait ends last. A run whose wait is over, and that waits for
 *     a slot, comes after all that still wait. It is unloaded only where the limit of its type or owner holds it up,
 *     since the scheduler gives a free slot to any other such run before another run is loaded.
 */
import { Heap } from '../../base/heap.js'

/** A run in memory without a slot. */
export interface IdleRun {
  /** When its wait ends by itself. Once the wait is over: when that was. */
  readonly endsAt: number
  /** Unloads it. */
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

  /** True if as many runs are in memory as may be, those included whose unloading is not on disk yet. */
  get isAtCap(): boolean {
    return this.#count >= this.max
  }

  /** True if one has to be unloaded before another is loaded: those that are being unloaded are not counted. */
  get isFull(): boolean {
    return this.#count - this.#leaving >= this.max
  }

  /** Counts a run that is loaded from now on, and unloads others where that is one too many. */
  enter(): void {
    for (let last = this.#idle.first; last && this.isFull; last = this.#idle.first) {
      this.#idle.remove(last)
      last.unload()
    }
    this.#count++
  }

  /** Notes that a run is being unloaded. */
  beginLeaving(): void {
    this.#leaving++
  }

  /** Counts a run no more: it has ended, or its unloading is on disk. */
  leave(from: 'loaded' | 'leaving'): void {
    this.#count--
    if (from === 'leaving') this.#leaving--
  }

  /** Notes that a run has no slot, and may be unloaded. */
  addIdle(run: IdleRun): void {
    this.#idle.add(run)
  }

  /** Notes that a run has a slot again, or is over. */
  removeIdle(run: IdleRun): void {
    this.#idle.remove(run)
  }
}
