/** Counts the requests of each account in the last minute. In memory: a minute's requests are not worth a write. */
import type { Clock } from '../../base/clock.js'
import type { McpLimits } from './options.js'
import { invalidParams } from './refusal.js'

const MINUTE_MS = 60_000
// Accounts that did nothing for a minute are forgotten, a handful at each request.
const FORGET_PER_CALL = 4

interface Window {
  since: number
  requests: number
}

/** What is counted; the bindings of one store count together, each with limits of its own. */
export class RequestWindows {
  readonly windows = new Map<string, Window>()
}

export class RequestQuotas {
  constructor(
    private readonly clock: Clock,
    private readonly limits: McpLimits,
    private readonly counted = new RequestWindows(),
  ) {}

  /** @throws ProtocolError when the account makes too many requests */
  checkRequest(account: string): void {
    const { requestsPerMinute } = this.limits
    if (!this.tryRequest(account)) throw over('requestsPerMinute', requestsPerMinute, 'requests in a minute')
  }

  /** Counts a request. @returns false if the account has made too many in this minute */
  tryRequest(account: string): boolean {
    const window = this.#windowOf(account)
    if (window.requests >= this.limits.requestsPerMinute) return false
    window.requests++
    return true
  }

  #windowOf(account: string): Window {
    const now = this.clock.now()
    // One that begins in the future began before the clock was set back, and would never end.
    const isOver = ({ since }: Window) => since + MINUTE_MS <= now || since > now
    let looked = 0
    for (const [other, window] of this.counted.windows) {
      if (looked++ >= FORGET_PER_CALL || !isOver(window)) break
      this.counted.windows.delete(other)
    }
    const window = this.counted.windows.get(account)
    if (window && !isOver(window)) return window
    const fresh = { since: now, requests: 0 }
    // Taken out and put in again, so that the map stays in the order of the windows' beginnings.
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
