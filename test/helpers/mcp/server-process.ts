/** Starts and kills a server of the tests: that of http-child.ts, unless another script is named. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

type Child = ChildProcessByStdio<Writable, null, Readable>

/** What a server is made of. */
export interface ServerProcessOptions {
  /** Default `http-child.ts` beside this file. */
  readonly script?: URL
  readonly access?: 'open' | 'principal'
  readonly env?: Record<string, string>
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

export class ServerProcess {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-mcp-'))
  readonly journal = join(this.dir, 'journal.txt')
  #child: Child | undefined
  #next: Child | undefined

  private constructor(
    readonly port: number,
    private readonly options: ServerProcessOptions,
  ) {}

  static async start(options: ServerProcessOptions = {}): Promise<ServerProcess> {
    const server = new ServerProcess(await freePort(), options)
    await server.start()
    return server
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}/mcp`)
  }

  /** The arguments that run it over stdio, on the same store. */
  get stdio(): { command: string; args: string[] } {
    return { command: process.execPath, args: this.#args({ journal: this.journal }) }
  }

  /**
   * Has the next process load its code, and wait: how long that takes says nothing about a restart, and on a busy machine
   * it may be longer than a client waits.
   */
  async prepare(): Promise<void> {
    const { port, journal } = this
    const { access = 'open', env = {} } = this.options
    const child = spawn(process.execPath, this.#args({ journal, port, access, held: true }), {
      stdio: ['pipe', 'inherit', 'pipe'],
      env: { ...process.env, ...env },
    })
    this.#next = child
    await said(child, 'ready')
  }

  async start(): Promise<void> {
    if (!this.#next) await this.prepare()
    const child = this.#next as Child
    this.#next = undefined
    this.#child = child
    child.stdin.write('go\n')
    await said(child, 'listening')
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  async end(): Promise<void> {
    this.#next?.kill('SIGKILL')
    await this.kill()
  }

  /** How often each step of each task began. */
  get steps(): string[] {
    try {
      return readFileSync(this.journal, 'utf8').split('\n').filter(Boolean)
    } catch {
      return []
    }
  }

  #args(job: Record<string, unknown>): string[] {
    const script = fileURLToPath(this.options.script ?? new URL('./http-child.ts', import.meta.url))
    return ['--import', import.meta.resolve('tsx'), script, JSON.stringify({ dir: join(this.dir, 'store'), ...job })]
  }
}

/** Resolves once a process says a word on its standard error. */
function said(child: Child, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    const read = (chunk: Buffer) => {
      text += chunk
      if (!text.includes(word)) return
      child.stderr.off('data', read)
      resolve()
    }
    child.stderr.on('data', read)
    child.once('exit', () => reject(new Error(`The server did not get to '${word}': ${text}`)))
  })
}
