/** Loads the unfinished tasks at an open, and resumes them after `open` has returned (apply-plan.ts). */

import { faultOf } from '../../base/fault.js'
import { liveKey } from '../../store/disk/layout.js'
import { readLiveHeads, readNewestTaskId } from '../../store/reads.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { isSettled, type TaskHead } from '../../task/head.js'
import type { SpanEnd } from '../../task/telemetry.js'
import { codeMark } from '../checks/code-mark.js'
import type { Engine } from '../core/engine.js'
import { LiveTask } from '../core/live-task.js'
import type { RecoveryReport } from '../core/recovery-report.js'
import { endOrphan } from '../lifecycle/cancel.js'
import { clearAllDropped, logClearing } from '../lifecycle/clear-after-retry.js'
import { startCleanUp } from '../undo/clean-up.js'
import { recover } from './apply-plan.js'
import type { ParkedRetries } from './parked-retries.js'

/** Reads the heads of all unfinished tasks into memory, and counts a crash of the last process. No body runs yet. */
export async function loadTasks(engine: Engine): Promise<TaskHead[]> {
  const { store, openings, report, logger, options, clock, ids } = engine
  const { heads: live, damaged, stale } = await store.read(readLiveHeads)
  const newest = await store.read(readNewestTaskId)
  if (newest !== undefined) ids.continueAfter(newest)
  const { heads, heldReason } = await openings.begin(live, options.recover, clock.now())
  report.heldReason = heldReason
  for (const read of heads) {
    // Later writes of this process are only as durable as the store is opened now.
    const head: TaskHead = store.durability === 'buffered' ? { ...read, durability: 'buffered' } : read
    engine.add(new LiveTask(head))
  }
  for (const { taskId, reason } of damaged) {
    logger.error('The head of a task is damaged, so the task does not run. Restore a copy of the store.', {
      taskId,
      reason,
    })
    report.tasks.push({ taskId, type: '', action: 'damaged', replayed: 0, reason })
  }
  if (options.purpose === 'serve') for (const taskId of stale) await dropStaleHead(engine, taskId)
  return heads
}

/** Deletes a live head of a settled task. Without this, a later opening or a read would believe it (recovery-3). */
async function dropStaleHead(
  { store, logger, report }: Pick<Engine, 'store' | 'logger' | 'report'>,
  taskId: string,
): Promise<void> {
  const reason = 'stale head: the task is settled, and an earlier state of it was found as unfinished; that was deleted'
  logger.error('A settled task was found as unfinished too. It stays settled; the stale head is deleted.', { taskId })
  await store.put(taskId, [{ key: liveKey(taskId) }])
  report.tasks.push({ taskId, type: '', action: 'damaged', replayed: 0, reason })
}

/** Resumes the tasks with these heads, oldest first. */
export function resumeTasks(engine: Engine, parkedRetries: ParkedRetries, found: readonly TaskHead[]): void {
  const { report, clock, tasks } = engine
  // The current heads, because a task may have been resumed or cancelled before a late `recover()`.
  const heads = found.flatMap(({ taskId }) => tasks.get(taskId)?.head ?? [])
  const taskOf = (taskId: string) => tasks.get(taskId) as LiveTask
  const { telemetry } = engine.options
  const span = telemetry?.begin({ kind: 'recover', found: heads.length })
  if (span) void report.done.then(() => span.end(recoveredEnd(report)))
  report.begin(
    heads.map(({ taskId }) => taskId),
    clock.now(),
  )
  for (const { taskId } of heads) {
    taskOf(taskId).recovery.resume()
    engine.arm(taskOf(taskId))
  }
  for (const { taskId, parentId } of heads) {
    if (parentId !== undefined && !tasks.has(parentId)) void endOrphan(engine, taskId)
  }
  recover(heads, report, {
    now: () => clock.now(),
    maximumRecoveries: engine.options.maximumRecoveries,
    codeMark: (type) => {
      const definition = engine.registry.get(type)
      return definition && codeMark(definition)
    },
    resume: (taskId) => engine.schedule(taskOf(taskId), { now: true }),
    retryParked: (taskId) => parkedRetries.add(taskOf(taskId)),
    wait: (taskId) => engine.schedule(taskOf(taskId)),
    park: (taskId, parked) => engine.park(taskOf(taskId), parked),
    cleanUp: (taskId) => {
      if (!taskOf(taskId).settlement.cleaning) startCleanUp(engine, taskOf(taskId))
    },
    timeOut: (taskId) => engine.timeOut(taskOf(taskId)),
  })
  clearAllDropped(engine).catch((error: unknown) => logClearing(engine, '', error))
  parkedRetries.flush()
  void report.done.then((report) => engine.openings.recovered(report))
  void report.done.then(() => {
    if (report.finishedAt === undefined) return
    engine.lines.recovered(report)
    engine.serviceLevels.recovered(report).catch((error: unknown) => {
      if (!engine.closing) engine.logger.debug('A recovery could not be counted', { error: faultOf(error) })
    })
    engine.events.emit('recovery:done', {
      resumed: report.count('resumed'),
      parked: report.count('parked'),
      settled: report.count('settled'),
      damaged: report.count('damaged'),
    })
  })
}

/** The end of the span of a recovery. A close before its end interrupts it. */
function recoveredEnd({ tasks, finishedAt }: RecoveryReport): SpanEnd {
  const counts: Record<string, number> = {}
  for (const { action } of tasks) counts[action] = (counts[action] ?? 0) + 1
  return { outcome: finishedAt === undefined ? 'interrupted' : 'completed', tasks: counts }
}

/** Resumes tasks that were parked because this definition was missing, after its registration. */
export function resumeType(engine: Engine, parkedRetries: ParkedRetries, definition: AnyTaskDefinition): void {
  if (engine.report.startedAt === undefined) return
  const mark = codeMark(definition)
  for (const task of engine.tasks.values()) {
    const { type, parked, status, triedWith } = task.head
    if (type !== definition.name) continue
    if (parked?.code === 'CODE_CHANGED' && triedWith === mark) parkedRetries.add(task)
    else if (parked?.code !== 'TASK_TYPE_UNKNOWN' && parked?.code !== 'CODE_CHANGED') continue
    // Runs now even if the task sleeps, because its run ends the parking.
    else if (!isSettled(status)) engine.schedule(task, { now: true })
    else if (!task.settlement.cleaning) startCleanUp(engine, task)
  }
}
