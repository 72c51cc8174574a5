/**
 * The task: imports a file of flights, a batch per step, into a summary of delays. This is the file to copy.
 *
 * What outlives a crash is what Holdfast was told: the result of every step, and the checkpoint. The loop starts again
 * from the latest checkpoint, and the steps since are answered from the log, so no recorded step runs again.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, type StepContext } from 'holdfast'
import { z } from 'zod'
import { mergeSummaries, parseFlights, readFlights, type Summary, summarise, summarySchema } from './flights.js'
import type { Journal } from './journal.js'

// Stands for the database or the service that a real import would wait for.
const SERVICE_MS = 4

interface Saved {
  readonly done: number
  readonly summary: Summary
}

/** The task, bound to the journal that its steps write to; a server would hand in its database here. */
export const importFlights = (journal: Journal) =>
  defineTask(
    {
      name: 'import_flights',
      version: '1',
      input: z.object({
        file: z.string(),
        flightsPerStep: z.int().positive(),
        stepsPerCheckpoint: z.int().positive(),
      }),
      output: z.object({ flights: z.number(), summary: summarySchema }),
    },
    async (task, { file, flightsPerStep, stepsPerCheckpoint }) => {
      const flights = await task.step('count', async () => (await readFlights(file)).length)
      const steps = Math.ceil(flights / flightsPerStep)

      const saved = await task.restoreCheckpoint<Saved>()
      let { done, summary } = saved?.state ?? { done: 0, summary: {} }
      while (done < steps) {
        const number = done + 1
        const batch = { file, number, from: done * flightsPerStep, to: number * flightsPerStep }
        const part = await task.step('load', (step) => loadBatch(journal, batch, step))
        summary = mergeSummaries(summary, part)
        done = number
        if (done % stepsPerCheckpoint === 0) await task.saveCheckpoint({ done, summary }, { prune: true })
        task.progress({ done, total: steps })
      }
      return { flights, summary }
    },
  )

interface Batch {
  readonly file: string
  readonly number: number
  readonly from: number
  readonly to: number
}

// A crash between the effect and its record runs this again, with the same key: a service that knows the key can
// tell the second time from the first. The journal keeps both, so that the demo can count them.
async function loadBatch(journal: Journal, batch: Batch, { idempotencyKey, signal }: StepContext): Promise<Summary> {
  journal.begin(batch.number, idempotencyKey)
  const records = await readFlights(batch.file)
  const part = summarise(parseFlights(records.slice(batch.from, batch.to)))
  await delay(SERVICE_MS, undefined, { signal })
  await journal.effect(batch.number, idempotencyKey, part)
  return part
}
