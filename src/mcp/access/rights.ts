/** May the caller do this, and to whose tasks? Asked before anything is read or written for a client. */
import { ProtocolError } from '../../base/errors.js'
import type { Caller } from './caller.js'
import type { AccessRequest, CheckedDurableOptions } from './options.js'
import { denied, noSuchTask } from './refusal.js'

/** Whose tasks a call reaches: one owner's, or, for an administrator, everybody's. */
export interface Scope {
  readonly owner?: string
}

/**
 * @returns the scope for the engine's call
 * @throws ProtocolError; for a task that exists the same as for one that doesn't
 */
export async function scopeFor(
  { authorize }: Pick<CheckedDurableOptions, 'authorize'>,
  action: AccessRequest['action'],
  { owner, authInfo }: Caller,
  about: { readonly tool?: string | undefined; readonly taskId?: string | undefined } = {},
): Promise<Scope> {
  if (!authorize) return { owner }
  const decision = await authorize({ action, owner, authInfo, ...about })
  if (decision === 'allow') return { owner }
  // What is created belongs to its creator, administrator or not.
  if (decision === 'admin') return action === 'create' ? { owner } : {}
  if (about.taskId !== undefined) throw noSuchTask(about.taskId)
  throw denied(about.tool === undefined ? action : `${action} with tool ${about.tool}`)
}

/**
 * True if the caller may be told of a task that he did not ask for just now: what is pushed is read.
 * @throws what `authorize` throws
 */
export async function mayBeTold(
  options: Pick<CheckedDurableOptions, 'authorize'>,
  caller: Caller,
  taskId: string,
): Promise<boolean> {
  try {
    await scopeFor(options, 'read', caller, { taskId })
    return true
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}
