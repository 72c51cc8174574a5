/**
 * The server that `bench/mcp.ts` measures: the same tool twice, over the same SDK and the same HTTP server; at `/plain`
 * as the SDK's own example mounts it, at `/durable` as a durable tool of one step.
 */
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { defineTask, Holdfast } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { z } from 'zod'

const input = z.object({ n: z.number() })
const output = z.object({ n: z.number() })
const INFO = { name: 'bench', version: '1.0.0' }

const work = defineTask({ name: 'work', input, output }, (task, { n }) => task.step('work', () => ({ n: n + 1 })))
const holdfast = await Holdfast.open({ dir: mkdtempSync(join(process.argv[2] ?? '.', 'mcp-')), tasks: [work] })
const limits = { requestsPerMinute: 10_000_000 }
const ratePerOwner = /** @type {const} */ ({ starts: 10_000_000, per: '1m' })
const durable = durableTasks(holdfast, { access: 'open', limits, ratePerOwner }).tool(work)
const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))

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
  server.registerTool('work', { inputSchema: input.shape, outputSchema: output.shape }, async ({ n }) => {
    const structuredContent = { n: n + 1 }
    return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent }
  })
  await server.connect(/** @type {any} */ (transport))
  return transport.handleRequest(req, res)
}

const http = createServer((req, res) => void (req.url === '/durable' ? handler.node(req, res) : plain(req, res)))
http.listen(0, '127.0.0.1', () => {
  const address = /** @type {import('node:net').AddressInfo} */ (http.address())
  process.send?.(address.port)
})
