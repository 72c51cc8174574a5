/** W1: one task of 1,000 steps, one after the other. No other task shares a wait for the disk, so this is the price of one. */
import { besideLimit, openEngine, parameters, say, scaled, stepResults, timed } from './common.mjs'

const given = parameters()
const steps = scaled(1_000, given.scale)
const work = stepResults()

for (let rep = 0; rep < given.reps; rep++) {
  const figures = await besideLimit(given, async (dir) => {
    const engine = await openEngine(given, { dir, steps, work, concurrency: 100 })
    let wrongAnswers = 0
    const { ms, cpuMicros } = await timed(async () => {
      wrongAnswers = await engine.run(`w1-${rep}`)
    })
    await engine.close()
    return { stepsPerSecond: (steps / ms) * 1_000, cpuMicrosPerStep: cpuMicros / steps, wrongAnswers }
  })
  say({ ...figures, rssMb: process.memoryUsage.rss() / 1e6 })
}
process.exit()
