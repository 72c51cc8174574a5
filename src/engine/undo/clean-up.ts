/**
 * Cleans up after a task has settled: ends its children, undoes its steps, runs `onCancel`. The outcome never changes.
 * The progress of the clean-up is committed, so that a later process continues where the last one stopped.
 *
 * - Children end first, all at once, with clean-ups of their own. The clean-up of the parent waits for those of the
 *     children, and holds no place while it waits. Without this, a long line of ancestors could wait for itself.
 * - Then steps are undone, the newest first (undo-steps.ts), after every outcome but a result.
 * - Then `onCancel` runs, if the task was stopped from outside its body.
 * - An undo without attempts left does not stop the others. The clean-up then ends as failed, and `get` shows the
 *     reason.
 */

import { faultOf } from '../../base/fault.js'
import { fromJson } from '../../base/json.js'
import type { LazyAbort } from '../../base/lazy-abort.js'
import { readCheckpoints } from '../../store/read-log.js'
import { readInput, readOutcome, readState, readUndoRecords } from '../../store/reads.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { Cancelled, RestoredCheckpoint } from '../../task/definition/context.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { StoppedBy, TaskHead } from '../../task/head.js'
import { isUndoingOver, ON_CANCEL, onCancelRecord, type UndoRecord } from '../../task/log/undo-record.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { announceCleanedUp } from '../core/remove-task.js'
import type { Cleaning } from '../state/settlement.js'
import type { ActiveRun } from '../state/slot-state.js'
import { type Undoer, undo } from './undo.js'
import { lateResults, undoSteps, untilOrGrace } from './undo-steps.js'

/**
 * Begins or continues the clean-up of a settled task.
 * @param run the run that was interrupted in this process. Its functions may still run
 */
export function startCleanUp(engine: Engine, task: LiveTask, run?: ActiveRun): void {
  const aborters = new Set<LazyAbort>()
  // A parked clean-up is being retried, so the task does not count as parked.
  task.recovery.beginCleanUp()
  const over = cleanUp(engine, task, run, aborters)
    .catch((error: unknown) => {
      if (isFenced(error)) return
      return engine.park(task, { code: 'RECORD_DAMAGED', reason: faultOf(error) })
    })
    .finally(() => task.settlement.endCleaning(cleaning))
  const cleaning: Cleaning = {
    over,
    abort: (reason) => {
      for (const aborter of aborters) aborter.abort(reason)
    },
  }
  task.settlement.beginCleaning(cleaning)
}

async function cleanUp(
  engine: Engine,
  task: LiveTask,
  interrupted: ActiveRun | undefined,
  aborters: Set<LazyAbort>,
): Promise<void> {
  const { taskId, type } = task.head
  const children = engine.children.of(taskId)
  const ended = children.map((child) => engine.children.end(child, `its parent task ${taskId} is over`))
  // A close waits for running clean-ups, and not for a clean-up that waits for children.
  await Promise.race([Promise.all(ended), engine.closingBegan])
  await engine.cleaners.take()
  try {
    if (engine.closing) return
    const definition = engine.registry.get(type)
    if (needsCode(task.head) && !definition) {
      const reason = `its clean-up needs the definition of '${type}', which is not registered in this process`
      return await engine.park(task, { code: 'TASK_TYPE_UNKNOWN', reason })
    }
    // Begins a new run, so that events of an earlier process are refused.
    if (!interrupted)
      await engine.record(task, { kind: 'clean-up', run: task.head.run + 1, life: engine.openings.life })
    task.recovery.endRetry()
    const failed = definition && (await undoAndCallOnCancel(engine, task, definition, interrupted, aborters))
    if (failed === 'over' || engine.closing) return
    await engine.record(task, { kind: 'cleaned-up', run: task.head.run, failed })
    await announceCleanedUp(engine, task)
  } finally {
    engine.cleaners.release()
  }
}

function needsCode({ status, intents, stoppedBy }: TaskHead): boolean {
  return status !== 'completed' && (intents !== undefined || stoppedBy !== undefined)
}

/**
 * Undoes the steps and calls `onCancel`. Returns the failures as text, or `over` if the engine closed before the end.
 */
