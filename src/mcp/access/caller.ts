/**
 * Who makes the request that is being handled. A handler of the SDK's is told `authInfo`, its task store only a session
 * ID, and a request that is taken up after a restart neither; so the caller travels beside the call.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { AuthInfoLike } from '../../http/node.js'
import type { CheckedDurableOptions } from './options.js'
import { type OwnerOf, ownerOf } from './owner.js'

/** Who asks. */
export interface Caller {
  readonly owner: string
  readonly authInfo?: AuthInfoLike | undefined
  readonly sessionId?: string | undefined
  /** A hash of the address that the request came from. Known with `access: 'open'` only, and of no use but for limits. */
  readonly address?: string | undefined
}

interface Known {
  readonly authInfo: AuthInfoLike | undefined
  readonly sessionId?: string | undefined
  readonly address?: string | undefined
  /** Known already: a session's principal was compared, or a request is taken up after a restart. */
  owner?: string | Promise<string> | undefined
}

const current = new AsyncLocalStorage<Known>()

/** Runs `act` as somebody. */
export function runAs<T>(known: Known, act: () => T): T {
  return current.run({ ...known }, act)
}

/** True if it is known who makes the current call. In the body of a task it is not: its call is over, or was in another process. */
export function isCallerKnown(): boolean {
  return current.getStore() !== undefined
}

/**
 * Who makes the current call.
 * @throws NoPrincipal in `'principal'` mode, when nobody is known to
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
 * Whose calls are joined together. Without authentication all clients share one owner, so it is the session; without a
 * session, nobody's.
 */
export function accountOf(access: CheckedDurableOptions['access'], { owner, sessionId }: Caller): string | undefined {
  return access === 'open' ? sessionId : owner
}

/**
 * What the limits of one client count. Without authentication that is the session, or the address where there are no
 * sessions; where there is no address either, the limits of one client do not hold.
 */
export function countedAs(access: CheckedDurableOptions['access'], caller: Caller): string | undefined {
  return accountOf(access, caller) ?? (caller.address === undefined ? undefined : `address ${caller.address}`)
}
