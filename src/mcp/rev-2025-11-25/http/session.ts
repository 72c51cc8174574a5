/**
 * One HTTP session: a server of the author, the SDK's transport, and its events on disk. Created by the `initialize` of
 * a client, or from the records of an earlier process.
 *
 * - The server receives the stored `initialize` again, so it knows its client as before.
 * - Open requests of durable tools are resumed: their task is waited for, without code of the author. All other open
 *   requests are answered with an error at once, because the work that was done for them is unknown.
 */
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  type CallToolRequest,
  CallToolRequestSchema,
  type JSONRPCMessage,
  type JSONRPCRequest,
  LATEST_PROTOCOL_VERSION,
  type MessageExtraInfo,
  type RequestId,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '@modelcontextprotocol/sdk/types.js'
import { faultOf } from '../../../base/fault.js'
import { httpError } from '../../../http/reply.js'
import { callerOf, runAs } from '../../access/caller.js'
import { RPC } from '../../access/refusal.js'
import { NotAttached } from '../../tools/check-server.js'
import { cancelTaskOf } from '../server/call-tool.js'
import { withTtl } from '../server/transport.js'
import type { Attachment, DurableBinding } from '../server/types.js'
import { requestOf } from './kept-request.js'
import { answerLate } from './late-answer.js'
import { isHeardOn, OpenRequest, type RequestSession } from './open-request.js'
import type { OpenRequests } from './open-requests.js'
import type { CheckedHttpOptions } from './options.js'
import { clientAway, jsonResponse, restarted } from './reply.js'
import { SessionEvents } from './session-events.js'
import type { OpenRecord, SessionRecords } from './session-records.js'
import { SessionTransport } from './session-transport.js'
import { STANDALONE, type StreamOpening } from './streams.js'

/** Makes the server of one session: a new one each time, attached. */
export type CreateServer = () => McpServer | Server | Promise<McpServer | Server>

/** Parts that all sessions share. */
export interface SessionParts {
  readonly durable: DurableBinding
  readonly createServer: CreateServer
  readonly records: SessionRecords
  readonly options: CheckedHttpOptions
  readonly incarnation: string
}

/** Identity and first request of a session. */
export interface SessionStart {
  readonly sessionId: string
  readonly owner: string
  readonly initialize: JSONRPCRequest
  readonly requests: OpenRequests
}

const VERSION = 'mcp-protocol-version'
// Older clients do not accept an event without data.
const PRIMING_SINCE = '2025-11-25'
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
// Time for which a request that waits for a task is kept after its client has disconnected.
const AWAY_MS_MAX = 5 * 60_000
// The SDK's transport requires a URL, and does not use it.
const URL_OF_OURS = 'http://localhost/'

export class Session {
  /** Error of the write of a new session. The SDK would report it as a mistake of the request. */
  #beginFailure: unknown

  private constructor(
    private readonly parts: SessionParts,
    readonly sessionId: string,
    readonly owner: string,
    readonly events: SessionEvents,
    readonly requests: OpenRequests,
    readonly transport: SessionTransport,
    private readonly attachment: Attachment,
    private readonly protocolVersion: string,
    private readonly unkept: Map<RequestId, OpenRequest>,
  ) {}

