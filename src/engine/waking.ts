/** How what waits goes on: it takes a slot again, or is run again. */
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'
import type { Run } from './run.js'

/** Takes a slot again for a run whose wait is over. Resolves once it has one; if the run is over by then, without. */
export async function wake(engine: Engine, task: LiveTask, run: Run): Promise<void> {
  if (task.hasSlot || task.waking) return task.waking
  const { owner } = task.head
  const { scheduler } = engine
  task.waking = new Promise<void>((resolve) => scheduler.enqueue(owner, task.taskId, resolve)).then(() => {
    task.waking = undefined
    if (run.isOver) scheduler.release()
    else task.hasSlot = true
  })
  return task.waking
}

/** Something came from outside, or a child ended: whoever waits for it looks, or is run again to look. */
export function tellNews(engine: Engine, task: LiveTask): void {
  if (task.isTold) return
  if (task.run && !task.run.isOver) {
    task.run.waits.nudge()
    return
  }
  // Its run is being loaded, or let go of: what it sees may be older than the news.
  if (task.scheduled) {
    task.wakesAtOnce = true
    return
  }
  // The commit that brought an answer or a message has taken the time away; a child's end is no commit of its parent's.
  const waitsForIt = task.head.wakeAt === undefined || task.head.children !== undefined
  if (!waitsForIt || task.head.parked) return
  task.disarmWake()
  engine.schedule(task, { now: true })
}

/** Resolves once nothing of the task goes on any more, or the engine closes. */
export async function untilEnded(engine: Engine, taskId: string): Promise<void> {
  while (engine.isUnfinished(taskId) && !engine.closing) {
    await new Promise<void>((resolve) => {
      const stop = engine.waiters.add(taskId, () => {
        stop()
        resolve()
      })
    })
  }
}
