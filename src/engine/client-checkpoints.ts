/** Checkpoints from outside: a client's state beside a task. They never move a body. */
import { HoldfastError } from '../errors.js'
import { toJson } from '../json.js'
import { readCheckpoints, readState } from '../store/reads.js'
import type { CheckpointInfo, SavedBy } from '../task/checkpoint.js'
import type { RestoredCheckpoint } from '../task/context.js'
import type { TaskHead } from '../task/head.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'
import { readSteady } from './read-steady.js'
import { missingCheckpoint } from './restore-checkpoint.js'

/** Saves a client's state. */
export async function saveClientCheckpoint(
  engine: Engine,
  task: LiveTask,
  state: unknown,
  { label, by }: { label: string | undefined; by: string },
): Promise<{ checkpointId: string }> {
  if (label !== undefined) checkName(label, 'label', NAME_BYTES_MAX.label)
  const { stateBytesMax: bytesMax, checkpointsPerTaskMax: max } = engine.limits
  const stateText =
    toJson(state, { what: 'the state of the checkpoint', bytesMax, option: 'limits.stateBytesMax' }) ?? ''
  const { taskId, type, checkpoints } = task.head
  if (checkpoints.client >= max) {
    throw new HoldfastError(
      'LIMIT_EXCEEDED',
      `Task ${taskId} keeps ${max} checkpoints of clients already (option \`limits.checkpointsPerTaskMax\`). Raise it, or go on with a new task.`,
      { details: { taskId, max, option: 'limits.checkpointsPerTaskMax' } },
    )
  }
  const checkpointId = engine.ids.checkpointId(engine.clock.now())
  await engine.recordForCaller(task, { kind: 'save-checkpoint', checkpointId, stateText, label, by })
  engine.events.emit('checkpoint:saved', { taskId, type, checkpointId, savedBy: 'client' })
  return { checkpointId }
}

/** Reads a checkpoint, the latest by default, and notes in the audit that it was restored. */
export async function restoreClientCheckpoint(
  engine: Engine,
  head: TaskHead,
  { checkpointId, savedBy, by }: { checkpointId: string | undefined; savedBy: SavedBy | undefined; by: string },
): Promise<RestoredCheckpoint> {
  const { taskId } = head
  const { value } = await readSteady(engine, head, async (level, now) => {
    const all = (await readCheckpoints(level, now)).filter(
      (known) => savedBy === undefined || known.savedBy === savedBy,
    )
    const info = checkpointId === undefined ? all.at(-1) : all.find((known) => known.checkpointId === checkpointId)
    if (!info) throw noSuchCheckpoint(now, checkpointId, all)
    return { info, state: await readState(level, taskId, info.checkpointId) }
  })
  const { info, state } = value
  await engine.noteRestored(head, info.checkpointId, by, false)
  const { completedSteps, createdAt } = info
  return { checkpointId: info.checkpointId, state, completedSteps, createdAt }
}

function noSuchCheckpoint(head: TaskHead, checkpointId: string | undefined, all: readonly CheckpointInfo[]) {
  if (checkpointId !== undefined) {
    const oldestKept = all.find(({ savedBy }) => savedBy === 'body')?.checkpointId
    return missingCheckpoint(head, checkpointId, oldestKept)
  }
  return new HoldfastError('CHECKPOINT_NOT_FOUND', `Task ${head.taskId} has no checkpoint yet`, {
    details: { taskId: head.taskId },
  })
}
