/**
 * Brings the tasks in memory back to what is on disk, after the store was down: what was decided for a commit that is
 * unknown or lost must not be what the next decision is made on.
 */
import type { Level } from '../store/level.js'
import { readHead, readOutcome } from '../store/reads.js'
import { isSettled, type TaskHead } from '../task/head.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'

/** Reads the heads of these tasks. Returns what is to be told once the store is up. */
export async function reloadHeads(engine: Engine, level: Level, taskIds: ReadonlySet<string>): Promise<() => void> {
  const heads = new Map<LiveTask, TaskHead | undefined>()
  const settled = new Map<LiveTask, string>()
  for (const taskId of taskIds) {
    const task = engine.tasks.get(taskId)
    if (!task) continue
    const head = await readHead(level, taskId)
    heads.set(task, head)
    if (head && isSettled(head.status)) settled.set(task, JSON.stringify(await readOutcome(level, taskId)))
  }
  const landed: LiveTask[] = []
  for (const [task, head] of heads) {
    // A start that didn't land: its caller knows that it is unknown.
    if (!head) engine.tasks.delete(task.taskId)
    else {
      if (!task.committed) landed.push(task)
      task.head = task.committed = head
    }
  }
  return () => {
    for (const task of landed) adopt(engine, task)
    for (const [task, outcomeText] of settled) engine.tellSettled(task, outcomeText)
  }
}

/** A start that did land, although its caller could not be told. */
function adopt(engine: Engine, task: LiveTask): void {
  const { taskId, type, owner, kind } = task.head
  engine.arm(task)
  engine.events.emit('task:created', { taskId, type, owner })
  if (kind === 'body') engine.schedule(task)
}
