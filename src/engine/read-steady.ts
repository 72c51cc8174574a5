/**
 * Reads what lies beside a head while the task goes on. Between the two reads a step may be recorded, or a checkpoint
 * pruned; that looks like damage, and is none if the head has moved meanwhile.
 */
import { HoldfastError } from '../errors.js'
import type { Level } from '../store/level.js'
import { readHead } from '../store/reads.js'
import type { TaskHead } from '../task/head.js'
import type { Engine } from './engine.js'

/**
 * What `read` makes of the task's head as it is on disk, and that head.
 * @throws HoldfastError `RECORD_DAMAGED` where the head stands still
 */
export async function readSteady<T>(
  engine: Engine,
  found: TaskHead,
  read: (level: Level, head: TaskHead) => Promise<T>,
): Promise<{ head: TaskHead; value: T }> {
  const { store } = engine
  const fresh = async () => (await store.read((level) => readHead(level, found.taskId))) ?? found
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
