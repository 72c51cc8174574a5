// Goal: a run holds a slot whenever its code runs, also after several waits. Method: one slot, a run that waits twice,
// and another task that holds the slot when the second wait ends.
import { expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { ManualClock, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { gate } from '../../helpers/gated-tasks.js'

test('a run that waits for the second time queues for a slot again', async () => {
  const clock = new ManualClock()
  const gated = gate('gate')
  let hasRun = false
  const sleeper = defineTask({ name: 'sleeper' }, async (task) => {
    await task.sleep('first', '1s')
    await task.sleep('second', '2s')
    await task.step('after', () => {
      hasRun = true
    })
  })
  const tasks = [sleeper, gated.task]
  await using holdfast = await openInMemory({ clock, tasks, concurrency: 1, unloadAfter: '1h' })
  const { taskId } = await holdfast.start(sleeper, undefined)
  await untilIdle(holdfast)
  await clock.advance(1_000)
  await untilIdle(holdfast)
  await holdfast.start(gated.task, 0)
  await untilIdle(holdfast)
  expect(gated.running).toHaveLength(1)

  await clock.advance(2_000)
  await untilIdle(holdfast)
  const hasRunWithoutSlot = hasRun
  gated.running[0]?.end()
  await untilIdle(holdfast)
  expect(hasRunWithoutSlot).toBe(false)
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
})
