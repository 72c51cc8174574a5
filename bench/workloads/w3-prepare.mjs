/** W3, the process that is killed: brings 1,000 tasks to their 11th step, says so, and waits for its end. */
import { Holdfast } from 'holdfast'
import { parameters, say } from './common.mjs'
import { makeTask, STEPS_DONE, taskCount } from './w3-task.mjs'

const { dir, scale } = parameters()
const tasks = taskCount(scale)
let arrived = 0

// A body is told of its tenth step once that is on disk, so whoever enters the eleventh has ten for certain.
const definition = makeTask((step) => {
  if (step < STEPS_DONE) return
  arrived++
  if (arrived === tasks) say('ready')
  return new Promise(() => {})
})

const holdfast = await Holdfast.open({ dir, tasks: [definition], durability: 'synced', concurrency: tasks })
for (let task = 0; task < tasks; task++) void holdfast.start(definition, {})
setInterval(() => {}, 60_000)
