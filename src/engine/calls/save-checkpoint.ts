/** Saves a checkpoint of the body: closes the current segment, and opens the next one (rule 1 of the log). */
import { HoldfastError } from '../../base/errors.js'
import { checkFlag, checkOptionsOf } from '../../base/expected.js'
import { faultOf } from '../../base/fault.js'
import { toJson } from '../../base/json.js'
import { SAVE_OPTIONS, type SaveCheckpointOptions } from '../../task/definition/context.js'
import { describeRecord } from '../../task/log/records.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import type { PendingCall } from '../replay/pending-call.js'
import type { Run } from '../replay/run.js'
import { commitResult, runCall } from './record-result.js'

/**
 * Most states that one save drops. If `keepCheckpoints` was lowered, the next saves drop the rest, so batches stay
 * small.
 */
export const STATES_DROPPED_MAX = 30

// The state of the latest save of each run. The store may have dropped it since.
const handedOver = new WeakMap<Run, string>()

/** The state of the latest save in this run, as JSON text. */
export function latestSavedState(run: Run): string | undefined {
  return handedOver.get(run)
}

/** Runs a call of `saveCheckpoint`. */
export function saveCheckpoint(
  run: Run,
  state: unknown,
  options: SaveCheckpointOptions,
  restoredInPrefix: boolean,
): Promise<unknown> {
  checkOptionsOf('task.saveCheckpoint', options, SAVE_OPTIONS)
  const { label, prune = false } = options
  checkFlag('prune', prune)
  if (label !== undefined) checkName(label, 'label', NAME_BYTES_MAX.label)
  const stateText = stateToJson(run, state)
  run.refuseInFlight('saved')
  if (prune && !restoredInPrefix) throw pruneNeedsRestore(run)
  const parked = leaveSegment(run, 'saved')
  if (parked) return parked
  handedOver.set(run, stateText)
  const begin = (asked: PendingCall) => {
    const save = () => record(run, asked, { stateText, prune, label })
    runCall(run, asked, run.span ? run.span.checkpoint('save-checkpoint', save) : save())
  }
  return run.ask(() => run.history.askCheckpoint(), begin, undefined, { prunes: prune })
}

/** Commits the checkpoint. @returns its ID; `undefined` if nothing was written */
async function record(
  run: Run,
  asked: PendingCall,
  { stateText, prune, label }: { stateText: string; prune: boolean; label: string | undefined },
): Promise<{ checkpointId: string } | undefined> {
  const { host, task } = run
  const { name, segment, scope, ask, after } = asked.ask
  const { checkpointsPerTaskMax: max } = host.limits
  const drops = outOfDate(run, prune)
  if (!prune && task.head.checkpoints.body - drops.length >= max) {
    run.fail(tooManyCheckpoints(task.taskId, max))
    return undefined
  }
  const opens = name.kind === 'checkpoint' ? name.opens : 0
  const checkpointId = host.ids.checkpointId(host.clock.now())
  const record = { kind: 'checkpoint', checkpointId, label, opens, segment, scope, ask, after } as const
  if (!(await commitResult(run, asked, { record, checkpoint: { stateText, prune, drops } }))) return undefined
  const { taskId, type } = task.head
  host.events.emit('checkpoint:saved', { taskId, type, checkpointId, savedBy: 'body' })
  // In the background, because the head on disk already excludes the pruned records.
  if (prune) void host.store.deletePruned(taskId, opens).catch((error: unknown) => logPruning(run, error))
  return { checkpointId }
}

/** The states that are dropped with the save, so that `keepCheckpoints` states remain with the new one. */
function outOfDate({ host, task, history }: Run, prune: boolean): { checkpointId: string; stateBytes: number }[] {
  // Called in any case, because this also removes older checkpoints from memory.
  const saves = history.saves(task.head.checkpoints.body)
  const keep = host.keepCheckpointsOf(task.head.type)
  if (keep === undefined || prune) return []
  return saves
    .slice(0, Math.max(0, saves.length - (keep - 1)))
    .slice(0, STATES_DROPPED_MAX)
    .map(({ checkpointId, stateBytes = 0 }) => ({ checkpointId, stateBytes }))
}

/** The state as JSON text. Empty text for `undefined`. */
function stateToJson(run: Run, state: unknown): string {
  const { stateBytesMax: bytesMax } = run.host.limits
  return toJson(state, { what: 'the state of the checkpoint', bytesMax, option: 'limits.stateBytesMax' }) ?? ''
}

/**
 * Parks the task if the log of the segment has a record that the body did not request (rule 3). Called after all other
 * checks, so that a first run and a replay, which has records ahead, refuse the same calls.
 * @returns a promise that stays pending if the task is parked
 */
export function leaveSegment(run: Run, done: 'saved' | 'restored'): Promise<never> | undefined {
  const left = run.history.leftBehind(new Map())
  // A recorded checkpoint that closes this segment matches the save of the body.
  if (!left || left.segment !== run.history.segment || left.kind === 'checkpoint') return undefined
  return run.park(
    `a checkpoint is ${done}, and the code did not call ${describeRecord(left)}, which the log has before it`,
  )
}

function pruneNeedsRestore(run: Run): HoldfastError {
  return new HoldfastError(
    'PRUNE_NEEDS_RESTORE',
    `Task ${run.task.taskId} saved a checkpoint with \`prune\`, but did not restore one: the next run would need what is pruned. Begin the body with \`const { state } = (await task.restoreCheckpoint()) ?? { state: first }\`.`,
    { details: { taskId: run.task.taskId } },
  )
}

function tooManyCheckpoints(taskId: string, max: number): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `Task ${taskId} keeps ${max} checkpoints already (option \`limits.checkpointsPerTaskMax\`). Save with \`prune: true\` to keep only the newest, or set \`keepCheckpoints\`.`,
    { details: { taskId, max, option: 'limits.checkpointsPerTaskMax' } },
  )
}

function logPruning(run: Run, error: unknown): void {
  run.host.logger.debug('Records that a checkpoint pruned could not be deleted. The next run deletes them.', {
    taskId: run.task.taskId,
    error: faultOf(error),
  })
}
