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
  const { slot } = task
  if (slot.run && !slot.run.isOver) {
    slot.run.waits.nudge(answered)
    return
  }
  if (slot.isScheduled) {
    slot.noteNews()
    return
  }
  if (!listensForNews(task.head) || task.head.parked) return
  engine.schedule(task, { now: true })
}

/**
 * Queues a task again after a run that did not end it: after an unload, before a retry, or if news came during the
 * unload.
 * @param hadNews true if news came too late for the run
 */
export function scheduleAfterRun(engine: Pick<Engine, 'tasks' | 'schedule'>, task: LiveTask, hadNews: boolean): void {
  const now = hadNews && listensForNews(task.head)
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
