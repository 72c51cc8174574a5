/** Settles a task whose time is over: its timeout, its deadline or its `ttl`, whichever struck first. */
import { type TimeLimit, timeLimit } from '../task/expiry.js'
import { isSettled } from '../task/head.js'
import type { TaskError } from '../task/outcome.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'
import { isFenced } from './run-host.js'

/** Settles it as failed, with `TIMEOUT` or `EXPIRED`. Settled meanwhile, it stays as it is. */
export async function timeOut(engine: Engine, task: LiveTask): Promise<void> {
  const { head, taskId } = task
  const limit = isSettled(head.status) ? undefined : timeLimit(head)
  if (!limit) return
  const stoppedBy = limit.which === 'ttl' ? 'expiry' : limit.which
  try {
    await engine.settle(
      task,
      { kind: 'error', error: outOfTime(taskId, limit) },
      { by: 'engine', patient: true, stoppedBy },
    )
  } catch (cause) {
    if (isFenced(cause)) return
    engine.logger.error('The end of a task’s time could not be recorded', { taskId, error: String(cause) })
  }
}

function outOfTime(taskId: string, { at, which }: { at: number; which: TimeLimit }): TaskError {
  const said = `ran out of time: its ${which === 'ttl' ? '`ttl`' : which} passed at ${new Date(at).toISOString()}`
  const code = which === 'ttl' ? 'EXPIRED' : 'TIMEOUT'
  return { name: 'TaskFailedError', message: `Task ${taskId} ${said}`, code, ours: true }
}
