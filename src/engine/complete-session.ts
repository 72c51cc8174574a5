/** Settles a session task, which has no body to do so. */
import { HoldfastError } from '../errors.js'
import type { Outcome } from '../task/outcome.js'
import { checkOutcome } from './arguments.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'

/** @throws HoldfastError `NOT_A_SESSION_TASK`, `TASK_SETTLED`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `STORE_UNAVAILABLE` */
export async function completeSession(engine: Engine, task: LiveTask, outcome: Outcome, by: string): Promise<void> {
  const { taskId } = task
  if (task.head.kind !== 'session') {
    throw new HoldfastError(
      'NOT_A_SESSION_TASK',
      `Task ${taskId} has a body, which alone completes it. Only a task made by \`createSessionTask\` is completed from outside; \`cancel\` works on both.`,
      { details: { taskId } },
    )
  }
  const checked = checkOutcome(outcome, engine.limits.outputBytesMax)
  await engine.settle(task, checked, { by, patient: false })
}
