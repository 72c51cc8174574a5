/**
 * A small MCP server with three durable tools, over Streamable HTTP or, with `--stdio`, over standard input and output.
 * Kill it whenever you like, and start it again.
 */
import { createServer as createHttpServer } from 'node:http'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Duration } from 'holdfast'
import { userDataDir } from './data-dir.js'
import { openDurable } from './durable.js'

const { values } = parseArgs({
  options: {
    stdio: { type: 'boolean', default: false },
    dir: { type: 'string' },
    port: { type: 'string', default: '3000' },
    host: { type: 'string', default: '127.0.0.1' },
    'retry-interval': { type: 'string', default: '8s' },
  },
})
const dir = resolve(values.dir ?? userDataDir('holdfast-flights'))
// Standard output belongs to the protocol.
const say = (text: string) => process.stderr.write(`${text}\n`)

const { holdfast, durable, createServer } = await openDurable(dir, values.stdio ? 'local' : 'open')
if (values.stdio) {
  // Ends the process when its client is gone, and closes the store before that.
  durable.serveStdio(createServer)
  say(`Serving on standard input and output; tasks are in ${dir}; kill -9 ${process.pid}`)
} else {
  // Bound to more than this machine, it may be asked for under any name; what is in front of it decides.
  const isLoopback = ['127.0.0.1', 'localhost', '::1'].includes(values.host)
  const names = (process.env['ALLOWED_HOSTS'] ?? 'localhost,127.0.0.1').split(',')
  const handler = durable.httpHandler(createServer, {
    path: '/mcp',
    retryInterval: values['retry-interval'] as Duration,
    ...(isLoopback ? {} : { allowedHosts: names }),
  })
  const http = createHttpServer((req, res) => void handler.node(req, res))
  http.listen(Number(values.port), values.host, () =>
    say(`Serving http://${values.host}:${values.port}/mcp; tasks are in ${dir}; kill -9 ${process.pid}`),
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      http.close()
      await handler.close()
      await holdfast.close()
      process.exit(0)
    })
  }
}
