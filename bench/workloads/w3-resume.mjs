/** W3, the process after the kill: how soon, from its start, the tasks are at work again, and whether all is well. */
import { Holdfast } from 'holdfast'
import { parameters, say } from './common.mjs'
import { makeTask, STEPS, STEPS_DONE, taskCount } from './w3-task.mjs'

const { dir, scale, spawnedAt } = parameters()
const tasks = taskCount(scale)
const sinceSpawn = () => performance.timeOrigin + performance.now() - spawnedAt

let firstNextStepMs = 0
let allNextStepsMs = 0
const calls = new Array(STEPS).fill(0)

const definition = makeTask((step) => {
  calls[step]++
  if (step !== STEPS_DONE) return
  if (calls[step] === 1) firstNextStepMs = sinceSpawn()
  if (calls[step] === tasks) allNextStepsMs = sinceSpawn()
})

const options = /** @type {const} */ ({ tasks: [definition], durability: 'synced', concurrency: tasks })
const holdfast = await Holdfast.open({ dir, ...options, recover: 'manual' })
const openMs = sinceSpawn()
const allCompleteMs = await new Promise((resolve) => {
  let settled = 0
  holdfast.on('task:settled', () => {
    settled++
    if (settled === tasks) resolve(sinceSpawn())
  })
  void holdfast.recover()
})

const outputs = await Promise.all(holdfast.recovery.tasks.map(({ taskId }) => holdfast.result(taskId)))
const right = outputs.filter((output) => JSON.stringify(output) === '{"wrongAnswers":0}').length
if (right !== tasks) throw new Error(`${tasks} tasks should have completed with the right answers, ${right} did`)
await holdfast.close()

say({
  openMs,
  firstNextStepMs,
  allNextStepsMs,
  allCompleteMs,
  rerunSteps: sum(calls.slice(0, STEPS_DONE)),
  repeatedSteps: sum(calls.slice(STEPS_DONE)) - tasks * (STEPS - STEPS_DONE),
})

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}
