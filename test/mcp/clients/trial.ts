/** One trial: a client connects, calls with progress, is asked, and has its server killed in the middle of a call. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Duration } from 'holdfast'
import { freePort } from '../../helpers/mcp/server-process.js'
import { AdapterProcess, type Ended, type Target } from './adapter-process.js'
import type { ServerJob, Speaks } from './server-job.js'

const SERVER = fileURLToPath(new URL('./server.ts', import.meta.url))
// Longer than any client took to say that it can't be asked.
const INPUT_MS = 20_000
// Longer than a client of tasks waits between two polls.
const REPEAT_MS = 60_000
const CALL = { name: 'work', args: { id: 'kill' } }

export interface Trial {
  /** The adapter's name in `installed`. */
  readonly client: string
  readonly transport: 'stdio' | 'http'
  readonly speaks: Speaks
  /** How long nobody serves, over HTTP. */
  readonly outageMs: number
  /** How long the pending call is waited for once the server is back. The same call is made again after that. */
  readonly patienceMs: number
  readonly retryInterval?: Duration
}

export interface Outcome {
  /** The revision that the calls were answered in. */
  readonly revision: string
  readonly tools: readonly string[]
  readonly call: Ended
  readonly progress: readonly number[]
  /** What a task that asks ended with, and how often the client was asked. */
  readonly input: { readonly ended: Ended | undefined; readonly asked: number }
  readonly kill: {
    /** What became of the call that was pending when the server was killed; nothing within `patienceMs`. */
    readonly pending: Ended | undefined
    /** Since the kill. */
    readonly answeredMs: number
    readonly progress: readonly number[]
    /** The same call, made again where the pending one was not answered; of a client of tasks, its task resumed. */
    readonly again?: Ended
    /** True if that was the task resumed. */
    readonly resumed?: boolean
    /** True if it took another client. */
    readonly reconnected?: boolean
    /** How often the first step of the call began: once, unless the repeat became a task of its own. */
    readonly begun: number
    readonly outageMs: number
  }
}

