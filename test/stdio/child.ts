/** A stdio server as the docs write it, for the tests of its life. Each step that begins leaves a line in the journal. */
import { appendFileSync } from 'node:fs'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
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
  const { dir, maximumRecoveries = 5 } = job
  return Holdfast.open({ dir, maximumRecoveries, ...given })
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
const serve = () => {
  if (job.revision === '2025-11-25') {
    const durable = addTools(legacyEra.durableTasks(open, { access: 'local' }))
    return durable.serveStdio(() => {
      const server = durable.attach(new LegacyServer(info, durable.serverOptions()))
      server.registerTool('plain', {}, print)
      return server
    }, job.options)
  }
  const durable = addTools(modernEra.durableTasks(open, { access: 'local' }))
  return durable.serveStdio(() => {
    const server = durable.attach(new McpServer(info, durable.serverOptions()))
    server.registerTool('plain', {}, print)
    return server
  }, job.options)
}
const handle = serve()
void handle.ended.then((reason) => {
  note(`ended ${reason}`)
  if (job.options?.exit === false) process.exit(7)
})
