/**
 * One HTTP session: a server of the author's, the SDK's transport, and its events on disk. Made by a client's
 * `initialize`, or from what an earlier process left of it.
 *
 * N1. `initialize` is fed in again, so the server knows its client as before.
 * N2. Open requests of durable tools are taken up again: their task is waited for, and no author's code runs for it.
 *     Anything else is answered with an error, at once: nobody knows what it had done already.
 */
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  type CallToolRequest,
  CallToolRequestSchema,
  CreateMessageResultSchema,
  ElicitResultSchema,
  type JSONRPCMessage,
  type JSONRPCRequest,
  LATEST_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import type { BindingRecord } from '../../../task/changes.js'
import { callerOf, runAs } from '../../caller.js'
import type { CheckedHttpOptions } from '../../http/options.js'
import { httpError } from '../../http/reply.js'
import { answerInputs } from '../../inputs.js'
import { isStoreAway, RPC } from '../../refusal.js'
import type { Attachment } from '../attach.js'
import { cancelTaskOf, type OpenCall, openCall } from '../call-tool.js'
import type { DurableTasks } from '../durable-tasks.js'
import { SessionEvents } from './session-events.js'
import type { OpenRecord, SessionRecords } from './session-records.js'
import { SessionTransport } from './session-transport.js'
import { type Opening, opening, STANDALONE } from './streams.js'

/** Makes the server of one session: a new one each time, attached. */
export type CreateServer = () => McpServer | Promise<McpServer>

/** What sessions are made of. */
export interface SessionParts {
  readonly durable: DurableTasks
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
}

