/** The options of `durable.httpHandler`, checked and with their defaults. */
import type { FetchContext } from '../../http/node.js'
import { optionalFunction } from '../../options.js'

/** Answers what clients of 2025-11-25 send: the `fetch` of that binding's own handler. */
export type LegacyFetch = (request: Request, context: FetchContext) => Promise<Response>

/** The options of `durable.httpHandler`. */
export interface HttpOptions {
  /** The only path that is served; anything else is 404. Default: whatever is routed here. */
  readonly path?: string
  /** Host names, with or without a port, that requests may be sent to. Default: this machine's own. */
  readonly allowedHosts?: readonly string[]
  /** Origins that browsers may send from. Default: this machine's own. Requests without an origin are no browser's. */
  readonly allowedOrigins?: readonly string[]
  /** A request's body. Default 4 MiB. */
  readonly bodyBytesMax?: number
  /** Subscriptions that are open at once. Default 1,024. */
  readonly subscriptionsMax?: number
  /**
   * Answers the requests of earlier revisions: `handler.fetch` of `holdfast/mcp/2025-11-25`. Default: the SDK answers
   * them by itself, without sessions and without tasks.
   */
  readonly legacy?: LegacyFetch
}

/** The same, complete. */
export interface CheckedHttpOptions {
  readonly path: string | undefined
  readonly allowedHosts: readonly string[] | undefined
  readonly allowedOrigins: readonly string[] | undefined
  readonly bodyBytesMax: number
  readonly subscriptionsMax: number
  readonly legacy: LegacyFetch | undefined
}

/** @throws TypeError naming the option, what was expected and what was given */
export function checkHttpOptions(options: HttpOptions): CheckedHttpOptions {
  const { path, legacy } = options
  if (path !== undefined && (typeof path !== 'string' || !path.startsWith('/'))) {
    throw new TypeError(`Expected \`path\` to be a path that begins with /, got ${JSON.stringify(path)}`)
  }
  optionalFunction(legacy, 'legacy')
  return {
    path,
    allowedHosts: texts(options.allowedHosts, 'allowedHosts'),
    allowedOrigins: texts(options.allowedOrigins, 'allowedOrigins'),
    bodyBytesMax: count(options.bodyBytesMax ?? 4 * 1024 * 1024, 'bodyBytesMax'),
    subscriptionsMax: count(options.subscriptionsMax ?? 1_024, 'subscriptionsMax'),
    legacy,
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
