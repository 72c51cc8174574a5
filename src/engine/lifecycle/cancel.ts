/**
 * Cancels tasks: for a caller, and the children of a task that has ended. The clean-up starts afterwards (settle.ts).
 */

import { faultOf } from '../../base/fault.js'
import { isFenced } from '../../task/decisions/transition.js'
import { isSettled } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'
import type { CancelOptions } from '../checks/call-options.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/**
 * Cancels a task for a caller. With `force`, a parked task is given up: no clean-up runs.
 * @param by actor of the audit entry
 * @throws HoldfastError `TASK_SETTLED`, `STORE_UNAVAILABLE`
 */
export async function cancelTask(
  engine: Pick<Engine, 'settle'>,
  task: LiveTask,
  { owner, reason, force }: CancelOptions,
  by = owner ?? 'admin',
): Promise<void> {
  const givesUp = force === true && task.head.parked !== undefined && !task.recovery.isRetrying
  const settling = { by, patient: false, stoppedBy: 'cancel', givesUp } as const
  await engine.settle(task, { kind: 'cancelled', reason }, settling)
}

/** Cancels a task whose parent has ended. */
export async function endOrphan(engine: Pick<Engine, 'tasks' | 'settle' | 'logger'>, taskId: string): Promise<void> {
  const task = engine.tasks.get(taskId)
  if (!task || isSettled(task.head.status)) return
  const outcome: Outcome = { kind: 'cancelled', reason: `its parent task ${task.head.parentId} is over` }
  try {
    await engine.settle(task, outcome, { by: 'engine', patient: true, stoppedBy: 'cancel' })
  } catch (error) {
    if (!isFenced(error)) engine.logger.debug('A child could not be cancelled', { taskId, error: faultOf(error) })
  }
}
