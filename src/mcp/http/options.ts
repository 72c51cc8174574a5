/** Options of `durable.httpHandler` that both protocol revisions share, with checks and defaults. */
import { type Duration, durationMs } from '../../base/duration.js'
import { checkCount, checkFunction, checkOptionsOf, expected, type Names } from '../../base/expected.js'
import { type AddressOf, remoteNetwork } from './address.js'

/** Options of `durable.httpHandler` that both protocol revisions share. */
export interface CommonHttpOptions {
  /**
   * The only path that is served. Other paths get status 404.
   * @default every path that is routed to the handler
   */
  readonly path?: string
  /**
   * Time after which a client that lost its stream tries again, also if the restart took less. The clients of the SDKs
   * try twice, so a restart may take twice this time, less the time of the connection. The default is for restarts of
   * up to 15 s.
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
   * Address that a request counts for, as a text; `undefined` if there is none. Used with `access: 'open'` only. Set it
   * behind a proxy: otherwise all clients share the address of the proxy, and its limits. Without an address only the
   * limits of all clients together apply, and the log has one line about it. Only a hash of the address is stored.
   * @default `context.remoteAddress`, the remote address of the socket; of an IPv6 address the first 64 bits
   */
  readonly addressOf?: AddressOf
  /**
   * Size of the body of a request, in bytes.
   * @default 4 MiB
   */
  readonly bodyBytesMax?: number
}

/** Checked options with their defaults. */
export interface CheckedCommonHttpOptions {
  readonly path: string | undefined
  readonly retryIntervalMs: number
  readonly allowedHosts: readonly string[] | undefined
  readonly allowedOrigins: readonly string[] | undefined
  readonly addressOf: AddressOf
  readonly bodyBytesMax: number
}

/** Names of the common options. */
export const COMMON_HTTP_OPTIONS: Names<CommonHttpOptions> = {
  path: true,
  retryInterval: true,
  allowedHosts: true,
  allowedOrigins: true,
  addressOf: true,
  bodyBytesMax: true,
}

/**
 * Checks the common options and adds the defaults.
 * @param names every option of the revision
 * @throws TypeError naming the option, the expected and the given value
 */
export function checkCommonHttpOptions<Options extends CommonHttpOptions>(
  options: Options,
  names: Names<Options>,
): CheckedCommonHttpOptions {
  checkOptionsOf<CommonHttpOptions>('durable.httpHandler', options, names)
  const { path, addressOf = remoteNetwork } = options
  if (path !== undefined && (typeof path !== 'string' || !path.startsWith('/'))) {
    throw expected('path', 'a path that begins with /', path)
  }
  checkFunction('addressOf', addressOf)
  return {
    path,
    retryIntervalMs: durationMs(options.retryInterval ?? '8s', 'retryInterval', { zero: true }),
    allowedHosts: texts('allowedHosts', options.allowedHosts),
    allowedOrigins: texts('allowedOrigins', options.allowedOrigins),
    addressOf,
    bodyBytesMax: countOption('bodyBytesMax', options.bodyBytesMax ?? 4 * MIB),
  }
}

/** 1,048,576 bytes. */
export const MIB = 1024 * 1024

/**
 * Checks an option that is a count.
 * @throws TypeError for anything but an integer of at least 1
 */
export function countOption(option: string, given: unknown): number {
  checkCount(option, given)
  return given
}

function texts(option: string, given: readonly string[] | undefined): readonly string[] | undefined {
  if (given === undefined || (Array.isArray(given) && given.every((item) => typeof item === 'string'))) return given
  throw expected(option, 'an array of strings', given)
}
