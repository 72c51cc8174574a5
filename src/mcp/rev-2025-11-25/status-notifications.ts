/**
 * Sends `notifications/tasks/status`: to the sessions of the task's owner, and where nobody is told apart only to the
 * session that made it. A call that waits for its result is no task to its client, and nothing is sent about it.
 */
import { isSettled } from '../../task/head.js'
import type { Attachment } from './attach.js'
import type { DurableTasks } from './durable-tasks.js'

/** Begins to listen. */
export function notifyOfStatus(durable: DurableTasks): void {
  const { core, attachments } = durable
  const tell = async ({ taskId }: { taskId: string }): Promise<void> => {
    if (attachments.size === 0 || core.openCalls.has(taskId)) return
    const origin = await core.records.readOrigin(taskId)
    if (!origin || origin.kind === 'inline') return
    const view = await core.holdfast.get(taskId)
    const task = await durable.project(view, origin)
    for (const attachment of [...attachments]) {
      if (!concerns(attachment, taskId, view.owner, origin.sessionId, core.options.access === 'open')) continue
      if (isSettled(view.status)) attachment.created.delete(taskId)
      const params = { ...task } as Record<string, unknown>
      await attachment.server.server
        .notification({ method: 'notifications/tasks/status', params } as never)
        .catch(() => {}) // The connection is gone; its client asks when it is back.
    }
  }
  core.holdfast.on('task:settled', tell)
  core.holdfast.on('task:parked', tell)
  core.holdfast.on('task:input-required', tell)
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