/** @throws Error where a client does not get as far as the kill */
export async function run(trial: Trial): Promise<Outcome> {
  const place = new Place(trial)
  const clients: AdapterProcess[] = []
  try {
    const target = await place.open()
    const connected = async () => {
      const client = new AdapterProcess(trial.client, target, trial.speaks)
      clients.push(client)
      await client.connect()
      return client
    }
    let client = await connected()
    const tools = (await client.list()).sort()
    place.openGate()
    const call = await client.call('work', { id: 'plain' })
    place.closeGate()
    const progress = client.progress.splice(0)
    const input = { ended: await within(client.call('confirm', {}), INPUT_MS), asked: client.asked }
    if (!input.ended) {
      await place.endOf(client)
      client = await connected()
    }
    const revision = place.lines('revisions').at(-1) as string

    client.progress.splice(0)
    client.reference = undefined
    const calling = client.call(CALL.name, CALL.args)
    const pid = await Promise.race([
      place.waiting(),
      calling.then((early) => Promise.reject(new Error(JSON.stringify(early)))),
    ])
    const { killedAt, outageMs } = await place.kill(pid)
    place.openGate()
    const pending = await within(calling, trial.patienceMs)
    const answeredMs = Math.round(performance.now() - killedAt)
    const seen = [...client.progress]
    let more = {}
    if (!pending || 'error' in pending) {
      const { reference } = client
      const repeat = async (by: AdapterProcess): Promise<Ended> => {
        const repeated = reference ? by.resume(reference) : by.call(CALL.name, CALL.args)
        return (await within(repeated, REPEAT_MS)) ?? { error: `No answer in ${REPEAT_MS / 1_000} s` }
      }
      let again = await repeat(client)
      const reconnected = 'error' in again
      if (reconnected) {
        await place.endOf(client)
        client = await connected()
        again = await repeat(client)
      }
      more = { again, resumed: reference !== undefined, reconnected }
    }
    const begun = place.lines('journal').filter((line) => line.endsWith(' kill begin')).length
    return {
      revision,
      tools,
      call,
      progress,
      input,
      kill: { pending, answeredMs, progress: seen, ...more, begun, outageMs },
    }
  } finally {
    await Promise.all(clients.map((client) => client.end()))
    place.end()
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {} // It has ended.
}

/** Resolves once a process is gone, and with it what it held. It need not be a child of this one. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await delay(10)
  }
}

async function within(ended: Promise<Ended>, ms: number): Promise<Ended | undefined> {
  const timer = new AbortController()
  const late = delay(ms, undefined, { signal: timer.signal }).catch(() => undefined)
  const first = await Promise.race([ended, late])
  timer.abort()
  return first ?? undefined
}

/** Where a trial's server lives, and what it leaves there. */
class Place {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-clients-'))
  #port = 0
  #servers: ChildProcess[] = []
  #isOver = false

  constructor(private readonly trial: Trial) {}

  async open(): Promise<Target> {
    if (this.trial.transport === 'stdio') return { command: process.execPath, args: this.#args({}) }
    this.#port = await freePort()
    await this.#serve(await this.#prepare())
    return { url: `http://127.0.0.1:${this.#port}/mcp`, token: 'somebody' }
  }

  openGate(): void {
    writeFileSync(join(this.dir, 'gate'), '')
  }

  closeGate(): void {
    rmSync(join(this.dir, 'gate'))
  }

  lines(file: string): string[] {
    const path = join(this.dir, file)
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
  }

  /** The process whose second step waits for the gate. */
  async waiting(): Promise<number> {
    while (!this.#isOver) {
      const line = this.lines('journal').find((line) => line.endsWith(' kill wait'))
      if (line) return Number(line.split(' ')[0])
      await delay(20)
    }
    return 0
  }

  /**
   * Kills the server, and over HTTP has it back. What loads the code of the next one is begun before: how long that takes is
   * no part of the outage.
   * @returns when, and for how long nobody served
   */
  async kill(pid: number): Promise<{ killedAt: number; outageMs: number }> {
    const next = this.#port === 0 ? undefined : await this.#prepare()
    const killedAt = performance.now()
    process.kill(pid, 'SIGKILL')
    await ended(pid)
    if (!next) return { killedAt, outageMs: 0 }
    await delay(this.trial.outageMs)
    await this.#serve(next)
    return { killedAt, outageMs: Math.round(performance.now() - killedAt) }
  }

  /** Ends a client with the servers that it has started: another one can start its own. */
  async endOf(client: AdapterProcess): Promise<void> {
    await client.end()
    if (this.#port > 0) return
    for (const pid of this.lines('pids').map(Number)) {
      kill(pid)
      await ended(pid)
    }
  }

  end(): void {
    this.#isOver = true
    for (const server of this.#servers) server.kill('SIGKILL')
    if (this.#port === 0) for (const pid of this.lines('pids')) kill(Number(pid))
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10 })
  }

  async #prepare(): Promise<ChildProcess> {
    const server = spawn(process.execPath, this.#args({ port: this.#port, held: true }), {
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    this.#servers.push(server)
    await said(server, 'ready')
    return server
  }

  async #serve(server: ChildProcess): Promise<void> {
    const listening = said(server, 'listening')
    server.stdin?.write('go\n')
    await listening
  }

  #args(more: Partial<ServerJob>): string[] {
    const { speaks, retryInterval } = this.trial
    const job: ServerJob = { dir: this.dir, speaks, ...(retryInterval ? { retryInterval } : {}), ...more }
    return ['--import', import.meta.resolve('tsx'), SERVER, JSON.stringify(job)]
  }
}

/** Resolves once a server says a word on its standard error. */
async function said(server: ChildProcess, word: string): Promise<void> {
  let text = ''
  const { stderr } = server
  if (!stderr) throw new Error('The server has no standard error')
  const exited = once(server, 'exit').then(() => {
    throw new Error(`The server did not get to '${word}': ${text}`)
  })
  exited.catch(() => {})
  const heard = new Promise<void>((resolve) => {
    stderr.on('data', (chunk) => {
      text += chunk
      if (text.includes(word)) resolve()
    })
  })
  await Promise.race([heard, exited])
}
