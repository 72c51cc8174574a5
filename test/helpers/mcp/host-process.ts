/**
 * Runs the recipes of docs/mcp/hosts as an author would: copies in a folder whose `node_modules` has `holdfast` and the
 * frameworks, each started with Node, stopped with SIGTERM and killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './server-process.js'

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
export const RECIPES = join(ROOT, 'docs/mcp/hosts')

/** A folder of an author: its `node_modules` has `holdfast` and everything that this project has installed. */
export function authorFolder(): string {
  if (!existsSync(join(ROOT, 'dist/index.js'))) throw new Error('Run `npm run build` first')
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-hosts-'))
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name !== 'holdfast') symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  }
  symlinkSync(ROOT, join(modules, 'holdfast'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return folder
}

/** A folder with its own copy of each recipe. */
export function copyRecipes(revision: '2025-11-25' | '2026-07-28'): string {
  const folder = authorFolder()
  for (const name of readdirSync(RECIPES)) {
    const text = readFileSync(join(RECIPES, name), 'utf8')
      // What the page tells readers to do for the other revision.
      .replace("'./server-2025-11-25.js'", `'./server-${name === 'mcp-handler.ts' ? '2026-07-28' : revision}.js'`)
      // A test restarts the server at once, and needs not wait for 8 s.
      .replace(/(durable\.httpHandler\(createServer)(?:, \{ path: '\/mcp' \})?\)/, "$1, { retryInterval: '500ms' })")
    writeFileSync(join(folder, name), text)
  }
  return folder
}

/** Serves the pages that the recipes import, counts what is fetched, and can keep one page back. */
export class FlightSource extends EventEmitter {
  readonly fetched: number[] = []
  #heldPage: number | undefined
  readonly #held: ServerResponse[] = []
  readonly #server: Server = createServer((req, res) => {
    const page = Number(req.url?.slice(1))
    if (page === this.#heldPage) {
      this.#held.push(res)
      this.emit('held')
      return
    }
    this.fetched.push(page)
    res.end(JSON.stringify(Array.from({ length: page }, () => 'a flight')))
  })

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  /** Keeps a page back. Resolves when so many tasks want it. */
  async hold(page: number, tasks = 1): Promise<void> {
    this.#heldPage = page
    while (this.#held.length < tasks) await once(this, 'held')
  }

  /** Serves the page from the next request on. Requests that wait belong to a server that is dead. */
  release(): void {
    this.#heldPage = undefined
    for (const res of this.#held.splice(0)) res.destroy()
    this.fetched.length = 0
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** One recipe, as a process. */
export class HostProcess {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-host-store-'))
  #child: ChildProcess | undefined

  private constructor(
    private readonly folder: string,
    private readonly name: string,
    private readonly source: string,
    private readonly port: number,
  ) {}

  static async start(folder: string, name: string, source: FlightSource): Promise<HostProcess> {
    const host = new HostProcess(folder, name, source.url, await freePort())
    await host.start()
    return host
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}/mcp`)
  }

  async start(): Promise<void> {
    const child = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), join(this.folder, `${this.name}.ts`)],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: {
          ...process.env,
          DIR: join(this.dir, 'store'),
          PORT: String(this.port),
          FLIGHTS_URL: this.source,
          TOKENS: JSON.stringify({ 'token-of-alice': 'alice', 'token-of-bob': 'bob' }),
          HOLDFAST_LOG: 'error',
        },
      },
    )
    this.#child = child
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${this.name} ended with ${code}`)))
    ended.catch(() => {})
    const answers = () =>
      fetch(this.url).then(
        () => true,
        () => false,
      )
    while (!(await Promise.race([answers(), ended]))) await delay(20)
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await once(this.#child as ChildProcess, 'exit')
  }

  /** Ends it with SIGTERM. Returns its exit code, or the signal that ended it. */
  async stop(): Promise<number | string> {
    const child = this.#child as ChildProcess
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? (child.signalCode as string)
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const [code, signal] = await ended
    rmSync(this.dir, { recursive: true, force: true })
    return code ?? signal
  }
}
