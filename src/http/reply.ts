/** Checks of HTTP requests and refusals, shared by all endpoints. They hold no session, no state and no SDK. */
import { ERROR_CODES, type HoldfastError } from '../base/errors.js'
import { checkJson, holdsMoreValues } from './json-limits.js'

/** Hosts and origins that requests may name. If a list is missing, only this machine is allowed. */
export interface AllowedSenders {
  readonly allowedHosts: readonly string[] | undefined
  readonly allowedOrigins: readonly string[] | undefined
}

/** Creates an error response that belongs to no JSON-RPC request. */
export function httpError(
  status: number,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): Response {
  const body = JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null })
  return new Response(body, { status, headers: { 'content-type': 'application/json', ...headers } })
}

/**
 * Creates the response while the store is unavailable or closed. Nothing was acknowledged, so the client may send the
 * request again.
 */
export function storeAway({ code }: HoldfastError): Response {
  return httpError(503, -32_603, ERROR_CODES[code], { 'retry-after': '1' })
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Refuses a request that a web page could make a browser send here (DNS rebinding). Returns `undefined` for an allowed
 * one.
 */
export function checkOrigin(request: Request, { allowedHosts, allowedOrigins }: AllowedSenders): Response | undefined {
  const host = request.headers.get('host') ?? new URL(request.url).host
  const name = hostNameOf(`http://${host}`)
  const hostFits = allowedHosts
    ? allowedHosts.some((allowed) => allowed === host || allowed === name)
    : LOOPBACK.has(name)
  if (!hostFits) return httpError(403, -32_000, 'Forbidden: this host is not served here (option `allowedHosts`)')
  const origin = request.headers.get('origin')
  if (origin === null) return undefined
  const originFits = allowedOrigins ? allowedOrigins.includes(origin) : LOOPBACK.has(hostNameOf(origin))
  return originFits
    ? undefined
    : httpError(403, -32_000, 'Forbidden: this origin is not served here (option `allowedOrigins`)')
}

function hostNameOf(url: string): string {
  try {
    return new URL(url).hostname
  } catch {
    return ''
  }
}

/** Limits of one request's body. */
export interface BodyLimits {
  readonly bodyBytesMax: number
  readonly jsonValuesMax: number
}

/** Reads the body as JSON, or returns its refusal. Bytes and values are counted before anything is parsed. */
export async function readBody(
  request: Request,
  { bodyBytesMax: bytesMax, jsonValuesMax }: BodyLimits,
): Promise<unknown> {
  const tooLarge = () =>
    httpError(413, -32_000, `Payload Too Large: a body may take ${bytesMax} bytes (option \`bodyBytesMax\`)`)
  if (Number(request.headers.get('content-length')) > bytesMax) return tooLarge()
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength
      if (bytes > bytesMax) return tooLarge()
      chunks.push(chunk)
    }
  } catch {
    // The client disconnected while it sent the body, and reads no answer. So nothing is logged.
    return httpError(400, -32_700, 'Parse error: the body was cut off')
  }
  const json = Buffer.concat(chunks)
  if (holdsMoreValues(json, jsonValuesMax)) return tooManyValues(jsonValuesMax)
  try {
    return JSON.parse(json.toString('utf8'))
  } catch {
    return httpError(400, -32_700, 'Parse error: Invalid JSON')
  }
}

/** Refuses a body that the host's framework parsed, if it holds too many values. */
export function refusalOfParsed(
  body: unknown,
  { jsonValuesMax }: Pick<BodyLimits, 'jsonValuesMax'>,
): Response | undefined {
  try {
    checkJson(body, 'The body', { jsonDepthMax: Number.POSITIVE_INFINITY, jsonValuesMax })
    return undefined
  } catch {
    return tooManyValues(jsonValuesMax)
  }
}

/** Creates the refusal of a request whose owner had too many requests refused. */
export function tooManyRequests(): Response {
  return httpError(429, -32_000, 'Too many requests (limit `requestsPerMinute`). Try again in a minute.', {
    'retry-after': '60',
  })
}

function tooManyValues(max: number): Response {
  return httpError(413, -32_000, `Payload Too Large: a body may hold ${max} JSON values (limit \`jsonValuesMax\`)`)
}
