/** Restores a checkpoint in a body: moves the body to the segment that the checkpoint opened (rule 1 of the log). */
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

/** Name of the call in messages. */
export const RESTORE_CALL = 'task.restoreCheckpoint(…)'

/**
 * Runs a call of `restoreCheckpoint`. The answer has a turn of its own, even if there is no checkpoint yet. So calls
 * that the body makes during the restore are refused in every run.
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
  // The restore does not wait for the audit entry, because it changes nothing and is repeated in every run.
  void run.host.noteRestored(task.head, checkpoint.checkpointId, 'body', true)
  const restore = () => read(run, checkpoint)
  const { span } = run
  const act = span ? () => span.checkpoint('restore-checkpoint', restore) : restore
  return run.read(act, stays ? undefined : () => run.unrecorded.handedOver(checkpoint))
}

function fromPrefix(run: Run, checkpointId: string | undefined): CheckpointRecord | undefined {
  const { history, task } = run
  const kept = task.head.checkpoints.body
  const checkpoint = history.checkpoint(checkpointId, kept)
  if (checkpoint || checkpointId === undefined) return checkpoint
  throw missingCheckpoint(task.head, checkpointId, history.checkpoint()?.checkpointId)
}

/** Returns the checkpoint of a save directly before this call. After any newer call, a restore is refused. */
function afterSave(run: Run, checkpointId: string | undefined): CheckpointRecord | undefined {
  const { history, task } = run
  const { saved } = history
  if (!history.asked && (checkpointId === undefined || checkpointId === saved?.checkpointId)) return saved
  throw new HoldfastError(
    'CHECKPOINT_BEHIND',
    `Task ${task.taskId} restored a checkpoint after a newer call. A body restores in its first lines, or directly after a save; to go back to a past point, start a new task.`,
    { details: { taskId: task.taskId, checkpointId } },
  )
}

async function read(run: Run, { checkpointId, at: createdAt }: CheckpointRecord): Promise<RestoredCheckpoint> {
  const { host, task } = run
  return host.store.readPatiently(async (level) => {
    const { completedSteps } = await readCheckpoint(level, task.taskId, checkpointId)
    // The state of the save may be dropped from the store. A replay that reached the save has its state in memory.
    const handed = latestSavedState(run)
    const isDropped = handed !== undefined && !(await hasState(level, task.taskId, checkpointId))
    const state = isDropped ? fromJson(handed || undefined) : await readState(level, task.taskId, checkpointId)
    return { checkpointId, state, completedSteps, createdAt }
  })
}

/** The error for an unknown checkpoint ID. An ID from after the task's creation and before the kept ones was pruned. */
export function missingCheckpoint(
  task: Pick<TaskHead, 'taskId' | 'createdAt' | 'forkedFrom'>,
  checkpointId: string,
  oldestKept: string | undefined,
): HoldfastError {
  const details = { taskId: task.taskId, checkpointId }
  const savedAt = timeOf(checkpointId)
  const keptSince = oldestKept && timeOf(oldestKept)
  // The copied checkpoints of a fork are older than the fork.
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
