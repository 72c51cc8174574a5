/** Attacks a server in a process of its own for some seconds, and measures what that does to the server and to others. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Attack, begin, type Target } from './attacks.js'

/** What an attack came to. */
export interface Figures {
  readonly name: string
  /** Whether the server lived, and still answered its other client at the end. */
  readonly lived: boolean
  readonly rssMb: number
  readonly diskMb: number
  readonly diskMbMax: number
  /** The longest time in which the server computed without a turn of its event loop. */
  readonly heldMs: number
  /** The longest that another client waited for `tools/list`, and how often it got no list. */
  readonly otherMs: number
  readonly otherRefused: number
  /** From the start of a new process to its first answer. */
  readonly restartMs: number
}

const HEAP_MB = 128

interface Running {
  readonly child: ChildProcess
  readonly url: URL
  readonly over: Promise<void>
}

async function start(dir: string, port: number, access: string): Promise<Running> {
  const child = fork(fileURLToPath(new URL('./server.ts', import.meta.url)), [dir, String(port), access], {
    execArgv: ['--import', 'tsx', `--max-old-space-size=${HEAP_MB}`],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const over = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const said = await Promise.race([
    new Promise<{ port: number }>((resolve) => child.once('message', (message) => resolve(message as never))),
    over.then(() => {
      throw new Error('The server did not start')
    }),
  ])
  return { child, over, url: new URL(`http://127.0.0.1:${said.port}/mcp`) }
}

/** Asks for the tools, as a client that does no harm. */
async function listTools(target: Target, session: string): Promise<boolean> {
  try {
    const response = await fetch(target.url, {
      method: 'POST',
      signal: AbortSignal.timeout(20_000),
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-session-id': session,
        ...(target.sub ? { authorization: `Bearer ${target.sub}` } : {}),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 'list', method: 'tools/list', params: {} }),
    })
    return (await response.text()).includes('"double"')
  } catch {
    return false
  }
}

export async function attack({ name, access, diskBytesMax, run }: Attack, seconds: number): Promise<Figures> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-bounds-'))
  let server = await start(dir, 0, access)
  try {
    const endsAt = performance.now() + seconds * 1_000
    const goesOn = () => performance.now() < endsAt
    const token = (sub: string) => (access === 'open' ? undefined : sub)
    const target: Target = { url: server.url, goesOn, sub: token('mallory') }
    const other: Target = { ...target, sub: token('alice') }
    const session = await begin(other)
    if (session === undefined) throw new Error('The other client got no session')
    let otherMs = 0
    let otherRefused = 0
    const watching = (async () => {
      while (goesOn()) {
        const since = performance.now()
        if (!(await listTools(other, session))) otherRefused++
        otherMs = Math.max(otherMs, performance.now() - since)
        await delay(50)
      }
    })()
    await Promise.all([run(target), watching])
    const lived =
      server.child.exitCode === null && server.child.signalCode === null && (await listTools(other, session))
    const figures = lived ? await figuresOf(server.child) : { heldMs: Number.NaN, rssBytes: Number.NaN }
    server.child.kill('SIGKILL')
    await server.over
    const diskBytes = sizeOf(dir)

    const since = performance.now()
    server = await start(dir, Number(server.url.port), access)
    const answered = await begin({ ...other, url: server.url })
    const restartMs = answered === undefined ? Number.POSITIVE_INFINITY : performance.now() - since
    const mb = (bytes: number) => Math.round(bytes / 1024 / 1024)
    return {
      name,
      lived,
      rssMb: mb(figures.rssBytes),
      diskMb: mb(diskBytes),
      diskMbMax: mb(diskBytesMax),
      heldMs: Math.round(figures.heldMs),
      otherMs: Math.round(otherMs),
      otherRefused,
      restartMs: Math.round(restartMs),
    }
  } finally {
    server.child.kill('SIGKILL')
    await server.over
    rmSync(dir, { recursive: true, force: true })
  }
}

function figuresOf(child: ChildProcess): Promise<{ heldMs: number; rssBytes: number }> {
  return new Promise((resolve) => {
    child.once('message', (message) => resolve(message as never))
    child.send('figures')
  })
}

function sizeOf(dir: string): number {
  let bytes = 0
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name)).size
  }
  return bytes
}
