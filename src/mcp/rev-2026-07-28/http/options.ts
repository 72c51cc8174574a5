/** Options of `durable.httpHandler`, with checks and defaults. */
import { checkCount, checkFunction } from '../../../base/expected.js'
import type { FetchContext } from '../../../http/node.js'
import {
  type CheckedCommonHttpOptions,
  COMMON_HTTP_OPTIONS,
  type CommonHttpOptions,
  checkCommonHttpOptions,
} from '../../http/options.js'

/** Answers the requests of 2025-11-25 clients: the `fetch` of that binding's handler. */
export type LegacyFetch = (request: Request, context: FetchContext) => Promise<Response>

/** The options of `durable.httpHandler`. This revision has no sessions, so there is no option about one. */
export interface HttpOptions extends CommonHttpOptions {
  /**
   * Subscriptions that are open at once.
   * @default 1,024
   */
  readonly subscriptionsMax?: number
  /**
   * Subscriptions of one owner that are open at once; with `access: 'open'` of one address. One over the limit is
   * refused with `-32602` and the name of the limit.
   * @default 100
   */
  readonly subscriptionsPerOwnerMax?: number
  /**
   * Answers the requests of earlier revisions: `handler.fetch` of `holdfast/mcp/2025-11-25`.
   * @default the SDK answers them, without sessions and without tasks
   */
  readonly legacy?: LegacyFetch
}

/** Checked options with their defaults. */
export interface CheckedHttpOptions extends CheckedCommonHttpOptions {
  readonly subscriptionsMax: number
  readonly subscriptionsPerOwnerMax: number
  readonly legacy: LegacyFetch | undefined
}

/**
 * Checks the options and adds the defaults.
 * @throws TypeError naming the option, the expected and the given value
 */
export function checkHttpOptions(options: HttpOptions): CheckedHttpOptions {
  const names = {
    ...COMMON_HTTP_OPTIONS,
    subscriptionsMax: true,
    subscriptionsPerOwnerMax: true,
    legacy: true,
  } as const
  const common = checkCommonHttpOptions(options, names)
  const { legacy, subscriptionsMax = 1_024, subscriptionsPerOwnerMax = 100 } = options
  if (legacy !== undefined) checkFunction('legacy', legacy)
  checkCount('subscriptionsMax', subscriptionsMax)
  checkCount('subscriptionsPerOwnerMax', subscriptionsPerOwnerMax)
  return { ...common, subscriptionsMax, subscriptionsPerOwnerMax, legacy }
}
