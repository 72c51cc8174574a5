/**
 * The HTTP endpoint, around the SDK's. It adds checks of the origin, the owner and the revision of requests, and tasks
 * in `subscriptions/listen`.
 */
import {
  createMcpHandler,
  isLegacyRequest,
  type McpHttpHandler,
  type ServerNotifier,
} from '@modelcontextprotocol/server'
import { ProtocolError } from '../../../base/errors.js'
import { faultOf } from '../../../base/fault.js'
import type { FetchContext, NodeRequest, NodeResponse } from '../../../http/node.js'
import { serveNode } from '../../../http/node.js'
import { checkOrigin, httpError, readBody, refusalOfParsed, tooManyRequests } from '../../../http/reply.js'
import { type Caller, callerOf, countedAs, runAs } from '../../access/caller.js'
import { CHOSEN_NAME_BYTES_MAX, isLongName } from '../../access/client-names.js'
import { NoPrincipal } from '../../access/owner.js'
import { RPC, refusalOf } from '../../access/refusal.js'
import { Addresses } from '../../http/address.js'
import { NotAttached } from '../../tools/check-server.js'
import { knowsTasks, tasksNotDeclared } from '../server/extension.js'
import { handingOver } from '../server/hand-over.js'
import { acceptTasks, taskIdsIn } from '../server/subscription.js'
import type { CreateServer, DurableBinding } from '../server/types.js'
import { ListenStream } from './listen.js'
import { answerOr } from './make-server.js'
import { type CheckedHttpOptions, checkHttpOptions, type HttpOptions } from './options.js'
import { SubscriptionCounts, whenOver } from './subscription-counts.js'

/** An MCP endpoint. Created by `durable.httpHandler`. */
export interface HttpHandler {
  /** Handler for plain `http` and Express. Uses `req.body` and `req.auth` if they exist. */
  readonly node: (req: NodeRequest, res: NodeResponse) => Promise<void>
  /** Handler for Hono, and for any framework with `Request` and `Response`. */
  readonly fetch: (request: Request, context?: FetchContext) => Promise<Response>
  /** Notifies subscribers that a list of the server has changed. */
  readonly notify: ServerNotifier
  /** Ends every subscription and every open request. Tasks continue. */
  readonly close: () => Promise<void>
}

interface ListenRequest {
  readonly id: string | number
  readonly method: 'subscriptions/listen'
  readonly params?: { readonly _meta?: Record<string, unknown> }
}

const CAPABILITIES_META = 'io.modelcontextprotocol/clientCapabilities'

/**
 * Creates the endpoint.
 * @throws TypeError for an option of the wrong type, and for `access: 'local'`
 */
export function createHttpHandler(
  durable: DurableBinding,
  createServer: CreateServer,
  options: HttpOptions = {},
): HttpHandler {
  if (durable.core.options.access === 'local') {
    throw new TypeError(
      "`access: 'local'` is for one user over stdio: over HTTP use 'principal', or 'open' without auth",
    )
  }
  const checked = checkHttpOptions(options)
  const { logger } = durable.core
  const sdk = createMcpHandler(durable.attachedBy(createServer), {
    legacy: checked.legacy ? 'reject' : 'stateless',
    maxRequestBodySize: checked.bodyBytesMax,
    maxSubscriptions: checked.subscriptionsMax,
    onerror: (error) => logger.debug('The SDK refused an HTTP request', { error: faultOf(error) }),
  })
  // Begins the open of a store that is opened by a function. A failure is logged, and the next request opens again.
  durable.core.ready().catch(() => {})
  const endpoint = new Endpoint(durable, sdk, checked)
  const fetch = (request: Request, context: FetchContext = {}) => endpoint.answer(request, context)
  return {
    fetch,
    node: async (req, res) => {
      const hungUp = new AbortController()
      res.once('close', () => {
        if (!res.writableFinished) hungUp.abort()
      })
      await serveNode(req, res, fetch, checked.bodyBytesMax, hungUp.signal)
    },
    notify: sdk.notify,
    close: () => endpoint.close(),
  }
}

class Endpoint {
  readonly #streams = new Set<ListenStream>()
  readonly #addresses: Addresses
  readonly #subscriptions: SubscriptionCounts

  constructor(
    private readonly durable: DurableBinding,
    private readonly sdk: McpHttpHandler,
    private readonly options: CheckedHttpOptions,
  ) {
    this.#addresses = new Addresses(options.addressOf, durable.core.logger)
    this.#subscriptions = new SubscriptionCounts(options.subscriptionsPerOwnerMax)
  }

  async answer(request: Request, context: FetchContext): Promise<Response> {
    try {
      return await this.#answer(request, context)
    } catch (error) {
      if (error instanceof NoPrincipal) return httpError(401, -32_001, error.message, { 'www-authenticate': 'Bearer' })
      this.durable.core.logger.error('An HTTP request failed unexpectedly', { error: faultOf(error) })
      return httpError(500, -32_603, 'Internal error')
    }
  }

