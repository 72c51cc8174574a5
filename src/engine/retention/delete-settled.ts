/**
 * Deletes a settled task for a caller, as a sweep does: in small batches, its head last, its audit kept.
 *
 * - A task of one batch is deleted in it. A larger one is hidden by the first batch, which also has a timer that is due. So
 *     after a crash the next sweep deletes the rest, also of a task that would be kept for good.
 * - Its idempotency key is kept until `idempotencyRetention` is over, so that a repeated start runs nothing again.
 */
import { HoldfastError } from '../../base/errors.js'
import { sweepTask, writeGuards } from '../../store/delete-task.js'
import { timerKey } from '../../store/disk/layout.js'
import { readHead } from '../../store/reads.js'
import { forgetAt } from '../../task/decisions/expiry.js'
import { isLive, type TaskHead } from '../../task/head.js'
import { taskNotFound } from '../core/consistent-read.js'
import type { Engine } from '../core/engine.js'
import { isAwaited } from './sweeper.js'

/**
 * Deletes a settled task.
 * @throws HoldfastError `NOT_SETTLED` if the task is unfinished, or its clean-up is not over
 * @throws HoldfastError `TASK_IN_USE`, `TASK_NOT_FOUND`, `CLOSED` if a close began: the next sweep deletes the rest
 */
export async function deleteSettled(engine: Engine, found: TaskHead, by: string): Promise<void> {
  const { store, sweeps, clock, retentionMs } = engine
  const { taskId } = found
  const head = engine.tasks.get(taskId)?.head ?? found
  if (isLive(head) || engine.tasks.has(taskId)) throw notSettled(head)
  const isAlone = await sweeps.sweeping(taskId, async () => {
    const head = await store.read((level) => readHead(level, taskId))
    if (!head || head.sweeping) throw taskNotFound(taskId)
    if (head.parentId !== undefined && (await isAwaited(engine, head.parentId, taskId))) throw inUse(taskId)
    const now = clock.now()
    await sweeps.once(() => writeGuards(store))
    const entry = { at: now, taskId, type: head.type, action: 'deleted', from: head.status, by } as const
    const marker = timerKey(now, 'sweep', taskId)
    const swept = { taskId, head, marker, forgetAt: forgetAt(head, retentionMs), entry }
    const gone = () => sweepTask(store, swept, () => !engine.closing)
    const { owner, type, idempotencyKey: key } = head
    const isGone = key === undefined ? await gone() : await engine.keys.run(JSON.stringify({ owner, type, key }), gone)
    if (!isGone) engine.assertOpen()
    engine.usage.swept(head)
  })
  if (!isAlone) throw inUse(taskId)
}

function notSettled({ taskId, status, cleanUp }: TaskHead): HoldfastError {
  const message =
    cleanUp === 'pending'
      ? `Task ${taskId} is '${status}', and its clean-up is not over; wait for it, or \`resume\` it if it is parked`
      : `Task ${taskId} is '${status}'; only a settled task is deleted. Cancel it first`
  return new HoldfastError('NOT_SETTLED', message, { details: { taskId, status, cleanUp } })
}

function inUse(taskId: string): HoldfastError {
  const message = `Task ${taskId} is being read, copied or deleted, or its parent has not recorded its end; try again`
  return new HoldfastError('TASK_IN_USE', message, { details: { taskId } })
}
