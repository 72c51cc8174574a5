/** A stdio server as the docs write it, for the tests of its life. Each step that begins leaves a line in the journal. */
import { appendFileSync } from 'node:fs'
import { Server as LegacyLowServer } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { McpServer, Server } from '@modelcontextprotocol/server'
import { defineTask, Holdfast } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import * as modernEra from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'

interface Job {
  readonly dir: string
  readonly journal: string
  readonly revision: '2025-11-25' | '2026-07-28'
  readonly options?: modernEra.StdioOptions
  readonly prints?: boolean
  /** True for a server of the SDK's low-level class. */
  readonly lowLevel?: boolean
  readonly maximumRecoveries?: number
}
const job = JSON.parse(process.argv[2] as string) as Job
const note = (line: string) => appendFileSync(job.journal, `${line}\n`)
const info = { name: 'life', version: '1.0.0' }
// Keeps the process alive: only the shutdown ends it.
setInterval(() => {}, 60_000)

const work = defineTask({ name: 'work' }, async (task) => {
  await task.step('wait', () => {
    note('step')
    return new Promise(() => {})
  })
})
const book = defineTask({ name: 'book' }, async (task) => {
  const requestedSchema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
  return { answer: await task.input('ok', { message: 'Book it?', requestedSchema }) }
})
const quick = defineTask({ name: 'quick', input: z.object({ n: z.number() }) }, (task, { n }) =>
  task.step('add', () => n + 1),
)

const open = async (given: legacyEra.GivenOptions) => {
  note('open')
  // Without a message that needs the store, it is opened 1 s after the start.
  if (performance.now() - servedAt < 900) note('open for a message')
  const { dir, maximumRecoveries = 5 } = job
  const holdfast = await Holdfast.open({ dir, maximumRecoveries, ...given })
  note('opened')
  void holdfast.recovery.done.then(({ tasks }) => {
    for (const { action, reason } of tasks) if (action === 'parked') note(`parked ${reason}`)
  })
  const close = holdfast.close.bind(holdfast)
  holdfast.close = async (options) => {
    await close(options)
    note('closed')
  }
  return holdfast
}
function addTools<D extends legacyEra.DurableTasks | modernEra.DurableTasks>(durable: D): D {
  durable.tool(work, { start: true })
  durable.tool(book, { start: true })
  durable.tool(quick)
  return durable
}
const print = () => {
  if (job.prints) console.log('not a message')
  return { content: [{ type: 'text' as const, text: 'plain' }] }
}
const plain = { name: 'plain', inputSchema: { type: 'object' as const } }
const legacyServer = (durable: legacyEra.DurableTasks) => {
  if (!job.lowLevel) {
    const server = durable.attach(new LegacyServer(info, durable.serverOptions()))
    server.registerTool('plain', {}, print)
    return server
  }
  const server = durable.attach(new LegacyLowServer(info, durable.serverOptions()))
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [plain] }))
  server.setRequestHandler(CallToolRequestSchema, print)
  return server
}
const modernServer = (durable: modernEra.DurableTasks) => {
  if (!job.lowLevel) {
    const server = durable.attach(new McpServer(info, durable.serverOptions()))
    server.registerTool('plain', {}, print)
    return server
  }
  const server = durable.attach(new Server(info, durable.serverOptions()))
  server.setRequestHandler('tools/list', () => ({ tools: [plain] }))
  server.setRequestHandler('tools/call', print)
  return server
}
const serve = () => {
  if (job.revision === '2025-11-25') {
    const durable = addTools(legacyEra.durableTasks(open, { access: 'local' }))
    return durable.serveStdio(() => legacyServer(durable), job.options)
  }
  const durable = addTools(modernEra.durableTasks(open, { access: 'local' }))
  return durable.serveStdio(() => modernServer(durable), job.options)
}
const servedAt = performance.now()
const handle = serve()
void handle.ended.then((reason) => {
  note(`ended ${reason}`)
  if (job.options?.exit === false) process.exit(7)
})
