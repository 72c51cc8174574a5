/** A server over HTTP on a disk in memory, which can die and come back at its address, and a client with raw requests. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { McpServer } from '@modelcontextprotocol/server'
import type { AnyTaskDefinition, Holdfast } from 'holdfast'
import {
  type DurableOptions,
  type DurableTasks,
  durableTasks,
  type HttpHandler,
  type HttpOptions,
} from 'holdfast/mcp/2026-07-28'
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { HangUps } from '../hang-ups.js'
import { tokenOf } from '../rev-2025-11-25/connect.js'
import { type Answer, KNOWS_TASKS, metaOf, serverOf, VERSION } from './modern-client.js'
import { checkNotified, checkSent } from './wire.js'

export interface ModernServerOptions {
  readonly tools: readonly AnyTaskDefinition[]
  readonly durable?: Partial<DurableOptions>
  readonly http?: HttpOptions
  readonly setUp?: (server: McpServer) => void
  readonly concurrency?: number
  /** Called around the handling of each request, with its principal. */
  readonly around?: (sub: string | undefined, handle: () => void) => void
}

export interface Sent {
  readonly knows?: Record<string, unknown>
  readonly sub?: string | undefined
  readonly headers?: Record<string, string>
  readonly id?: string | number
}

export class ModernServer {
  readonly disk = new MemoryDisk()
  holdfast!: Holdfast
  durable!: DurableTasks
  handler!: HttpHandler
  port = 0
  #server: Server | undefined
  readonly #hangUps = new HangUps()
  #count = 0

  private constructor(private readonly options: ModernServerOptions) {}

  static async start(options: ModernServerOptions): Promise<ModernServer> {
    const server = new ModernServer(options)
    await server.start()
    return server
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}/mcp`)
  }

  async start(): Promise<void> {
    const { tools, durable = {}, http, setUp, concurrency, around = (_, handle) => handle() } = this.options
    this.holdfast = await openInMemory({ disk: this.disk, ...(concurrency && { concurrency }) })
    this.durable = durableTasks(this.holdfast, { access: 'open', pollInterval: 20, progressInterval: 0, ...durable })
    for (const tool of tools) this.durable.tool(tool as never)
    this.handler = this.durable.httpHandler(() => serverOf(this.durable, setUp), http)
    const { handler } = this
    this.#server = createServer((req, res) => {
      this.#hangUps.watch(res)
      const sub = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1]
      const handle = () => void handler.node(Object.assign(req, sub === undefined ? {} : { auth: tokenOf(sub) }), res)
      around(sub, handle)
    }).listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as { port: number }).port
  }

  /** Hangs up one request, and waits until the server has seen that and is idle. */
  hangUp(act: () => unknown): Promise<void> {
    return this.#hangUps.hangUp(this.holdfast, act)
  }

  /** kill -9: nothing is written any more, and every connection is gone. */
  async die(): Promise<void> {
    this.disk.crash()
    await this.#stopListening()
  }

  async close(): Promise<void> {
    await this.handler.close()
    await this.#stopListening()
    await this.holdfast.close({ grace: 0 })
  }

  async #stopListening(): Promise<void> {
    const server = this.#server
    server?.closeAllConnections()
    server?.close()
    if (server?.listening) await once(server, 'close')
  }

  /** One request, as it is. */
  send(method: string, params: Record<string, unknown> = {}, sent: Sent = {}, signal?: AbortSignal): Promise<Response> {
    const { knows = KNOWS_TASKS, sub, headers = {}, id = ++this.#count } = sent
    const name = params['name'] ?? params['taskId']
    const { _meta, ...rest } = params
    return fetch(this.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': VERSION,
        'mcp-method': method,
        ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
        ...(sub === undefined ? {} : { authorization: `Bearer ${sub}` }),
        ...headers,
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id,
        method,
        params: { ...rest, _meta: metaOf(knows, _meta as Record<string, unknown>) },
      }),
      ...(signal ? { signal } : {}),
    })
  }

  /** One request, and its answer. */
  async request(
    method: string,
    params: Record<string, unknown> = {},
    sent: Sent = {},
  ): Promise<Answer & { status: number }> {
    const response = await this.send(method, params, sent)
    const text = await response.text()
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
    const last = isStream ? text.trim().split('\n\n').at(-1)?.split('data: ').at(1) : text
    const answer = JSON.parse(last ?? '') as Answer
    checkSent(method, answer)
    return { ...answer, status: response.status }
  }

  /** Polls until the task has settled. */
  async settled(taskId: string, sent: Sent = {}) {
    for (;;) {
      const { result } = await this.request('tasks/get', { taskId }, sent)
      if (['completed', 'failed', 'cancelled'].includes(result.status)) return result
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** A subscription, and the messages that came on it. */
  async listen(notifications: Record<string, unknown>, sent: Sent = {}) {
    const aborter = new AbortController()
    const response = await this.send('subscriptions/listen', { notifications }, sent, aborter.signal)
    // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
    const messages: any[] = []
    let heard = () => {}
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
    if (!isStream) messages.push(await response.json())
    const over = (async () => {
      if (!isStream) return
      let rest = ''
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        rest += Buffer.from(chunk).toString()
        const frames = rest.split('\n\n')
        rest = frames.pop() ?? ''
        for (const frame of frames) {
          const data = frame.split('data: ').at(1)
          if (data === undefined) continue
          const message = JSON.parse(data)
          if (message.method !== undefined) checkNotified(message)
          messages.push(message)
        }
        heard()
      }
    })().catch(() => {})
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const next = async (fits: (message: any) => boolean) => {
      for (;;) {
        const found = messages.find(fits)
        if (found) return found
        await new Promise<void>((resolve) => {
          heard = resolve
        })
      }
    }
    await next(() => true)
    return { response, messages, next, over, stop: () => aborter.abort() }
  }
}
