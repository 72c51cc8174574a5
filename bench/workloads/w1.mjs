/**
 * W1: one task of 1,000 steps, one after the other. Nothing can share a wait for the disk, so this is its price. With deferred
 * steps (`w1d`) it is the price of a step that does not wait.
 */
import { defineTask, Holdfast } from 'holdfast'
import { besideLimit, parameters, say, scaled, stepResults, timed } from './common.mjs'

const given = parameters()
const steps = scaled(1_000, given.scale)
const result = stepResults()
const options = given.commit === undefined ? {} : { commit: given.commit }

const manySteps = defineTask({ name: 'w1' }, async (task) => {
  for (let step = 0; step < steps; step++) await task.step('step', () => result(step), options)
  return steps
})

for (let rep = 0; rep < given.reps; rep++) {
  const figures = await besideLimit(given, async (dir) => {
    const holdfast = await Holdfast.open({ dir, tasks: [manySteps], durability: 'synced' })
    const { ms, cpuMicros } = await timed(async () => {
      const { taskId } = await holdfast.start(manySteps, {})
      await holdfast.result(taskId)
    })
    await holdfast.close()
    return { stepsPerSecond: (steps / ms) * 1_000, cpuMicrosPerStep: cpuMicros / steps }
  })
  say({ ...figures, ratioToLimit: figures.stepsPerSecond / figures.limitPerSecond })
}
