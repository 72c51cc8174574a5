/** A server for the tests that kill it: one durable tool whose steps leave a line each, over Streamable HTTP or stdio. */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { defineTask, Holdfast } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { z } from 'zod'

const {
  dir,
  journal,
  port,
  access = 'open',
  held,
} = JSON.parse(process.argv[2] as string) as {
  dir: string
  journal: string
  port?: number
  access?: 'open' | 'principal' | 'local'
  held?: boolean
}
if (held) {
  process.stderr.write('ready\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  process.stdin.destroy()
}

const count = defineTask(
  {
    name: 'count',
    input: z.object({ to: z.number(), ms: z.number() }),
    output: z.object({ counted: z.number() }),
  },
  async (task, { to, ms }) => {
    for (let n = 1; n <= to; n++) {
      await task.step('count', async () => {
        appendFileSync(journal, `${task.taskId} ${n}\n`)
        await delay(ms)
        return n
      })
      task.progress({ done: n, total: to })
    }
    return { counted: to }
  },
)

const holdfast = await Holdfast.open({ dir, tasks: [count] })
const durable = durableTasks(holdfast, {
  access: port === undefined ? 'local' : access,
  progressInterval: 0,
  pollInterval: 50,
})
durable.tool(count, { description: 'Counts' })
const createMcpServer = () => {
  const server = durable.attach(new McpServer({ name: 'counter', version: '1.0.0' }, durable.serverOptions()))
  server.registerTool('slow_plain', { description: 'Not durable' }, async () => {
    await delay(60_000)
    return { content: [] }
  })
  return server
}
if (port === undefined) {
  durable.serveStdio(createMcpServer)
} else {
  const handler = durable.httpHandler(createMcpServer, { retryInterval: '2s' })
  const server = createServer((req, res) => {
    const sub = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
    const auth = sub === undefined ? {} : { auth: { token: 'x', clientId: 'app', scopes: [], extra: { sub } } }
    void handler.node(Object.assign(req, auth), res)
  })
  server.listen(port, '127.0.0.1', () => process.stderr.write('listening\n'))
}
