/** Settles a task whose time is over: its timeout, its deadline or its `ttl`, whichever struck first. */
import { endOfTime, isOutOfTime } from '../task/expiry.js'
import { isSettled } from '../task/head.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'
import type { Run } from './run.js'
import { isFenced } from './run-host.js'

/**
 * Asked before each function of a step, child or isolated step begins, after whatever was waited for before it. The timer
 * of a limit may be late. Settles the task if its time is over.
 * @returns true if so: then nothing of it may begin any more
 */
export function settleIfLate({ host, task }: Run): boolean {
  if (!isOutOfTime(task.head, host.clock.now())) return false
  if (!task.settling && !isSettled(task.head.status)) void host.timeOut(task)
  return true
}

/** Settles it as failed, with `TIMEOUT` or `EXPIRED`. Settled meanwhile, it stays as it is. */
export async function timeOut(engine: Engine, task: LiveTask): Promise<void> {
  const { head, taskId } = task
  const end = isSettled(head.status) ? undefined : endOfTime(head)
  if (!end) return
  try {
    await engine.settle(task, end.outcome, { by: 'engine', patient: true, stoppedBy: end.stoppedBy })
  } catch (cause) {
    if (isFenced(cause)) return
    engine.logger.error('The end of a task’s time could not be recorded', { taskId, error: String(cause) })
  }
}
