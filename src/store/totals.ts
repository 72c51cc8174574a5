/**
 * Counters since the store was created. Read once at the open, and written in the same batch as the commits that change
 * them. So no committed change is lost, and none is counted twice.
 */

import { faultOf } from '../base/fault.js'
import type { Logger } from '../base/logger.js'
import { added, type Tally, type Totals } from '../task/counters.js'
import type { Operation } from './disk/layout.js'
import { META_TOTALS } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { seal, unsealJson } from './integrity/envelope.js'

/** Reads the counters. Unreadable ones start again at zero, because no task depends on them. */
export async function readTotals(level: Level, logger: Logger): Promise<Totals> {
  const text = await level.get(META_TOTALS)
  try {
    return added(text === undefined ? {} : unsealJson<Partial<Totals>>(META_TOTALS, text), [])
  } catch (error) {
    logger.error('The counters of the store are damaged and begin anew', { error: faultOf(error) })
    return added({}, [])
  }
}

export class TotalsKeeper {
  #written: Totals
  #next: Totals

  /** @param atOpen counters as they were read */
  constructor(readonly atOpen: Totals) {
    this.#written = atOpen
    this.#next = atOpen
  }

  /** Counters on disk. */
  get current(): Totals {
    return this.#written
  }

  /** Operations that update the counters for a batch of these commits; none if no counter changes. */
  count(group: readonly { readonly tally?: Tally | undefined }[], seq: number): Operation[] {
    this.#next = this.#written
    const tallies = group.flatMap(({ tally }) => tally ?? [])
    if (tallies.length === 0) return []
    this.#next = added(this.#written, tallies)
    return [{ key: META_TOTALS, value: seal(META_TOTALS, seq, JSON.stringify(this.#next)) }]
  }

  /** Marks the batch as being on disk. */
  landed(): void {
    this.#written = this.#next
  }
}
