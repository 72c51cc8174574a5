/**
 * The counters over the store's life: read once at open, and written in the batch of the commits that move them, so that
 * none is lost that is on disk, and none counted twice.
 */

import { faultOf } from '../base/fault.js'
import type { Logger } from '../base/logger.js'
import { added, type Tally, type Totals } from '../task/counters.js'
import type { Operation } from './disk/layout.js'
import { META_TOTALS } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { seal, unsealJson } from './integrity/envelope.js'

/** Reads the counters. Ones that can't be read begin anew: no task depends on them. */
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

  /** @param atOpen as they were read */
  constructor(readonly atOpen: Totals) {
    this.#written = atOpen
    this.#next = atOpen
  }

  /** As they are on disk. */
  get current(): Totals {
    return this.#written
  }

  /** What a batch of these commits writes of the counters: nothing, where none is moved. */
  count(group: readonly { readonly tally?: Tally | undefined }[], seq: number): Operation[] {
    this.#next = this.#written
    const tallies = group.flatMap(({ tally }) => tally ?? [])
    if (tallies.length === 0) return []
    this.#next = added(this.#written, tallies)
    return [{ key: META_TOTALS, value: seal(META_TOTALS, seq, JSON.stringify(this.#next)) }]
  }

  /** The batch is on disk. */
  landed(): void {
    this.#written = this.#next
  }
}
