// Goal: a 90 s tool under a client that gives up after its default of 60 s: one task, one run.
// Method: the SDK's client with its default timeout; its timers, and the engine's, under a simulated clock.

import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { ManualClock, openInMemory } from 'holdfast/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { connect } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { turns } from '../../helpers/turns.js'

afterEach(() => vi.useRealTimers())

test('a 90 s tool, called again after the client’s own timeout, runs once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock, unloadAfter: '10m' })
  const runs = vi.fn()
  const ninety = defineTask({ name: 'ninety' }, async (task) => {
    await task.step('begin', runs)
    await task.sleep('ninety', '90s')
    return 'at last'
  })
  const { client } = await connect(durableTasks(holdfast, { access: 'local' }).tool(ninety))
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      vi.advanceTimersByTime(1_000)
      await clock.advance(1_000)
      await turns(4)
    }
  }
  const first = client.callTool({ name: 'ninety' }).catch((error: unknown) => error)
  await pass(61)
  expect(await first).toMatchObject({ code: -32_001 })
  const second = client.callTool({ name: 'ninety' })
  await pass(35)
  expect(await second).toMatchObject({ content: [{ text: 'at last' }] })
  expect(runs).toHaveBeenCalledTimes(1)
  expect((await holdfast.list()).tasks).toHaveLength(1)
})
