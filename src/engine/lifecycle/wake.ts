/** How what waits hears of news: its run looks, or it is run again to look. */
import type { TaskHead } from '../../task/head.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/**
 * Something came from outside, or a child ended: whoever waits for it looks, or is run again to look.
 * @param answered the identities of the questions that were answered, if that is all that came
 */
export function wakeTask(engine: Pick<Engine, 'schedule'>, task: LiveTask, answered?: readonly string[]): void {
  // A session task has no body that could look.
  if (task.isTold || task.head.kind === 'session') return
  if (task.run && !task.run.isOver) {
    task.run.waits.nudge(answered)
    return
  }
  // Its run is being loaded, or let go of: what it sees may be older than the news.
  if (task.scheduled) {
    task.wakesAtOnce = true
    return
  }
  if (!listensForNews(task.head) || task.head.parked) return
  task.disarmWake()
  engine.schedule(task, { now: true })
}

/** Its run is over, and the task is not: it waits for long, it is to be tried again, or news came while it was let go of. */
export function scheduleAfterRun(engine: Pick<Engine, 'tasks' | 'schedule'>, task: LiveTask): void {
  const now = task.wakesAtOnce && listensForNews(task.head)
  task.wakesAtOnce = false
  const isToRun = task.head.wakeAt !== undefined || (now && !task.head.parked)
  if (isToRun && engine.tasks.get(task.taskId) === task) engine.schedule(task, { now })
}

/**
 * True if news ends its wait. The commit that brings an answer or a message takes the time away; a child's end is no commit
 * of its parent's. One that waits between two attempts hears nothing.
 */
export function listensForNews({ wakeAt, listens }: TaskHead): boolean {
  return wakeAt === undefined || listens === true
}
