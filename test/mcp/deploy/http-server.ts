/** An HTTP server of docs/deploy, as a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

export class HttpServer {
  #child: ChildProcess | undefined
  #stderr = ''

  constructor(
    private readonly command: [string, ...string[]],
    private readonly env: Record<string, string>,
  ) {}

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.env['PORT']}/mcp`)
  }

  /** Resolves once the port is open. */
  async start(): Promise<void> {
    const [file, ...args] = this.command
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...this.env } })
    this.#child = child
    child.stderr.on('data', (text) => {
      this.#stderr += String(text)
    })
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`Ended with ${code}: ${this.#stderr}`)))
    ended.catch(() => {})
    const isOpen = () =>
      fetch(new URL('/healthz', this.url)).then(
        ({ ok }) => ok,
        () => false,
      )
    while (!(await Promise.race([isOpen(), ended]))) await delay(20)
  }

  /** Resolves once standard error has such a text. */
  async said(words: RegExp): Promise<void> {
    while (!words.test(this.#stderr)) await delay(10)
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await once(this.#child as ChildProcess, 'exit')
  }

  /** Ends it with SIGTERM. Returns its exit code, or the signal that ended it. */
  async stop(): Promise<number | string> {
    const ended = once(this.#child as ChildProcess, 'exit')
    this.#child?.kill('SIGTERM')
    const [code, signal] = await ended
    return code ?? signal
  }

  /** A client that comes back until the server is there. */
  async connect(): Promise<Client> {
    const client = new Client({ name: 'deploy', version: '1.0.0' })
    const reconnectionOptions = {
      maxRetries: 100,
      initialReconnectionDelay: 500,
      maxReconnectionDelay: 500,
      reconnectionDelayGrowFactor: 1,
    }
    await client.connect(new StreamableHTTPClientTransport(this.url, { reconnectionOptions }) as never)
    return client
  }
}
