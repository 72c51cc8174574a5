/**
 * The address of a request. Without authentication, it distinguishes clients, for limits only. An address gives no
 * rights.
 */
import { createHash } from 'node:crypto'
import type { Logger } from '../../base/logger.js'
import type { FetchContext } from '../../http/node.js'

/** Finds the address that a request counts for; `undefined` if there is none. */
export type AddressOf = (request: Request, context: FetchContext) => string | undefined

const HASH_LENGTH = 16

/** Finds the addresses of requests, and logs once if there are none. */
export class Addresses {
  #hasWarned = false

  constructor(
    private readonly addressOf: AddressOf,
    private readonly logger: Logger,
  ) {}

  /** Hash of the address that a request counts for. It has a fixed length and may be stored. */
  find(request: Request, context: FetchContext): string | undefined {
    const address: unknown = this.addressOf(request, context)
    if (typeof address === 'string' && address !== '') {
      return createHash('sha256').update(address).digest('hex').slice(0, HASH_LENGTH)
    }
    if (!this.#hasWarned) {
      this.#hasWarned = true
      this.logger.warn(
        'A request has no address, so one client can use up what all clients share. Pass `remoteAddress` in the context of `fetch`, or set the option `addressOf`.',
      )
    }
    return undefined
  }
}

/**
 * The remote address of the socket; of IPv6 the first 64 bits, because a client with one such address usually has the
 * whole network.
 */
export function remoteNetwork(_request: Request, { remoteAddress }: FetchContext): string | undefined {
  if (remoteAddress === undefined || !remoteAddress.includes(':')) return remoteAddress
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(remoteAddress) ?? []
  if (mapped !== undefined) return mapped
  const groupsIn = (text = '') => (text === '' ? [] : text.split(':'))
  const [before, after] = (remoteAddress.split('%')[0] as string).split('::')
  const [first, last] = [groupsIn(before), groupsIn(after)]
  const zeros = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => '0')
  const network = [...first, ...zeros, ...last].slice(0, 4)
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
