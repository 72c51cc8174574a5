/**
 * Counts the requests of each account in the last minute. The counts are only in memory, because a write would cost
 * more than they are worth.
 */
import type { Clock } from '../../base/clock.js'
import type { McpLimits } from './options.js'
import { invalidParams } from './refusal.js'

const MINUTE_MS = 60_000
// Accounts without a request in the last minute are removed, a few at each request.
const FORGET_PER_CALL = 4

interface Window {
  since: number
  requests: number
}

/** Request counts of all accounts. The bindings of one store share them, each with its own limits. */
export class RequestWindows {
  readonly windows = new Map<string, Window>()
}

export class RequestQuotas {
  constructor(
    private readonly clock: Clock,
    private readonly limits: McpLimits,
    private readonly counted = new RequestWindows(),
  ) {}

  /**
   * Counts a request.
   * @throws ProtocolError if the account has made too many in this minute
   */
  checkRequest(account: string): void {
    const { requestsPerMinute } = this.limits
    if (!this.tryRequest(account)) throw over('requestsPerMinute', requestsPerMinute, 'requests in a minute')
  }

  /**
   * Counts a request.
   * @returns false if the account has made too many in this minute
   */
  tryRequest(account: string): boolean {
    const window = this.#windowOf(account)
    if (window.requests >= this.limits.requestsPerMinute) return false
    window.requests++
    return true
  }

  #windowOf(account: string): Window {
    const now = this.clock.now()
    // A window that begins in the future began before the clock was set back. It would last too long.
    const isOver = ({ since }: Window) => since + MINUTE_MS <= now || since > now
    let looked = 0
    for (const [other, window] of this.counted.windows) {
      if (looked++ >= FORGET_PER_CALL || !isOver(window)) break
      this.counted.windows.delete(other)
    }
    const window = this.counted.windows.get(account)
    if (window && !isOver(window)) return window
    const fresh = { since: now, requests: 0 }
    // Deleted and set again, so that the map stays in the order in which the windows began.
    this.counted.windows.delete(account)
    this.counted.windows.set(account, fresh)
    return fresh
  }
}

function over(limit: keyof McpLimits, max: number, what: string): Error {
  return invalidParams(`Over the limit of ${max} ${what} (limit \`${limit}\`). Try again later.`, {
    code: 'LIMIT_EXCEEDED',
    limit,
    max,
  })
}
