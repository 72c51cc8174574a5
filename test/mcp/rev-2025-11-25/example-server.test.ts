// Goal: the example server does what the docs say of it, started as an MCP client starts it.
// Method: the process, from another working directory; its standard output read line by line; kill -9 and SIGTERM.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterEach, expect, test } from 'vitest'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { freePort } from '../../helpers/mcp/server-process.js'

const SCRIPT = fileURLToPath(new URL('../../../examples/mcp/server.ts', import.meta.url))
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const scratch = () => mkdtempSync(join(tmpdir(), 'holdfast-example-'))

let running: ChildProcessWithoutNullStreams | undefined
afterEach(() => void running?.kill('SIGKILL'))

async function start(args: string[], { cwd = ROOT, env = {} }: { cwd?: string; env?: Record<string, string> } = {}) {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), SCRIPT, ...args], {
    cwd,
    env: { ...process.env, EXAMPLE_STEP_MS: '30', TSX_TSCONFIG_PATH: join(ROOT, 'tsconfig.json'), ...env },
  })
  running = child
  const lines: string[] = []
  const waiting: (() => void)[] = []
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    for (const wake of waiting.splice(0)) wake()
  })
  const said = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stderr.on('data', (chunk) => {
      text += chunk
      if (text.includes('Serving')) resolve(text)
    })
    child.once('exit', () => reject(new Error(text)))
  })
  const send = (message: unknown) =>
    child.stdin.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`)
  const answer = async (id: unknown) => {
    for (;;) {
      const found = lines.map((line) => JSON.parse(line)).find((message) => message.id === id)
      if (found) return found
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  return { child, lines, said, send, answer }
}

test('over stdio nothing but the protocol is on standard output, whatever comes; kill -9, and the same call goes on', async () => {
  const [cwd, home] = [scratch(), scratch()]
  const begin = async () => {
    const server = await start(['--stdio'], { cwd, env: { XDG_DATA_HOME: home, HOME: home } })
    server.send({ ...initialize(), id: 0 })
    await server.answer(0)
    server.send({ jsonrpc: '2.0', method: 'notifications/initialized' })
    return server
  }
  const call = {
    method: 'tools/call',
    params: { name: 'summarise_delays', arguments: {}, _meta: { progressToken: 1 } },
  }
  const first = await begin()
  expect(first.said).toContain(`kill -9 ${first.child.pid}`)
  for (const junk of ['', 'nonsense', '{"jsonrpc":', '[]', '{"jsonrpc":"2.0","id":7,"method":"nothing"}', '\u0000'])
    first.send(junk)
  expect(await first.answer(7)).toMatchObject({ error: { code: -32_601 } })
  first.send({ jsonrpc: '2.0', id: 1, ...call })
  while (!first.lines.some((line) => line.includes('notifications/progress'))) await new Promise(setImmediate)
  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  const second = await begin()
  second.send({ jsonrpc: '2.0', id: 2, ...call })
  expect(await second.answer(2)).toMatchObject({ result: { structuredContent: { flights: 2_000 } } })
  second.send({ jsonrpc: '2.0', id: 3, method: 'tasks/list' })
  expect((await second.answer(3)).result.tasks).toHaveLength(1)
  second.child.kill('SIGTERM')
  expect(await once(second.child, 'exit')).toEqual([0, null])
  for (const line of [...first.lines, ...second.lines]) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' })
  // The store is in the user's data folder, and nothing is in the working directory.
  const data = process.platform === 'darwin' ? join(home, 'Library', 'Application Support') : home
  expect(existsSync(join(data, 'holdfast-flights'))).toBe(true)
  expect(readdirSync(cwd)).toEqual([])
}, 60_000)

test('over HTTP a pending call survives a stop in good order as well', async () => {
  const port = await freePort()
  const args = ['--dir', scratch(), '--port', String(port)]
  const first = await start(args)
  const client = new Client(INFO)
  // Patient: on a busy machine it takes long to start a process.
  const reconnectionOptions = {
    initialReconnectionDelay: 500,
    maxReconnectionDelay: 1_000,
    reconnectionDelayGrowFactor: 1,
    maxRetries: 30,
  }
  const url = new URL(`http://127.0.0.1:${port}/mcp`)
  await client.connect(new StreamableHTTPClientTransport(url, { reconnectionOptions }) as never)
  const seen: number[] = []
  const pending = client.callTool({ name: 'summarise_delays', arguments: {} }, undefined, {
    onprogress: ({ progress }) => seen.push(progress),
  })
  while (seen.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
  first.child.kill('SIGTERM')
  expect(await once(first.child, 'exit')).toEqual([0, null])
  await start(args)
  expect(await pending).toMatchObject({ structuredContent: { flights: 2_000 } })
  expect(seen).toEqual([...new Set(seen)].sort((one, other) => one - other))
  expect(seen.at(-1)).toBe(20)
  await client.close()
}, 60_000)
