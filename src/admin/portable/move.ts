/**
 * A move of a task to another store, in two commits: the task is parked before it is read, and settles once its file is whole.
 *
 * move-1. Between the two, only callers change the task. If one did, the task does not settle, since the file lacks the change.
 * move-2. A kill between the two leaves the task parked here, and perhaps a whole file. It runs in no store before a `resume`.
 */
import { HoldfastError } from '../../base/errors.js'
import { readHead } from '../../store/reads.js'
import { settledAlready } from '../../task/decisions/transition.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import type { PortableStore } from './hosts.js'
import { hasChildren } from './import-records.js'

/**
 * Parks a task that is to be moved, so that nothing of it changes any more.
 * @throws HoldfastError `TASK_SETTLED`, `TASK_NOT_PORTABLE`, `TASK_IN_USE`. The task is unchanged
 */
export async function prepareMove(host: PortableStore, taskId: string, graceMs: number): Promise<void> {
  const head = await host.head(taskId)
  await assertMovable(host, head)
  if (head.kind === 'session' || head.parked?.code === 'EXPORTED') return
  await host.settleDown(taskId, graceMs)
  await assertMovable(host, await host.head(taskId))
  const at = new Date(host.now()).toISOString()
  const reason = `it is being moved to another store since ${at}; resume it here only if that failed and no other store has it`
  await host.commit(taskId, { kind: 'park', parked: { code: 'EXPORTED', reason }, endsRun: true })
}

async function assertMovable({ store }: PortableStore, head: TaskHead): Promise<void> {
  const { taskId, status, children, parentId } = head
  if (isSettled(status)) throw settledAlready(head)
  if (children !== undefined) throw hasChildren(taskId, children)
  const parent = parentId === undefined ? undefined : await store.read((level) => readHead(level, parentId))
  if (!parent || !isLive(parent)) return
  const message = `Task ${taskId} is a child, and its parent ${parentId} waits for it. Move it after the end of the parent, or export it without \`move\``
  throw new HoldfastError('TASK_NOT_PORTABLE', message, { details: { taskId, parentId } })
}

/**
 * Settles a task whose file is whole as cancelled, with the reason `moved`. Its clean-up does not run.
 * @param commits number of commits of the task in the file
 * @throws HoldfastError `TASK_IN_USE` if the task has changed since then: move it again
 */
export async function endMove(
  host: Pick<PortableStore, 'commit' | 'retentionMs'>,
  taskId: string,
  commits: number,
  by: string,
): Promise<void> {
  const outcome = { kind: 'cancelled', reason: 'moved' } as const
  const { retentionMs } = host
  const about = { by, retentionMs, stoppedBy: 'cancel', onCancel: false, movedAt: commits } as const
  await host.commit(taskId, { kind: 'settle', outcome, ...about })
}