const VERSION = 'mcp-protocol-version'
// Older clients can't take an event without data.
const PRIMING_SINCE = '2025-11-25'
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
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
    { sessionId, owner, initialize }: SessionStart,
    onInitialized: () => Promise<void>,
  ): Promise<Session> {
    const { durable, createServer, records, options, incarnation } = parts
    const server = await createServer()
    const attachment = durable.attachmentOf.get(server)
    if (!attachment) {
      throw new TypeError('Expected `createServer` to return a server that went through `durable.attach(server)`')
    }
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
      (question, response) => answerLate(durable, question, response),
      (requestId) => {
        events.giveUp(requestId).then(
          // Its client waits on the stream still; when it asks for the rest, there is none.
          () => inner.closeSSEStream(requestId),
          (error: unknown) => logger.warn('A cancelled request could not be forgotten', { error: String(error) }),
        )
      },
      (requestId, rejoinKey) => events.delivers(requestId, rejoinKey),
      (call) => (call.kind === 'inline' ? cancelTaskOf(durable.core, call) : Promise.resolve()),
    )
    await server.connect(transport as never)
    if (durable.core.options.access !== 'open') attachment.owner = owner
    return new Session(parts, sessionId, owner, events, transport, attachment, versionOf(initialize))
  }

  /** Hands a request to the SDK's transport, with what its stream is opened for. */
  async handle(
    request: Request,
    message: JSONRPCRequest,
    extra: { authInfo?: never; parsedBody: unknown },
  ): Promise<Response> {
    if (this.events.isOpen(message.id)) {
      if (this.events.isRead(message.id)) return httpError(400, RPC.invalidRequest, 'This request ID is in use')
      // Else the earlier one's answer would be taken for this one's.
      this.transport.abandon(message.id)
      await this.events.giveUp(message.id)
    }
    const isInitialize = message.method === 'initialize'
    if (isInitialize) await this.#isReadByCaller()
    let watch = (response: Response) => response
    const onOpen = (watching: typeof watch) => {
      watch = watching
    }
    const what: Opening = isInitialize
      ? { kind: 'unkept' }
      : { kind: 'request', request: message, begin: (beside) => this.#begin(message, beside), onOpen }
    const headers = new Headers(request.headers)
    // What was agreed on counts where a request doesn't say: else the SDK takes its client for one that never comes back.
    if (!isInitialize && !headers.has(VERSION)) headers.set(VERSION, this.protocolVersion)
    const { inner } = this.transport
    const asked = new Request(request.url, { method: 'POST', headers })
    const response = await opening.run(what, () => inner.handleRequest(asked, extra))
    if (this.#beginFailure !== undefined) throw this.#beginFailure
    return watch(response)
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
    return this.events.connections.watch(stream, response, isPrimed ? first : undefined)
  }

  /** The caller reads from now on what is sent on no request of its own. */
  async #isReadByCaller(): Promise<void> {
    this.attachment.reader = await callerOf(this.parts.durable.core.options)
  }

  /** Whether nothing of it is in use: nobody reads, and nothing is to be answered. */
  get isIdle(): boolean {
    return !this.events.isInUse && !this.transport.isAsked
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
  async #begin(request: JSONRPCRequest, beside: (call?: OpenRecord['call']) => BindingRecord[]): Promise<boolean> {
    const { durable, records } = this.parts
    const call = this.#durableCall(request)
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
    const isHeard = () => this.events.isRead(request.id)
    const opened = openCall(durable, call, { sessionId: this.sessionId }, isHeard, ({ tool, kind, started }) =>
      beside({ ...started, tool: tool.name, kind }),
    )
    this.#preflight(request, opened)
    return opened.then(
      () => true,
      () => false,
    )
  }

  #durableCall(request: JSONRPCRequest): CallToolRequest | undefined {
    if (request.method !== 'tools/call') return undefined
    const parsed = CallToolRequestSchema.safeParse(request)
    if (!parsed.success || !this.parts.durable.core.tools.has(parsed.data.params.name)) return undefined
    return this.attachment.registered.get(parsed.data.params.name)?.enabled ? parsed.data : undefined
  }

  #preflight({ id }: JSONRPCRequest, opened: Promise<OpenCall>): void {
    this.transport.preflights.set(id, opened)
    opened.catch(() => {})
  }

  async #takeUp({ stream, request, call }: OpenRecord): Promise<void> {
    const { durable } = this.parts
    const { sessionId, owner } = this
    const tool = call && durable.core.tools.get(call.tool)?.tool
    if (call && tool) {
      const { taskId, kind, created, rejoinKey } = call
      // Its client may come back for it, or not: until then a repeat joins its task.
      const isHeard = () => this.events.isRead(request.id)
      if (kind === 'inline') durable.core.openCalls.add(taskId, isHeard)
      const lastProgress = this.events.lastProgress(stream)
      const caller = { owner, sessionId }
      this.#preflight(
        request,
        Promise.resolve({ tool, kind, caller, isHeard, started: { taskId, created, rejoinKey }, lastProgress }),
      )
    } else if (request.method !== 'tasks/result') {
      await this.events.append(stream, restarted(request))
      return
    }
    const headers = {
      ...JSON_HEADERS,
      'mcp-session-id': sessionId,
      [VERSION]: LATEST_PROTOCOL_VERSION,
    }
    await this.#feed(request, { kind: 'again', request, stream }, headers)
  }

  /** Feeds in what an earlier process was sent. Nobody reads the answer here: it goes to the events, and to who asks for them. */
  async #feed(request: JSONRPCRequest, what: Opening, headers: Record<string, string>): Promise<void> {
    const { sessionId, owner } = this
    const body = JSON.stringify(request)
    const response = await runAs({ authInfo: undefined, sessionId, owner }, () =>
      opening.run(what, () =>
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

function restarted({ id, method }: JSONRPCRequest): JSONRPCMessage {
  const message = `The server was restarted while it worked on this request (${method}). Send it again if that is safe.`
  return { jsonrpc: '2.0', id, error: { code: RPC.internal, message, data: { code: 'SERVER_RESTARTED' } } }
}

// The SDK checks what answers a request of its own; these come around it.
const ANSWERS = z.union([ElicitResultSchema, CreateMessageResultSchema])

/**
 * An answer to a question that was asked by an earlier process, or asked again since: if the question is still open, it
 * counts. Any other is dropped.
 * @throws HoldfastError `STORE_UNAVAILABLE`, `CLOSED`: its client may send it again
 */
async function answerLate({ core }: DurableTasks, question: string, response: JSONRPCMessage): Promise<void> {
  const at = question.indexOf(':')
  if (at < 0 || !('result' in response)) return
  const [taskId, key] = [question.slice(0, at), question.slice(at + 1)]
  try {
    const answer = ANSWERS.parse(response.result)
    const scope = await core.scope('update', await callerOf(core.options), { taskId })
    await answerInputs(core, taskId, { [key]: answer }, scope)
  } catch (error) {
    if (isStoreAway(error)) throw error
    core.binding.logger.debug('A late answer was dropped', { taskId, key, error: String(error) })
  }
}
