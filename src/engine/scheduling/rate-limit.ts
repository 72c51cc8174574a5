/**
 * Limits the recent starts of each owner by a sliding window: at most `starts` starts within the last `perMs`. The
 * instant at which a start is accepted again is known to the millisecond.
 *
 * The window needs no record in the store. The ID of a task contains its creation time. The first start of an owner in
 * a process reads the newest IDs from the index of the owner. So a restart does not reset the window.
 */
import type { OwnerStartsQuery } from '../../store/reads.js'
import type { Rate } from '../checks/open-options.js'

/** Reads the creation times of an owner's newest tasks in any order: at most `limit`, and none before `since`. */
export type ReadStarts = (owner: string, query: OwnerStartsQuery) => Promise<number[]>

export class OwnerRates {
  // In the order of the last start of each owner, so that owners with an empty window are at the front.
  readonly #windows = new Map<string, number[]>()
  readonly #reading = new Map<string, Promise<void>>()

  constructor(
    private readonly rate: Rate,
    private readonly read: ReadStarts,
  ) {}

  /** Reads the window of an owner into memory, if needed. An empty window is not kept, and is read again. */
  async load(owner: string, now: number): Promise<void> {
    if (this.#windows.has(owner)) return
    const reading = this.#reading.get(owner) ?? this.#load(owner, now).finally(() => this.#reading.delete(owner))
    this.#reading.set(owner, reading)
    return reading
  }

  async #load(owner: string, now: number): Promise<void> {
    const { starts, perMs } = this.rate
    const found = await this.read(owner, { since: now - perMs + 1, limit: starts, now })
    if (found.length > 0)
      this.#windows.set(
        owner,
        found.sort((one, other) => one - other),
      )
  }

  /** Instant from which the owner may start the next task. At most `now` if that is allowed now. */
  nextAt(owner: string, now: number): number {
    const window = this.#windows.get(owner) ?? []
    this.#prune(window, now)
    const { starts, perMs } = this.rate
    const over = window.length - starts
    return over < 0 ? now : (window[over] as number) + perMs
  }

  /** Number of starts in the window of the owner. */
  countOf(owner: string): number {
    return this.#windows.get(owner)?.length ?? 0
  }

  /** Counts a start of the owner. */
  take(owner: string, now: number): void {
    const window = this.#windows.get(owner) ?? []
    window.push(now)
    this.#windows.delete(owner)
    this.#windows.set(owner, window)
    for (const [other, starts] of this.#windows) {
      if ((starts.at(-1) as number) > now - this.rate.perMs) break
      this.#windows.delete(other)
    }
  }

  /** Removes a start that `take` counted, because no task was created. */
  giveBack(owner: string, at: number): void {
    const window = this.#windows.get(owner)
    const place = window?.lastIndexOf(at) ?? -1
    if (place >= 0) window?.splice(place, 1)
    if (window?.length === 0) this.#windows.delete(owner)
  }

  #prune(window: number[], now: number): void {
    while (window.length > 0 && (window[0] as number) <= now - this.rate.perMs) window.shift()
    // After the clock was set back, starts in the future count as starts now. So no owner waits longer than the window.
    for (let at = window.length - 1; at >= 0 && (window[at] as number) > now; at--) window[at] = now
  }
}
