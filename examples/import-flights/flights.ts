/** The flight records, and the summary that is made of them. It knows nothing of tasks, and the import and its check share it. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { z } from 'zod'

/** `delay` in minutes (early is negative), `distance` in miles, `time` in hours after midnight. */
export type Flight = z.infer<typeof flightSchema>
const flightSchema = z.object({ delay: z.number(), distance: z.number(), time: z.number().min(0).lt(24) })

/** What is counted of the flights of one hour and one distance band. */
export type Group = z.infer<typeof groupSchema>
const groupSchema = z.object({ flights: z.number(), late: z.number(), delayMinutes: z.number() })

/** Groups by name, such as `'08:00, 500 to 999 miles'`. */
export type Summary = z.infer<typeof summarySchema>
export const summarySchema = z.record(z.string(), groupSchema)

const LATE_FROM_MINUTES = 15
const BAND_MILES = 500
const LAST_BAND_FROM_MILES = 2_500

/** The 200,000 real flights that the package `vega-datasets` brings along. */
export function flightsFile(): string {
  const entry = createRequire(import.meta.url).resolve('vega-datasets')
  return join(dirname(entry), '../data/flights-200k.json')
}

const read = new Map<string, Promise<readonly unknown[]>>()

/** The records of `file`, as they are. A process parses it once, however many steps ask. */
export function readFlights(file: string): Promise<readonly unknown[]> {
  const known = read.get(file)
  if (known) return known
  const records = readFile(file, 'utf8').then((text) => z.array(z.unknown()).parse(JSON.parse(text)))
  read.set(file, records)
  return records
}

/** @throws ZodError for a record that is not a flight */
export function parseFlights(records: readonly unknown[]): Flight[] {
  return z.array(flightSchema).parse(records)
}

/** Counts delays per hour of the day and distance band. */
export function summarise(flights: readonly Flight[]): Summary {
  const summary: Summary = {}
  for (const { delay, distance, time } of flights) {
    const name = groupName(time, distance)
    const group = summary[name] ?? { flights: 0, late: 0, delayMinutes: 0 }
    summary[name] = {
      flights: group.flights + 1,
      late: group.late + (delay >= LATE_FROM_MINUTES ? 1 : 0),
      delayMinutes: group.delayMinutes + delay,
    }
  }
  return summary
}

/** A new summary of both; neither is changed. */
export function mergeSummaries(one: Summary, other: Summary): Summary {
  const merged = { ...one }
  for (const [name, add] of Object.entries(other)) {
    const group = merged[name] ?? { flights: 0, late: 0, delayMinutes: 0 }
    merged[name] = {
      flights: group.flights + add.flights,
      late: group.late + add.late,
      delayMinutes: group.delayMinutes + add.delayMinutes,
    }
  }
  return merged
}

/** All groups as one. */
export function totalOf(summary: Summary): Group {
  const total = { flights: 0, late: 0, delayMinutes: 0 }
  for (const group of Object.values(summary)) {
    total.flights += group.flights
    total.late += group.late
    total.delayMinutes += group.delayMinutes
  }
  return total
}

function groupName(time: number, distance: number): string {
  const hour = `${String(Math.floor(time)).padStart(2, '0')}:00`
  if (distance >= LAST_BAND_FROM_MILES) return `${hour}, ${LAST_BAND_FROM_MILES} miles and more`
  const from = Math.floor(distance / BAND_MILES) * BAND_MILES
  return `${hour}, ${from} to ${from + BAND_MILES - 1} miles`
}
