/** The durable tools that the tests call. */
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, ProtocolError } from 'holdfast'
import { z } from 'zod'

export const double = defineTask(
  { name: 'double', input: z.object({ n: z.number() }), output: z.object({ n: z.number() }) },
  async (task, { n }) => ({ n: await task.step('double', () => n * 2) }),
)

export const slow = defineTask(
  { name: 'slow', input: z.object({ ms: z.number(), label: z.string().optional() }) },
  async (task, { ms }) => {
    for (let n = 1; n <= 4; n++) {
      task.progress({ done: n, total: 4 })
      await task.step('wait', ({ signal }) => delay(ms / 4, undefined, { signal }))
    }
    return 'slept'
  },
)

export const failing = defineTask({ name: 'failing', input: z.object({ how: z.string() }) }, async (task, { how }) => {
  await task.step('fail', () => {
    if (how === 'protocol') throw new ProtocolError(-32_077, 'Not today', { why: 'weekend' })
    if (how === 'sdk') throw Object.assign(new Error('MCP error -32042: Not here'), { name: 'McpError', code: -32_042 })
    throw new Error(how)
  })
})

export const never = defineTask({ name: 'never' }, async (task) => {
  await task.sleep('for long', '1d')
})
