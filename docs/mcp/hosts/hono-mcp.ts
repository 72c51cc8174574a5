import { randomUUID } from 'node:crypto'
import { StreamableHTTPTransport } from '@hono/mcp'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { verify } from './auth.js'
import { createServer } from './server-2025-11-25.js'
import { closeOnSignal } from './tasks.js'

const sessions = new Map<string, { transport: StreamableHTTPTransport; subject: unknown }>()

async function openSession(subject: unknown) {
  const transport = new StreamableHTTPTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => void sessions.set(id, { transport, subject }),
    onsessionclosed: (id) => void sessions.delete(id),
  })
  await createServer().connect(transport)
  return { transport, subject }
}

const app = new Hono<{ Variables: { auth: unknown } }>()
app.all('/mcp', async (c) => {
  const auth = await verify(c.req.header('authorization'))
  if (!auth) return c.text('Unauthorized', 401)
  c.set('auth', auth)
  const id = c.req.header('mcp-session-id')
  const session = id === undefined ? await openSession(auth.extra.sub) : sessions.get(id)
  // The transport does not compare principals.
  if (session?.subject !== auth.extra.sub) return c.text('Session not found', 404)
  return (await session?.transport.handleRequest(c)) ?? c.body(null, 202)
})
const http = serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' })

closeOnSignal(async () => {
  http.close()
  await Promise.all([...sessions.values()].map(({ transport }) => transport.close()))
})
