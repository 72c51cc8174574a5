/** W3, the process after the kill: the time from its start until the tasks are at work again, and what they answer. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openEngine, parameters, say, stepResults } from './common.mjs'
import { STEPS, STEPS_DONE } from './w3-steps.mjs'

const given = parameters()
/** @type {string[]} */
const taskIds = JSON.parse(readFileSync(join(given.dir, 'tasks.json'), 'utf8'))
const tasks = taskIds.length
const sinceSpawn = () => performance.timeOrigin + performance.now() - given.spawnedAt

let firstNextStepMs = 0
let allNextStepsMs = 0
const calls = new Array(STEPS).fill(0)
const result = stepResults()

const engine = await openEngine(given, {
  dir: join(given.dir, 'store'),
  steps: STEPS,
  concurrency: tasks,
  resumes: true,
  work(step) {
    calls[step]++
    if (step === STEPS_DONE) {
      if (calls[step] === 1) firstNextStepMs = sinceSpawn()
      if (calls[step] === tasks) allNextStepsMs = sinceSpawn()
    }
    return result(step)
  },
})
const openMs = sinceSpawn()
if (!engine.resume) throw new Error('This engine resumes no tasks')
const countWrongAnswers = await engine.resume(taskIds)
const allCompleteMs = sinceSpawn()
const wrongAnswers = await countWrongAnswers()
await engine.close()

say({
  openMs,
  firstNextStepMs,
  allNextStepsMs,
  allCompleteMs,
  wrongAnswers,
  rerunSteps: sum(calls.slice(0, STEPS_DONE)),
  repeatedSteps: sum(calls.slice(STEPS_DONE)) - tasks * (STEPS - STEPS_DONE),
})
process.exit()

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}
