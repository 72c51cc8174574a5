/**
 * The options of `durable.httpHandler`, checked and with their defaults. Both protocol revisions take the same, so that an
 * author who changes eras changes the imports; what is about sessions means nothing where there are none.
 */
import { type Duration, durationMs } from '../../duration.js'
import { checkCount, checkFunction, checkOptionsOf, expected, type Names } from '../../expected.js'
import { type AddressOf, remoteNetwork } from './address.js'

/** The options of `durable.httpHandler`. */
export interface HttpOptions {
  /**
   * The only path that is served. Other paths get status 404.
   * @default every path that is routed to the handler
   */
  readonly path?: string
  /**
   * Time after which a client that lost its stream tries again, also if the restart took less. The clients of the SDKs try
   * twice, so a restart may take twice this time, less the time of the connection. The default is for restarts of up to 15 s.
   * @default '8s'
   */
  readonly retryInterval?: Duration
  /**
   * Host names, with or without a port, that requests may be sent to.
   * @default the names of this machine
   */
  readonly allowedHosts?: readonly string[]
  /**
   * Origins of pages whose requests are served. A request without an origin does not come from a browser and is served.
   * @default those of this machine
   */
  readonly allowedOrigins?: readonly string[]
  /**
   * Sessions in all. At this limit and the three below, the next session closes another one: one whose client made no
   * second request, else the one that is idle for longest. Where all are in use, the answer is 429.
   * @default 10,000
   */
  readonly sessionsMax?: number
  /**
   * Sessions of one owner. Without authentication all sessions are one owner's.
   * @default 100; `sessionsMax` with `access: 'open'`
   */
  readonly sessionsPerOwnerMax?: number
  /**
   * Sessions of one address. For `access: 'open'` only, where nothing else tells clients apart.
   * @default 100
   */
  readonly sessionsPerAddressMax?: number
  /**
   * Bytes of what is kept of all sessions together: their owners, and what the SDK is given again after a restart. The
   * events of a session have a limit of their own (`eventBytesMax`).
   * @default 64 MiB
   */
  readonly sessionBytesMax?: number
  /**
   * Which address a request counts for, as a text; `undefined` if there is none. Used with `access: 'open'` only. Set it
   * behind a proxy: otherwise all clients share the address of the proxy, and its limits. Without an address only the
   * limits of all clients together hold, and the log says so once. Only a hash of the address is stored.
   * @default `context.remoteAddress`, the remote address of the socket; of an IPv6 address the first 64 bits
   */
  readonly addressOf?: AddressOf
  /**
   * Requests of one session that are not answered yet, whether or not their client is still connected. Those that are
   * answered at once, such as `tasks/get`, are not counted. Over it: `-32602`, naming the limit.
   * @default 100
   */
  readonly openRequestsPerSessionMax?: number
  /**
   * The same of one owner, in all sessions together; with `access: 'open'` of one address.
   * @default 1,000
   */
  readonly openRequestsPerOwnerMax?: number
  /**
   * Time after which an unused session is deleted.
   * @default '1d'
   */
  readonly sessionTtl?: Duration
  /**
   * Size of the body of a request, in bytes.
   * @default 4 MiB
   */
  readonly bodyBytesMax?: number
  /**
   * Events that are kept of a session, for clients that lost their stream.
   * @default 10,000
   */
  readonly eventsMax?: number
  /**
   * Size of the kept events of a session, in bytes.
   * @default 16 MiB
   */
  readonly eventBytesMax?: number
  /**
   * Time that events are kept after the end of their stream.
   * @default '10m'
   */
  readonly eventTtl?: Duration
}

/** The same, complete. */
export interface CheckedHttpOptions {
  readonly path: string | undefined
  readonly retryIntervalMs: number
  readonly allowedHosts: readonly string[] | undefined
  readonly allowedOrigins: readonly string[] | undefined
  readonly sessionsMax: number
  readonly sessionsPerOwnerMax: number
  readonly sessionsPerAddressMax: number
  readonly sessionBytesMax: number
  readonly addressOf: AddressOf
  readonly openRequestsPerSessionMax: number
  readonly openRequestsPerOwnerMax: number
  readonly sessionTtlMs: number
  readonly bodyBytesMax: number
  readonly eventsMax: number
  readonly eventBytesMax: number
  readonly eventTtlMs: number
}

const MIB = 1024 * 1024

/** Every one of them. */
export const HTTP_OPTIONS: Names<HttpOptions> = {
  path: true,
  retryInterval: true,
  allowedHosts: true,
  allowedOrigins: true,
  sessionsMax: true,
  sessionsPerOwnerMax: true,
  sessionsPerAddressMax: true,
  sessionBytesMax: true,
  addressOf: true,
  openRequestsPerSessionMax: true,
  openRequestsPerOwnerMax: true,
  sessionTtl: true,
  bodyBytesMax: true,
  eventsMax: true,
  eventBytesMax: true,
  eventTtl: true,
}

/** @throws TypeError naming the option, what was expected and what was given */
export function checkHttpOptions<Options extends HttpOptions>(
  options: Options,
  isOpen: boolean,
  names: Names<Options>,
): CheckedHttpOptions {
  checkOptionsOf<HttpOptions>('durable.httpHandler', options, names)
  const { path, sessionsMax = 10_000, addressOf = remoteNetwork } = options
  if (path !== undefined && (typeof path !== 'string' || !path.startsWith('/'))) {
    throw expected('path', 'a path that begins with /', path)
  }
  checkFunction('addressOf', addressOf)
  return {
    path,
    retryIntervalMs: durationMs(options.retryInterval ?? '8s', 'retryInterval', { zero: true }),
    allowedHosts: texts('allowedHosts', options.allowedHosts),
    allowedOrigins: texts('allowedOrigins', options.allowedOrigins),
    sessionsMax: count('sessionsMax', sessionsMax),
    sessionsPerOwnerMax: count('sessionsPerOwnerMax', options.sessionsPerOwnerMax ?? (isOpen ? sessionsMax : 100)),
    sessionsPerAddressMax: count('sessionsPerAddressMax', options.sessionsPerAddressMax ?? 100),
    sessionBytesMax: count('sessionBytesMax', options.sessionBytesMax ?? 64 * MIB),
    addressOf,
    openRequestsPerSessionMax: count('openRequestsPerSessionMax', options.openRequestsPerSessionMax ?? 100),
    openRequestsPerOwnerMax: count('openRequestsPerOwnerMax', options.openRequestsPerOwnerMax ?? 1_000),
    sessionTtlMs: durationMs(options.sessionTtl ?? '1d', 'sessionTtl'),
    bodyBytesMax: count('bodyBytesMax', options.bodyBytesMax ?? 4 * MIB),
    eventsMax: count('eventsMax', options.eventsMax ?? 10_000),
    eventBytesMax: count('eventBytesMax', options.eventBytesMax ?? 16 * MIB),
    eventTtlMs: durationMs(options.eventTtl ?? '10m', 'eventTtl'),
  }
}

function count(option: string, given: unknown): number {
  checkCount(option, given)
  return given
}

function texts(option: string, given: readonly string[] | undefined): readonly string[] | undefined {
  if (given === undefined || (Array.isArray(given) && given.every((item) => typeof item === 'string'))) return given
  throw expected(option, 'an array of strings', given)
}
