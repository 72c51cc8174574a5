import { defineTask } from 'holdfast'
import { z } from 'zod'

const source = process.env['FLIGHTS_URL'] ?? 'https://flights.example'

export const info = { name: 'flights', version: '1.0.0' }

export const importFlights = defineTask(
  { name: 'import_flights', input: z.object({ pages: z.number().int() }), output: z.object({ flights: z.number() }) },
  async (task, { pages }) => {
    let flights = 0
    for (let page = 1; page <= pages; page++) {
      flights += await task.step('load', async ({ signal }) => {
        const response = await fetch(`${source}/${page}`, { signal })
        return /** @type {unknown[]} */ (await response.json()).length
      })
      task.progress({ done: page, total: pages })
    }
    return { flights }
  },
)
