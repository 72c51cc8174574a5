/** Adapter from Node's `http` to the web's `Request` and `Response`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { httpError } from './reply.js'

/** Context of a request. */
export interface FetchContext {
  /** Authentication, in the form of the SDK's `requireBearerAuth`. */
  readonly authInfo?: AuthInfoLike | undefined
  /** The body of the request, if it is parsed already. */
  readonly parsedBody?: unknown
  /** The remote address of the socket. The `node` handler fills it in. */
  readonly remoteAddress?: string | undefined
}

/**
 * The part of Node's `IncomingMessage`, or Express's `Request`, that is used. An own type, so that these types do not
 * need
 * @types/node.
 */
export interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly rawHeaders: readonly string[]
  readonly socket: { readonly remoteAddress?: string | undefined }
  /** The body, if a parser has read it. */
  readonly body?: unknown
  /** Authentication, in the form of the SDK's `requireBearerAuth`. */
  readonly auth?: AuthInfoLike | undefined
}

/** The part of Node's `ServerResponse` that is used. */
export interface NodeResponse {
  readonly headersSent: boolean
  readonly writableFinished: boolean
  writeHead(status: number, headers?: Record<string, string>): unknown
  once(event: 'close', listener: () => void): unknown
  destroy(): unknown
}

type Incoming = IncomingMessage & { body?: unknown; auth?: AuthInfoLike }

/**
 * Answers one request. Never rejects.
 * @param signal signal of the request, for a `fetch` that has to notice that the client disconnected
 */
export async function serveNode(
  request: NodeRequest,
  answered: NodeResponse,
  fetch: (request: Request, context: FetchContext) => Promise<Response>,
  bodyBytesMax: number,
  signal?: AbortSignal,
): Promise<void> {
  const res = answered as ServerResponse
  try {
    const response = await answer(request as Incoming, fetch, bodyBytesMax, signal)
    await write(response, res)
  } catch {
    // The request cannot become a `Request`, or the connection is gone.
    if (res.headersSent) res.destroy()
    else await write(httpError(400, -32_600, 'Bad Request'), res).catch(() => res.destroy())
  }
}

function answer(
  req: Incoming,
  fetch: (request: Request, context: FetchContext) => Promise<Response>,
  bodyBytesMax: number,
  signal: AbortSignal | undefined,
) {
  const host = req.headers.host ?? 'localhost'
  const headers = new Headers()
  for (let at = 0; at + 1 < req.rawHeaders.length; at += 2) {
    headers.append(req.rawHeaders[at] as string, req.rawHeaders[at + 1] as string)
  }
  const method = req.method ?? 'GET'
  const url = new URL((req as { originalUrl?: string }).originalUrl ?? req.url ?? '/', urlOf(host))
  // A body parser, such as Express's, has read the stream already.
  const parsedBody = req.body
  const isLong = Number(req.headers['content-length']) > bodyBytesMax
  const hasBody = method === 'POST' && parsedBody === undefined && !isLong
  const body = hasBody ? (Readable.toWeb(req) as ReadableStream<Uint8Array>) : undefined
  const request = new Request(url, {
    method,
    headers,
    ...(signal ? { signal } : {}),
    ...(body ? { body, duplex: 'half' } : {}),
  } as RequestInit)
  const { remoteAddress } = req.socket
  return fetch(request, { authInfo: req.auth, remoteAddress, ...(parsedBody === undefined ? {} : { parsedBody }) })
}

// A malformed host must not throw here. `checkOrigin` refuses it later by its name.
function urlOf(host: string): string {
  try {
    return new URL(`http://${host}`).href
  } catch {
    return 'http://invalid.invalid'
  }
}

async function write(response: Response, res: ServerResponse): Promise<void> {
  if (res.destroyed) {
    // The client disconnected before the answer. So the body is cancelled here.
    await response.body?.cancel()
    return
  }
  res.writeHead(response.status, Object.fromEntries(response.headers))
  if (!response.body) {
    res.end()
    return
  }
  res.flushHeaders()
  const reader = response.body.getReader()
  // The client disconnected. Cancelling the reader stops the body; work that it waited for continues.
  res.once('close', () => void reader.cancel().catch(() => {}))
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    if (!res.write(value) && !res.destroyed)
      await new Promise<void>((resolve) => {
        const go = () => {
          res.off('drain', go)
          res.off('close', go)
          resolve()
        }
        res.on('drain', go)
        res.on('close', go)
      })
  }
  res.end()
}

/** The part of the SDK's `AuthInfo` that is used. */
export interface AuthInfoLike {
  readonly clientId: string
  readonly extra?: Record<string, unknown> | undefined
}
