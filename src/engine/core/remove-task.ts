/** Removes a task from memory after it is settled and cleaned up, and notifies its waiters. */
import { readOutcome } from '../../store/reads.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'

/** Notifies waiters and listeners that the clean-up of a settled task ended, and removes the task. */
export async function announceCleanedUp(engine: Engine, task: LiveTask): Promise<void> {
  const { taskId, type, cleanUp, cleanUpReason } = task.head
  const state = cleanUp === 'failed' ? 'failed' : 'done'
  const outcomeText =
    task.settlement.outcomeText ??
    JSON.stringify(await engine.store.readPatiently((level) => readOutcome(level, taskId)))
  // The task was removed already: its last write failed at first, and was found on disk after an outage.
  if (engine.tasks.get(taskId) !== task) return
  engine.events.emit('task:cleaned-up', { taskId, type, cleanUp: state, reason: cleanUpReason })
  removeTask(engine, task, outcomeText)
}

/** Removes the task from memory, and notifies its waiters and its parent. */
export function removeTask(
  engine: Pick<Engine, 'tasks' | 'children' | 'waiters' | 'hasNews'>,
  task: LiveTask,
  outcomeText: string,
): void {
  const { taskId, parentId } = task.head
  if (!engine.tasks.delete(taskId)) return
  engine.children.delete(task.head)
  engine.waiters.notify(taskId, { kind: 'settled', outcomeText })
  const parent = parentId === undefined ? undefined : engine.tasks.get(parentId)
  if (parent) engine.hasNews(parent)
}