  get #asOfRequests(): RequestSession {
    const { sessionId, events, requests, transport, unkept } = this
    const { durable, records } = this.parts
    return { sessionId, durable, records, events, requests, transport, unkept }
  }

  /**
   * Creates the session of a client's `initialize`. The caller then hands the request to it.
   * @param keep writes the records of the session, before the client is answered
   */
  static async begin(parts: SessionParts, about: SessionStart, keep: () => Promise<void>): Promise<Session> {
    const onInitialized = () =>
      keep().catch((error: unknown) => {
        session.#beginFailure = error
        throw error
      })
    const session = await Session.#make(parts, about, onInitialized)
    return session
  }

  /** Creates a session from the records of an earlier process, or of an unload. */
  static async again(parts: SessionParts, about: SessionStart): Promise<Session> {
    const { initialize, sessionId } = about
    const session = await Session.#make(parts, about, async () => {})
    await session.events.load()
    const initialized = session.transport.answerTo(initialize.id)
    await session.#feed(initialize, JSON_HEADERS)
    await initialized
    session.transport.receive({ jsonrpc: '2.0', method: 'notifications/initialized' })
    for (const open of await parts.records.readOpen(sessionId)) await session.#resume(open)
    return session
  }

  static async #make(
    parts: SessionParts,
    { sessionId, owner, initialize, requests }: SessionStart,
    onInitialized: () => Promise<void>,
  ): Promise<Session> {
    const { durable, createServer, records, options, incarnation } = parts
    const server = await createServer()
    const attachment = durable.attachmentOf.get(server)
    if (!attachment) throw new NotAttached()
    const unkept = new Map<RequestId, OpenRequest>()
    const events = new SessionEvents(sessionId, records, durable.core, options)
    const inner = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => sessionId,
      onsessioninitialized: onInitialized,
      eventStore: events,
      retryInterval: options.retryIntervalMs,
      maxRequestBodySize: options.bodyBytesMax,
    })
    const { logger } = durable.core.binding
    // A cancel of a client has no caller that could receive the error.
    const notForgotten = (error: unknown) =>
      logger.debug('A cancelled request could not be forgotten', { error: faultOf(error) })
    const transport = new SessionTransport(
      inner,
      incarnation,
      requests,
      (question, response) => answerLate(durable, question, response),
      (requestId) => {
        events.giveUp(requestId).catch(notForgotten)
        // The client still waits on the stream. It receives the end of the stream, without an answer.
        transport.release(requestId).catch(notForgotten)
      },
      (requestId, end) => {
        // Without a response, nothing can be handed over.
        if (!events.ends(requestId, end)) unkept.get(requestId)?.ends(end)
      },
      (call) => (call.kind === 'inline' ? cancelTaskOf(durable.core, call) : Promise.resolve()),
    )
    await server.connect(transport as never)
    if (durable.core.options.access !== 'open') attachment.owner = owner
    return new Session(parts, sessionId, owner, events, requests, transport, attachment, versionOf(initialize), unkept)
  }

  /**
   * Answers a request without a stream.
   * @returns `undefined` if its ID is in use
   */
  async ask(message: JSONRPCRequest, extra: MessageExtraInfo): Promise<JSONRPCMessage | undefined> {
    return (await this.#freeId(message.id)) ? this.transport.ask(message, extra) : undefined
  }

  /** Hands a request to the SDK's transport. */
  async handle(request: Request, message: JSONRPCRequest, extra: { authInfo?: never }): Promise<Response> {
    const { inner } = this.transport
    if (!(await this.#freeId(message.id))) return httpError(400, RPC.invalidRequest, 'This request ID is in use')
    if (message.method === 'initialize') {
      await this.#isReadByCaller()
      const response = await inner.handleRequest(asPost(request.url, request.headers), {
        ...extra,
        parsedBody: message,
      })
      if (this.#beginFailure !== undefined) throw this.#beginFailure
      return response
    }
    const version = request.headers.get(VERSION) ?? this.protocolVersion
    const prepared = OpenRequest.prepare(this.#asOfRequests, {
      message,
      call: this.#durableCall(message),
      isKept: version >= PRIMING_SINCE,
    })
    if ('refusal' in prepared) return jsonResponse(prepared.refusal, this.sessionId)
    const headers = new Headers(request.headers)
    // A request without a version gets the agreed one. Without this, the SDK would assume that it cannot resume a stream.
    headers.set(VERSION, version)
    const { body } = prepared
    return prepared.request.send(() =>
      inner.handleRequest(asPost(request.url, headers), { ...extra, parsedBody: body }),
    )
  }

  /**
   * Gives up an earlier request with this ID whose client has disconnected. Without this, the client could take its
   * answer for the new one.
   */
  async #freeId(id: RequestId): Promise<boolean> {
    if (this.transport.asks(id)) return false
    if (!this.requests.has(id)) return true
    const { streams } = this.events
    if (!streams.unanswered(id) || streams.isHeard(id)) return false
    this.transport.abandon(id)
    await this.events.giveUp(id)
    await this.transport.release(id)
    return true
  }

  /** Opens the stream of messages without a request, or the rest of a lost stream. */
  async listen(request: Request, stream: string): Promise<Response> {
    if (stream === STANDALONE) await this.#isReadByCaller()
    // The first event repeats the client's position. Without this, a client that loses this stream too would resume
    // without a position, and get another stream.
    const lastEventId = request.headers.get('last-event-id') ?? this.events.streams.lastId(stream)
    const first = `id: ${lastEventId}\nretry: ${this.parts.options.retryIntervalMs}\ndata: \n\n`
    const response = await this.transport.inner.handleRequest(request)
    const isPrimed = response.status === 200 && this.protocolVersion >= PRIMING_SINCE
    return this.events.connections.watch(stream, response, isPrimed ? { first } : {})
  }

  /** Marks the caller as the reader of messages without a request. */
  async #isReadByCaller(): Promise<void> {
    this.attachment.reader = await callerOf(this.parts.durable.core.options)
  }

  /** True if the session is not in use: no client reads, and no request is unanswered. */
  get isIdle(): boolean {
    return !this.events.isInUse && !this.transport.isAsked && this.requests.size === 0
  }

  /** Ends waits for tasks whose clients have been disconnected for too long. A client that returns receives an error. */
  async dropAway(): Promise<void> {
    for (const requestId of this.events.streams.away(this.parts.durable.core.binding.clock.now(), AWAY_MS_MAX)) {
      this.transport.abandon(requestId)
      await this.transport.inner.send(clientAway(requestId))
    }
  }

  /** Closes every connection. Resolves once nothing more is written. */
  async close(): Promise<void> {
    await this.attachment.server.close()
    await this.events.close()
  }

  #durableCall(request: JSONRPCRequest): CallToolRequest | undefined {
    if (request.method !== 'tools/call') return undefined
    const parsed = CallToolRequestSchema.safeParse(withTtl(request))
    return parsed.success && this.attachment.serves(parsed.data.params.name) ? parsed.data : undefined
  }

  async #resume({ stream, request, call }: OpenRecord): Promise<void> {
    const { durable } = this.parts
    const { sessionId, owner } = this
    const { id, method } = request
    const tool = call && durable.core.tools.get(call.tool)?.tool
    if (call && tool) {
      const { taskId, kind, created, rejoinKey } = call
      // The client of the request may or may not return. Until then, a repeated call joins the task.
      const isHeard = isHeardOn(this, id)
      if (kind === 'inline') durable.core.openCalls.add(taskId, isHeard)
      const resumed = { lastProgress: this.events.streams.lastProgress(stream) }
      const started = { taskId, created, rejoinKey }
      const opened = { tool, kind, caller: { owner, sessionId }, isHeard, started, resumed }
      this.transport.preflights.set(id, Promise.resolve(opened))
    } else if (method !== 'tasks/result') {
      await this.events.append(stream, restarted(id, method))
      return
    }
    this.requests.again(id)
    const headers = {
      ...JSON_HEADERS,
      'mcp-session-id': sessionId,
      [VERSION]: LATEST_PROTOCOL_VERSION,
    }
    const name = call?.kind === 'start' ? tool?.startName : tool?.name
    const asked = requestOf(request, call && { name, isTask: call.kind === 'task' })
    const opening = { open: async (streamId: string) => this.events.resume(streamId, stream, request) }
    await this.#feed(asked, headers, opening)
  }

  /** Hands a stored request to the transport. The response has no reader: the answer is stored as an event. */
  async #feed(request: JSONRPCRequest, headers: Record<string, string>, opening?: StreamOpening): Promise<void> {
    const { sessionId, owner } = this
    const hand = () =>
      this.transport.inner.handleRequest(asPost(URL_OF_OURS, new Headers(headers)), { parsedBody: request })
    const response = await runAs({ authInfo: undefined, sessionId, owner }, () =>
      opening ? this.events.opening.during(opening, hand) : hand(),
    )
    await response.body?.cancel()
  }
}

/** The request in the form that the SDK's transport reads. It reads no body, because that is parsed. */
function asPost(url: string, headers: Headers): Request {
  return new Request(url, { method: 'POST', headers })
}

/** Protocol version that the SDK's server agrees on. */
function versionOf({ params }: JSONRPCRequest): string {
  const version = String(params?.['protocolVersion'])
  return SUPPORTED_PROTOCOL_VERSIONS.includes(version) ? version : LATEST_PROTOCOL_VERSION
}
