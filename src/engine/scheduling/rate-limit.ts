/**
 * How many tasks each owner has started lately. A sliding window: of the starts within the last `perMs` there are never
 * more than `starts`, and when there is room again is known to the millisecond.
 *
 * It needs no record of its own. A task's ID says when it was created, so an owner's first start in a process reads the
 * newest IDs from the owner's index, and a restart gives nobody a fresh allowance.
 */
import type { OwnerStartsQuery } from '../../store/reads.js'
import type { Rate } from '../checks/open-options.js'

/** Reads when an owner's newest tasks were created, at most `limit` of them and none before `since`. In any order. */
export type ReadStarts = (owner: string, query: OwnerStartsQuery) => Promise<number[]>

export class OwnerRates {
  // The owner that started longest ago comes first, so whoever has nothing left in the window is found at the front.
  readonly #windows = new Map<string, number[]>()
  readonly #reading = new Map<string, Promise<void>>()

  constructor(
    private readonly rate: Rate,
    private readonly read: ReadStarts,
  ) {}

  /** Makes sure that the owner's window is in memory. A window that is empty is not kept, and is read again. */
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

  /** When the owner may start the next one: not after `now` if that is now. */
  nextAt(owner: string, now: number): number {
    const window = this.#windows.get(owner) ?? []
    this.#prune(window, now)
    const { starts, perMs } = this.rate
    const over = window.length - starts
    return over < 0 ? now : (window[over] as number) + perMs
  }

  /** How many starts are in the owner's window. */
  countOf(owner: string): number {
    return this.#windows.get(owner)?.length ?? 0
  }

  /** The owner starts one now. */
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

  /** A start that `take` counted did not come to be. */
  giveBack(owner: string, at: number): void {
    const window = this.#windows.get(owner)
    const place = window?.lastIndexOf(at) ?? -1
    if (place >= 0) window?.splice(place, 1)
    if (window?.length === 0) this.#windows.delete(owner)
  }

  #prune(window: number[], now: number): void {
    while (window.length > 0 && (window[0] as number) <= now - this.rate.perMs) window.shift()
    // The clock was set back: what lies ahead of it counts as started now, so nobody waits longer than the window.
    for (let at = window.length - 1; at >= 0 && (window[at] as number) > now; at--) window[at] = now
  }
}