  async close(): Promise<void> {
    for (const stream of [...this.#streams]) stream.close()
    await this.sdk.close()
  }

  async #answer(request: Request, context: FetchContext): Promise<Response> {
    const { authInfo, parsedBody, remoteAddress } = context
    const { path, legacy } = this.options
    const { options } = this.durable.core
    const refused = checkOrigin(request, this.options)
    if (refused) return refused
    if (path !== undefined && new URL(request.url).pathname !== path) return httpError(404, -32_000, 'Not found')
    // Checked before the body is read, so that a request without a token costs nothing more.
    const address = options.access === 'open' ? this.#addresses.find(request, context) : undefined
    const caller = { ...(await callerOf(options, { authInfo })), address }
    const reads = request.method === 'POST' && parsedBody === undefined
    const body = reads ? await readBody(request, { ...options.limits, ...this.options }) : parsedBody
    const refusedBody = body instanceof Response ? body : reads ? undefined : refusalOfParsed(body, options.limits)
    if (refusedBody) return this.durable.core.countRefusal(caller) ? refusedBody : tooManyRequests()
    const known = { ...(authInfo ? { authInfo } : {}), ...(body === undefined ? {} : { parsedBody: body }) }
    if (legacy && (await isLegacyRequest(request, body))) return legacy(request, { ...known, remoteAddress })

    // The principal is looked up once for each request.
    const fetch = () => runAs({ authInfo, owner: caller.owner, address }, () => this.sdk.fetch(request, known as never))
    const ask = () => answerOr(fetch, notAttached)
    if (isListen(body)) return this.#subscribe(body, caller, ask, request.signal)
    return isCall(body) ? handingOver(request, ask, whenOver) : ask()
  }

  /** Answers `subscriptions/listen`. The subscription counts for its owner until its stream is over. */
  async #subscribe(
    message: ListenRequest,
    caller: Caller,
    ask: () => Promise<Response>,
    signal: AbortSignal,
  ): Promise<Response> {
    const { core } = this.durable
    if (isLongName(message.id)) {
      return httpError(400, -32_600, `Invalid Request: a request ID may take ${CHOSEN_NAME_BYTES_MAX} bytes`)
    }
    let end: () => void
    try {
      end = this.#subscriptions.begin(countedAs(core.options.access, caller))
    } catch (error) {
      return errorResponse(message.id, error, this.durable)
    }
    try {
      const response = await this.#listen(message, caller, await ask(), signal)
      signal.addEventListener('abort', end, { once: true })
      if (signal.aborted || !isStream(response)) end()
      return whenOver(response, end)
    } catch (error) {
      end()
      throw error
    }
  }

  /** Adds tasks to a subscription that the SDK has accepted. */
  async #listen(message: ListenRequest, caller: Caller, response: Response, signal: AbortSignal): Promise<Response> {
    // The SDK has answered with an error already.
    if (response.status !== 200 || !isStream(response)) return response
    try {
      const taskIds = taskIdsIn(message.params)
      if (taskIds === undefined) return response
      if (!knowsTasks(message.params?._meta?.[CAPABILITIES_META])) throw tasksNotDeclared()
      if (this.#streams.size >= this.options.subscriptionsMax) {
        throw new ProtocolError(-32_603, 'Subscription limit reached')
      }
      const accepted = await acceptTasks(this.durable, caller, taskIds)
      const onOver = (stream: ListenStream) => this.#streams.delete(stream)
      const stream = new ListenStream({
        durable: this.durable,
        subscriptionId: message.id,
        taskIds: accepted,
        caller,
        response,
        onOver,
      })
      this.#streams.add(stream)
      signal.addEventListener('abort', () => stream.end(), { once: true })
      if (signal.aborted) stream.end()
      return stream.response
    } catch (error) {
      response.body?.cancel().catch(() => {})
      return errorResponse(message.id, error, this.durable)
    }
  }
}

function notAttached(failure: unknown): Response | undefined {
  return failure instanceof NotAttached ? httpError(500, RPC.internal, failure.message) : undefined
}

function isStream(response: Response): boolean {
  return response.headers.get('content-type')?.startsWith('text/event-stream') === true
}

function isListen(body: unknown): body is ListenRequest {
  const { method, id } = (body ?? {}) as { method?: unknown; id?: unknown }
  return method === 'subscriptions/listen' && (typeof id === 'string' || typeof id === 'number')
}

function isCall(body: unknown): boolean {
  return ((body ?? {}) as { method?: unknown }).method === 'tools/call'
}

function errorResponse(id: string | number, error: unknown, { core }: DurableBinding): Response {
  const { code, message, data } = errorOf(error, core.logger)
  const status = code === -32_021 ? 400 : 200
  return Response.json({ jsonrpc: '2.0', id, error: { code, message, ...(data ? { data } : {}) } }, { status })
}

/** Converts an error to JSON-RPC. An error with an integer `code`, such as the SDK's own, is used unchanged. */
export function errorOf(
  error: unknown,
  logger: Parameters<typeof refusalOf>[1],
): { code: number; message: string; data?: unknown } {
  const { code } = (error ?? {}) as { code?: unknown }
  return Number.isSafeInteger(code) ? (error as { code: number; message: string }) : refusalOf(error, logger)
}
