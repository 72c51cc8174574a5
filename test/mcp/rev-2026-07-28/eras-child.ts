/**
 * A server for the tests that kill it: both eras at one URL, or over stdio, with the same durable tasks on one store.
 * Each step leaves a line.
 */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
import { defineTask, Holdfast, ProtocolError } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import * as modernEra from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'

const { dir, journal, port } = JSON.parse(process.argv[2] as string) as { dir: string; journal: string; port?: number }
const info = { name: 'eras', version: '1.0.0' }

const count = defineTask(
  { name: 'count', input: z.object({ to: z.number(), ms: z.number() }), output: z.object({ counted: z.number() }) },
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
const fail = defineTask(
  { name: 'fail', input: z.object({ how: z.enum(['tool', 'protocol']) }) },
  async (task, { how }) => {
    await task.step('fail', () => {
      if (how === 'protocol') throw new ProtocolError(-32_077, 'Not today', { why: 'weekend' })
      throw new Error('No luck')
    })
  },
)
const confirm = defineTask({ name: 'confirm' }, async (task) => {
  const requestedSchema = { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'] }
  return task.input<{ action: string }>('sure', { message: 'Sure?', requestedSchema })
})

const holdfast = await Holdfast.open({ dir, tasks: [count, fail, confirm] })
const access = port === undefined ? ('local' as const) : ('open' as const)
const legacy = legacyEra.durableTasks(holdfast, { access, pollInterval: 50 })
const modern = modernEra.durableTasks(holdfast, { access, pollInterval: 50, progressInterval: 0 })
for (const durable of [legacy, modern]) durable.tool(count).tool(fail).tool(confirm)
const createLegacy = () => legacy.attach(new LegacyServer(info, legacy.serverOptions()))
const createModern = () => modern.attach(new McpServer(info, modern.serverOptions()))

if (port === undefined) {
  modern.serveStdio(createModern, { legacy: (transport) => createLegacy().connect(transport) })
} else {
  const { fetch } = legacy.httpHandler(createLegacy, { retryInterval: '3s' })
  const handler = modern.httpHandler(createModern, { legacy: fetch })
  createServer((req, res) => void handler.node(req, res)).listen(port, '127.0.0.1', () =>
    process.stderr.write('listening\n'),
  )
}
