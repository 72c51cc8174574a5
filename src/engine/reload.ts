/**
 * Brings the tasks in memory back to what is on disk, after the store was down: what was decided for a commit that is
 * unknown or lost must not be what the next decision is made on.
 */
import { HoldfastError } from '../errors.js'
import type { Level } from '../store/level.js'
import { readHead, readOutcome } from '../store/reads.js'
import { isSettled, type TaskHead } from '../task/head.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'

/** Reads the heads of these tasks. Returns what is to be told once the store is up. */
export async function reloadHeads(engine: Engine, level: Level, taskIds: ReadonlySet<string>): Promise<() => void> {
  const heads = new Map<LiveTask, TaskHead | undefined>()
  const settled = new Map<LiveTask, string>()
  const harmed: LiveTask[] = []
  for (const taskId of taskIds) {
    const task = engine.tasks.get(taskId)
    if (!task) continue
    try {
      const head = await readHead(level, taskId)
      heads.set(task, head)
      if (head && isSettled(head.status)) settled.set(task, JSON.stringify(await readOutcome(level, taskId)))
    } catch (error) {
      if (!(error instanceof HoldfastError && error.code === 'RECORD_DAMAGED')) throw error
      harmed.push(task)
    }
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
    for (const task of harmed) quarantine(engine, task)
  }
}

/** A start that did land, although its caller could not be told. */
function adopt(engine: Engine, task: LiveTask): void {
  const { taskId, type, owner, kind } = task.head
  engine.arm(task)
  engine.events.emit('task:created', { taskId, type, owner })
  if (kind === 'body') engine.schedule(task)
}

/** One damaged task must not keep the others down: it is left alone, and whoever asks for it is told. */
function quarantine(engine: Engine, task: LiveTask): void {
  const { taskId } = task.head
  engine.logger.error('A task is damaged on disk and left alone', { taskId })
  engine.tasks.delete(taskId)
  task.disarm()
  task.disarmWake()
  task.run?.abandon()
  engine.waiters.tell(taskId, { kind: 'parked' })
}
