/**
 * The rates that hold for a start: the store's own, and that of the client for whom a protocol binding starts it.
 *
 * - Every start of an owner counts in every rate that is known, whoever makes it, so that what is read after a restart
 *     and what was counted before it are the same.
 * - Starts of an earlier process are read as long as they may matter: for one window after the opening.
 */

import type { Rate } from '../checks/open-options.js'
import type { Newcomer } from './admission.js'
import { OwnerRates, type ReadStarts } from './rate-limit.js'

/** One rate, and the name that a start counts under. */
export interface RateWindow {
  readonly rates: OwnerRates
  readonly rate: Rate
  readonly name: string
  /** True if the start is refused when the window is full. Else it is only counted. */
  readonly isHeld: boolean
  /** `undefined` where the name is a client's of several that share an owner. */
  readonly owner: string | undefined
}

interface Known {
  readonly rates: OwnerRates
  readonly rate: Rate
}

export class Rates {
  /** By their figures. There are as many as bindings with limits of their own, and the store's. */
  readonly #known = new Map<string, Known>()
  readonly #own: Known | undefined

  constructor(
    own: Rate | undefined,
    private readonly read: ReadStarts,
    private readonly openedAt: number,
  ) {
    this.#own = own && this.#of(own)
  }

  /** Reads what the windows of a start need and what is not in memory. @throws HoldfastError `STORE_UNAVAILABLE` */
  async load(newcomer: Newcomer, now: number): Promise<void> {
    for (const { rates, rate, name, owner, isHeld } of this.windowsOf(newcomer)) {
      // An account is counted in memory only. A clock that was set back says nothing of how long this opening is.
      const isComplete = owner === undefined || now - rate.perMs >= this.openedAt
      if (isHeld && !isComplete) await rates.load(name, now)
    }
  }

  /** The windows that a start counts in. Its owner lets a child in with its parent, so none for a child. */
  windowsOf({ owner, parentId, quota }: Newcomer): RateWindow[] {
    if (owner === undefined || parentId !== undefined) return []
    const held = quota && this.#of(quota.ratePerOwner)
    const account = quota?.account
    const windows: RateWindow[] = []
    for (const known of this.#known.values()) {
      const isHeld = known === this.#own || known === held
      if (account === undefined || known === this.#own) windows.push({ ...known, isHeld, name: owner, owner })
      if (account !== undefined && known === held) windows.push({ ...known, isHeld, name: account, owner: undefined })
    }
    return windows
  }

  #of(rate: Rate): Known {
    const figures = `${rate.starts}/${rate.perMs}`
    const known = this.#known.get(figures) ?? { rates: new OwnerRates(rate, this.read), rate }
    this.#known.set(figures, known)
    return known
  }
}
