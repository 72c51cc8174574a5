// Goal: no message is lost when a task is tried again after its branches were cancelled.
// Method: time in hand; the message comes before the failure, and nobody sends it twice.
import { expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

test('a message is not lost with the failure of a sibling that came after the branch had received it and ended', async () => {
  const clock = new ManualClock()
  const task = defineTask({ name: 'wait', retry: { maximumAttempts: 2 } }, async (task) => {
    const { ended } = await task.all({
      ended: (branch) => branch.receive<string>('go'),
      failed: async (branch) => {
        await branch.sleep('a while', '1s')
        await branch.step('pay', () => {
          if (task.attempt === 1) throw new Error('declined')
        })
      },
      lost: (branch) => branch.sleep('long', '20s'),
    })
    return ended
  })
  const holdfast = await openInMemory({ disk: new MemoryDisk(), clock, tasks: [task] })
  const { taskId } = await holdfast.start(task, null)
  await holdfast.send(taskId, 'go', 'hello')
  for (let second = 0; second < 30; second++) {
    await untilIdle(holdfast)
    await clock.advance(1_000)
  }
  await untilIdle(holdfast)
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed', attempt: 2 })
  expect(await holdfast.result(taskId)).toBe('hello')
  await holdfast.close()
})
