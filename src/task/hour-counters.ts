/**
 * Counters of what happened in one hour (UTC): tasks settled, clean-ups ended, recoveries. The service levels of a window
 * follow from their sums. Pure.
 *
 * hour-counters-1. An event is counted in the hour of its own instant, also if its batch is written in the next hour. So the
 *   counters of an hour are those of the tasks that settled in it. A batch writes one value, and two if its commits were decided in
 *   two hours.
 */
import type { SHORT_COUNTERS, Tally, Totals } from './counters.js'

/** Length of an hour, in milliseconds. */
export const HOUR_MS = 3_600_000

/** Full hours that are kept, besides the current one: 30 days. */
const HOURS_KEPT = 720

/** Names of the counters that are numbers of events. */
const COUNTS = [
  'completed',
  'shortCompleted',
  'failed',
  'cancelled',
  'timedOut',
  'expired',
  'cleanedUp',
  'notCleanedUp',
  'found',
  'takenUp',
] as const

/** Names of all counters of an hour. Those of `Totals` count the same. */
const HOUR_COUNTERS = [...COUNTS, 'completionMs', 'shortMs'] as const satisfies readonly (
  | keyof Totals
  | (typeof SHORT_COUNTERS)[number]
)[]

type HourCounter = (typeof HOUR_COUNTERS)[number]

/** Counters of an hour. A counter that is not named is zero. */
export type HourCounters = Readonly<Partial<Record<HourCounter, number>>>

/** Sums of the counters of some hours. */
export type HourSums = Readonly<Record<HourCounter, number>>

/** Counters of hours, by the instant at which the hour begins. */
export type Hours = ReadonlyMap<number, HourCounters>

/** Beginning of the hour of an instant. */
export function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS) * HOUR_MS
}

/** Beginning of the oldest hour that is kept. */
export function oldestHourKept(now: number): number {
  return hourOf(now) - HOURS_KEPT * HOUR_MS
}

/** The hours that these tallies change, with their new counters (hour-counters-1). Counters of a later version stay as they are. */
export function changedHours(hours: Hours, tallies: readonly Tally[]): Hours {
  const changed = new Map<number, Partial<Record<HourCounter, number>>>()
  for (const tally of tallies) {
    if (tally.at === undefined) continue
    const hour = hourOf(Math.max(0, tally.at))
    let counters = changed.get(hour)
    if (!counters) {
      counters = { ...hours.get(hour) }
      changed.set(hour, counters)
    }
    for (const name of HOUR_COUNTERS) {
      const more = tally[name]
      if (more) counters[name] = (counters[name] ?? 0) + more
    }
  }
  return changed
}

/** Sums of the hours from `from` up to, and without, `to`. */
export function sumOfHours(hours: Hours, from: number, to: number): HourSums {
  const sums = Object.fromEntries(HOUR_COUNTERS.map((name) => [name, 0])) as Record<HourCounter, number>
  for (const [hour, counters] of hours) {
    if (hour < from || hour >= to) continue
    for (const name of HOUR_COUNTERS) sums[name] += counters[name] ?? 0
  }
  return sums
}

/**
 * The counters in the body of a record.
 * @throws Error if they are no counters of an hour
 */
export function decodeHour(body: string): HourCounters {
  const counters = JSON.parse(body) as HourCounters
  if (typeof counters !== 'object' || counters === null || Array.isArray(counters)) throw new Error('it is no object')
  for (const name of HOUR_COUNTERS) {
    const value = counters[name] ?? 0
    const isRight = (COUNTS as readonly string[]).includes(name) ? Number.isSafeInteger(value) : Number.isFinite(value)
    if (!isRight || value < 0) throw new Error(`its counter '${name}' is no count`)
  }
  const { completed = 0, shortCompleted = 0, failed = 0, timedOut = 0, expired = 0, found = 0, takenUp = 0 } = counters
  if (shortCompleted > completed || timedOut + expired > failed || takenUp > found)
    throw new Error('its counters do not fit each other')
  return counters
}
