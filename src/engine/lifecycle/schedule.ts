/**
 * Schedules runs: queues a task for a slot now or at its wake time, runs its body, and queues it again after an unload.
 */
import { callIn } from '../../base/empty-context.js'
import { faultOf } from '../../base/fault.js'
import { spanTaskOf } from '../../task/telemetry.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { executeTask } from './execute.js'
import { scheduleAfterRun } from './wake.js'

/** Queues a task for a slot now, or at its wake time. */
export function schedule(engine: Engine, task: LiveTask, { now = false } = {}): void {
  if (task.slot.isScheduled || task.settlement.isAnnounced || task.recovery.isAwaited || engine.closing) return
  if (task.head.parked?.code === 'EXPORTED') return
  const { wakeAt = 0 } = task.head
  if (!now && !hasMissedChild(engine, task) && wakeAt > engine.clock.now()) {
    task.commits.compact()
    task.slot.sleep(engine.wakeTimers.set(task, wakeAt))
    return
  }
  if (engine.suspects.holds(task)) return
  task.recovery.queueRun()
  engine.slots.queue(task)
}

/** True if the unloaded task waits for a child that has ended, or was never created: no event will wake the task. */
function hasMissedChild({ children }: Pick<Engine, 'children'>, { taskId, head }: LiveTask): boolean {
  return head.listens === true && (head.children ?? 0) > children.of(taskId).length
}

/**
 * Runs the body of a task that holds a slot. The slot is released when the run ends. The body runs outside the
 * asynchronous context of the caller, because the caller may be the end of another task.
 */
export function begin(engine: Engine, task: LiveTask, fresh?: { readonly inputText: string | undefined }): void {
  // A new task that got its slot at once was in no queue.
  if (fresh) engine.options.telemetry?.record({ kind: 'queued', task: spanTaskOf(task.head), ms: 0 })
  callIn(() => run(engine, task, fresh))
}

function run(engine: Engine, task: LiveTask, fresh: { readonly inputText: string | undefined } | undefined): void {
  task.slot.begin()
  const over = () => runOver(engine, task)
  executeTask(engine, task, fresh).then(over, (error: unknown) => parkBroken(engine, task, error).then(over))
}

/** Parks a task whose run ended with an error of the engine. Never rejects. */
async function parkBroken(engine: Engine, task: LiveTask, cause: unknown): Promise<void> {
  try {
    await engine.park(task, { code: 'RECORD_DAMAGED', reason: `its run ended unexpectedly: ${faultOf(cause)}` })
  } catch (error) {
    engine.logger.debug('A task could not be parked', { taskId: task.taskId, error: faultOf(error) })
  }
}

function runOver(engine: Engine, task: LiveTask): void {
  const hadNews = engine.slots.endRun(task)
  engine.suspects.over(task)
  scheduleAfterRun(engine, task, hadNews)
}
