/** The server of kill-after-ack.test.ts: both revisions on one endpoint, with tasks that wait, ask, and end at once. */
import { createServer } from 'node:http'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import * as modernEra from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'

const { dir, port, held } = JSON.parse(process.argv[2] as string) as { dir: string; port: number; held?: boolean }
if (held) {
  process.stderr.write('ready\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  process.stdin.destroy()
}
const input = z.object({}).loose()
const tasks = [
  defineTask({ name: 'double', input: z.object({ n: z.number() }) }, (task, { n }) => task.step('double', () => n * 2)),
  defineTask({ name: 'never', input }, (task) => task.receive('what never comes')),
  defineTask({ name: 'ask', input }, (task) =>
    task.input('sure', {
      message: 'Sure?',
      requestedSchema: { type: 'object', properties: { sure: { type: 'boolean' } } },
    }),
  ),
]
const holdfast = await Holdfast.open({ dir, tasks: [...tasks], logger: silentLogger })
const options = { access: 'open', pollInterval: 20, progressInterval: 0 } as const
const legacy = legacyEra.durableTasks(holdfast, options)
const modern = modernEra.durableTasks(holdfast, options)
for (const durable of [legacy, modern]) {
  for (const task of tasks) durable.tool(task as never, { onInterrupt: 'cancel' })
}
const info = { name: 'ack', version: '1.0.0' }
const { fetch } = legacy.httpHandler(() => legacy.attach(new LegacyServer(info, legacy.serverOptions())))
const handler = modern.httpHandler(() => modern.attach(new McpServer(info, modern.serverOptions())), { legacy: fetch })
createServer((req, res) => void handler.node(req, res)).listen(port, '127.0.0.1', () =>
  process.stderr.write('listening\n'),
)
