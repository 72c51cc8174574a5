/** Wakes a waiting task when an answer, a message or the end of a child arrives. */
import type { TaskHead } from '../../task/head.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/**
 * Wakes the waits of a task in memory, or queues an unloaded task, after an answer, a message, or the end of a child.
 * @param answered identities of the answered inputs, if only answers came
 */
export function wakeTask(engine: Pick<Engine, 'schedule'>, task: LiveTask, answered?: readonly string[]): void {
  // A session task has no body, so nothing waits.
  if (task.settlement.isAnnounced || task.head.kind === 'session') return
  if (task.run && !task.run.isOver) {
    task.run.waits.nudge(answered)
    return
  }
  // The run is being loaded or unloaded, and may have read data from before the news.
  if (task.scheduled) {
    task.wakesAtOnce = true
    return
  }
  if (!listensForNews(task.head) || task.head.parked) return
  task.disarmWake()
  engine.schedule(task, { now: true })
}

/**
 * Queues a task again after a run that did not end it: after an unload, before a retry, or if news came during the
 * unload.
 */
export function scheduleAfterRun(engine: Pick<Engine, 'tasks' | 'schedule'>, task: LiveTask): void {
  const now = task.wakesAtOnce && listensForNews(task.head)
  task.wakesAtOnce = false
  const isToRun = task.head.wakeAt !== undefined || (now && !task.head.parked)
  if (isToRun && engine.tasks.get(task.taskId) === task) engine.schedule(task, { now })
}

/**
 * True if news wakes the unloaded task. The commit of an answer or a message removes `wakeAt`. The end of a child
 * changes nothing in the head of the parent, so `listens` counts too. A task that waits between two attempts is not
 * woken by news.
 */
function listensForNews({ wakeAt, listens }: TaskHead): boolean {
  return wakeAt === undefined || listens === true
}
