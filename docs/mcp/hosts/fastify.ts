import Fastify from 'fastify'
import { verify } from './auth.js'
import { createServer, durable } from './server-2025-11-25.js'
import { closeOnSignal } from './tasks.js'

const handler = durable.httpHandler(createServer)
const app = Fastify({ bodyLimit: 4 * 1024 * 1024 })
app.route({
  url: '/mcp',
  method: ['GET', 'POST', 'DELETE'],
  handler: async (request, reply) => {
    const auth = await verify(request.headers.authorization)
    // Fastify has read the body, so the stream is empty. After `hijack` Fastify leaves the answer to `handler`.
    reply.hijack()
    await handler.node(Object.assign(request.raw, { body: request.body, ...(auth ? { auth } : {}) }), reply.raw)
  },
})
await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' })

closeOnSignal(async () => {
  const closed = app.close()
  await handler.close()
  await closed
})
