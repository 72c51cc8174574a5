/** How a task comes to its end: settled, told, cleaned up, told again. Or to a stop: parked. */
import { isSettled, type Parked, type TaskHead } from '../task/head.js'
import type { Outcome } from '../task/outcome.js'
import type { EventOf } from '../task/task-event.js'
import { isFenced } from '../task/transition.js'
import { startCleanUp } from './clean-up.js'
import { codeMark } from './code-mark.js'
import type { Settling } from './collaborators.js'
import type { Engine } from './engine.js'
import { leave } from './leaving.js'
import type { LiveTask } from './live-task.js'

/** The event that settles a task of this type, with what it needs to know of the definition and the options. */
export function settleEvent(
  { registry, retentionMs }: Engine,
  { type, kind }: Pick<TaskHead, 'type' | 'kind'>,
  outcome: Outcome,
  who: Omit<Settling, 'patient'>,
): EventOf<'settle'> {
  const definition = registry.get(type)
  const onCancel = kind === 'session' ? false : definition ? definition.onCancel !== undefined : 'unknown'
  return { kind: 'settle', outcome, retentionMs, onCancel, ...who }
}

/** Tells everybody that a task is settled, once that is on disk, and cleans up behind it. Told before, it does nothing. */
export function tellSettled(engine: Engine, task: LiveTask): void {
  if (task.isTold) return
  task.isTold = true
  const { taskId, type, status, error } = task.head
  task.disarm()
  task.disarmWake()
  engine.scheduler.remove(taskId)
  engine.suspects.over(task)
  if (status === 'failed') engine.lines.failed(taskId, type, error?.code)
  const settled = status as 'completed' | 'failed' | 'cancelled'
  engine.events.emit('task:settled', { taskId, type, status: settled, code: error?.code })
  engine.report.note(
    { taskId, type, action: 'settled', reason: error ? `${settled}: ${error.code}` : settled },
    engine.clock.now(),
  )
  const { run } = task
  run?.interrupt()
  if (task.head.cleanUp === 'pending') {
    startCleanUp(engine, task, run)
    return
  }
  // A task that was given up has children still.
  for (const child of engine.children.of(taskId)) void endOrphan(engine, child)
  leave(engine, task)
}

/** Cancels a task whose parent is over. */
export async function endOrphan(engine: Engine, taskId: string): Promise<void> {
  const task = engine.tasks.get(taskId)
  if (!task || isSettled(task.head.status)) return
  const outcome: Outcome = { kind: 'cancelled', reason: `its parent task ${task.head.parentId} is over` }
  try {
    await engine.settle(task, outcome, { by: 'engine', patient: true, stoppedBy: 'cancel' })
  } catch (error) {
    if (!isFenced(error)) engine.logger.error('A child could not be cancelled', { taskId, error: String(error) })
  }
}

/** What a body returned after its task was settled changes nothing, and is noted. */
export async function noteDropped(engine: Engine, { head }: LiveTask): Promise<void> {
  const entry = { at: engine.clock.now(), action: 'result-dropped', by: 'body', why: head.status } as const
  try {
    await engine.sweeps.using(head.taskId, async () => {
      await engine.store.commit({ head, changes: [{ kind: 'audit', entry }] }, { patient: true })
    })
  } catch (error) {
    engine.logger.warn('A dropped result could not be noted', { taskId: head.taskId, error: String(error) })
  }
}

/** Parks a task: it can't go on, and everybody who asks is told why. */
export async function park(engine: Engine, task: LiveTask, parked: Omit<Parked, 'since'>, run?: number): Promise<void> {
  const { taskId, type } = task.head
  const definition = parked.code === 'CODE_CHANGED' ? engine.registry.get(type) : undefined
  const triedWith = definition && codeMark(definition)
  try {
    await engine.record(task, { kind: 'park', parked, run, triedWith })
  } catch (error) {
    if (isFenced(error)) return
    throw error
  }
  // Registered while that was being written: it runs, and nobody is told that it can't.
  if (parked.code === 'TASK_TYPE_UNKNOWN' && engine.registry.get(type)) {
    return isSettled(task.head.status) ? startCleanUp(engine, task) : engine.schedule(task)
  }
  task.awaitsRun = false
  // Whoever is told may register what it waits for, and it goes on.
  if (isSettled(task.head.status)) task.cleaning = undefined
  if (parked.code === 'RECORD_DAMAGED') {
    const said = 'A task is parked: a record of it is damaged. Restore a copy of the store, or cancel the task.'
    engine.logger.error(said, { taskId, type, reason: parked.reason })
  } else engine.lines.parked(taskId, type, parked.code)
  engine.events.emit('task:parked', { taskId, type, ...parked })
  engine.waiters.tell(taskId, { kind: 'parked' })
  engine.report.note({ taskId, type, action: 'parked', reason: `${parked.code}: ${parked.reason}` }, engine.clock.now())
}
