/**
 * Sends `notifications/tasks/status` to the sessions of a task's owner. With `access: 'open'`, only to the session that
 * created the task. `authorize` decides about each notification, as about a read. For a call that waits for its result
 * no notification is sent, because its client does not know the task.
 */

import { faultOf } from '../../../base/fault.js'
import { KeyedMutex } from '../../../base/mutex.js'
import { isSettled } from '../../../task/head.js'
import type { Caller } from '../../access/caller.js'
import { mayBeTold } from '../../access/rights.js'
import type { Attachment, DurableBinding } from './types.js'

/** Starts to listen to the engine's events. */
export function notifyOfStatus(durable: DurableBinding): void {
  const { core, attachments } = durable
  const serial = new KeyedMutex()
  // In order, because `authorize` may take longer for an earlier one.
  const tell = (news: { taskId: string }) => serial.run(news.taskId, () => tellOf(news))
  const tellOf = async ({ taskId }: { taskId: string }): Promise<void> => {
    if (attachments.size === 0 || core.openCalls.has(taskId)) return
    const origin = await core.records.readOrigin(taskId)
    if (!origin || origin.kind === 'inline') return
    const view = await core.holdfast.get(taskId)
    const task = await durable.project(view, origin)
    for (const attachment of [...attachments]) {
      if (!concerns(attachment, taskId, view.owner, origin.sessionId, core.options.access === 'open')) continue
      const isTold = await mayPush(durable, attachment, taskId, attachment.created.get(taskId))
      if (isSettled(view.status)) attachment.created.delete(taskId)
      if (!isTold) continue
      const params = { ...task } as Record<string, unknown>
      // The connection is lost. Its client reads the status when it returns.
      await attachment.server.notification({ method: 'notifications/tasks/status', params } as never).catch(() => {})
    }
  }
  core.opening.whenOpen((holdfast) => {
    holdfast.on('task:settled', tell)
    holdfast.on('task:parked', tell)
    holdfast.on('task:input-required', tell)
  })
}

/**
 * True if a notification about a task may be sent to the client of a connection.
 * @param maker the caller who created the task through this connection; used if its reader is unknown
 */
export async function mayPush(
  { core }: DurableBinding,
  { reader }: Attachment,
  taskId: string,
  maker: Caller | undefined,
): Promise<boolean> {
  const { options, logger } = core
  if (!options.authorize) return true
  const caller = reader ?? maker
  // A session that was resumed after a restart, and whose client has not returned. The client reads the status when it
  // returns.
  if (!caller) return false
  return mayBeTold(options, caller, taskId).catch((error: unknown) => {
    logger.warn('`authorize` threw for a notification about a task. The notification was not sent.', {
      taskId,
      error: faultOf(error),
    })
    return false
  })
}

function concerns(
  { owner, created, transport }: Attachment,
  taskId: string,
  taskOwner: string | undefined,
  sessionId: string | undefined,
  isOpen: boolean,
): boolean {
  if (created.has(taskId)) return true
  if (isOpen) return sessionId !== undefined && transport?.sessionId === sessionId
  return owner !== undefined && owner === taskOwner
}
