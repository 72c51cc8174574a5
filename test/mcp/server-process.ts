/** Starts and kills the server of http-child.ts. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('./http-child.ts', import.meta.url))

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
  #child: ChildProcess | undefined

  private constructor(
    readonly port: number,
    private readonly access: 'open' | 'principal',
  ) {}

  static async start(access: 'open' | 'principal' = 'open'): Promise<ServerProcess> {
    const server = new ServerProcess(await freePort(), access)
    await server.start()
    return server
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}/mcp`)
  }

  /** The arguments that run it over stdio, on the same store. */
  get stdio(): { command: string; args: string[] } {
    return { command: process.execPath, args: argsOf({ dir: join(this.dir, 'store'), journal: this.journal }) }
  }

  async start(): Promise<void> {
    const { port, access, journal } = this
    const child = spawn(process.execPath, argsOf({ dir: join(this.dir, 'store'), journal, port, access }), {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    this.#child = child
    let said = ''
    for await (const chunk of child.stderr) {
      said += chunk
      if (said.includes('listening')) break
    }
    if (!said.includes('listening')) throw new Error(`The server did not start: ${said}`)
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** How often each step of each task began. */
  get steps(): string[] {
    try {
      return readFileSync(this.journal, 'utf8').split('\n').filter(Boolean)
    } catch {
      return []
    }
  }
}

function argsOf(job: Record<string, unknown>): string[] {
  return ['--import', import.meta.resolve('tsx'), SCRIPT, JSON.stringify(job)]
}
