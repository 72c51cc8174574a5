/**
 * The caller of the current request. The SDK passes `authInfo` to a handler, only a session ID to a task store, and
 * neither to a request that is resumed after a restart. So the caller is kept in an async context.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { AuthInfoLike } from '../../http/node.js'
import type { CheckedDurableOptions } from './options.js'
import { type OwnerOf, ownerOf } from './owner.js'

/** The client that makes a request. */
export interface Caller {
  readonly owner: string
  readonly authInfo?: AuthInfoLike | undefined
  readonly sessionId?: string | undefined
  /** Hash of the address that the request came from. Set only with `access: 'open'`, and used only for limits. */
  readonly address?: string | undefined
}

interface Known {
  readonly authInfo: AuthInfoLike | undefined
  readonly sessionId?: string | undefined
  readonly address?: string | undefined
  /** Owner that is known already: a session's principal was compared, or a request is resumed after a restart. */
  owner?: string | Promise<string> | undefined
}

const current = new AsyncLocalStorage<Known>()

/** Runs `act` with a known caller. */
export function runAs<T>(known: Known, act: () => T): T {
  return current.run({ ...known }, act)
}

/**
 * True if the caller of the current call is known. In the body of a task it is not: its call is over, or was in another
 * process.
 */
export function isCallerKnown(): boolean {
  return current.getStore() !== undefined
}

/**
 * Finds the caller of the current call.
 * @throws NoPrincipal in `'principal'` mode, if there is no principal
 */
export async function callerOf(
  { access, owner: custom }: Pick<CheckedDurableOptions, 'access'> & { owner?: OwnerOf | undefined },
  given: { readonly authInfo?: AuthInfoLike | undefined; readonly sessionId?: string | undefined } = {},
): Promise<Caller> {
  const known = current.getStore()
  if (!known) {
    const { authInfo, sessionId } = given
    return { owner: await ownerOf(access, authInfo, custom), authInfo, sessionId }
  }
  known.owner ??= ownerOf(access, known.authInfo, custom)
  const { authInfo, address } = known
  return { owner: await known.owner, authInfo, sessionId: known.sessionId ?? given.sessionId, address }
}

/**
 * Account within which repeated calls join one task: the owner. Without authentication all clients share one owner, so
 * it is the session, or `undefined` without a session.
 */
export function accountOf(access: CheckedDurableOptions['access'], { owner, sessionId }: Caller): string | undefined {
  return access === 'open' ? sessionId : owner
}

/**
 * Account that the limits of one client count: the owner. Without authentication it is the session, or the address if
 * there is no session. `undefined` if there is no address either; those limits then do not apply.
 */
export function countedAs(access: CheckedDurableOptions['access'], caller: Caller): string | undefined {
  return accountOf(access, caller) ?? (caller.address === undefined ? undefined : `address ${caller.address}`)
}
