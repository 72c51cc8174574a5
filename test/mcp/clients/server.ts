/**
 * The server that clients are tried on: over stdio or HTTP, for clients of 2025-11-25 alone or of both revisions at one URL.
 * Each step leaves a line with the process that ran it; the second one lasts until a file called `gate` is there.
 */
import { appendFileSync, existsSync } from 'node:fs'
import { watch } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
import { defineTask, Holdfast } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import * as modernEra from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'
import type { ServerJob } from './server-job.js'

const { dir, speaks, port, held, retryInterval } = JSON.parse(process.argv[2] as string) as ServerJob
if (held) {
  process.stderr.write('ready\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  process.stdin.destroy()
}

// Its client may be killed before it ends this process: whoever runs the trial does then.
appendFileSync(join(dir, 'pids'), `${process.pid}\n`)

/** Resolves once the file is there. */
async function present(file: string, signal: AbortSignal): Promise<void> {
  const changes = watch(dir, { signal })
  if (existsSync(join(dir, file))) return
  for await (const _ of changes) if (existsSync(join(dir, file))) return
}

const work = defineTask(
  { name: 'work', input: z.object({ id: z.string() }), output: z.object({ worked: z.string() }) },
  async (task, { id }) => {
    const begun = (step: string) => appendFileSync(join(dir, 'journal'), `${process.pid} ${id} ${step}\n`)
    await task.step('begin', () => begun('begin'))
    task.progress({ done: 1, total: 3 })
    await task.step('wait', async ({ signal }) => {
      begun('wait')
      await present('gate', signal)
    })
    task.progress({ done: 2, total: 3 })
    await task.step('end', () => begun('end'))
    task.progress({ done: 3, total: 3 })
    return { worked: id }
  },
)
const confirm = defineTask({ name: 'confirm', output: z.object({ sure: z.boolean() }) }, async (task) => {
  const requestedSchema = { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'] }
  const answer = await task.input<{ content?: { sure?: boolean } }>('sure', { message: 'Sure?', requestedSchema })
  return { sure: answer.content?.sure === true }
})

const info = { name: 'clients', version: '1.0.0' }
const open = (given: object) => Holdfast.open({ dir: join(dir, 'store'), ...given })
const access = port === undefined ? ('local' as const) : ('principal' as const)
const options = { access, pollInterval: 100, progressInterval: 0 }
const legacy = legacyEra.durableTasks(open, options)
const modern = modernEra.durableTasks(open, options)
for (const durable of [legacy, modern]) durable.tool(work).tool(confirm)
// The last line says which revision the last call was answered in: not every client tells.
const serves = (revision: string) => appendFileSync(join(dir, 'revisions'), `${revision}\n`)
const createLegacy = () => {
  serves('2025-11-25')
  return legacy.attach(new LegacyServer(info, legacy.serverOptions()))
}
const createModern = () => {
  serves('2026-07-28')
  return modern.attach(new McpServer(info, modern.serverOptions()))
}

if (port === undefined) {
  if (speaks === 'both') modern.serveStdio(createModern, { legacy: (transport) => createLegacy().connect(transport) })
  else if (speaks === '2026-07-28') modern.serveStdio(createModern)
  else legacy.serveStdio(createLegacy)
} else {
  const legacyHandler = legacy.httpHandler(createLegacy, retryInterval ? { retryInterval } : {})
  const handler =
    speaks === '2025-11-25' ? legacyHandler : modern.httpHandler(createModern, { legacy: legacyHandler.fetch })
  const authInfo = (req: IncomingMessage) => {
    const sub = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
    return sub === undefined ? {} : { auth: { token: sub, clientId: 'clients', scopes: [], extra: { sub } } }
  }
  await modern.opened
  createServer((req, res) => void handler.node(Object.assign(req, authInfo(req)), res)).listen(port, '127.0.0.1', () =>
    process.stderr.write('listening\n'),
  )
}
