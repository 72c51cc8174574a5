/**
 * Deletes the records that retries dropped from a log. One clearing of a task runs at a time (store/clear-dropped.ts).
 */

import { faultOf } from '../../base/fault.js'
import { clearForAttempt, deleteDropped } from '../../store/clear-dropped.js'
import { DROPPED, lastPart, under } from '../../store/disk/layout.js'
import { readKeys } from '../../store/reads.js'
import type { Engine } from '../core/engine.js'

/** Name of the mutex for the list of a task's dropped records. */
export const droppedOf = (taskId: string) => `dropped/${taskId}`

/**
 * Clears the data that the next attempt could read (dropped-records-2). Resolves when that is on disk. The records are
 * deleted in the background.
 * @throws HoldfastError `RECORD_DAMAGED`
 */
export async function clearDropped(engine: Engine, taskId: string): Promise<void> {
  const { store, keys, sweeps } = engine
  await sweeps.using(taskId, async () => {
    const isLeft = await keys.run(droppedOf(taskId), () => clearForAttempt(store, taskId))
    if (isLeft) void deleteBehind(engine, taskId)
  })
}

/**
 * Deletes the dropped records that earlier processes left, for all tasks one by one. Runs in the background after a
 * recovery.
 */
export async function clearAllDropped(engine: Engine): Promise<void> {
  const { store, keys, sweeps } = engine
  const found = await store.readPatiently((level) => readKeys(level, under(DROPPED), Number.POSITIVE_INFINITY))
  for (const taskId of found.map(lastPart)) {
    if (engine.closing) return
    if (sweeps.isSweeping(taskId)) continue
    try {
      await sweeps.using(taskId, async () => {
        if (await keys.run(droppedOf(taskId), () => clearForAttempt(store, taskId))) await deleteBehind(engine, taskId)
      })
    } catch (error) {
      logClearing(engine, taskId, error)
    }
  }
}

async function deleteBehind(engine: Engine, taskId: string): Promise<void> {
  const { store, keys, sweeps } = engine
  const { deletingDropped } = sweeps
  if (deletingDropped.has(taskId)) return
  deletingDropped.add(taskId)
  const inOrder = <T>(act: () => Promise<T>) => keys.run(droppedOf(taskId), act)
  try {
    await sweeps.using(taskId, () => deleteDropped(store, taskId, { inOrder, mayContinue: () => !engine.closing }))
  } catch (error) {
    logClearing(engine, taskId, error)
  } finally {
    deletingDropped.delete(taskId)
  }
}

/**
 * Logs that dropped records could not be deleted. Not logged while the engine closes, because a close stops the
 * deletion.
 */
export function logClearing(engine: Pick<Engine, 'closing' | 'logger'>, taskId: string, error: unknown): void {
  if (engine.closing) return
  const fields = { taskId, error: faultOf(error) }
  engine.logger.debug('Records that a retry dropped could not be deleted. The next open does it.', fields)
}
