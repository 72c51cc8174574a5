/**
 * The rates that apply to a start: the rate of the store, and the rate of the client that a protocol binding starts
 * the task for.
 *
 * - Every start of an owner counts in every known rate, by any caller. So the starts that are read after a restart and
 *     those that were counted before it are the same.
 * - Starts of an earlier process are read while they may count: for one window after the opening.
 */

import type { Rate } from '../checks/open-options.js'
import type { Newcomer } from './admission.js'
import { OwnerRates, type ReadStarts } from './rate-limit.js'

/** One rate, and the owner or account that a start counts for. */
export interface RateWindow {
  readonly rates: OwnerRates
  readonly rate: Rate
  readonly name: string
  /** True if a full window refuses the start. Otherwise the start is only counted. */
  readonly isHeld: boolean
  /** The owner. `undefined` if `name` is the account of a client that shares its owner with others. */
  readonly owner: string | undefined
}

interface Known {
  readonly rates: OwnerRates
  readonly rate: Rate
}

export class Rates {
  /** Rates by their values: that of the store, and one for each binding with limits of its own. */
  readonly #known = new Map<string, Known>()
  readonly #own: Known | undefined

  constructor(
    own: Rate | undefined,
    private readonly read: ReadStarts,
    private readonly openedAt: number,
  ) {
    this.#own = own && this.#of(own)
  }

  /**
   * Reads the windows of a start that are not in memory. `undefined` if there is nothing to read.
   * @throws HoldfastError `STORE_UNAVAILABLE`
   */
  load(newcomer: Newcomer, now: number): Promise<unknown> | undefined {
    let loading: Promise<void>[] | undefined
    for (const { rates, rate, name, owner, isHeld } of this.windowsOf(newcomer)) {
      // Accounts are counted in memory only. A window of an owner is complete when the opening is older than the
      // window.
      const isComplete = owner === undefined || now - rate.perMs >= this.openedAt
      if (!isHeld || isComplete) continue
      loading ??= []
      loading.push(rates.load(name, now))
    }
    return loading && Promise.all(loading)
  }

  /** The windows that a start counts in. None for a child, which was admitted with its parent. */
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
