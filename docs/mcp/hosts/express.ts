import express from 'express'
import { verify } from './auth.js'
import { createServer, durable } from './server-2025-11-25.js'
import { closeOnSignal } from './tasks.js'

const handler = durable.httpHandler(createServer)
const app = express()
app.all('/mcp', async (req, res) => {
  const auth = await verify(req.headers.authorization)
  await handler.node(auth ? Object.assign(req, { auth }) : req, res)
})
const http = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1')

closeOnSignal(async () => {
  http.close()
  await handler.close()
})
