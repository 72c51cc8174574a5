/** Checks the rights of a caller, before anything is read or written for a client. */
import { ProtocolError } from '../../base/errors.js'
import type { Caller } from './caller.js'
import type { AccessRequest, CheckedDurableOptions } from './options.js'
import { denied, noSuchTask } from './refusal.js'

/** Tasks that a call reaches: those of one owner, or all tasks for an administrator. */
export interface Scope {
  readonly owner?: string
}

/**
 * Decides which tasks a call may reach.
 * @returns the scope for the call of the engine
 * @throws ProtocolError for a refused call; for a refused task, the error is the same as for a missing one
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
  // A created task belongs to its creator, also if that is an administrator.
  if (decision === 'admin') return action === 'create' ? { owner } : {}
  if (about.taskId !== undefined) throw noSuchTask(about.taskId)
  throw denied(about.tool === undefined ? action : `${action} with tool ${about.tool}`)
}

/**
 * True if the caller may receive a notification about a task. It counts as a read.
 * @throws the error of `authorize`
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
