import { defineTask, Holdfast } from 'holdfast'
import { z } from 'zod'

const source = process.env['FLIGHTS_URL'] ?? 'https://flights.example'

export const importFlights = defineTask(
  { name: 'import_flights', input: z.object({ pages: z.number().int() }), output: z.object({ flights: z.number() }) },
  async (task, { pages }) => {
    let flights = 0
    for (let page = 1; page <= pages; page++) {
      const load = async () => ((await (await fetch(`${source}/${page}`)).json()) as unknown[]).length
      flights += await task.step('load', load)
      task.progress({ done: page, total: pages })
    }
    return { flights }
  },
)

export const holdfast = await Holdfast.open({ dir: process.env['DIR'] ?? '/var/lib/flights', tasks: [importFlights] })

/** Ends the process in order: first `stop`, which takes no more requests, then the store. */
export function closeOnSignal(stop: () => Promise<unknown>): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, async () => {
      await stop()
      await holdfast.close()
      process.exit(0)
    })
  }
}
