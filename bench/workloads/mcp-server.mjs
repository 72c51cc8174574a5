/**
 * The server of W6 and W7: the same tool over one HTTP server, for each revision on a bare server of the SDK's,
 * as a durable tool of one step, and as a durable tool of one function. On request it also runs tasks that wait, and reports the delays of its event loop.
 */
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { createMcpHandler, McpServer as McpServer2026 } from '@modelcontextprotocol/server'
import { defineTask, Holdfast } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks as durableTasks2026 } from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'

const WAIT_MS = 250
const RESOLUTION_MS = 1

const input = z.object({ n: z.number() })
const output = z.object({ n: z.number() })
const INFO = { name: 'bench', version: '1.0.0' }

const work = defineTask({ name: 'work', input, output }, (task, { n }) => task.step('work', () => ({ n: n + 1 })))
const waiting = defineTask({ name: 'waiting' }, (task) => task.step('wait', () => wait(WAIT_MS, {})))
const holdfast = await Holdfast.open({
  dir: mkdtempSync(join(process.argv[2] ?? '.', 'mcp-')),
  tasks: [work, waiting],
  concurrency: 1_000,
})

const options = /** @type {const} */ ({
  access: 'open',
  limits: { requestsPerMinute: 10_000_000 },
  ratePerOwner: { starts: 10_000_000, per: '1m' },
})
const oneFunction = { input, output, run: (/** @type {{ n: number }} */ { n }) => ({ n: n + 1 }) }
const durable = durableTasks(holdfast, options).tool(work).tool('function_2025-11-25', oneFunction)
const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())), {
  sessionsPerAddressMax: 10_000,
})
const durable2026 = durableTasks2026(holdfast, options).tool(work).tool('function_2026-07-28', oneFunction)
const handler2026 = durable2026.httpHandler(() =>
  durable2026.attach(new McpServer2026(INFO, durable2026.serverOptions())),
)

/** The tool as a bare server has it. @param {{ n: number }} input */
async function plainWork({ n }) {
  const structuredContent = { n: n + 1 }
  return {
    content: [{ type: /** @type {const} */ ('text'), text: JSON.stringify(structuredContent) }],
    structuredContent,
  }
}
const schemas = { inputSchema: input, outputSchema: output }

/** @type {Map<string, StreamableHTTPServerTransport>} */
const sessions = new Map()
const plain = async (
  /** @type {import('node:http').IncomingMessage} */ req,
  /** @type {import('node:http').ServerResponse} */ res,
) => {
  const known = sessions.get(String(req.headers['mcp-session-id']))
  if (known) return known.handleRequest(req, res)
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => crypto.randomUUID(),
    onsessioninitialized: (sessionId) => void sessions.set(sessionId, transport),
  })
  const server = new McpServer(INFO)
  server.registerTool('work', schemas, plainWork)
  await server.connect(/** @type {any} */ (transport))
  return transport.handleRequest(req, res)
}
const sdk2026 = createMcpHandler(() => {
  const server = new McpServer2026(INFO)
  server.registerTool('work', schemas, plainWork)
  return server
})
const plain2026 = getRequestListener((request) => sdk2026.fetch(request))

/** @type {Record<string, (req: any, res: any) => unknown>} */
const ROUTES = {
  '/2025-11-25/plain': plain,
  '/2025-11-25/durable': handler.node,
  '/2026-07-28/plain': plain2026,
  '/2026-07-28/durable': handler2026.node,
}

const http = createServer((req, res) => void ROUTES[req.url ?? '']?.(req, res))
http.listen(0, '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (http.address())
  process.send?.({ port: address.port })
})

process.on('message', async (/** @type {{ tasks: number, ms: number }} */ { tasks, ms }) => {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  const until = performance.now() + ms
  delay.enable()
  let rounds = 0
  do {
    const startedAt = performance.now()
    const started = await Promise.all(Array.from({ length: tasks }, () => holdfast.start(waiting, {})))
    await Promise.all(started.map(({ taskId }) => holdfast.result(taskId)))
    rounds++
    // Without tasks: the idle server.
    if (tasks === 0) await wait(Math.max(0, startedAt + ms - performance.now()))
  } while (performance.now() < until)
  delay.disable()
  const inMs = (/** @type {number} */ nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
  process.send?.({ rounds, loopDelayP99Ms: inMs(delay.percentile(99)), loopDelayMaxMs: inMs(delay.max) })
})
