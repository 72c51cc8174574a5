/**
 * Resets the tasks in memory to their state on disk after an outage of the store. Without this, later decisions would
 * be based on a commit that was lost.
 */
import { HoldfastError } from '../../base/errors.js'
import type { Level } from '../../store/disk/level.js'
import { readHead, readOutcome } from '../../store/reads.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { announceCleanedUp } from '../core/remove-task.js'
import { announceSettled } from '../lifecycle/settle.js'
import { recordStatus } from '../state/task-spans.js'

/** Reads the heads of these tasks. Returns a function that sends the notifications when the store is up. */
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
      if (!head || !isSettled(head.status)) continue
      settled.set(task, JSON.stringify(await readOutcome(level, taskId)))
    } catch (error) {
      if (!(error instanceof HoldfastError && error.code === 'RECORD_DAMAGED')) throw error
      harmed.push(task)
    }
  }
  const landed: LiveTask[] = []
  const continueDeferring: (() => void)[] = []
  for (const [task, head] of heads) {
    // The commit of this start is not on disk. Its caller got `START_UNKNOWN`.
    if (!head) {
      if (!task.commits.childCreation) {
        forget(engine, task)
        task.commits.admitted?.giveBack({ unknown: false })
      }
    } else {
      if (task.commits.admitted) {
        task.commits.endCreation()
        landed.push(task)
      }
      const { telemetry } = engine.options
      if (telemetry) recordStatus(telemetry, task, head, engine.clock.now())
      task.commits.reset(head)
      if (task.deferred) continueDeferring.push(task.deferred.decideAgain())
      engine.usage.note(task)
    }
  }
  return () => {
    for (const task of landed) adopt(engine, task)
    for (const next of continueDeferring) next()
    for (const [task, outcomeText] of settled) announceAgain(engine, task, outcomeText)
    // An answer or a message may be on disk although its caller got an error. No event woke the task then.
    for (const [task, head] of heads) if (head?.hasNews) engine.hasNews(task)
    for (const task of harmed) quarantine(engine, task)
  }
}

/**
 * Notifies about a task that is settled on disk. If that was notified before, the end of its clean-up may be missing.
 */
function announceAgain(engine: Engine, task: LiveTask, outcomeText: string): void {
  announceSettled(engine, task, outcomeText)
  if (!isLive(task.head)) void announceCleanedUp(engine, task)
}

function forget(engine: Pick<Engine, 'tasks' | 'children'>, task: LiveTask): void {
  engine.tasks.delete(task.taskId)
  engine.children.delete(task.head)
}

/** Continues a start whose commit is on disk although its caller got an error. */
function adopt(engine: Pick<Engine, 'arm' | 'events' | 'schedule'>, task: LiveTask): void {
  const { taskId, type, owner, kind, status } = task.head
  engine.arm(task)
  engine.events.emit('task:created', { taskId, type, owner })
  // A task that was created as settled has nothing to run.
  if (kind === 'body' && !isSettled(status)) engine.schedule(task)
}

/**
 * Removes a damaged task from memory, so that the others continue. Its waiters are notified, and reads of it are
 * refused.
 */
function quarantine(engine: Pick<Engine, 'logger' | 'waiters' | 'tasks' | 'children'>, task: LiveTask): void {
  const { taskId } = task.head
  engine.logger.error('A task is damaged on disk and does not run. Restore a copy of the store.', { taskId })
  forget(engine, task)
  task.timeLimit.cancel()
  task.slot.cancelTimer()
  task.slot.run?.abandon()
  engine.waiters.notify(taskId, { kind: 'parked' })
}
