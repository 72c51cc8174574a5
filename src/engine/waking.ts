/** How what waits hears of news: its run looks, or it is run again to look. */
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'

/** Something came from outside, or a child ended: whoever waits for it looks, or is run again to look. */
export function tellNews(engine: Engine, task: LiveTask): void {
  // A session task has no body that could look.
  if (task.isTold || task.head.kind === 'session') return
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

/** Its run is over, and the task is not: it waits for long, or it threw and is to be tried again. */
export function scheduleAfterRun(engine: Engine, task: LiveTask): void {
  const { wakesAtOnce } = task
  task.wakesAtOnce = false
  if (engine.tasks.get(task.taskId) !== task) return
  const { wakeAt, listens, parked } = task.head
  // What came while it was let go of ends a wait that listens, and not the one for the next attempt.
  if (wakeAt !== undefined) engine.schedule(task, { now: wakesAtOnce && listens === true })
  // The commit that brought the news took the time away, in the batch that let go of it: nobody else wakes it.
  else if (wakesAtOnce && !parked) engine.schedule(task, { now: true })
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
