/**
 * Reads a head and the records of its task while the task continues. Between the two reads, a step may be recorded or
 * a checkpoint pruned. That looks like damage, and is none if the head has changed since the first read.
 */
import { HoldfastError } from '../../base/errors.js'
import type { Level } from '../../store/disk/level.js'
import { readHead, readOutcome } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { TaskHead } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'

/** The store that is read. */
interface Readable {
  readonly store: Store
}

/**
 * Returns the head on disk, and the result of `read` for that head. Reads again if the head changed during `read`.
 * @throws HoldfastError `RECORD_DAMAGED` if the records do not match a head that did not change
 * @throws HoldfastError `TASK_NOT_FOUND` if the task was swept
 */
export async function readConsistent<T>(
  engine: Readable,
  found: TaskHead,
  read: (level: Level, head: TaskHead) => Promise<T>,
): Promise<{ head: TaskHead; value: T }> {
  const { store } = engine
  const fresh = async () => {
    const head = await store.read((level) => readHead(level, found.taskId))
    if (!head || head.sweeping) throw taskNotFound(found.taskId)
    return head
  }
  for (let head = await fresh(); ; ) {
    try {
      return { head, value: await store.read((level) => read(level, head)) }
    } catch (error) {
      const now = await fresh()
      if (!(error instanceof HoldfastError && error.code === 'RECORD_DAMAGED') || now.seq === head.seq) throw error
      head = now
    }
  }
}

/**
 * Returns the outcome of a settled task.
 * @throws HoldfastError `TASK_NOT_FOUND` if the task was swept
 */
export async function readConsistentOutcome(engine: Readable, { taskId }: TaskHead): Promise<Outcome> {
  const { store } = engine
  try {
    return await store.read((level) => readOutcome(level, taskId))
  } catch (error) {
    const head = await store.read((level) => readHead(level, taskId))
    if (!head || head.sweeping) throw taskNotFound(taskId)
    throw error
  }
}

/** The error for a task that does not exist, or belongs to another owner. */
export function taskNotFound(taskId: string): HoldfastError {
  const shown = taskId.slice(0, 80)
  return new HoldfastError('TASK_NOT_FOUND', `There is no task ${JSON.stringify(shown)}`, {
    details: { taskId: shown },
  })
}
