/**
 * Finds a task for a caller, as it is on disk. A task of another owner gets the same error as a task that does not
 * exist, also if its record is damaged. So a caller that guesses IDs learns nothing.
 */
import { expected } from '../../base/expected.js'
import { liveKey } from '../../store/disk/layout.js'
import { damaged } from '../../store/integrity/envelope.js'
import { hasTraces, readHead } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import { settledAlready } from '../../task/decisions/transition.js'
import { isSettled, type TaskHead } from '../../task/head.js'
import { isTaskId } from '../checks/arguments.js'
import type { SweepGuard } from './collaborators.js'
import { taskNotFound } from './consistent-read.js'
import type { LiveTask } from './live-task.js'
import type { LiveTasks } from './live-tasks.js'

/** Members of the engine that `findTask` uses. */
interface Findable {
  readonly store: Store
  readonly tasks: LiveTasks
  readonly sweeps: Pick<SweepGuard, 'isSweeping'>
  readonly isClosed: boolean
  assertOpen(): void
}

/**
 * Returns the head of the task if the task belongs to `owner`. Without an `owner`, returns the head of any task.
 * @throws HoldfastError `TASK_NOT_FOUND`, `RECORD_DAMAGED`, `STORE_UNAVAILABLE`, `CLOSED`
 */
export async function findTask(engine: Findable, taskId: string, owner: string | undefined): Promise<TaskHead> {
  const live = findLive(engine, taskId, owner)
  if (live) return live
  const isBeingSwept = engine.sweeps.isSweeping(taskId)
  const found = isTaskId(taskId) ? await readFromDisk(engine, taskId, owner) : undefined
  // During a sweep, a part of the task may still be on disk.
  if (found && !isBeingSwept && !found.sweeping && isOf(found, owner)) return found
  throw taskNotFound(taskId)
}

/**
 * Returns the head of an unfinished task whose start is on disk, without a read. `undefined` for a task of which only the
 * disk may know.
 * @throws HoldfastError `TASK_NOT_FOUND` for an unfinished task of another owner; `CLOSED`
 */
export function findLive(engine: Findable, taskId: string, owner: string | undefined): TaskHead | undefined {
  if (typeof taskId !== 'string') throw expected('taskId', 'a string', taskId)
  if (engine.isClosed) engine.assertOpen()
  const head = engine.tasks.get(taskId)?.committed
  if (head && (!isOf(head, owner) || head.sweeping || engine.sweeps.isSweeping(taskId))) throw taskNotFound(taskId)
  return head
}

function isOf(head: TaskHead, owner: string | undefined): boolean {
  return owner === undefined || head.owner === owner
}

function readFromDisk(engine: Findable, taskId: string, owner: string | undefined): Promise<TaskHead | undefined> {
  return engine.store.read(async (level) => {
    let lost: unknown = damaged(liveKey(taskId), 'it is missing')
    try {
      const head = await readHead(level, taskId)
      if (head) return head
    } catch (error) {
      lost = error
    }
    if (await hasTraces(level, taskId, owner)) throw lost
    return undefined
  })
}

/**
 * Returns a task that can still be changed.
 * @throws HoldfastError `TASK_SETTLED` for a settled task whose settlement was announced; as `findTask`
 */
export async function findUnfinished(engine: Findable, taskId: string, owner: string | undefined): Promise<LiveTask> {
  engine.assertOpen()
  const head = await findTask(engine, taskId, owner)
  const task = engine.tasks.get(taskId)
  if (task && !task.settlement.isAnnounced) return task
  throw settledAlready(isSettled(head.status) ? head : await findTask(engine, taskId, owner))
}
