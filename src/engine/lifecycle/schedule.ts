/** When a task's body runs: queued for a slot now, or when it is to be woken; and queued again when its run only waited. */
import { callIn } from '../../base/empty-context.js'
import { faultOf } from '../../base/fault.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { executeTask } from './execute.js'
import { scheduleAfterRun } from './wake.js'

/** Puts a task into the queue for a slot: now, or when it is to be woken. */
export function schedule(engine: Engine, task: LiveTask, { now = false } = {}): void {
  if (task.scheduled || task.isTold || task.awaitsRecovery || engine.closing) return
  const { wakeAt = 0 } = task.head
  if (!now && !hasMissedChild(engine, task) && wakeAt > engine.clock.now()) {
    task.disarmWake = engine.clock.setTimer(wakeAt, () => schedule(engine, task))
    return
  }
  if (engine.suspects.holds(task)) return
  task.scheduled = true
  task.awaitsRun = true
  engine.slots.queue(task)
}

/** True if it waits for a child that has ended, or has never come to be, with nobody there to tell it. */
function hasMissedChild({ children }: Pick<Engine, 'children'>, { taskId, head }: LiveTask): boolean {
  return head.listens === true && (head.children ?? 0) > children.of(taskId).length
}

/**
 * Runs a task's body, in the empty context: what frees a slot is another task's end. The slot is taken already; it is given
 * back when the run is over.
 */
export function begin(engine: Engine, task: LiveTask, fresh?: { readonly inputText: string | undefined }): void {
  callIn(() => run(engine, task, fresh))
}

function run(engine: Engine, task: LiveTask, fresh: { readonly inputText: string | undefined } | undefined): void {
  const { logger } = engine
  const { taskId } = task
  task.scheduled = true
  task.hasSlot = true
  task.memory = 'loaded'
  void executeTask(engine, task, fresh)
    .catch((error: unknown) => {
      return engine.park(task, { code: 'RECORD_DAMAGED', reason: `its run ended unexpectedly: ${faultOf(error)}` })
    })
    .catch((error: unknown) => logger.debug('A task could not be parked', { taskId, error: faultOf(error) }))
    .finally(() => {
      task.scheduled = false
      task.run = undefined
      engine.slots.endRun(task)
      engine.suspects.over(task)
      scheduleAfterRun(engine, task)
    })
}
