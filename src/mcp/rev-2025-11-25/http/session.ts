/**
 * One HTTP session: a server of the author's, the SDK's transport, and its events on disk. Made by a client's
 * `initialize`, or from what an earlier process left of it.
 *
 * - `initialize` is fed in again, so the server knows its client as before.
 * - Open requests of durable tools are taken up again: their task is waited for, and no author's code runs for it.
 *     Anything else is answered with an error, at once: nobody knows what it had done already.
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
import type { BindingRecord } from '../../../task/changes.js'
import { callerOf, runAs } from '../../access/caller.js'
import { isStoreAway, RPC } from '../../access/refusal.js'
import { NotAttached } from '../../tools/check-server.js'
import type { IsHeard } from '../../tools/join-call.js'
import { cancelTaskOf, openCall } from '../server/call-tool.js'
import { withTtl } from '../server/transport.js'
import type { Attachment, DurableBinding, OpenCall } from '../server/types.js'
import { isWait, keptOf, requestOf, withoutArguments, withoutRest } from './kept-request.js'
import { answerLate } from './late-answer.js'
import type { OpenRequests } from './open-requests.js'
import type { CheckedHttpOptions } from './options.js'
import { jsonResponse } from './reply.js'
import { SessionEvents } from './session-events.js'
import type { OpenRecord, SessionRecords } from './session-records.js'
import { SessionTransport } from './session-transport.js'
import { type Opening, opens, STANDALONE } from './streams.js'

/** Makes the server of one session: a new one each time, attached. */
export type CreateServer = () => McpServer | Server | Promise<McpServer | Server>

/** What sessions are made of. */
export interface SessionParts {
  readonly durable: DurableBinding
  readonly createServer: CreateServer
  readonly records: SessionRecords
  readonly options: CheckedHttpOptions
  readonly incarnation: string
}

/** What a session begins with. */
export interface SessionStart {
  readonly sessionId: string
  readonly owner: string
  readonly initialize: JSONRPCRequest
  readonly requests: OpenRequests
}

const VERSION = 'mcp-protocol-version'
// Older clients can't take an event without data.
const PRIMING_SINCE = '2025-11-25'
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
// So long a request that waits for a task is kept for a client that may come back for the answer.
const AWAY_MS_MAX = 5 * 60_000
// Only ever seen by the SDK's transport, which wants one.
const URL_OF_OURS = 'http://localhost/'

