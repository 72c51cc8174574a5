/** Settles a task whose timeout, deadline or `ttl` has passed. */

import { faultOf } from '../../base/fault.js'
import { endOfTime } from '../../task/decisions/expiry.js'
import { isFenced } from '../../task/decisions/transition.js'
import { isSettled } from '../../task/head.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/** Settles the task as failed, with `TIMEOUT` or `EXPIRED`. A settled task stays as it is. */
export async function timeOut(engine: Pick<Engine, 'settle' | 'logger'>, task: LiveTask): Promise<void> {
  const { head, taskId } = task
  const end = isSettled(head.status) ? undefined : endOfTime(head)
  if (!end) return
  try {
    await engine.settle(task, end.outcome, { by: 'engine', patient: true, stoppedBy: end.stoppedBy })
  } catch (cause) {
    if (isFenced(cause)) return
    engine.logger.debug('A task is past its time limit, and its end could not be recorded.', {
      taskId,
      error: faultOf(cause),
    })
  }
}
