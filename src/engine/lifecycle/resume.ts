/** Tries a parked task again, because somebody says so: its deaths are forgotten, and its body runs, or its clean-up continues. */
import { HoldfastError } from '../../base/errors.js'
import { isSettled } from '../../task/head.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { startCleanUp } from '../undo/clean-up.js'

/**
 * Resumes a parked task. That somebody wants it is on disk before anything of it runs, so a crash doesn't park it again.
 * @throws HoldfastError `NOT_PARKED`, `TASK_TYPE_UNKNOWN`, `TASK_SETTLED`, `STORE_UNAVAILABLE`: nothing was changed
 */
export async function resumeTask(engine: Engine, task: LiveTask, by: string): Promise<void> {
  const { taskId, type, parked, status } = task.head
  // One that is being tried again already does not count as parked: `get` doesn't show it so either.
  if (!parked || task.awaitsRun) {
    throw new HoldfastError('NOT_PARKED', `Task ${taskId} is '${status}' and not parked; there is nothing to resume`, {
      details: { taskId, status },
    })
  }
  engine.registry.require(type)
  try {
    await engine.recordForCaller(task, { kind: 'resume', by })
  } catch (error) {
    // It may have landed all the same. Then the caller was told nothing, and the task goes on like any other.
    void engine.store.connection.up.then(() => goOn(engine, task))
    throw error
  }
  goOn(engine, task)
}

function goOn(engine: Engine, task: LiveTask): void {
  if (task.head.parked || engine.tasks.get(task.taskId) !== task) return
  // Wanted now, also where the recovery of the others is held.
  task.awaitsRecovery = false
  if (!isSettled(task.head.status)) engine.schedule(task, { now: true })
  else if (!task.cleaning) startCleanUp(engine, task)
}
