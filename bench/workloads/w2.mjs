/** W2: 1,000 tasks of 5 steps, 100 of them in flight. Tasks that commit at the same time can share a wait for the disk. */
import { besideLimit, openEngine, parameters, percentile, say, scaled, stepResults, timed } from './common.mjs'

const STEPS = 5
const IN_FLIGHT = 100

const given = parameters()
const tasks = scaled(1_000, given.scale)
const work = stepResults()

for (let rep = 0; rep < given.reps; rep++) {
  /** @type {number[]} */
  const latencies = []
  const figures = await besideLimit(given, async (dir) => {
    const engine = await openEngine(given, { dir, steps: STEPS, work, concurrency: 100 })
    let started = 0
    let wrongAnswers = 0
    const client = async () => {
      while (started < tasks) {
        started++
        const startedAt = performance.now()
        wrongAnswers += await engine.run(`w2-${rep}-${started}`)
        latencies.push(performance.now() - startedAt)
      }
    }
    const { ms, cpuMicros } = await timed(async () => {
      await Promise.all(Array.from({ length: IN_FLIGHT }, client))
    })
    await engine.close()
    return { tasksPerSecond: (tasks / ms) * 1_000, cpuMicrosPerTask: cpuMicros / tasks, wrongAnswers }
  })
  say({
    ...figures,
    stepsPerSecond: figures.tasksPerSecond * STEPS,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    rssMb: process.memoryUsage.rss() / 1e6,
  })
}
process.exit()