export class Session {
  /** Why the session could not be written. The SDK would call it a mistake in the request. */
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
  ) {}

  /**
   * A session that its client's `initialize` begins; the request has yet to be handed to it.
   * @param keep writes what is kept of it, before the client is answered
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

  /** A session that an earlier process left, or that was let go of. */
  static async again(parts: SessionParts, about: SessionStart): Promise<Session> {
    const { initialize, sessionId } = about
    const session = await Session.#make(parts, about, async () => {})
    await session.events.load()
    const initialized = session.transport.answerTo(initialize.id)
    await session.#feed(initialize, { kind: 'unkept' }, JSON_HEADERS)
    await initialized
    session.transport.receive({ jsonrpc: '2.0', method: 'notifications/initialized' })
    for (const open of await parts.records.readOpen(sessionId)) await session.#takeUp(open)
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
    const events = new SessionEvents(sessionId, records, durable.core.binding.clock, options)
    const inner = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => sessionId,
      onsessioninitialized: onInitialized,
      eventStore: events,
      retryInterval: options.retryIntervalMs,
      maxRequestBodySize: options.bodyBytesMax,
    })
    const { logger } = durable.core.binding
    const transport = new SessionTransport(
      inner,
      incarnation,
      requests,
      (question, response) => answerLate(durable, question, response),
      (requestId) => {
        events.giveUp(requestId).catch((error: unknown) => {
          logger.debug('A cancelled request could not be forgotten', { error: faultOf(error) })
        })
        // Its client waits on the stream still; when it asks for the rest, there is none.
        transport.release(requestId)
      },
      (requestId, rejoinKey) => events.delivers(requestId, rejoinKey),
      (call) => (call.kind === 'inline' ? cancelTaskOf(durable.core, call) : Promise.resolve()),
    )
    await server.connect(transport as never)
    if (durable.core.options.access !== 'open') attachment.owner = owner
    return new Session(parts, sessionId, owner, events, requests, transport, attachment, versionOf(initialize))
  }

  /** Answers a request without a stream. @returns `undefined` if its ID is in use */
  async ask(message: JSONRPCRequest, extra: MessageExtraInfo): Promise<JSONRPCMessage | undefined> {
    return (await this.#freeId(message.id)) ? this.transport.ask(message, extra) : undefined
  }

  /** Hands a request to the SDK's transport, with what its stream is opened for. */
  async handle(request: Request, message: JSONRPCRequest, extra: { authInfo?: never }): Promise<Response> {
    const { id, method } = message
    if (!(await this.#freeId(id))) return httpError(400, RPC.invalidRequest, 'This request ID is in use')
    const isInitialize = method === 'initialize'
    const refusal = isInitialize ? undefined : this.requests.begin(id)
    if (refusal) return jsonResponse(refusal, this.sessionId)
    if (isInitialize) await this.#isReadByCaller()
    const headers = new Headers(request.headers)
    // What was agreed on counts where a request doesn't say: else the SDK takes its client for one that never comes back.
    if (!isInitialize && !headers.has(VERSION)) headers.set(VERSION, this.protocolVersion)
    const call = this.#durableCall(message)
    // What an older client's call is made of is not read before the SDK has it: nothing is kept of its stream.
    const isKept = !isInitialize && (headers.get(VERSION) ?? '') >= PRIMING_SINCE
    // Whatever waits holds on to the message for as long as it waits.
    const parsedBody = isWait(method) ? withoutRest(message) : call && isKept ? withoutArguments(message) : message
    let watch = (response: Response) => (isWait(method) ? this.#watchWait(id, response) : response)
    const onOpen = (watching: typeof watch) => {
      watch = watching
    }
    const what: Opening = isInitialize
      ? { kind: 'unkept' }
      : { kind: 'request', request: keptOf(message), begin: (beside) => this.#begin(id, call, beside), onOpen }
    const { inner } = this.transport
    const asked = new Request(request.url, { method: 'POST', headers })
    const response = await opens(what, () => inner.handleRequest(asked, { ...extra, parsedBody })).catch((error) => {
      this.requests.end(id)
      throw error
    })
    if (this.#beginFailure !== undefined) throw this.#beginFailure
    if (response.status !== 200) this.requests.end(id)
    return watch(response)
  }

  /** Gives up an earlier request of this ID whose client is gone: its answer would be taken for the new one's. */
  async #freeId(id: RequestId): Promise<boolean> {
    if (this.transport.asks(id)) return false
    if (!this.requests.has(id)) return true
    if (!this.events.isOpen(id) || this.events.isRead(id)) return false
    this.transport.abandon(id)
    await this.events.giveUp(id)
    await this.transport.release(id)
    return true
  }

  /** The stream of what is sent to the client on no request of its own, or the rest of one that it lost. */
  async listen(request: Request, stream: string): Promise<Response> {
    if (stream === STANDALONE) await this.#isReadByCaller()
    // Before anything comes, it is said again where the client stands: one that loses this stream too would come back
    // without a place, and be given another stream.
    const lastEventId = request.headers.get('last-event-id') ?? this.events.lastId(stream)
    const first = `id: ${lastEventId}\nretry: ${this.parts.options.retryIntervalMs}\ndata: \n\n`
    const response = await this.transport.inner.handleRequest(request)
    const isPrimed = response.status === 200 && this.protocolVersion >= PRIMING_SINCE
    return this.events.connections.watch(stream, response, isPrimed ? { first } : {})
  }

  /** The caller reads from now on what is sent on no request of its own. */
  async #isReadByCaller(): Promise<void> {
    this.attachment.reader = await callerOf(this.parts.durable.core.options)
  }

  /** True if nothing of it is in use: nobody reads, and nothing is to be answered. */
  get isIdle(): boolean {
    return !this.events.isInUse && !this.transport.isAsked && this.requests.size === 0
  }

  /** Ends what waits for tasks for clients that have been away for too long; one that comes back reads that. */
  async dropAway(): Promise<void> {
    for (const requestId of this.events.away(AWAY_MS_MAX)) {
      this.transport.abandon(requestId)
      await this.transport.inner.send(clientAway(requestId))
    }
  }

  /** Ends every connection. Resolves once nothing more is written of it. */
  async close(): Promise<void> {
    await this.attachment.server.close()
    await this.events.close()
  }

  /**
   * Writes a request's beginning; the task of a durable call with it.
   * @returns false where nothing is kept of it: for a call that is refused, as its handler says, or where the disk is full
   *   or the store closed
   */
  async #begin(
    id: RequestId,
    call: CallToolRequest | undefined,
    beside: (call?: OpenRecord['call']) => BindingRecord[],
  ): Promise<boolean> {
    const { durable, records } = this.parts
    if (!call) {
      // A tool that needs no disk is called without one: what is lost is only that its answer can be fetched again.
      return records.records.write(beside(), { patient: false }).then(
        () => true,
        (error: unknown) => {
          if (isStoreAway(error)) return false
          throw error
        },
      )
    }
    const about = { sessionId: this.sessionId }
    const opened = openCall(durable, call, about, this.#isHeard(id), ({ tool, kind, started }) =>
      beside({ ...started, tool: tool.name, kind }),
    )
    this.#preflight(id, opened)
    return opened.then(
      () => true,
      () => false,
    )
  }

  /** Made here, and nowhere where a request's parameters are: it is held on to for as long as the call is open. */
  #isHeard(id: RequestId): IsHeard {
    return () => this.events.isRead(id)
  }

  /** Nothing is kept of a stream: once its client hangs up, it can't come back for the answer. */
  #watchWait(id: RequestId, response: Response): Response {
    const onHangUp = () => {
      if (this.requests.has(id)) this.transport.abandon(id)
    }
    return this.events.connections.watch(`unkept ${id}`, response, { onHangUp })
  }

  #durableCall(request: JSONRPCRequest): CallToolRequest | undefined {
    if (request.method !== 'tools/call') return undefined
    const parsed = CallToolRequestSchema.safeParse(withTtl(request))
    return parsed.success && this.attachment.serves(parsed.data.params.name) ? parsed.data : undefined
  }

  #preflight(id: RequestId, opened: Promise<OpenCall>): void {
    this.transport.preflights.set(id, opened)
    opened.catch(() => {})
  }

  async #takeUp({ stream, request, call }: OpenRecord): Promise<void> {
    const { durable } = this.parts
    const { sessionId, owner } = this
    const { id, method } = request
    const tool = call && durable.core.tools.get(call.tool)?.tool
    if (call && tool) {
      const { taskId, kind, created, rejoinKey } = call
      // Its client may come back for it, or not: until then a repeat joins its task.
      const isHeard = this.#isHeard(id)
      if (kind === 'inline') durable.core.openCalls.add(taskId, isHeard)
      const lastProgress = this.events.lastProgress(stream)
      const caller = { owner, sessionId }
      const started = { taskId, created, rejoinKey }
      this.#preflight(id, Promise.resolve({ tool, kind, caller, isHeard, started, lastProgress }))
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
    await this.#feed(asked, { kind: 'again', request, stream }, headers)
  }

  /** Feeds in what an earlier process was sent. Nobody reads the answer here: it goes to the events, and to who asks for them. */
  async #feed(request: JSONRPCRequest, what: Opening, headers: Record<string, string>): Promise<void> {
    const { sessionId, owner } = this
    const body = JSON.stringify(request)
    const response = await runAs({ authInfo: undefined, sessionId, owner }, () =>
      opens(what, () =>
        this.transport.inner.handleRequest(new Request(URL_OF_OURS, { method: 'POST', headers, body })),
      ),
    )
    await response.body?.cancel()
  }
}

/** What the SDK's server agrees on. */
function versionOf({ params }: JSONRPCRequest): string {
  const version = String(params?.['protocolVersion'])
  return SUPPORTED_PROTOCOL_VERSIONS.includes(version) ? version : LATEST_PROTOCOL_VERSION
}

function restarted(id: RequestId, method: string): JSONRPCMessage {
  const message = `The server was restarted while it worked on this request (${method}). Send it again if that is safe.`
  return { jsonrpc: '2.0', id, error: { code: RPC.internal, message, data: { code: 'SERVER_RESTARTED' } } }
}

function clientAway(id: RequestId): JSONRPCMessage {
  const message = 'Nobody read this request for 5 minutes, so its answer is not waited for any more. Send it again.'
  return { jsonrpc: '2.0', id, error: { code: RPC.internal, message, data: { code: 'CLIENT_AWAY' } } }
}
