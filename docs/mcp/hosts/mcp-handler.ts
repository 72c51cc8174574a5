import { serve } from '@hono/node-server'
import { createMcpHandler, withMcpAuth } from 'mcp-handler'
import { verify } from './auth.js'
import { durable } from './server-2026-07-28.js'
import { closeOnSignal } from './tasks.js'

const handler = createMcpHandler((server) => void durable.attach(server), {
  ...durable.serverOptions(),
  serverInfo: { name: 'flights', version: '1.0.0' },
})
const fetch = withMcpAuth(handler, (_request, token) => verify(`Bearer ${token}`), { required: true })
const http = serve({ fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' })

closeOnSignal(async () => http.close())
