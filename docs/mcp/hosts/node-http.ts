import { createServer as createHttpServer } from 'node:http'
import { verify } from './auth.js'
import { createServer, durable } from './server-2025-11-25.js'
import { closeOnSignal } from './tasks.js'

const handler = durable.httpHandler(createServer, { path: '/mcp' })
const http = createHttpServer(async (req, res) => {
  const auth = await verify(req.headers.authorization)
  await handler.node(auth ? Object.assign(req, { auth }) : req, res)
})
http.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1')

closeOnSignal(async () => {
  http.close()
  await handler.close()
})
