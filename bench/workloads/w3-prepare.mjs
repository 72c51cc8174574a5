/** W3, the process that is killed: brings 1,000 tasks to their 11th step, says so, and waits for its end. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openEngine, parameters, say, scaled, stepResults } from './common.mjs'
import { STEPS, STEPS_DONE } from './w3-steps.mjs'

const given = parameters()
const tasks = scaled(1_000, given.scale)
const result = stepResults()
let arrived = 0
let started = false

const ready = () => started && arrived === tasks && say('ready')

// A body receives the result of its tenth step once that is on disk. So a task that enters the eleventh step has ten for certain.
const engine = await openEngine(given, {
  dir: join(given.dir, 'store'),
  steps: STEPS,
  concurrency: tasks,
  work(step) {
    if (step < STEPS_DONE) return result(step)
    arrived++
    ready()
    return new Promise(() => {})
  },
})
setInterval(() => {}, 60_000)
const taskIds = await Promise.all(
  Array.from({ length: tasks }, (_, index) => engine.start(`w3-${given.spawnedAt}-${index}`)),
)
writeFileSync(join(given.dir, 'tasks.json'), JSON.stringify(taskIds))
started = true
ready()
