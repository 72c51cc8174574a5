/** Settles tasks: the event, the notifications, and the start of the clean-up. Completes session tasks. */

import { HoldfastError } from '../../base/errors.js'
import { faultOf } from '../../base/fault.js'
import type { TaskHead } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'
import type { EventOf } from '../../task/task-event.js'
import { checkOutcome } from '../checks/arguments.js'
import type { SettledBy } from '../core/collaborators.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { removeTask } from '../core/remove-task.js'
import { recordSettled } from '../state/task-spans.js'
import { startCleanUp } from '../undo/clean-up.js'
import { endOrphan } from './cancel.js'

/** Creates the event that settles a task of this type, with the values of the definition and the options. */
export function settleEvent(
  { registry, retentionMs }: Pick<Engine, 'registry' | 'retentionMs'>,
  { type, kind }: Pick<TaskHead, 'type' | 'kind'>,
  outcome: Outcome,
  who: SettledBy,
): EventOf<'settle'> {
  const definition = registry.get(type)
  const onCancel = kind === 'session' ? false : definition ? definition.onCancel !== undefined : 'unknown'
  const { run, by, stoppedBy, givesUp, progress } = who
  return { kind: 'settle', run, outcome, by, progress, retentionMs, stoppedBy, onCancel, givesUp }
}

/**
 * Notifies waiters and listeners that a task is settled on disk, and starts its clean-up. A second call has no effect.
 * @param outcomeText the outcome as JSON text
 */
export function announceSettled(engine: Engine, task: LiveTask, outcomeText: string): void {
  if (task.settlement.isAnnounced) return
  task.settlement.announce(outcomeText)
  const { telemetry } = engine.options
  if (telemetry) recordSettled(telemetry, task, task.head, engine.clock.now())
  const { taskId, type, status, error } = task.head
  task.timeLimit.cancel()
  engine.slots.leaveQueue(task)
  engine.suspects.over(task)
  if (status === 'failed') engine.lines.failed(taskId, type, error?.code)
  const settled = status as 'completed' | 'failed' | 'cancelled'
  engine.events.emit('task:settled', { taskId, type, status: settled, code: error?.code })
  engine.report.note(
    { taskId, type, action: 'settled', reason: error ? `${settled}: ${error.code}` : settled },
    engine.clock.now(),
  )
  // The next start of the server cleans up, and ends the children.
  if (engine.options.purpose === 'operate') {
    if (task.head.cleanUp !== 'pending') removeTask(engine, task, outcomeText)
    return
  }
  const { run } = task.slot
  run?.interrupt()
  if (task.head.cleanUp === 'pending') {
    startCleanUp(engine, task, run)
    return
  }
  // A task that was given up may still have children, because no clean-up ends them.
  for (const child of engine.children.of(taskId)) void endOrphan(engine, child)
  removeTask(engine, task, outcomeText)
}

/**
 * Writes an audit entry for the result of a body that returned after its task was settled. The result has no effect.
 */
export async function noteDropped(
  engine: Pick<Engine, 'clock' | 'sweeps' | 'store' | 'logger'>,
  { head }: LiveTask,
): Promise<void> {
  const entry = { at: engine.clock.now(), action: 'result-dropped', by: 'body', why: head.status } as const
  try {
    await engine.sweeps.using(head.taskId, async () => {
      await engine.store.commit({ head, changes: [{ kind: 'audit', entry }] }, { patient: true })
    })
  } catch (error) {
    engine.logger.debug('A result that came too late could not be recorded in the audit trail.', {
      taskId: head.taskId,
      error: faultOf(error),
    })
  }
}

/**
 * Settles a session task, which has no body.
 * @throws HoldfastError `NOT_A_SESSION_TASK`, `TASK_SETTLED`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `STORE_UNAVAILABLE`
 */
export async function completeSession(
  engine: Pick<Engine, 'limits' | 'settle'>,
  task: LiveTask,
  outcome: Outcome,
  by: string,
): Promise<void> {
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
