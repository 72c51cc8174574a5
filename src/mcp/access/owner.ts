/**
 * The owner of a request. An owner is a principal, never a transport session. So a client reaches its tasks under a new
 * session, and a stolen session gives no rights.
 */

import { createHash } from 'node:crypto'
import { ProtocolError } from '../../base/errors.js'
import type { AuthInfoLike } from '../../http/node.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import { RPC } from './refusal.js'

/**
 * `'principal'`: every request carries a verified token, and tasks belong to its subject. `'open'`: no authentication;
 * a task's unguessable ID is the only key, and nothing is listed. `'local'`: one user, over stdio.
 */
export type Access = 'principal' | 'open' | 'local'

/** Function of the author from a verified token to an owner. */
export type OwnerOf = (authInfo: AuthInfoLike) => string | undefined | Promise<string | undefined>

/** Error of a request without a known principal. */
export class NoPrincipal extends ProtocolError {
  override readonly name: string = 'NoPrincipal'

  constructor(message: string) {
    super(RPC.invalidRequest, message)
  }
}

/**
 * Finds the owner that a request acts for.
 * @throws NoPrincipal in `'principal'` mode without a token, or with one that names no subject
 */
export async function ownerOf(access: Access, authInfo: AuthInfoLike | undefined, custom?: OwnerOf): Promise<string> {
  if (access !== 'principal') return access
  if (!authInfo) throw new NoPrincipal('This server needs a verified token with every request')
  const owner = custom ? await custom(authInfo) : principalOf(authInfo)
  if (owner === undefined || owner === '') throw new NoPrincipal('The token names no subject')
  checkName(owner, 'owner', NAME_BYTES_MAX.owner)
  return owner
}

/** Issuer, client and subject as one text. Each part is encoded, so that two principals never have the same text. */
function principalOf({ clientId, extra }: AuthInfoLike): string | undefined {
  const { iss, sub } = extra ?? {}
  if (typeof sub !== 'string' || sub === '' || typeof clientId !== 'string' || clientId === '') return undefined
  const parts = [...(typeof iss === 'string' ? [iss] : ['']), clientId, sub]
  const owner = parts.map(encodeURIComponent).join(' ')
  if (Buffer.byteLength(owner) <= NAME_BYTES_MAX.owner) return owner
  return `sha256 ${createHash('sha256').update(owner).digest('hex')}`
}
