/**
 * The demo: an unmodified client calls a tool and waits. The server is killed with kill -9 and started again, twice. The
 * client's promise resolves; it never learns what happened.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const SCRIPT = fileURLToPath(new URL('./server.ts', import.meta.url))
const KILL_AT = [5, 13]

const began = performance.now()
const say = (text: string) =>
  process.stdout.write(`${((performance.now() - began) / 1_000).toFixed(1).padStart(5)} s  ${text}\n`)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function startServer(dir: string, port: number): Promise<ChildProcess> {
  const args = [
    '--import',
    import.meta.resolve('tsx'),
    SCRIPT,
    '--dir',
    dir,
    '--port',
    String(port),
    '--retry-interval',
    '2s',
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'pipe'] })
  for await (const chunk of child.stderr) if (String(chunk).includes('Serving')) break
  if (child.exitCode !== null) throw new Error('The server did not start')
  return child
}

const dir = mkdtempSync(join(tmpdir(), 'holdfast-mcp-demo-'))
const port = await freePort()
let server = await startServer(dir, port)
try {
  say(`server  started, pid ${server.pid}`)
  const client = new Client({ name: 'demo', version: '1.0.0' })
  const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`))
  await client.connect(transport as never)
  const session = transport.sessionId
  const seen: number[] = []
  const kills = [...KILL_AT]
  let restarting: Promise<void> | undefined
  const restart = async () => {
    say(`server  kill -9 ${server.pid}`)
    server.kill('SIGKILL')
    await once(server, 'exit')
    await delay(300)
    server = await startServer(dir, port)
    say(`server  started again, pid ${server.pid}`)
    restarting = undefined
  }
  say('client  callTool summarise_delays …')
  const result = await client.callTool({ name: 'summarise_delays', arguments: {} }, undefined, {
    onprogress: ({ progress, total }) => {
      seen.push(progress)
      say(`client  progress ${progress} of ${total}`)
      if (progress >= (kills[0] ?? Number.POSITIVE_INFINITY)) {
        kills.shift()
        restarting = restart()
      }
    },
  })
  await restarting
  say(`client  the promise resolved: ${JSON.stringify(result.structuredContent)}`)
  const rises = seen.every((progress, index) => index === 0 || progress > (seen[index - 1] as number))
  const same = transport.sessionId === session
  await client.close()
  if (!rises || !same || result.isError) throw new Error('The client noticed something')
  say('client  one call, one session, progress in order: nothing was noticed')
} finally {
  server.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
}
