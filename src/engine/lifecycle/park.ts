/** Parks a task that cannot continue. The task keeps its status, and is tried again when the cause is gone. */

import { isFenced } from '../../task/decisions/transition.js'
import { isSettled, type Parked } from '../../task/head.js'
import { codeMark } from '../checks/code-mark.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { startCleanUp } from '../undo/clean-up.js'

/** Parks a task, and notifies its waiters with the reason. */
export async function park(engine: Engine, task: LiveTask, parked: Omit<Parked, 'since'>, run?: number): Promise<void> {
  const { taskId, type } = task.head
  const definition = parked.code === 'CODE_CHANGED' ? engine.registry.get(type) : undefined
  const triedWith = definition && codeMark(definition)
  try {
    await engine.record(task, { kind: 'park', parked, run, triedWith })
  } catch (error) {
    if (isFenced(error)) return
    throw error
  }
  // The definition was registered during the commit: the task runs, and no parking is reported.
  if (parked.code === 'TASK_TYPE_UNKNOWN' && engine.registry.get(type)) {
    return isSettled(task.head.status) ? startCleanUp(engine, task) : engine.schedule(task)
  }
  task.recovery.endRetry()
  // A listener of the event may register the definition, and the clean-up then starts again.
  task.settlement.endCleaning(task.settlement.cleaning)
  if (parked.code === 'RECORD_DAMAGED') {
    engine.logger.error(
      'A task is parked: a record of it is damaged. Restore a copy of the store, or cancel the task.',
      { taskId, type, reason: parked.reason },
    )
  } else engine.lines.parked(taskId, type, parked.code)
  engine.events.emit('task:parked', { taskId, type, ...parked })
  engine.waiters.notify(taskId, { kind: 'parked' })
  engine.report.note({ taskId, type, action: 'parked', reason: `${parked.code}: ${parked.reason}` }, engine.clock.now())
}
