/**
 * Counts what each account does: tasks it has unfinished, and requests in the last minute. In memory: unfinished tasks
 * are counted again at the start, and a minute's requests are not worth a write.
 */
import type { Clock } from '../clock.js'
import type { McpLimits } from './options.js'
import { invalidParams } from './refusal.js'

const MINUTE_MS = 60_000
// Accounts that did nothing for a minute are forgotten, a handful at each request.
const FORGET_PER_CALL = 4

interface Window {
  since: number
  creates: number
  requests: number
}

/** What is counted; the bindings of one store count together, each with limits of its own. */
export class Counted {
  readonly windows = new Map<string, Window>()
  readonly live = new Map<string, { account: string; kind: 'body' | 'session' }>()
  readonly perAccount = new Map<string, { body: number; session: number }>()
}

export class Counts {
  constructor(
    private readonly clock: Clock,
    private readonly limits: McpLimits,
    private readonly counted = new Counted(),
  ) {}

  /** @throws ProtocolError when the account makes too many requests, or has too many tasks already */
  checkCreate(account: string, kind: 'body' | 'session' = 'body'): void {
    const { createsPerMinute, liveTasksPerOwner, sessionTasksPerOwner } = this.limits
    const { body = 0, session = 0 } = this.counted.perAccount.get(account) ?? {}
    if (body + session >= liveTasksPerOwner) throw over('liveTasksPerOwner', liveTasksPerOwner, 'unfinished tasks')
    if (kind === 'session' && session >= sessionTasksPerOwner) {
      throw over('sessionTasksPerOwner', sessionTasksPerOwner, 'unfinished session tasks')
    }
    const window = this.#windowOf(account)
    if (window.creates >= createsPerMinute) throw over('createsPerMinute', createsPerMinute, 'new tasks in a minute')
    window.creates++
  }

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

  created(taskId: string, account: string, kind: 'body' | 'session' = 'body'): void {
    if (this.counted.live.has(taskId)) return
    this.counted.live.set(taskId, { account, kind })
    const counts = this.counted.perAccount.get(account) ?? { body: 0, session: 0 }
    counts[kind]++
    this.counted.perAccount.set(account, counts)
  }

  settled(taskId: string): void {
    const live = this.counted.live.get(taskId)
    if (!live) return
    this.counted.live.delete(taskId)
    const counts = this.counted.perAccount.get(live.account)
    if (!counts) return
    counts[live.kind]--
    if (counts.body + counts.session === 0) this.counted.perAccount.delete(live.account)
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
    const fresh = { since: now, creates: 0, requests: 0 }
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
