/** Starts the server of stdio-child.ts, speaks to it line by line, and stops it as the clients do that were measured. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { KNOWS_TASKS, metaOf } from './rev-2026-07-28/modern-client.js'

const SCRIPT = fileURLToPath(new URL('./stdio-child.ts', import.meta.url))

export type Revision = '2025-11-25' | '2026-07-28'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
export type Answer = { readonly id: number; readonly result?: any; readonly error?: any }

/** A store and the journal of its servers. */
export class Place {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-stdio-'))
  readonly journal = join(this.dir, 'journal.txt')
  readonly servers: StdioServer[] = []

  constructor() {
    writeFileSync(this.journal, '')
  }

  command(revision: Revision, more: Record<string, unknown> = {}): [string, ...string[]] {
    const job = { dir: join(this.dir, 'store'), journal: this.journal, revision, ...more }
    return [process.execPath, '--import', import.meta.resolve('tsx'), SCRIPT, JSON.stringify(job)]
  }

  start(revision: Revision, more: Record<string, unknown> = {}): StdioServer {
    const server = new StdioServer(this.command(revision, more), revision)
    this.servers.push(server)
    return server
  }

  /** True if the store has a lock file. */
  isLocked(): boolean {
    return existsSync(join(this.dir, 'store', 'lock'))
  }

  #lines(): string[] {
    return readFileSync(this.journal, 'utf8').split('\n')
  }

  /** How often the journal has the line. */
  count(line: string): number {
    return this.#lines().filter((found) => found === line).length
  }

  /** Resolves once the journal has the line so often. Rejects if a server parked a task: no test here wants that. */
  async until(line: string, times: number): Promise<void> {
    while (this.count(line) < times) {
      const parked = this.#lines().find((found) => found.startsWith('parked'))
      if (parked !== undefined) throw new Error(`A task was ${parked}`)
      await delay(10)
    }
  }

  async remove(): Promise<void> {
    for (const server of this.servers) server.child.kill('SIGKILL')
    await Promise.all(this.servers.map(({ exit }) => exit))
    rmSync(this.dir, { recursive: true, force: true })
  }
}

export class StdioServer {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly exit: Promise<Exit>
  readonly answers: Answer[] = []
  /** Lines of standard output that are no JSON. */
  readonly broken: string[] = []
  stderr = ''
  #count = 0
  readonly #waiting = new Map<number, (answer: Answer) => void>()

  constructor(
    [file, ...args]: [string, ...string[]],
    readonly revision: Revision,
  ) {
    // In a process group of its own, as Codex starts it.
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    this.exit = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })))
    this.child.stdin.on('error', () => {})
    this.child.stderr.on('data', (text) => {
      this.stderr += String(text)
    })
    let text = ''
    this.child.stdout.on('data', (data) => {
      const lines = (text + String(data)).split('\n')
      text = lines.pop() as string
      for (const line of lines) this.#take(line)
    })
  }

  #take(line: string): void {
    try {
      const message = JSON.parse(line) as Answer & { method?: string }
      if (message.method !== undefined) return
      this.answers.push(message)
      this.#waiting.get(message.id)?.(message)
    } catch {
      this.broken.push(line)
    }
  }

  /** Sends a request; rejects if the server ends before it has answered. */
  async request(method: string, params: Record<string, unknown> = {}): Promise<Answer> {
    const id = ++this.#count
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve))
    const modern = this.revision === '2026-07-28'
    this.#send({ id, method, params: modern ? { ...params, _meta: metaOf(KNOWS_TASKS) } : params })
    const ended = this.exit.then((exit) => {
      throw new Error(`The server ended (${JSON.stringify(exit)}) before it answered ${method}: ${this.stderr}`)
    })
    return Promise.race([answered, ended])
  }

  async connect(): Promise<Answer> {
    if (this.revision === '2026-07-28') return this.request('server/discover')
    const clientInfo = { name: 'test', version: '1' }
    const capabilities = { elicitation: {} }
    const answer = await this.request('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo })
    this.#send({ method: 'notifications/initialized' })
    return answer
  }

  call(name: string, args: Record<string, unknown> = {}): Promise<Answer> {
    return this.request('tools/call', { name, arguments: args })
  }

  /** Starts a task in the background. Returns its ID. */
  async start(name: string): Promise<string> {
    const { result } = await this.call(`start_${name}`)
    return result.structuredContent.taskId as string
  }

  #send(message: Record<string, unknown>): void {
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  }

  /** Sends `signal`, unless the server ends within `ms`. */
  async #unlessEnded(ms: number, signal: NodeJS.Signals): Promise<void> {
    const timer = new AbortController()
    const late = delay(ms, true, { signal: timer.signal }).catch(() => false)
    const isLate = await Promise.race([late, this.exit.then(() => false)])
    timer.abort()
    if (isLate) this.child.kill(signal)
  }

  /** Ends the server as a client does. */
  async stop(how: StopSequence): Promise<Exit> {
    if (how === 'SDK clients') {
      this.child.stdin.end()
      await this.#unlessEnded(2_000, 'SIGTERM')
      await this.#unlessEnded(2_000, 'SIGKILL')
    } else if (how === 'Claude Code') {
      this.child.kill('SIGINT')
      await this.#unlessEnded(100, 'SIGTERM')
      await this.#unlessEnded(400, 'SIGKILL')
    } else if (how === 'VS Code') {
      this.child.stdin.end()
      await this.#unlessEnded(10_000, 'SIGTERM')
      await this.#unlessEnded(10_000, 'SIGKILL')
    } else {
      process.kill(-(this.child.pid as number), 'SIGTERM')
      await this.#unlessEnded(2_000, 'SIGKILL')
    }
    return this.exit
  }
}

export const STOP_SEQUENCES = ['SDK clients', 'Claude Code', 'VS Code', 'Codex'] as const
export type StopSequence = (typeof STOP_SEQUENCES)[number]
