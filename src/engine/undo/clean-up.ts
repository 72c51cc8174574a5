/**
 * Cleans up behind a task that has settled: ends its children, undoes its steps, runs `onCancel`. The outcome stands; what
 * is written here is how far the clean-up is, so that a process that takes it up continues where the last one was.
 *
 * - Children end first, all at once, with clean-ups of their own: none outlives its parent's. They need no slot of the
 *     parent's, so that a long line of ancestors cannot wait for itself.
 * - Then steps are undone, the newest first (undo-steps.ts), behind every outcome but a result.
 * - Then `onCancel` runs, if something stopped the task behind its body's back.
 * - An undo out of attempts doesn't keep the others: the clean-up ends as failed, and `get` says of what.
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
import type { ActiveRun, Cleaning, LiveTask } from '../core/live-task.js'
import { tellCleanedUp } from '../core/remove-task.js'
import { type Undoer, undo } from './undo.js'
import { lateResults, undoSteps, untilOrGrace } from './undo-steps.js'

/**
 * Begins the clean-up of a settled task, or continues with it.
 * @param run the run that was interrupted in this process, whose functions may still be going on
 */
export function startCleanUp(engine: Engine, task: LiveTask, run?: ActiveRun): void {
  const aborters = new Set<LazyAbort>()
  // Parked by an earlier process, or till now: this one goes on with it.
  task.awaitsRun = true
  const over = cleanUp(engine, task, run, aborters)
    .catch((error: unknown) => {
      if (isFenced(error)) return
      return engine.park(task, { code: 'RECORD_DAMAGED', reason: faultOf(error) })
    })
    .finally(() => {
      if (task.cleaning === cleaning) task.cleaning = undefined
    })
  const cleaning: Cleaning = {
    over,
    abort: (reason) => {
      for (const aborter of aborters) aborter.abort(reason)
    },
  }
  task.cleaning = cleaning
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
  // A close waits for what runs, and not for what waits for that.
  await Promise.race([Promise.all(ended), engine.closingBegan])
  await engine.cleaners.take()
  try {
    if (engine.closing) return
    const definition = engine.registry.get(type)
    if (needsCode(task.head) && !definition) {
      const reason = `its clean-up needs the definition of '${type}', which is not registered in this process`
      return await engine.park(task, { code: 'TASK_TYPE_UNKNOWN', reason })
    }
    // Whatever an earlier process still said of it comes too late.
    if (!interrupted)
      await engine.record(task, { kind: 'clean-up', run: task.head.run + 1, life: engine.openings.life })
    task.awaitsRun = false
    const failed = definition && (await takeBack(engine, task, definition, interrupted, aborters))
    if (failed === 'over' || engine.closing) return
    await engine.record(task, { kind: 'cleaned-up', run: task.head.run, failed })
    await tellCleanedUp(engine, task)
  } finally {
    engine.cleaners.release()
  }
}

function needsCode({ status, intents, stoppedBy }: TaskHead): boolean {
  return status !== 'completed' && (intents !== undefined || stoppedBy !== undefined)
}

/** Undoes and calls `onCancel`. Returns what failed for good, or `over` if the engine closed before the end. */
async function takeBack(
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
  // Not longer because the clock was set back.
  const graceUntil = Math.min(head.settledAt ?? now, now) + definition.cleanUp.graceMs
  // A decision of the body may be undoing some of the steps. Only then is it known which are left.
  if (interrupted) await untilOrGrace(engine, Promise.allSettled(interrupted.undoing.values()), graceUntil)
  await task.settledCommits()
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
      // What only waits takes up no place.
      engine.cleaners.release()
      const goesOn = await untilClosing(engine, instant)
      await engine.cleaners.take()
      return goesOn
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

/** Waits. Returns whether to continue: not if the engine closes meanwhile. */
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
