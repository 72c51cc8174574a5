/** Resumes a parked task for a caller: resets its crash count, and runs its body or continues its clean-up. */
import { HoldfastError } from '../../base/errors.js'
import { isSettled } from '../../task/head.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { startCleanUp } from '../undo/clean-up.js'

/**
 * Resumes a parked task. Commits the request before the body runs. Without this, a crash would park the task again.
 * @throws HoldfastError `NOT_PARKED` if the task is not parked, or is being retried already
 * @throws HoldfastError `TASK_TYPE_UNKNOWN` or `TASK_SETTLED`. The task is unchanged.
 * @throws HoldfastError `STORE_UNAVAILABLE` if the write failed. The task may still resume after the outage.
 */
export async function resumeTask(engine: Engine, task: LiveTask, by: string): Promise<void> {
  const { taskId, type, parked, status } = task.head
  // A task that is being retried does not count as parked. `get` does not show it as parked either.
  if (!parked || task.recovery.isRetrying) {
    throw new HoldfastError('NOT_PARKED', `Task ${taskId} is '${status}' and not parked; there is nothing to resume`, {
      details: { taskId, status },
    })
  }
  engine.registry.require(type)
  try {
    await engine.recordForCaller(task, { kind: 'resume', by })
  } catch (error) {
    // The failed write may be on disk. Then the task continues after the outage, although the caller got an error.
    void engine.store.connection.up.then(() => continueTask(engine, task))
    throw error
  }
  continueTask(engine, task)
}

function continueTask(engine: Engine, task: LiveTask): void {
  if (task.head.parked || engine.tasks.get(task.taskId) !== task) return
  // The task resumes now, even if the recovery of all tasks waits for `recover()`.
  task.recovery.resume()
  if (!isSettled(task.head.status)) engine.schedule(task, { now: true })
  else if (!task.settlement.cleaning) startCleanUp(engine, task)
}
