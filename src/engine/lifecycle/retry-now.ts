/** Makes the next attempt of a task, or of its steps, due at once for a caller. */
import { HoldfastError } from '../../base/errors.js'
import { readPendingRecords } from '../../store/reads.js'
import { isBetweenAttempts, stepRetryAt } from '../../task/decisions/retry.js'
import type { PendingRecord } from '../../task/log/pending-record.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/**
 * Begins the next attempt now. The request is committed first, so that a crash does not bring the delay back.
 * @throws HoldfastError `TASK_PARKED` for a parked task: `resume` continues it
 * @throws HoldfastError `NO_NEXT_ATTEMPT` if neither the task nor a step waits for its next attempt
 * @throws HoldfastError `TASK_TYPE_UNKNOWN`, `TASK_SETTLED`. The task is unchanged.
 * @throws HoldfastError `STORE_UNAVAILABLE` if the write failed. The attempt may still begin after the outage.
 */
export async function retryNow(engine: Engine, task: LiveTask, by: string): Promise<void> {
  const { taskId, type, status } = task.head
  if (isParked(task)) {
    const message = `Task ${taskId} is parked (${task.head.parked?.code}) and waits for no attempt; \`resume\` continues it`
    throw new HoldfastError('TASK_PARKED', message, { details: { taskId } })
  }
  if (!(await waitsForAttempt(engine, task))) {
    const message = `Task ${taskId} is '${status}', and neither it nor a step of it waits for its next attempt; see \`explain\``
    throw new HoldfastError('NO_NEXT_ATTEMPT', message, { details: { taskId, status } })
  }
  engine.registry.require(type)
  try {
    await engine.recordForCaller(task, { kind: 'retry-now', by })
  } catch (error) {
    // The failed write may be on disk. Then the attempt begins after the outage, although the caller got an error.
    void engine.store.connection.up.then(() => begin(engine, task))
    throw error
  }
  begin(engine, task)
}

/**
 * True if the task, or a step of it, waits for an attempt that is due later.
 * @param read reads the pending records of the task
 */
export async function waitsForAttempt(
  engine: Engine,
  task: LiveTask,
  read = () => readPending(engine, task),
): Promise<boolean> {
  if (task.head.kind === 'session' || isParked(task)) return false
  const notes = task.head.hasStepStates ? await read() : []
  const { head } = task
  const now = engine.clock.now()
  const isLater = (at: number | undefined) => at !== undefined && at > now
  if (notes.some((note) => isLater(stepRetryAt(head, note)))) return true
  return !task.slot.isScheduled && isLater(head.wakeAt) && isBetweenAttempts(head, notes)
}

async function readPending({ store }: Engine, { taskId }: LiveTask): Promise<readonly PendingRecord[]> {
  return [...(await store.read((level) => readPendingRecords(level, taskId))).values()]
}

function isParked(task: LiveTask): boolean {
  return task.head.parked !== undefined && !task.recovery.isRetrying
}

function begin(engine: Engine, task: LiveTask): void {
  if (engine.tasks.get(task.taskId) !== task || !task.head.wantsAttempt) return
  // The task continues now, even if the recovery of all tasks waits for `recover()`.
  task.recovery.resume()
  const { run } = task.slot
  if (run && !run.isOver) run.waits.endAttempts()
  else engine.schedule(task, { now: true })
}
