/** The three durable tools of the example server, on the 2,000 real flights that the package `vega-datasets` brings along. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, type Jsonified, type TaskContext } from 'holdfast'
import { z } from 'zod'

const data = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', 'data')

// Stands for what a real tool waits for, so that there is time to kill the server.
const STEP_MS = Number(process.env['EXAMPLE_STEP_MS'] ?? 250)

interface Flight {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

const flights = async () => JSON.parse(await readFile(join(data, 'flights-2k.json'), 'utf8')) as Flight[]

/**
 * Walks the flights in parts, a step each; what a part gives is kept, and a crash costs the part that was being done.
 * Whatever is waited for, reading the file too, is waited for in a step: so a replay goes the same way.
 */
async function inParts<R>(
  task: TaskContext,
  { name, size, only }: { name: string; size: number; only: (flight: Flight) => boolean },
  work: (part: readonly Flight[]) => R,
) {
  const chosen = async () => (await flights()).filter(only)
  const count = await task.step('count', async () => (await chosen()).length)
  const parts = Math.ceil(count / size)
  const results: Jsonified<R>[] = []
  for (let part = 0; part < parts; part++) {
    results.push(
      await task.step(name, async ({ signal }) => {
        await delay(STEP_MS, undefined, { signal })
        return work((await chosen()).slice(part * size, (part + 1) * size))
      }),
    )
    task.progress({ done: part + 1, total: parts, message: `${name}: part ${part + 1} of ${parts}` })
  }
  return { count, results }
}

const outputOfDelays = z.object({
  flights: z.number(),
  meanDelay: z.number(),
  worst: z.object({ route: z.string(), delay: z.number() }),
})

export const summariseDelays = defineTask(
  {
    name: 'summarise_delays',
    version: '1',
    input: z.object({
      origin: z.string().length(3).optional().describe('Only flights from this airport, such as LAX'),
    }),
    output: outputOfDelays,
  },
  async (task, { origin }) => {
    const only = (flight: Flight) => origin === undefined || flight.origin === origin
    const { count, results } = await inParts(task, { name: 'summarise', size: 100, only }, (part) => ({
      sum: part.reduce((sum, { delay }) => sum + delay, 0),
      worst: part.reduce((worst, flight) => (flight.delay > worst.delay ? flight : worst)),
    }))
    if (count === 0) throw new Error(`No flights leave ${origin}`)
    const worst = results.map(({ worst }) => worst).reduce((one, other) => (other.delay > one.delay ? other : one))
    return {
      flights: count,
      meanDelay: Math.round((10 * results.reduce((sum, part) => sum + part.sum, 0)) / count) / 10,
      worst: { route: `${worst.origin}–${worst.destination}`, delay: worst.delay },
    }
  },
)

export const busiestRoutes = defineTask(
  {
    name: 'busiest_routes',
    version: '1',
    input: z.object({ top: z.int().min(1).max(50).default(5) }),
    output: z.object({ routes: z.array(z.object({ route: z.string(), flights: z.number() })) }),
  },
  async (task, { top }) => {
    const { results } = await inParts(task, { name: 'count routes', size: 200, only: () => true }, (part) => {
      const own: Record<string, number> = {}
      for (const { origin, destination } of part) {
        const route = `${origin}–${destination}`
        own[route] = (own[route] ?? 0) + 1
      }
      return own
    })
    const counts = new Map<string, number>()
    for (const part of results) {
      for (const [route, count] of Object.entries(part)) counts.set(route, (counts.get(route) ?? 0) + count)
    }
    const routes = [...counts].map(([route, count]) => ({ route, flights: count }))
    return { routes: routes.sort((one, other) => other.flights - one.flights).slice(0, top) }
  },
)

export const bookTrip = defineTask(
  {
    name: 'book_trip',
    version: '1',
    input: z.object({ from: z.string().length(3), to: z.string().length(3) }),
    output: z.object({ booked: z.boolean(), reference: z.string().optional() }),
  },
  async (task, { from, to }) => {
    const fare = await task.step('price', async ({ signal }) => {
      await delay(STEP_MS, undefined, { signal })
      const matching = (await flights()).filter(({ origin, destination }) => origin === from && destination === to)
      return matching.reduce((sum, { distance }) => sum + distance, 0) / Math.max(1, matching.length) / 10 + 40
    })
    const answer = await task.input<{ action: string; content?: { confirm?: boolean } }>('confirm', {
      message: `Book ${from}–${to} for ${fare.toFixed(2)}?`,
      requestedSchema: { type: 'object', properties: { confirm: { type: 'boolean' } }, required: ['confirm'] },
    })
    if (answer.action !== 'accept' || !answer.content?.confirm) return { booked: false }
    const reference = await task.step('book', async ({ idempotencyKey, signal }) => {
      await delay(STEP_MS, undefined, { signal })
      return idempotencyKey.slice(-8).toUpperCase()
    })
    return { booked: true, reference }
  },
)
