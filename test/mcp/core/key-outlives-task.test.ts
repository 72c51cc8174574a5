// Goal: a call under the idempotency key of a task that was deleted says so, and never "Task not found", in both revisions.
// Method: a task that is called under a key, and deleted while the key is kept; then every form of the same call.
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks as modernTasks } from 'holdfast/mcp/2026-07-28'
import { ManualClock, openInMemory } from 'holdfast/testing'
import { beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

const KEY = { _meta: { 'holdfast/idempotencyKey': 'order-7' } }
const TTL = { ttl: { min: '1s', max: '1m', default: '1m' } } as const
const sentence =
  /^This idempotency key started task task-\w+, which settled at 2026-01-01T00:00:\S+Z and has been deleted since, with its result\. Nothing was started\./
const toolError = { content: [{ type: 'text', text: expect.stringMatching(sentence) }], isError: true }

let runs = 0
const order = defineTask({ name: 'order', input: z.object({ n: z.number() }) }, (task) =>
  task.step('order', () => {
    runs++
    return 'ordered'
  }),
)
beforeEach(() => {
  runs = 0
})

async function afterItsTask() {
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock })
  const legacy = await rawClient(durableTasks(holdfast, { access: 'local', ...TTL }).tool(order, { start: true }))
  const modern = await modernClient(modernTasks(holdfast, { access: 'local', ...TTL }).tool(order, { start: true }))
  await legacy.call('order', { n: 1 }, KEY)
  expect(runs).toBe(1)
  await clock.advance(5 * 60_000)
  expect((await holdfast.list()).tasks).toEqual([])
  return { holdfast, legacy, modern }
}

test('a call that waits, and one of the tool that starts, are answered with a tool error', async () => {
  const { legacy, modern } = await afterItsTask()
  expect((await legacy.call('order', { n: 1 }, KEY)).result).toEqual(toolError)
  expect((await legacy.call('start_order', { n: 1 }, KEY)).result).toEqual(toolError)
  expect((await modern.call('order', { n: 1 }, KEY)).result).toMatchObject(toolError)
  expect((await modern.call('order', { n: 1 }, KEY, { knows: {} })).result).toMatchObject(toolError)
  expect((await modern.call('start_order', { n: 1 }, KEY)).result).toMatchObject(toolError)
  expect(runs).toBe(1)
})

test('a call of 2025-11-25 that asks for a task is answered with an error, since it may have no result', async () => {
  const { legacy, holdfast } = await afterItsTask()
  const { error } = await legacy.call('order', { n: 1 }, { task: {}, ...KEY })
  expect(error).toMatchObject({
    code: -32_602,
    message: expect.stringMatching(sentence),
    data: { code: 'RESULT_GONE', taskId: expect.any(String), settledAt: Date.UTC(2026, 0, 1) },
  })
  expect((await holdfast.list()).tasks).toEqual([])
  expect(runs).toBe(1)
})

test('another key runs it again', async () => {
  const { legacy } = await afterItsTask()
  const other = { _meta: { 'holdfast/idempotencyKey': 'order-8' } }
  expect((await legacy.call('order', { n: 1 }, other)).result).toMatchObject({ content: [{ text: 'ordered' }] })
  expect(runs).toBe(2)
})
