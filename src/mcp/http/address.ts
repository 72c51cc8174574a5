/**
 * Whose a request is where there is no authentication: the address that it came from tells clients apart, for limits
 * only. An address gives no right to anything.
 */
import { createHash } from 'node:crypto'
import type { Logger } from '../../base/logger.js'
import type { FetchContext } from '../../http/node.js'

/** Which address a request counts for; `undefined` if there is none. */
export type AddressOf = (request: Request, context: FetchContext) => string | undefined

const HASH_LENGTH = 16

/** Finds the addresses of requests, and says once if there are none. */
export class Addresses {
  #hasWarned = false

  constructor(
    private readonly addressOf: AddressOf,
    private readonly logger: Logger,
  ) {}

  /** A hash of the address that a request counts for. It is short whatever the address is, and may be stored. */
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

/** The remote address of the socket. Of IPv6 the first 64 bits: whoever has one such address has the rest too. */
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
