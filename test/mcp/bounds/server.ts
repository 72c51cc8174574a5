/**
 * The server that hostile clients attack: both revisions on one endpoint, default options. Reports how long its event loop
 * was held and how much memory it took. Arguments: the store's directory, the port (0 for any), the access mode.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
import { defineTask, Holdfast } from 'holdfast'
import { durableTasks as legacyTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'

const [dir = '', port = '0'] = process.argv.slice(2)
const access = process.argv[4] as 'open' | 'principal'
const anything = z.object({}).loose()

const tasks = [
  defineTask(
    { name: 'double', input: z.object({ n: z.number(), pad: z.any().optional() }) },
    async (_, { n }) => 2 * n,
  ),
  defineTask({ name: 'never', input: anything }, (task) => task.receive('what never comes')),
  defineTask({ name: 'progress', input: anything }, async (task) => {
    for (let done = 0; done < 50; done++) {
      task.progress({ done, total: 50, message: 'x'.repeat(100) })
      await task.step('work', () => new Promise((resolve) => setTimeout(resolve, 20)))
    }
  }),
]
const quiet = () => {}
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const holdfast = await Holdfast.open({ dir, tasks, logger })

const info = { name: 'bounds', version: '1' }
const echo = { inputSchema: z.object({ x: z.any() }) }

const legacy = legacyTasks(holdfast, { access })
const modern = durableTasks(holdfast, { access })
for (const durable of [legacy, modern]) {
  for (const task of tasks) durable.tool(task as never, { description: task.name })
}
const legacyHandler = legacy.httpHandler(() => {
  const server = legacy.attach(new LegacyServer(info, legacy.serverOptions()))
  legacy.registerFallbackTools(server)
  server.registerTool('echo', echo, () => ({ content: [] }))
  return server
})
const handler = modern.httpHandler(
  () => {
    const server = modern.attach(new McpServer(info, modern.serverOptions()))
    modern.registerFallbackTools(server)
    server.registerTool('echo', echo, () => ({ content: [] }))
    return server
  },
  { legacy: legacyHandler.fetch },
)

const server = createServer((req, res) => {
  const sub = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
  const auth = { token: sub, clientId: 'c', scopes: [], extra: { sub, iss: 'issuer' } }
  void handler.node(Object.assign(req, sub === undefined ? {} : { auth }), res)
})
server.listen(Number(port), '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))

// How long the loop was held: of the time between two ticks what this process computed in it, since a machine that is busy
// with other work delays a tick as well.
const TICK_MS = 10
let heldMs = 0
let rssBytes = 0
let before = { at: performance.now(), cpu: process.cpuUsage() }
setInterval(() => {
  const now = { at: performance.now(), cpu: process.cpuUsage() }
  const cpuMs = (now.cpu.user - before.cpu.user + now.cpu.system - before.cpu.system) / 1_000
  heldMs = Math.max(heldMs, Math.min(now.at - before.at - TICK_MS, cpuMs))
  rssBytes = Math.max(rssBytes, process.memoryUsage.rss())
  before = now
}, TICK_MS)
// What the start itself computes is not the clients' doing.
setTimeout(() => {
  heldMs = 0
}, 500)

process.on('message', () => process.send?.({ heldMs, rssBytes }))
process.on('disconnect', () => process.exit())
