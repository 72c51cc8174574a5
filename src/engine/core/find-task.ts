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
  if (typeof taskId !== 'string') throw expected('taskId', 'a string', taskId)
  if (engine.isClosed) engine.assertOpen()
  const isBeingSwept = engine.sweeps.isSweeping(taskId)
  const found =
    engine.tasks.get(taskId)?.committed ?? (isTaskId(taskId) ? await readFromDisk(engine, taskId, owner) : undefined)
  // During a sweep, a part of the task may still be on disk.
  const head = isBeingSwept || found?.sweeping ? undefined : found
  if (head && (owner === undefined || head.owner === owner)) return head
  throw taskNotFound(taskId)
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
