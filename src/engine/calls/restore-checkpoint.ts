/** Restores a checkpoint in a body: moves it to the segment that the checkpoint opened (rule 1 of the log). */
import { decodeTime } from 'ulid'
import { HoldfastError } from '../../base/errors.js'
import { fromJson } from '../../base/json.js'
import { hasState, readCheckpoint, readState } from '../../store/reads.js'
import type { RestoredCheckpoint } from '../../task/definition/context.js'
import type { TaskHead } from '../../task/head.js'
import type { CheckpointRecord } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import type { Run } from '../replay/run.js'
import { latestSavedState, leaveSegment } from './save-checkpoint.js'

/** The call, as messages name it. */
export const RESTORE_CALL = 'task.restoreCheckpoint(…)'

/**
 * What the body's `restoreCheckpoint` does, once it may be called at all. Answered in a turn of its own, also where there
 * is no checkpoint yet: what the body asks for meanwhile is refused in the first run as in every later one.
 */
export function restoreCheckpoint(run: Run, checkpointId?: string): Promise<RestoredCheckpoint | undefined> {
  run.refuseInFlight('restored')
  const { history, task } = run
  const checkpoint = history.segment === PREFIX ? fromPrefix(run, checkpointId) : afterSave(run, checkpointId)
  const stays = history.segment !== PREFIX
  const parked = stays ? undefined : leaveSegment(run, 'restored')
  if (parked) return parked
  history.restore(checkpoint)
  const tooMany = checkpoint && !stays ? undefined : run.unrecorded.count(RESTORE_CALL)
  if (tooMany) return Promise.reject(tooMany)
  if (!checkpoint) return run.read(async () => undefined)
  // Nobody waits for the audit: the restore itself is not a change, and happens again in every run.
  void run.host.noteRestored(task.head, checkpoint.checkpointId, 'body', true)
  return run.read(() => read(run, checkpoint), stays ? undefined : () => run.unrecorded.handedOver(checkpoint))
}

function fromPrefix(run: Run, checkpointId: string | undefined): CheckpointRecord | undefined {
  const { history, task } = run
  const kept = task.head.checkpoints.body
  const checkpoint = history.checkpoint(checkpointId, kept)
  if (checkpoint || checkpointId === undefined) return checkpoint
  throw missingCheckpoint(task.head, checkpointId, history.checkpoint()?.checkpointId)
}

/** Directly after a save, the save is what a restore answers; once anything newer was asked for, it is too late. */
function afterSave(run: Run, checkpointId: string | undefined): CheckpointRecord | undefined {
  const { history, task } = run
  const { saved } = history
  if (!history.asked && (checkpointId === undefined || checkpointId === saved?.checkpointId)) return saved
  throw new HoldfastError(
    'CHECKPOINT_BEHIND',
    `Task ${task.taskId} restored a checkpoint after it had asked for something newer. A body restores in its first lines, or directly after a save; to go back to a past point, start a new task.`,
    { details: { taskId: task.taskId, checkpointId } },
  )
}

async function read(run: Run, { checkpointId, at: createdAt }: CheckpointRecord): Promise<RestoredCheckpoint> {
  const { host, task } = run
  return host.store.readPatiently(async (level) => {
    const { completedSteps } = await readCheckpoint(level, task.taskId, checkpointId)
    // A replay that walked to a save whose state is dropped by now has handed the same state over again.
    const handed = latestSavedState(run)
    const isDropped = handed !== undefined && !(await hasState(level, task.taskId, checkpointId))
    const state = isDropped ? fromJson(handed || undefined) : await readState(level, task.taskId, checkpointId)
    return { checkpointId, state, completedSteps, createdAt }
  })
}

/** The refusal of an ID that is not there: pruned if it is as old as this task, and older than what is kept. */
export function missingCheckpoint(
  task: Pick<TaskHead, 'taskId' | 'createdAt' | 'forkedFrom'>,
  checkpointId: string,
  oldestKept: string | undefined,
): HoldfastError {
  const details = { taskId: task.taskId, checkpointId }
  const savedAt = timeOf(checkpointId)
  const keptSince = oldestKept && timeOf(oldestKept)
  // A fork's first checkpoints are older than it is.
  const bornAt = task.forkedFrom?.startedAt ?? task.createdAt
  if (savedAt !== undefined && keptSince && savedAt >= bornAt && savedAt <= keptSince) {
    return new HoldfastError(
      'CHECKPOINT_PRUNED',
      `Checkpoint ${checkpointId} of task ${task.taskId} was pruned by a later save. Restore the latest by naming none; or save without \`prune\`, and keep more of them (\`keepCheckpoints\`).`,
      { details },
    )
  }
  return new HoldfastError('CHECKPOINT_NOT_FOUND', `Task ${task.taskId} has no checkpoint ${checkpointId}`, { details })
}

function timeOf(checkpointId: string): number | undefined {
  try {
    return decodeTime(checkpointId.replace(/^cp-/, ''))
  } catch {
    return undefined
  }
}
