/** W2: 1,000 tasks of 5 steps, 100 of them in flight. What comes together shares a wait for the disk. */
import { defineTask, Holdfast } from 'holdfast'
import { besideLimit, parameters, say, scaled, stepResults, timed } from './common.mjs'

const STEPS = 5
const IN_FLIGHT = 100

const given = parameters()
const tasks = scaled(1_000, given.scale)
const result = stepResults()

const fewSteps = defineTask({ name: 'w2' }, async (task) => {
  for (let step = 0; step < STEPS; step++) await task.step('step', () => result(step))
  return STEPS
})

for (let rep = 0; rep < given.reps; rep++) {
  /** @type {number[]} */
  const latencies = []
  const figures = await besideLimit(given, async (dir) => {
    const holdfast = await Holdfast.open({ dir, tasks: [fewSteps], durability: 'synced' })
    let started = 0
    const client = async () => {
      while (started < tasks) {
        started++
        const startedAt = performance.now()
        const { taskId } = await holdfast.start(fewSteps, {})
        await holdfast.result(taskId)
        latencies.push(performance.now() - startedAt)
      }
    }
    const { ms, cpuMicros } = await timed(async () => {
      await Promise.all(Array.from({ length: IN_FLIGHT }, client))
    })
    await holdfast.close()
    return { tasksPerSecond: (tasks / ms) * 1_000, cpuMicrosPerTask: cpuMicros / tasks }
  })
  latencies.sort((one, other) => one - other)
  const { tasksPerSecond, limitPerSecond } = figures
  say({
    ...figures,
    stepsPerSecond: tasksPerSecond * STEPS,
    ratioToLimit: (tasksPerSecond * STEPS) / limitPerSecond,
    tasksRatioToLimit: tasksPerSecond / limitPerSecond,
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
  })

  /** @param {number} share */
  function percentile(share) {
    return latencies[Math.ceil(share * latencies.length) - 1]
  }
}
