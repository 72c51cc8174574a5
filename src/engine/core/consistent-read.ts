/**
 * Reads what lies beside a head while the task continues. Between the two reads a step may be recorded, or a checkpoint
 * pruned; that looks like damage, and is none if the head has moved meanwhile.
 */
import { HoldfastError } from '../../base/errors.js'
import type { Level } from '../../store/disk/level.js'
import { readHead, readOutcome } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { TaskHead } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'

/** What is read from. */
interface Readable {
  readonly store: Store
}

/**
 * What `read` makes of the task's head as it is on disk, and that head.
 * @throws HoldfastError `RECORD_DAMAGED` where the head stands still
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

/** What a settled task settled with. @throws HoldfastError `TASK_NOT_FOUND` if it is swept meanwhile */
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

/** The refusal of a task that is not there, or not this caller's. */
export function taskNotFound(taskId: string): HoldfastError {
  const shown = taskId.slice(0, 80)
  return new HoldfastError('TASK_NOT_FOUND', `There is no task ${JSON.stringify(shown)}`, {
    details: { taskId: shown },
  })
}
