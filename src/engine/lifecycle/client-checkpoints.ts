/** Checkpoints of clients, stored with a task. They do not affect the body of the task. */
import { HoldfastError } from '../../base/errors.js'
import { toJson } from '../../base/json.js'
import { readCheckpoints } from '../../store/read-log.js'
import { readState } from '../../store/reads.js'
import { stateUsage } from '../../task/byte-count.js'
import type { CheckpointInfo, SavedBy } from '../../task/checkpoint.js'
import type { RestoredCheckpoint } from '../../task/definition/context.js'
import type { TaskHead } from '../../task/head.js'
import { spanTaskOf } from '../../task/telemetry.js'
import { missingCheckpoint } from '../calls/restore-checkpoint.js'
import { STATES_DROPPED_MAX } from '../calls/save-checkpoint.js'
import { readConsistent } from '../core/consistent-read.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'
import { tracedCheckpoint } from '../state/task-spans.js'

/** Saves a checkpoint of a client. */
export async function saveClientCheckpoint(
  engine: Engine,
  task: LiveTask,
  state: unknown,
  about: { label: string | undefined; by: string },
): Promise<{ checkpointId: string }> {
  const keep = engine.keepCheckpointsOf(task.head.type)
  const save = () => saveOne(engine, task, state, { ...about, keep })
  // Saves of one task run in order. Without this, two saves could make room by dropping the same checkpoint.
  const act = keep === undefined ? save : () => engine.saves.run(task.taskId, save)
  const { telemetry } = engine.options
  if (!telemetry) return act()
  return tracedCheckpoint(telemetry, { kind: 'save-checkpoint', task: spanTaskOf(task.head), by: 'client' }, act)
}

async function saveOne(
  engine: Engine,
  task: LiveTask,
  state: unknown,
  { label, by, keep }: { label: string | undefined; by: string; keep: number | undefined },
): Promise<{ checkpointId: string }> {
  const { stateBytesMax: bytesMax, checkpointsPerTaskMax: max } = engine.limits
  const stateText =
    toJson(state, { what: 'the state of the checkpoint', bytesMax, option: 'limits.stateBytesMax' }) ?? ''
  const { taskId, type, checkpoints, owner } = task.head
  const tooMany = keep === undefined ? 0 : Math.min(STATES_DROPPED_MAX, Math.max(0, checkpoints.client - (keep - 1)))
  const drops = tooMany === 0 ? [] : await oldest(engine, task.head, tooMany)
  if (checkpoints.client - drops.length >= max) {
    throw new HoldfastError(
      'LIMIT_EXCEEDED',
      `Task ${taskId} keeps ${max} checkpoints of clients already (option \`limits.checkpointsPerTaskMax\`). Raise it, or set \`keepCheckpoints\` to keep only the newest.`,
      { details: { taskId, max, option: 'limits.checkpointsPerTaskMax' } },
    )
  }
  await engine.usage.load(owner)
  engine.usage.assertRoom(owner, stateUsage(Buffer.byteLength(stateText)))
  const checkpointId = engine.ids.checkpointId(engine.clock.now())
  await engine.recordForCaller(task, { kind: 'save-checkpoint', checkpointId, stateText, label, by, drops })
  engine.events.emit('checkpoint:saved', { taskId, type, checkpointId, savedBy: 'client' })
  return { checkpointId }
}

/** The oldest checkpoints of clients that are kept. Waits for pending commits of the task first. */
async function oldest(
  engine: Pick<Engine, 'tasks' | 'store'>,
  { taskId }: TaskHead,
  count: number,
): Promise<CheckpointInfo[]> {
  const task = engine.tasks.get(taskId)
  await task?.commits.allWritten()
  const kept = task?.committed
  if (!kept) return []
  const saved = await engine.store.read((level) => readCheckpoints(level, kept))
  return saved.filter(({ savedBy }) => savedBy === 'client').slice(0, count)
}

/** The checkpoint that a client restores, and the actor of the audit entry. */
interface WantedCheckpoint {
  readonly checkpointId: string | undefined
  readonly savedBy: SavedBy | undefined
  readonly by: string
}

/** Reads a checkpoint, the latest by default, and writes an audit entry of the restore. */
export function restoreClientCheckpoint(
  engine: Pick<Engine, 'store' | 'noteRestored' | 'options'>,
  head: TaskHead,
  wanted: WantedCheckpoint,
): Promise<RestoredCheckpoint> {
  const { telemetry } = engine.options
  if (!telemetry) return restoreOne(engine, head, wanted)
  const about = { kind: 'restore-checkpoint', task: spanTaskOf(head), by: 'client' } as const
  return tracedCheckpoint(telemetry, about, () => restoreOne(engine, head, wanted))
}

async function restoreOne(
  engine: Pick<Engine, 'store' | 'noteRestored'>,
  head: TaskHead,
  { checkpointId, savedBy, by }: WantedCheckpoint,
): Promise<RestoredCheckpoint> {
  const { taskId } = head
  const { value } = await readConsistent(engine, head, async (level, now) => {
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
    // The checkpoint may be of the body or of a client, which is unknown. It counts as pruned if it is older than the
    // oldest kept one of either.
    const first = (by: SavedBy) => all.find(({ savedBy }) => savedBy === by)?.checkpointId
    const oldestKept = [first('body'), first('client')].filter((id) => id !== undefined).sort()
    return missingCheckpoint(head, checkpointId, oldestKept.at(-1))
  }
  return new HoldfastError('CHECKPOINT_NOT_FOUND', `Task ${head.taskId} has no checkpoint yet`, {
    details: { taskId: head.taskId },
  })
}
