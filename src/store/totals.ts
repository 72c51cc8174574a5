/**
 * Counters since the store was created, and counters of each hour. Read once at the open, and written in the same batch as
 * the commits that change them. So no committed change is lost, and none is counted twice.
 */

import { faultOf } from '../base/fault.js'
import type { Logger } from '../base/logger.js'
import { added, type Tally, type Totals } from '../task/counters.js'
import { changedHours, decodeHour, HOUR_MS, type HourCounters, type Hours } from '../task/hour-counters.js'
import type { Operation } from './disk/layout.js'
import { HOUR, hourKey, hourOfKey, META_TOTALS, under } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { pages } from './disk/pages.js'
import { seal, unseal, unsealJson } from './integrity/envelope.js'

/** All counters of a store. */
export interface Counters {
  readonly totals: Totals
  readonly hours: Hours
}

/** The counters of a new store. */
export const NO_COUNTERS: Counters = { totals: added({}, []), hours: new Map() }

/** Reads the counters. Unreadable ones start again at zero, because no task depends on them. */
export async function readCounters(level: Level, logger: Logger): Promise<Counters> {
  return { totals: await readTotals(level, logger), hours: await readHours(level, logger) }
}

async function readTotals(level: Level, logger: Logger): Promise<Totals> {
  const text = await level.get(META_TOTALS)
  try {
    return added(text === undefined ? {} : unsealJson<Partial<Totals>>(META_TOTALS, text), [])
  } catch (error) {
    logger.error('The counters of the store are damaged and begin anew', { error: faultOf(error) })
    return added({}, [])
  }
}

async function readHours(level: Level, logger: Logger): Promise<Hours> {
  const hours = new Map<number, HourCounters>()
  for await (const page of pages(level, under(HOUR))) {
    for (const [key, text] of page) {
      const hour = hourOfKey(key)
      // A key of another form is left alone. `verify` names it.
      if (!isHour(hour)) continue
      try {
        hours.set(hour, decodeHour(unseal(key, text).body))
      } catch (error) {
        logger.error(
          'The counters of an hour are damaged and begin anew. Service levels of windows with this hour count too little.',
          {
            hour: new Date(hour).toISOString(),
            error: faultOf(error),
          },
        )
        hours.set(hour, {})
      }
    }
  }
  return hours
}

function isHour(at: number): boolean {
  return at % HOUR_MS === 0
}

/**
 * Reads the record of an hour.
 * @throws Error if its key is no full hour, or its body has no counters of one
 */
export function readHourRecord(key: string, body: string): HourCounters {
  if (!isHour(hourOfKey(key))) throw new Error('its key is no full hour')
  return decodeHour(body)
}

export class TotalsKeeper {
  /** Counters since the creation of the store, as they were read. */
  readonly atOpen: Totals
  #written: Totals
  #next: Totals
  readonly #hours: Map<number, HourCounters>
  #nextHours: Hours = new Map()

  /** @param counters counters as they were read */
  constructor({ totals, hours }: Counters) {
    this.atOpen = totals
    this.#written = totals
    this.#next = totals
    this.#hours = new Map(hours)
  }

  /** Counters since the creation of the store, as they are on disk. */
  get current(): Totals {
    return this.#written
  }

  /** Counters of hours on disk. */
  get hours(): Hours {
    return this.#hours
  }

  /** Operations that update the counters for a batch of these commits; none if no counter changes. */
  count(group: readonly { readonly tally?: Tally | undefined }[], seq: number): Operation[] {
    this.#next = this.#written
    this.#nextHours = NO_COUNTERS.hours
    const tallies = group.flatMap(({ tally }) => tally ?? [])
    if (tallies.length === 0) return []
    this.#next = added(this.#written, tallies)
    this.#nextHours = changedHours(this.#hours, tallies)
    const operations = [{ key: META_TOTALS, value: seal(META_TOTALS, seq, JSON.stringify(this.#next)) }]
    for (const [hour, counters] of this.#nextHours) {
      const key = hourKey(hour)
      operations.push({ key, value: seal(key, seq, JSON.stringify(counters)) })
    }
    return operations
  }

  /** Marks the batch as being on disk. */
  landed(): void {
    this.#written = this.#next
    for (const [hour, counters] of this.#nextHours) this.#hours.set(hour, counters)
    this.#nextHours = NO_COUNTERS.hours
  }

  /** Forgets hours whose records are deleted next. A commit that is queued before that may count in one, and is deleted too. */
  forget(hours: readonly number[]): void {
    for (const hour of hours) this.#hours.delete(hour)
  }
}
