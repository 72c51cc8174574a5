/**
 * A proxy before a server that it kills. Whenever the server has answered a call with a task, it dies with `kill -9` and
 * is started again before its client gets that answer: whatever is polled, another process says it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

export class ServerUnderTest {
  #child: ChildProcess | undefined
  kills = 0

  /** @param command what is run, with its arguments; it says `listening` on standard error */
  constructor(private readonly command: readonly string[]) {}

  async start(): Promise<void> {
    const [file, ...args] = this.command
    const child = spawn(file as string, args, { stdio: ['ignore', 'inherit', 'pipe'] })
    this.#child = child
    let said = ''
    for await (const chunk of child.stderr) {
      said += chunk
      if (said.includes('listening')) break
    }
    if (!said.includes('listening')) throw new Error(`The server did not start: ${said}`)
    child.stderr.on('data', (chunk) => process.stderr.write(chunk))
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
    this.kills++
  }
}

/** Serves `port`, forwarding to `target`. */
export async function killingProxy(server: ServerUnderTest, port: number, target: number): Promise<Server> {
  let restarting: Promise<void> = Promise.resolve()
  const proxy = createServer(async (req, res) => {
    try {
      const body = await bodyOf(req)
      await restarting
      const response = await forwarded(req, body, target, () => restarting)
      const text = await response.text()
      if (text.includes('"resultType":"task"')) {
        restarting = restarting.then(async () => {
          await server.kill()
          await server.start()
        })
        await restarting
      }
      const type = response.headers.get('content-type')
      res.writeHead(response.status, type ? { 'content-type': type } : {}).end(text)
    } catch (error) {
      res.writeHead(502).end(String(error))
    }
  })
  proxy.listen(port, '127.0.0.1')
  await once(proxy, 'listening')
  return proxy
}

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** A request that the kill of another's hit is sent again, as its client would. */
async function forwarded(
  req: IncomingMessage,
  body: Buffer,
  target: number,
  ready: () => Promise<void>,
): Promise<Response> {
  const headers = new Headers()
  for (const [name, value] of Object.entries(req.headers)) {
    if (!['host', 'connection', 'content-length', 'transfer-encoding'].includes(name)) headers.set(name, String(value))
  }
  headers.set('connection', 'close')
  const init = { method: req.method ?? 'GET', headers, ...(body.length > 0 ? { body: new Uint8Array(body) } : {}) }
  for (let tries = 1; ; tries++) {
    try {
      return await fetch(`http://127.0.0.1:${target}${req.url}`, init)
    } catch (error) {
      if (tries === 5) throw error
      await delay(50)
      await ready()
    }
  }
}
