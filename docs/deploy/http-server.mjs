import { createServer as createHttpServer } from 'node:http'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { Holdfast } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { importFlights, info } from './flights.mjs'

const { DIR, STATE_DIRECTORY, PORT = '3000', HOST = '127.0.0.1', ALLOWED_HOSTS, LOCK_WAIT = '1m' } = process.env

const holdfast = await Holdfast.open({
  dir: `${DIR ?? STATE_DIRECTORY ?? '/var/lib/flights'}/store`,
  tasks: [importFlights],
  // The process before this one may still be closing.
  lockWait: /** @type {import('holdfast').Duration} */ (LOCK_WAIT),
})
// Behind a proxy that verifies tokens, use `access: 'principal'` and pass on `authInfo`.
const durable = durableTasks(holdfast, { access: 'open' })
durable.tool(importFlights, { description: 'Imports flights, page by page.' })

const handler = durable.httpHandler(() => durable.attach(new McpServer(info, durable.serverOptions())), {
  path: '/mcp',
  ...(ALLOWED_HOSTS ? { allowedHosts: ALLOWED_HOSTS.split(',') } : {}),
})
const http = createHttpServer((req, res) => {
  // For probes. The port is open only once the store is.
  if (req.url === '/healthz') res.end('ok')
  else void handler.node(req, res)
})
http.listen(Number(PORT), HOST)

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    http.close()
    await handler.close()
    // Steps in flight get 5 s.
    await holdfast.close()
    process.exit(0)
  })
}
