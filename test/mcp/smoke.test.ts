import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../../src/index.js'
import { durableTasks } from '../../src/mcp/rev-2025-11-25/index.js'
import { openInMemory } from '../../src/testing/index.js'
import { connect } from './connect.js'

const double = defineTask(
  { name: 'double', input: z.object({ n: z.number() }), output: z.object({ n: z.number() }) },
  async (task, { n }) => {
    task.progress({ done: 1, total: 1 })
    return { n: await task.step('double', () => n * 2) }
  },
)

test('smoke', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local' }).tool(double, { description: 'x' })
  const { client } = await connect(durable)
  console.log(JSON.stringify(client.getServerCapabilities()), JSON.stringify(await client.listTools()))
  const t = Date.now()
  console.log(
    await client.callTool({ name: 'double', arguments: { n: 4 } }, undefined, { onprogress: (p) => console.log(p) }),
    Date.now() - t,
  )
  for await (const m of client.experimental.tasks.callToolStream({ name: 'double', arguments: { n: 5 } }, undefined, {
    task: { ttl: 60000 },
  }))
    console.log(JSON.stringify(m))
  console.log(JSON.stringify(await client.experimental.tasks.listTasks()))
  expect(await client.callTool({ name: 'double', arguments: { n: 'x' } })).toMatchObject({ isError: true })
})
