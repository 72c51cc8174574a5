/** The process with a copy of the trial of backups: restores a backup beside the running original, and runs its tasks to their end. */
import { once } from 'node:events'
import { Holdfast, silentLogger } from 'holdfast'
import { restoreBackup, verify } from 'holdfast/admin'
import { untilIdle } from 'holdfast/testing'
import { forEachOf, trialTasks } from './tasks.mjs'

const [file = '', dir = ''] = process.argv.slice(2)
const [acknowledged] = /** @type {[{ steps: Record<string, number>, echoes: string[] }]} */ (
  await once(process, 'message')
)
/** @type {Map<string, string>} */
const called = new Map()
/** @type {string[]} */
const faults = []
const fault = (/** @type {string} */ sentence) => void faults.push(sentence)

const { unfinished, unfinishedTaskIds } = await restoreBackup({ file, dir })
const taskIds = Object.keys(acknowledged.steps)
if ((unfinished['walk'] ?? 0) !== taskIds.length) fault(`the copy has ${unfinished['walk']} unfinished tasks`)
if (unfinishedTaskIds.length > 100) fault('the report of the restore has no bound')
if (!(await verify({ dir })).isSound) fault('the copy is not sound')

const { definitions } = trialTasks({
  called(key, effect) {
    const [taskId = '', n = ''] = effect.split(' ')
    if (called.has(key)) fault(`the copy called ${effect} twice`)
    if (Number(n) < (acknowledged.steps[taskId] ?? 0)) fault(`the copy called ${effect}, which was acknowledged before`)
    called.set(key, effect)
  },
})
const limits = { liveTasksMax: 2 * taskIds.length + 1_000 }
const holdfast = await Holdfast.open({ dir, tasks: definitions, limits, logger: silentLogger })
await untilIdle(holdfast)
if (holdfast.recovery.heldReason === undefined || called.size > 0) fault('the copy ran before recover()')
await holdfast.recover()
await holdfast.recovery.done
await forEachOf(taskIds, async (taskId) => {
  const least = (acknowledged.steps[taskId] ?? 0) + 1
  try {
    await holdfast.send(taskId, 'go', { isLast: true })
    const result = await holdfast.result(taskId)
    if (typeof result !== 'number' || result < least) fault(`${taskId} ended with ${result}; ${least} steps were known`)
  } catch (error) {
    fault(`${taskId}: ${String(error)}`)
  }
})
for (const taskId of acknowledged.echoes) {
  const { status } = await holdfast.get(taskId)
  if (status !== 'completed') fault(`${taskId} is ${status}, and had ended before the backup`)
}
await holdfast.close()
const report = { tasks: taskIds.length, settled: acknowledged.echoes.length, called: [...called], faults }
process.send?.(report, () => process.disconnect())
