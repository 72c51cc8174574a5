/**
 * Counts the unanswered requests of one session and of one client, even if their connections are closed. A client that
 * disconnects and sends a request again makes the server wait for two.
 */
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { RPC } from '../../access/refusal.js'
import type { CheckedHttpOptions } from './options.js'

/** Limits of unanswered requests. */
export type OpenRequestLimits = Pick<CheckedHttpOptions, 'openRequestsPerSessionMax' | 'openRequestsPerOwnerMax'>

export class OpenRequests {
  readonly #ids = new Set<RequestId>()

  /**
   * @param account account of the session for `openRequestsPerOwnerMax`; `undefined` if clients are not distinguished
   * @param all unanswered requests of each account
   */
  constructor(
    private readonly limits: OpenRequestLimits,
    private readonly account: string | undefined,
    private readonly all: Map<string, number>,
  ) {}

  get size(): number {
    return this.#ids.size
  }

  has(id: RequestId): boolean {
    return this.#ids.has(id)
  }

  /**
   * Counts a request.
   * @returns the refusal of a request over a limit, which is not counted
   */
  begin(id: RequestId): JSONRPCMessage | undefined {
    if (this.#ids.has(id)) return undefined
    const { openRequestsPerSessionMax, openRequestsPerOwnerMax } = this.limits
    if (this.#ids.size >= openRequestsPerSessionMax) {
      return refusal(id, 'openRequestsPerSessionMax', openRequestsPerSessionMax)
    }
    if (this.account !== undefined && (this.all.get(this.account) ?? 0) >= openRequestsPerOwnerMax) {
      return refusal(id, 'openRequestsPerOwnerMax', openRequestsPerOwnerMax)
    }
    this.again(id)
    return undefined
  }

  /** Counts a request that was unanswered before a restart. It is never refused. */
  again(id: RequestId): void {
    if (this.#ids.has(id)) return
    this.#ids.add(id)
    this.#count(1)
  }

  /** Ends the count of a request that is answered or abandoned. */
  end(id: RequestId): void {
    if (this.#ids.delete(id)) this.#count(-1)
  }

  /** Ends the counts of all requests, because the session is over. */
  endAll(): void {
    this.#count(-this.#ids.size)
    this.#ids.clear()
  }

  #count(by: number): void {
    if (this.account === undefined) return
    const count = (this.all.get(this.account) ?? 0) + by
    if (count > 0) this.all.set(this.account, count)
    else this.all.delete(this.account)
  }
}

function refusal(id: RequestId, limit: keyof OpenRequestLimits, max: number): JSONRPCMessage {
  const message = `Over the limit of ${max} open requests (limit \`${limit}\`). Try again once some are answered.`
  return {
    jsonrpc: '2.0',
    id,
    error: { code: RPC.invalidParams, message, data: { code: 'LIMIT_EXCEEDED', limit, max } },
  }
}
