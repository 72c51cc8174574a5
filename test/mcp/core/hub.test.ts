// Goal: who waits for a task hears of all its progress, also of what it made while nobody listened yet after a restart.
// Method: a task goes on before anybody waits for it; then somebody does, soon or late.
import { expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { McpCore } from '../../../src/mcp/tools/mcp-core.js'
import { waitForEnd } from '../../../src/mcp/tools/wait.js'
import { ManualClock, openInMemory, untilIdle } from '../../../src/testing/index.js'

async function working(ends: boolean) {
  const clock = new ManualClock()
  const count = defineTask({ name: 'count' }, async (task) => {
    for (let n = 1; n <= 5; n++) {
      await task.step('count', () => n)
      task.progress({ done: n, total: 5 })
    }
    if (!ends) await task.receive('go')
  })
  const holdfast = await openInMemory({ tasks: [count], clock })
  const core = new McpCore(holdfast, { access: 'local' })
  const { taskId } = await holdfast.start(count, null)
  await untilIdle(holdfast)
  const hear = async () => {
    const heard: unknown[] = []
    const aborter = new AbortController()
    const waiting = waitForEnd(core, taskId, { signal: aborter.signal, onProgress: ({ done }) => heard.push(done) })
    await untilIdle(holdfast)
    aborter.abort()
    await waiting
    return heard
  }
  return { clock, hear }
}

test.each([false, true])(
  'progress that came before anybody waited is told to each who waits; the task has ended: %j',
  async (ends) => {
    const { hear } = await working(ends)
    for (let waits = 0; waits < 2; waits++) expect([...new Set(await hear())]).toEqual([1, 2, 3, 4, 5])
  },
)

test('a minute later only the latest is', async () => {
  const { clock, hear } = await working(false)
  await clock.advance(60_000)
  expect(await hear()).toEqual([5])
})
