/**
 * The endpoint of one revision over a disk in memory, without a socket: a test reads a response when it chooses, and the
 * process can die at any write. One principal, in one session where the revision has sessions.
 */
import { McpServer as McpServer2025 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2026 } from '@modelcontextprotocol/server'
import { defineTask, type Holdfast, type Telemetry } from 'holdfast'
import { durableTasks as durable2025 } from 'holdfast/mcp/2025-11-25'
import { durableTasks as durable2026 } from 'holdfast/mcp/2026-07-28'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { z } from 'zod'
import { turns } from '../turns.js'
import { INFO, tokenOf } from './rev-2025-11-25/connect.js'
import { metaOf, VERSION } from './rev-2026-07-28/modern-client.js'

export type Revision = '2025-11-25' | '2026-07-28'
export const REVISIONS: readonly Revision[] = ['2025-11-25', '2026-07-28']

/** Turns in which everything has gone on that waits for nothing but the event loop: the disk is held, time stands still. */
export const TURNS = 100

const input = z.object({ n: z.number() })

type Handler = {
  fetch(request: Request, context: object): Promise<Response>
  close(): Promise<void>
}

export class CallServer {
  readonly clock = new ManualClock()
  holdfast!: Holdfast
  /** Inputs of the runs of the function `add`. */
  readonly runs: number[] = []
  #handler!: Handler
  #session: string | undefined
  #ids = 0

  private constructor(
    readonly revision: Revision,
    readonly disk: MemoryDisk,
    private readonly telemetry: Telemetry | undefined,
  ) {}

  /** Opens the server. The first call, which begins what is there once, is over. */
  static async start(revision: Revision, disk = new MemoryDisk(), telemetry?: Telemetry): Promise<CallServer> {
    const server = new CallServer(revision, disk, telemetry)
    await server.open()
    if (revision === '2025-11-25') {
      const params = { protocolVersion: revision, capabilities: {}, clientInfo: INFO }
      const begun = await server.#post('initialize', params)
      await begun.text()
      server.#session = begun.headers.get('mcp-session-id') as string
    }
    await (await server.call('add', 0)).text()
    await untilIdle(server.holdfast)
    server.runs.length = 0
    return server
  }

  async open(): Promise<void> {
    const { clock, disk, runs, telemetry } = this
    this.holdfast = await openInMemory({ disk, clock, telemetry })
    const add = {
      input,
      run: ({ n }: { n: number }) => {
        runs.push(n)
        return { n: n + 1 }
      },
    }
    const toResult = (output: unknown) => ({
      content: [{ type: 'text' as const, text: `made of ${JSON.stringify(output)}` }],
    })
    const steps = defineTask({ name: 'steps', input }, async (task, { n }) => {
      task.progress({ done: 1, total: 2 })
      const one = await task.step('one', () => n + 1)
      task.progress({ done: 2, total: 2 })
      return { n: await task.step('two', () => one + 1) }
    })
    const given = { access: 'principal', progressInterval: 0, ttl: { default: '1h', max: '1d' } } as const
    if (this.revision === '2025-11-25') {
      const durable = durable2025(this.holdfast, given)
        .tool('add', add)
        .tool('custom', { ...add, toResult })
        .tool(steps)
      this.#handler = durable.httpHandler(() => durable.attach(new McpServer2025(INFO, durable.serverOptions())))
    } else {
      const durable = durable2026(this.holdfast, given)
        .tool('add', add)
        .tool('custom', { ...add, toResult })
        .tool(steps)
      this.#handler = durable.httpHandler(() => durable.attach(new McpServer2026(INFO, durable.serverOptions())))
    }
  }

  /** Calls a tool, for its result. */
  call(name: string, n: number, { progressToken }: { progressToken?: string } = {}): Promise<Response> {
    const _meta = progressToken === undefined ? {} : { progressToken }
    return this.#post('tools/call', { name, arguments: { n }, _meta })
  }

