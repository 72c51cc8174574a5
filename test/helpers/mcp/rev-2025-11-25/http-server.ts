/** A real HTTP server over a disk in memory, which can die and come back at the same address. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import {
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Server as LowLevelServer } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { AnyTaskDefinition, Clock, Holdfast, Logger } from 'holdfast'
import {
  type DurableOptions,
  type DurableTasks,
  durableTasks,
  type HttpHandler,
  type HttpOptions,
  type ToolOptions,
} from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { HangUps } from '../hang-ups.js'
import { INFO, tokenOf } from './connect.js'

export interface HttpServerOptions {
  readonly tools: readonly AnyTaskDefinition[]
  readonly options?: ToolOptions
  readonly durable?: Partial<DurableOptions>
  readonly http?: HttpOptions
  readonly setUp?: (server: McpServer) => void
  /** Makes an attached server, in place of an `McpServer`. */
  readonly lowLevel?: (durable: DurableTasks) => LowLevelServer
  readonly logger?: Logger
  readonly clock?: Clock
  readonly concurrency?: number
  /** Called around the handling of each request, with its principal. */
  readonly around?: (sub: string | undefined, handle: () => void) => void
}

export class HttpServer {
  readonly disk = new MemoryDisk()
  holdfast!: Holdfast
  durable!: DurableTasks
  handler!: HttpHandler
  /** Requests that are being answered, by method. */
  readonly open = new Map<string, number>()
  readonly seen: { method: string; status: number }[] = []
  #server: Server | undefined
  readonly #hangUps = new HangUps()
  port = 0

  private constructor(private readonly options: HttpServerOptions) {}

  static async start(options: HttpServerOptions): Promise<HttpServer> {
    const server = new HttpServer(options)
    await server.start()
    return server
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.port}/mcp`)
  }

  async start(): Promise<void> {
    const { tools, durable = {}, http = {}, setUp, logger, clock, concurrency } = this.options
    const { lowLevel } = this.options
    const { around = (_, handle) => handle() } = this.options
    const given = { ...(logger && { logger }), ...(clock && { clock }), ...(concurrency && { concurrency }) }
    this.holdfast = await openInMemory({ disk: this.disk, ...given })
    this.durable = durableTasks(this.holdfast, { access: 'open', progressInterval: 0, pollInterval: 20, ...durable })
    for (const tool of tools) this.durable.tool(tool as never, this.options.options as never)
    this.handler = this.durable.httpHandler(
      () => {
        if (lowLevel) return lowLevel(this.durable)
        const server = this.durable.attach(new McpServer(INFO, this.durable.serverOptions()))
        setUp?.(server)
        return server
      },
      { retryInterval: 50, ...http },
    )
    const { handler } = this
    this.#server = createServer((req, res) => {
      const method = req.method ?? ''
      this.open.set(method, (this.open.get(method) ?? 0) + 1)
      this.#hangUps.watch(res)
      res.once('close', () => {
        this.open.set(method, (this.open.get(method) ?? 1) - 1)
        this.seen.push({ method, status: res.statusCode })
      })
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

  async restart(): Promise<void> {
    await this.die()
    await this.start()
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

  /** The SDK's client. */
  async connect(
    options: StreamableHTTPClientTransportOptions & {
      sub?: string
      capabilities?: Record<string, object>
      setUp?: (client: Client) => void
    } = {},
  ) {
    const { sub, capabilities = {}, setUp, ...rest } = options
    const client = new Client(INFO, { capabilities })
    setUp?.(client)
    const headers = sub === undefined ? {} : { authorization: `Bearer ${sub}` }
    const transport = new StreamableHTTPClientTransport(this.url, { requestInit: { headers }, ...rest })
    await client.connect(transport as never)
    return { client, transport }
  }

  /** One request, as it is. */
  async send(
    message: unknown,
    {
      sub,
      session,
      method = 'POST',
      headers = {},
    }: {
      sub?: string | undefined
      session?: string | undefined
      method?: string
      headers?: Record<string, string>
    } = {},
  ): Promise<Response> {
    const init = {
      method,
      headers: {
        accept: 'application/json, text/event-stream',
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
        ...(sub === undefined ? {} : { authorization: `Bearer ${sub}` }),
        ...(session === undefined ? {} : { 'mcp-session-id': session }),
        ...headers,
      },
      ...(method === 'POST' ? { body: typeof message === 'string' ? message : JSON.stringify(message) } : {}),
    }
    // A connection that is kept alive may have died with the server before.
    return fetch(this.url, init).catch(() => fetch(this.url, init))
  }
}

export const initialize = (capabilities = {}) => ({
  jsonrpc: '2.0',
  id: 'init',
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities, clientInfo: INFO },
})
