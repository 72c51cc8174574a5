/** The options of `durable.httpHandler`, checked and with their defaults. */
import { type Duration, durationMs } from '../../../duration.js'

/** The options of `durable.httpHandler`. */
export interface HttpOptions {
  /** The only path that is served; anything else is 404. Default: whatever is routed here. */
  readonly path?: string
  /**
   * How soon a client that lost its stream tries again. The SDK's client tries twice, so twice this is how long a
   * restart may take. Default `'2s'`.
   */
  readonly retryInterval?: Duration
  /** Host names, with or without a port, that requests may be sent to. Default: this machine's own. */
  readonly allowedHosts?: readonly string[]
  /** Origins that browsers may send from. Default: this machine's own. Requests without an origin are no browser's. */
  readonly allowedOrigins?: readonly string[]
  /** Sessions in all. Default 10,000. */
  readonly sessionsMax?: number
  /** Sessions of one owner; without authentication they all are one owner's. Default 100, or `sessionsMax`. */
  readonly sessionsPerOwnerMax?: number
  /** A session that is not used for this long is dropped. Default `'1d'`. */
  readonly sessionTtl?: Duration
  /** A request's body. Default 4 MiB. */
  readonly bodyBytesMax?: number
  /** Events that are kept of a session, for clients that lost their stream. Default 10,000. */
  readonly eventsMax?: number
  /** What they may take together. Default 16 MiB. */
  readonly eventBytesMax?: number
  /** How long they are kept once their stream is over. Default `'10m'`. */
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
  readonly sessionTtlMs: number
  readonly bodyBytesMax: number
  readonly eventsMax: number
  readonly eventBytesMax: number
  readonly eventTtlMs: number
}

const MIB = 1024 * 1024

/** @throws TypeError naming the option, what was expected and what was given */
export function checkHttpOptions(options: HttpOptions, isOpen: boolean): CheckedHttpOptions {
  const { path, sessionsMax = 10_000 } = options
  if (path !== undefined && (typeof path !== 'string' || !path.startsWith('/'))) {
    throw new TypeError(`Expected \`path\` to be a path that begins with /, got ${JSON.stringify(path)}`)
  }
  return {
    path,
    retryIntervalMs: durationMs(options.retryInterval ?? '2s', 'retryInterval'),
    allowedHosts: texts(options.allowedHosts, 'allowedHosts'),
    allowedOrigins: texts(options.allowedOrigins, 'allowedOrigins'),
    sessionsMax: count(sessionsMax, 'sessionsMax'),
    sessionsPerOwnerMax: count(options.sessionsPerOwnerMax ?? (isOpen ? sessionsMax : 100), 'sessionsPerOwnerMax'),
    sessionTtlMs: durationMs(options.sessionTtl ?? '1d', 'sessionTtl'),
    bodyBytesMax: count(options.bodyBytesMax ?? 4 * MIB, 'bodyBytesMax'),
    eventsMax: count(options.eventsMax ?? 10_000, 'eventsMax'),
    eventBytesMax: count(options.eventBytesMax ?? 16 * MIB, 'eventBytesMax'),
    eventTtlMs: durationMs(options.eventTtl ?? '10m', 'eventTtl'),
  }
}

function count(value: unknown, option: string): number {
  if (Number.isInteger(value) && (value as number) >= 1) return value as number
  throw new TypeError(`Expected \`${option}\` to be an integer >= 1, got ${String(value)} (${typeof value})`)
}

function texts(value: readonly string[] | undefined, option: string): readonly string[] | undefined {
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw new TypeError(`Expected \`${option}\` to be an array of strings, got ${JSON.stringify(value)}`)
}
