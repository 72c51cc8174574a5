/**
 * How a task in memory comes by its slot, and how it gives it back. A slot is held by exactly one of: a start that is
 * being written (admission.ts), a task that `hasSlot`.
 */
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'
import type { Run } from './run.js'

/** Queues a task whose run is to begin. It has waited since it was created, or since the end of its last wait. */
export function queueForRun(engine: Engine, task: LiveTask): void {
  const { owner, type, priority, wakeAt, createdAt } = task.head
  const { taskId } = task
  engine.scheduler.enqueue({ taskId, owner, type, priority, since: wakeAt ?? createdAt }, () => engine.begin(task))
}

/** Gives the task's slot back: its run only waits, or is over. */
export function rest(engine: Engine, task: LiveTask): void {
  if (!task.hasSlot) return
  task.hasSlot = false
  if (task.run && !task.run.isOver) engine.suspects.waits(task)
  engine.scheduler.release(task.head)
}

/** Takes a slot again for a run whose wait is over. Resolves once it has one; if the run is over by then, without. */
export function wake(engine: Engine, task: LiveTask, run: Run): Promise<void> {
  if (task.hasSlot) return Promise.resolve()
  const { owner, type, priority } = task.head
  const { taskId } = task
  task.waking ??= new Promise<void>((resolve) =>
    engine.scheduler.enqueue({ taskId, owner, type, priority, since: engine.clock.now() }, () => {
      // In the moment the slot is taken it has an owner: the task, or nobody again.
      task.waking = undefined
      task.hasSlot = true
      if (run.isOver) rest(engine, task)
      resolve()
    }),
  )
  return task.waking
}

/** The run is over: its slot is free, and what it queued for is not its any more. */
export function leave(engine: Engine, task: LiveTask): void {
  task.waking = undefined
  engine.scheduler.remove(task.taskId)
  rest(engine, task)
}
