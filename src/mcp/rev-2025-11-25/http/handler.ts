/**
 * The HTTP endpoint. It checks a request before the session is known: its origin, its owner, its size and its form.
 * Every error is a JSON-RPC error.
 */
import {
  isInitializeRequest,
  isJSONRPCRequest,
  type JSONRPCMessage,
  JSONRPCMessageSchema,
  type JSONRPCRequest,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '@modelcontextprotocol/sdk/types.js'
import { HoldfastError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import { cleanText } from '../../../http/clean-text.js'
import { checkJson } from '../../../http/json-limits.js'
import type { FetchContext, NodeRequest, NodeResponse } from '../../../http/node.js'
import { serveNode } from '../../../http/node.js'
import { checkOrigin, httpError, readBody, refusalOfParsed, storeAway, tooManyRequests } from '../../../http/reply.js'
import { callerOf, runAs } from '../../access/caller.js'
import { CHOSEN_NAME_BYTES_MAX } from '../../access/client-names.js'
import { NoPrincipal } from '../../access/owner.js'
import { isStoreAway, RPC } from '../../access/refusal.js'
import { Addresses } from '../../http/address.js'
import { NotAttached } from '../../tools/check-server.js'
import type { McpCore } from '../../tools/mcp-core.js'
import type { Opening } from '../../tools/opening.js'
import type { DurableBinding } from '../server/types.js'
import { longNameIn } from './kept-request.js'
import { type CheckedHttpOptions, checkHttpOptions, type HttpOptions } from './options.js'
import { jsonResponse, sseResponse } from './reply.js'
import type { CreateServer, Session } from './session.js'
import { UNKEPT_EVENT } from './session-events.js'
import { INITIALIZE_BYTES_MAX, SessionRecords } from './session-records.js'
import { Sessions, TooManySessions } from './sessions.js'
import { STANDALONE } from './streams.js'

export type { FetchContext } from '../../../http/node.js'

/** An MCP endpoint with durable sessions. Created by `durable.httpHandler`. */
export interface HttpHandler {
  /** Handler for plain `http` and Express. Uses `req.body` and `req.auth` if they exist. */
  readonly node: (req: NodeRequest, res: NodeResponse) => Promise<void>
  /** Handler for Hono, and for any framework with `Request` and `Response`. */
  readonly fetch: (request: Request, context?: FetchContext) => Promise<Response>
  /** Resolves once the sessions and calls of an earlier process are resumed. Requests wait for it by themselves. */
  readonly ready: Promise<void>
  /** Closes every connection. The sessions stay in the store for the next process. */
  readonly close: () => Promise<void>
}

// Methods that are answered without a stream. They are quick, and repeating them is safe.
const QUICK = new Set([
  'ping',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
  'logging/setLevel',
  'tasks/get',
  'tasks/list',
  'tasks/cancel',
])

// Stores with an endpoint. Two endpoints would resume each other's sessions after a restart, each with its own
// `createServer`.
const serving = new WeakSet<Opening>()

/**
 * Creates the endpoint.
 * @throws TypeError for an option of the wrong type, and for `access: 'local'`; Error for a second endpoint of a
 * Holdfast
 */
export function createHttpHandler(
  durable: DurableBinding,
  createServer: CreateServer,
  options: HttpOptions = {},
): HttpHandler {
  const { core } = durable
  if (core.options.access === 'local') {
    throw new TypeError(
      "`access: 'local'` is for one user over stdio: over HTTP use 'principal', or 'open' without auth",
    )
  }
  if (typeof createServer !== 'function') {
    throw new TypeError(`Expected \`createServer\` to be a function that makes a server, got ${typeof createServer}`)
  }
  const checked = checkHttpOptions(options, core.options.access === 'open')
  const { opening } = core
  if (serving.has(opening)) {
    throw new Error('This Holdfast has an httpHandler already. Route to that one, or close it first.')
  }
  serving.add(opening)
  const make = () => openHandler(durable, createServer, checked)
  const handler = opening.holdfast ? make() : lateHandler(core, make, checked)
  return {
    ...handler,
    close: async () => {
      await handler.close()
      serving.delete(opening)
    },
  }
}

/**
 * Endpoint of a store that is being opened. Each request waits for the open. A failed open is repeated at the next
 * request.
 */
function lateHandler(core: McpCore, make: () => HttpHandler, { bodyBytesMax }: CheckedHttpOptions): HttpHandler {
  let made: HttpHandler | undefined
  const handler = async () => {
    await core.ready()
    made ??= make()
    return made
  }
  const ready = handler().then(({ ready }) => ready)
  // A caller that waits for `ready` receives the error of the open. The log has the error in any case.
  ready.catch(() => {})
  const fetch = async (request: Request, context: FetchContext = {}) => {
    try {
      return (await handler()).fetch(request, context)
    } catch (error) {
      return storeAway(error instanceof HoldfastError ? error : new HoldfastError('STORE_UNAVAILABLE', String(error)))
    }
  }
  const close = async () => made?.close()
  return { fetch, node: (req, res) => serveNode(req, res, fetch, bodyBytesMax), ready, close }
}

function openHandler(durable: DurableBinding, createServer: CreateServer, checked: CheckedHttpOptions): HttpHandler {
  const { core } = durable
  const records = new SessionRecords(core.records.records)
  const incarnation = core.binding.ids.seed().slice(0, 8)
  const sessions = new Sessions({ durable, createServer, records, options: checked, incarnation })
  const endpoint = new Endpoint(durable, sessions, checked)
  const fetch = (request: Request, context: FetchContext = {}) => endpoint.answer(request, context)
  return {
    fetch,
    node: (req, res) => serveNode(req, res, fetch, checked.bodyBytesMax),
    ready: sessions.ready,
    close: () => sessions.close(),
  }
}

class Endpoint {
  readonly #addresses: Addresses

  constructor(
    private readonly durable: DurableBinding,
    private readonly sessions: Sessions,
    private readonly options: CheckedHttpOptions,
  ) {
    this.#addresses = new Addresses(options.addressOf, durable.core.logger)
  }

  async answer(request: Request, context: FetchContext): Promise<Response> {
    try {
      return await this.#answer(request, context)
    } catch (error) {
      if (error instanceof NoPrincipal) return httpError(401, -32_001, error.message, { 'www-authenticate': 'Bearer' })
      if (error instanceof TooManySessions) return httpError(429, -32_000, error.message, { 'retry-after': '60' })
      if (isStoreAway(error)) return storeAway(error)
      if (error instanceof NotAttached) {
        this.durable.core.logOnce(error.message)
        return httpError(500, RPC.internal, error.message)
      }
      this.durable.core.logger.error('An HTTP request failed unexpectedly', { error: faultOf(error) })
      return httpError(500, -32_603, 'Internal error')
    }
  }

  async #answer(request: Request, context: FetchContext): Promise<Response> {
    const { authInfo } = context
    const refused = checkOrigin(request, this.options)
    if (refused) return refused
    if (this.options.path !== undefined && new URL(request.url).pathname !== this.options.path) {
      return httpError(404, -32_000, 'Not found')
    }
    const { owner } = await runAs({ authInfo }, () => callerOf(this.durable.core.options))
    const sessionId = request.headers.get('mcp-session-id') ?? undefined
    const act = (session: Session, handle: () => Promise<Response>) =>
      runAs({ authInfo, owner, sessionId: session.sessionId }, handle)

    if (request.method === 'POST') return this.#post(request, owner, sessionId, context, act)
    if (request.method !== 'GET' && request.method !== 'DELETE') {
      return httpError(405, -32_000, 'Method not allowed', { allow: 'GET, POST, DELETE' })
    }
    if (sessionId === undefined) return httpError(400, -32_000, 'Bad Request: Mcp-Session-Id header is required')
    const session = await this.sessions.find(sessionId, owner)
    if (!session) return unknownSession()
    if (request.method === 'DELETE') {
      await this.sessions.drop(sessionId)
      return new Response(null, { status: 200 })
    }
    return act(session, () => this.#listen(session, request))
  }

  async #post(
    request: Request,
    owner: string,
    sessionId: string | undefined,
    context: FetchContext,
    act: (session: Session, handle: () => Promise<Response>) => Promise<Response>,
  ): Promise<Response> {
    const { authInfo, parsedBody } = context
    const accept = request.headers.get('accept') ?? ''
    if (!accept.includes('application/json') || !accept.includes('text/event-stream')) {
      return httpError(406, -32_000, 'Not Acceptable: Client must accept both application/json and text/event-stream')
    }
    if (!/^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? '')) {
      return httpError(415, -32_000, 'Unsupported Media Type: Content-Type must be application/json')
    }
    const { limits, access } = this.durable.core.options
    const body = parsedBody === undefined ? await readBody(request, { ...limits, ...this.options }) : parsedBody
    const refused =
      body instanceof Response ? body : parsedBody === undefined ? undefined : refusalOfParsed(body, limits)
    // The session is not known yet, so without authentication only the address distinguishes clients here.
    const address = () => (access === 'open' ? this.#addresses.find(request, context) : undefined)
    const refuse = (refusal: Response) =>
      this.durable.core.countRefusal({ owner, address: address() }) ? refusal : tooManyRequests()
    if (refused) return refuse(refused)
    const message = this.#parse(body)
    if (message instanceof Response) return message

    const isInitialize = isInitializeRequest(message)
    if (!isInitialize && sessionId === undefined) {
      return httpError(400, -32_000, 'Bad Request: Mcp-Session-Id header is required')
    }
    const version = request.headers.get('mcp-protocol-version')
    if (!isInitialize && version !== null && !SUPPORTED_PROTOCOL_VERSIONS.includes(version)) {
      return unknownVersion(version)
    }
    if (isInitialize && Buffer.byteLength(JSON.stringify(message)) > INITIALIZE_BYTES_MAX) {
      return refuse(longInitialize())
    }
    const long = isJSONRPCRequest(message) ? longNameIn(message) : undefined
    if (long) return refuse(longName(long))
    const session = isInitialize
      ? sessionId === undefined && (await this.sessions.begin({ owner, address: address() }, message as JSONRPCRequest))
      : await this.sessions.find(sessionId as string, owner)
    if (session === false) return httpError(400, -32_600, 'Invalid Request: Server already initialized')
    if (!session) return unknownSession()
    const extra = { requestInfo: { headers: Object.fromEntries(request.headers) } }
    return act(session, async () => {
      if (!isJSONRPCRequest(message)) {
        await session.transport.take(message, { ...extra, authInfo: authInfo as never })
        return new Response(null, { status: 202 })
      }
      if (QUICK.has(message.method) || message.method.startsWith('sessions/')) {
        const answer = await session.ask(message, { ...extra, authInfo: authInfo as never })
        return answer ? jsonResponse(answer, session.sessionId) : httpError(400, -32_600, 'This request ID is in use')
      }
      return session.handle(request, message, { authInfo: authInfo as never })
    })
  }

  #parse(body: unknown): JSONRPCMessage | Response {
    if (Array.isArray(body)) return httpError(400, -32_600, 'Invalid Request: this protocol version has no batches')
    const { jsonDepthMax, jsonValuesMax } = this.durable.core.options.limits
    try {
      // JSON-RPC itself adds a few levels.
      checkJson(body, 'The message', { jsonDepthMax: jsonDepthMax + 8, jsonValuesMax })
    } catch (error) {
      return httpError(400, -32_600, (error as Error).message)
    }
    const parsed = JSONRPCMessageSchema.safeParse(body)
    if (!parsed.success) return httpError(400, -32_600, 'Invalid Request: not a JSON-RPC message')
    return parsed.data
  }

  async #listen(session: Session, request: Request): Promise<Response> {
    if (!request.headers.get('accept')?.includes('text/event-stream')) {
      return httpError(406, -32_000, 'Not Acceptable: Client must accept text/event-stream')
    }
    const lastEventId = request.headers.get('last-event-id')
    if (lastEventId === null) return session.listen(request, STANDALONE)
    if (lastEventId === UNKEPT_EVENT) return new Response(null, { status: 204 })
    const { events } = session
    const found = events.streams.find(lastEventId)
    if (!found) {
      // Old events of the standalone stream are deleted. So the client continues with new events.
      return lastEventId.startsWith(`${STANDALONE}_`)
        ? session.listen(
            new Request(request.url, { headers: { accept: 'text/event-stream', 'mcp-session-id': session.sessionId } }),
            STANDALONE,
          )
        : httpError(404, -32_001, 'No such event')
    }
    if (found.final === undefined) return session.listen(request, found.stream)
    // The client accepts only a result as an answer. After an error, it would reconnect for ever.
    if (found.number >= found.final) {
      events.delivered(found.stream)
      return new Response(null, { status: 204 })
    }
    const rest = sseResponse(await events.rest(found.stream, found.number), session.sessionId)
    return events.connections.watch(found.stream, rest)
  }
}

function longName(name: string): Response {
  return httpError(400, -32_600, `Invalid Request: a ${name} may take ${CHOSEN_NAME_BYTES_MAX} bytes`)
}

function longInitialize(): Response {
  return httpError(413, -32_000, `Payload Too Large: an \`initialize\` may take ${INITIALIZE_BYTES_MAX} bytes as JSON`)
}

function unknownVersion(version: string): Response {
  const supported = SUPPORTED_PROTOCOL_VERSIONS.join(', ')
  const said = `Unsupported protocol version: ${cleanText(version, 40)} (supported versions: ${supported})`
  return httpError(400, -32_000, `Bad Request: ${said}`)
}

// One response for an unknown session, a deleted one and one of another owner.
function unknownSession(): Response {
  return httpError(404, -32_001, 'Session not found')
}
