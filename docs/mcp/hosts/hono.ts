import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { verify } from './auth.js'
import { createServer, durable } from './server-2025-11-25.js'
import { closeOnSignal } from './tasks.js'

const handler = durable.httpHandler(createServer)
const app = new Hono()
app.all('/mcp', async (c) => handler.fetch(c.req.raw, { authInfo: await verify(c.req.header('authorization')) }))
const http = serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' })

closeOnSignal(async () => {
  http.close()
  await handler.close()
})