  /** Sends any request. */
  request(method: string, params: Record<string, unknown>): Promise<Response> {
    return this.#post(method, params)
  }

  /** Fetches the rest of a stream of 2025-11-25. */
  resume(lastEventId: string): Promise<Response> {
    return this.#send(new Request('http://localhost/mcp', { headers: this.#headers({ 'last-event-id': lastEventId }) }))
  }

  /** The process dies, and the next one opens the store. */
  async restart(): Promise<void> {
    this.disk.crash()
    await this.open()
  }

  async close(): Promise<void> {
    await this.#handler.close()
    await this.holdfast.close({ grace: 0 })
  }

  /** The keys of the binding's own records that contain `part`. */
  keys(part: string): string[] {
    return [...this.disk.content.keys()].filter((key) => key.startsWith('binding/mcp/') && key.includes(part))
  }

  #headers(more: Record<string, string>): Record<string, string> {
    const session = this.#session
    return { accept: 'application/json, text/event-stream', ...more, ...(session ? { 'mcp-session-id': session } : {}) }
  }

  #post(method: string, params: Record<string, unknown>): Promise<Response> {
    const isModern = this.revision === '2026-07-28'
    const message = {
      jsonrpc: '2.0',
      id: this.#ids++,
      method,
      params: isModern ? { ...params, _meta: metaOf({}, params['_meta'] as Record<string, unknown>) } : params,
    }
    const modern = { 'mcp-method': method, 'mcp-name': String(params['name']) }
    const headers = this.#headers({
      'content-type': 'application/json',
      'mcp-protocol-version': isModern ? VERSION : '2025-11-25',
      ...(isModern ? modern : {}),
    })
    return this.#send(new Request('http://localhost/mcp', { method: 'POST', headers, body: JSON.stringify(message) }))
  }

  #send(request: Request): Promise<Response> {
    return this.#handler.fetch(request, { authInfo: tokenOf('ann') })
  }
}

/** What a client has received, also of a response that never ends. */
export class Received {
  text = ''
  isWhole = false

  constructor(response: Promise<Response>) {
    const read = async () => {
      const decoder = new TextDecoder()
      for await (const chunk of (await response).body as unknown as AsyncIterable<Uint8Array>) {
        this.text += decoder.decode(chunk, { stream: true })
      }
      this.isWhole = true
    }
    read().catch(() => {})
  }

  /** ID of the last event; `undefined` if there is none. */
  get lastEventId(): string | undefined {
    return [...this.text.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1]
  }
}

/** A disk on which a test lets each write go on, and which counts reads. */
export class HeldDisk {
  readonly disk: MemoryDisk
  reads = 0
  #waiting: (() => void)[] = []
  #isHeld = false

  constructor() {
    const noteRead = () => {
      this.reads++
    }
    class CountingDisk extends MemoryDisk {
      override async open() {
        const level = await super.open()
        for (const name of ['get', 'getMany', 'page'] as const) {
          const read = level[name].bind(level) as (...given: unknown[]) => unknown
          const counted = (...given: unknown[]) => {
            noteRead()
            return read(...given)
          }
          Object.assign(level, { [name]: counted })
        }
        return level
      }
    }
    this.disk = new CountingDisk(() => this.#pass())
  }

  hold(): void {
    this.#isHeld = true
  }

  /** Lets every write go on from now. */
  letGo(): void {
    this.#isHeld = false
    for (const pass of this.#waiting.splice(0)) pass()
  }

  /** Lets the write that is in flight reach the disk, and acknowledges it. */
  async letOneGo(): Promise<void> {
    for (const _ of ['reaches the disk', 'is acknowledged']) {
      if (this.#waiting.length !== 1) throw new Error(`${this.#waiting.length} writes are in flight`)
      this.#waiting.shift()?.()
      await turns(TURNS)
    }
  }

  get isWriting(): boolean {
    return this.#waiting.length > 0
  }

  async #pass(): Promise<void> {
    if (!this.#isHeld) return new Promise((resolve) => setImmediate(resolve))
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}
