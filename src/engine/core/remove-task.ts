/** Removes a task from memory once it is settled and cleaned up, and notifies those who wait for it. */
import { readOutcome } from '../../store/reads.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'

/** Tells everybody who waits that nothing more comes of the task: it is settled and cleaned up. */
export async function tellCleanedUp(engine: Engine, task: LiveTask): Promise<void> {
  const { taskId, type, cleanUp, cleanUpReason } = task.head
  const state = cleanUp === 'failed' ? 'failed' : 'done'
  task.outcomeText ??= JSON.stringify(await engine.store.readPatiently((level) => readOutcome(level, taskId)))
  // Told already: its last write was unknown for a while, and had landed.
  if (engine.tasks.get(taskId) !== task) return
  engine.events.emit('task:cleaned-up', { taskId, type, cleanUp: state, reason: cleanUpReason })
  removeTask(engine, task)
}

/** Takes the task out of memory, and tells those who wait for it, its parent among them. */
export function removeTask(engine: Pick<Engine, 'tasks' | 'children' | 'waiters' | 'hasNews'>, task: LiveTask): void {
  const { taskId, parentId } = task.head
  if (!engine.tasks.delete(taskId)) return
  engine.children.delete(task.head)
  if (task.outcomeText !== undefined) {
    engine.waiters.tell(taskId, { kind: 'settled', outcomeText: task.outcomeText })
  }
  const parent = parentId === undefined ? undefined : engine.tasks.get(parentId)
  if (parent) engine.hasNews(parent)
}