async function undoAndCallOnCancel(
  engine: Engine,
  task: LiveTask,
  definition: AnyTaskDefinition,
  interrupted: ActiveRun | undefined,
  aborters: Set<LazyAbort>,
): Promise<string | undefined> {
  const { head, taskId } = task
  if (!needsCode(head)) return undefined
  const { store, clock } = engine
  const now = clock.now()
  // The minimum keeps the grace from growing if the clock was set back.
  const graceUntil = Math.min(head.settledAt ?? now, now) + definition.cleanUp.graceMs
  // A decision of the body may be undoing some of the steps. Waits for that, and then reads the steps that are left.
  if (interrupted) await untilOrGrace(engine, Promise.allSettled(interrupted.undoing.values()), graceUntil)
  await task.commits.allWritten()
  const { input, intents } = await store.readPatiently(async (level) => ({
    input: await readInput(level, head),
    intents: await readUndoRecords(level, taskId),
  }))
  const known = interrupted
    ? await lateResults(engine, task, intents.filter(isOpen), interrupted.functions, graceUntil)
    : intents
  const undoer: Undoer = {
    host: engine,
    task,
    definition,
    run: head.run,
    isOver: () => engine.closing,
    until: async (instant) => {
      // A clean-up that only waits holds no place.
      engine.cleaners.release()
      const continues = await untilClosing(engine, instant)
      await engine.cleaners.take()
      return continues
    },
    running: (working, aborter) => {
      aborters.add(aborter)
      const over = () => void aborters.delete(aborter)
      working.then(over, over)
    },
  }
  const latest = new Map(known.map((intent) => [intent.id, intent]))
  const steps = intents.filter(({ id }) => id !== ON_CANCEL).map((intent) => latest.get(intent.id) ?? intent)
  const undone = await undoSteps(undoer, steps, input)
  if (!undone) return 'over'
  const called = head.stoppedBy && definition.onCancel ? await callOnCancel(undoer, intents, input) : []
  if (!called) return 'over'
  const failed = [...undone, ...called].filter(({ undoing }) => undoing?.failedAt !== undefined)
  return failed.length === 0 ? undefined : failed.map(describeFailure).join('; ')
}

function isOpen(intent: UndoRecord): boolean {
  return !isUndoingOver(intent)
}

function describeFailure({ id, name, undoing }: UndoRecord): string {
  return `${id === ON_CANCEL ? 'onCancel' : `the undo of step '${name}'`} failed: ${undoing?.error ?? ''}`
}

async function callOnCancel(
  undoer: Undoer,
  intents: readonly UndoRecord[],
  input: string | undefined,
): Promise<UndoRecord[] | undefined> {
  const { host, task, definition } = undoer
  const intent = intents.find(({ id }) => id === ON_CANCEL) ?? onCancelRecord(host.clock.now())
  if (isUndoingOver(intent)) return [intent]
  const cancelled = await host.store.readPatiently(async (level): Promise<Cancelled> => {
    const outcome = await readOutcome(level, task.taskId)
    return {
      input: fromJson(input),
      lastCheckpoint: await lastCheckpoint(task.head, level),
      reason: outcome.kind === 'cancelled' ? outcome.reason : task.head.error?.code,
      stoppedBy: task.head.stoppedBy as StoppedBy,
    }
  })
  const { onCancel } = definition
  const ended = await undo(undoer, intent, (context) => onCancel?.(context, cancelled as Cancelled<never>))
  return ended && [ended]
}

async function lastCheckpoint(
  head: TaskHead,
  level: Parameters<typeof readCheckpoints>[0],
): Promise<RestoredCheckpoint | undefined> {
  const last = (await readCheckpoints(level, head)).findLast(({ savedBy }) => savedBy === 'body')
  if (!last) return undefined
  const { checkpointId, completedSteps, createdAt } = last
  return { checkpointId, state: await readState(level, head.taskId, checkpointId), completedSteps, createdAt }
}

/** Waits until an instant. True to continue, false if the engine closes first. */
async function untilClosing(
  engine: Pick<Engine, 'clock' | 'closingBegan' | 'closing'>,
  instant: number,
): Promise<boolean> {
  let disarm = () => {}
  const time = new Promise<void>((resolve) => {
    disarm = engine.clock.setTimer(instant, resolve)
  })
  await Promise.race([time, engine.closingBegan])
  disarm()
  return !engine.closing
}
