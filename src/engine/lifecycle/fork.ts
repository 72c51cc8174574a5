/**
 * Forks a task: copies the records of the plan under a new ID. The last commit writes the head, which creates the
 * task.
 *
 * After a crash before the last commit, there is no task. The copied records belong to an unknown ID. A record written
 * before them has the instant at which they are swept. The commit of the head deletes that record. After a crash after
 * the last commit, the fork is a normal task, and the caller finds it under its idempotency key.
 */
import { HoldfastError } from '../../base/errors.js'
import { faultOf } from '../../base/fault.js'
import { fromJson } from '../../base/json.js'
import type { Level } from '../../store/disk/level.js'
import { readCheckpoints, readLog, readPatches } from '../../store/read-log.js'
import { readHead, readInput, readStateText, readUndoRecords } from '../../store/reads.js'
import type { Change } from '../../task/changes.js'
import type { CheckpointInfo } from '../../task/checkpoint.js'
import { attributesOfNew } from '../../task/decisions/attributes.js'
import type { NewTask } from '../../task/decisions/create.js'
import {
  type CheckedPoint,
  checkForkPoint,
  type ForkPlan,
  type ForkPoint,
  findPoint,
  forkTask,
  inBatches,
  planFork,
  planFromStart,
  type RecordedPoint,
} from '../../task/decisions/fork.js'
import { firstInstantOf, type TaskHead } from '../../task/head.js'
import { countedIn } from '../../task/log/records.js'
import { undoneRecords } from '../../task/log/undo-record.js'
import { missingCheckpoint } from '../calls/restore-checkpoint.js'
import { checkStartOptions, type StartOptions } from '../checks/start-options.js'
import { readConsistent } from '../core/consistent-read.js'
import type { Engine } from '../core/engine.js'
import { findTask } from '../core/find-task.js'
import { commitNew, fingerprintOf, onceUnderKey, type Started } from './start.js'

// Longer than any copy takes. The sweeper also skips forks that this process is still copying.
const ORPHAN_AFTER_MS = 3_600_000
// Smaller than a batch of the store (commit-1), so that a commit of the copy fits into one batch.
const BATCH = { count: 90, bytes: 512 * 1024 }

/**
 * Forks a task for a caller, if the task belongs to the caller's owner.
 * @param by actor of the audit entries, in place of the owner
 */
export async function forkOf(
  engine: Engine,
  taskId: string,
  givenPoint: ForkPoint,
  options: StartOptions,
  by?: string,
): Promise<Started> {
  const { key, owner: asker, ttlMs, deadlineAt, priority, title, attributes } = checkStartOptions(options, 'fork')
  const point = checkForkPoint(givenPoint)
  engine.assertOpen()
  const found = await findTask(engine, taskId, asker)
  if (found.kind === 'session') throw noBody(taskId)
  const { timeoutMs, version } = engine.registry.require(found.type)
  // A fork by a call without an owner belongs to the owner of the source.
  const owner = asker ?? found.owner
  const fingerprint = fingerprintOf(fromJson(JSON.stringify({ fork: taskId, ...point })))
  const scope = key === undefined ? undefined : { owner, type: found.type, key }
  return onceUnderKey(engine, scope, fingerprint, async () => {
    const { head, value } = await engine.sweeps.using(taskId, () =>
      readConsistent(engine, found, (level, now) => read(level, now, point)),
    )
    const { clock, ids, store } = engine
    const now = clock.now()
    const isAnew = point.kind === 'start'
    const forkId = ids.taskId(now)
    const about: NewTask = {
      taskId: forkId,
      seed: isAnew ? ids.seed() : head.seed,
      type: head.type,
      kind: 'body',
      version: isAnew ? version : head.version,
      owner,
      durability: store.durability,
      ttlMs,
      deadlineAt,
      priority,
      timeoutMs,
      idempotency: key === undefined ? undefined : { key, fingerprint },
      // Those of the source, unless the caller gives others.
      title: title ?? head.title,
      attributes: attributesOfNew(forkId, attributes, head),
      inputText: value.inputText,
      forkedFrom: { taskId, at: value.plan.at, startedAt: isAnew ? now : firstInstantOf(head) },
      // The fork replays its log first, so it is queued like a resumed task.
      startNow: false,
      by: by ?? asker ?? 'admin',
    }
    await make(engine, head, about, value.plan, now + ORPHAN_AFTER_MS)
    return { taskId: forkId, created: true }
  })
}

/**
 * Copies the records, commits the head and starts the task. After a failure, the copies are deleted now or by the
 * sweeper.
 */
async function make(engine: Engine, source: TaskHead, about: NewTask, plan: ForkPlan, sweepAt: number): Promise<void> {
  const { store, clock, logger, copying } = engine
  const { taskId } = about
  const decide = (task: NewTask, now: number) => forkTask(task, plan, sweepAt, now)
  // Decided once before the first write, so that names that do not fit into a head are refused before the copy.
  const { head } = decide(about, clock.now())
  copying.add(taskId)
  try {
    await copy(engine, source, head, plan, sweepAt)
    await engine.admission.ready(about)
    engine.assertOpen()
    const admitted = engine.admission.admit(about)
    const task = await commitNew(engine, about, admitted, decide)
    if (admitted.startNow) engine.begin(task)
    else if (!admitted.isLate) engine.schedule(task)
    admitted.queued()
  } catch (error) {
    // The head may be on disk, and then the copies belong to it.
    if (error instanceof HoldfastError && error.code === 'START_UNKNOWN') throw error
    void store.deleteOrphan(taskId, sweepAt).catch((cause: unknown) => {
      logger.debug('The records copied for a fork could not be deleted. The sweeper deletes them later.', {
        taskId,
        error: faultOf(cause),
      })
    })
    throw error
  } finally {
    copying.delete(taskId)
  }
}

/** Reads the data for the plan at one point in time. The states are read one by one during the copy. */
async function read(
  level: Level,
  head: TaskHead,
  at: CheckedPoint,
): Promise<{ plan: ForkPlan; inputText: string | undefined }> {
  const inputText = await readInput(level, head)
  if (at.kind === 'start') return { plan: planFromStart(), inputText }
  const log = await readLog(level, head)
  const checkpoints = await readCheckpoints(level, head)
  const point = findPoint(log, at)
  if (!point) throw noSuchPoint(head, at, checkpoints)
  const patches = head.hasPatches ? await readPatches(level, head) : new Map()
  const undone = undoneRecords(head.intents ? await readUndoRecords(level, head.taskId) : [])
  const bodies = checkpoints.filter(({ savedBy }) => savedBy === 'body')
  const plan = planFork({ head, log, checkpoints: bodies, patches, undone }, point)
  return { plan, inputText }
}

/** Copies the records in commits of bounded size. The first commit is the record with the instant of the sweep. */
async function copy(
  engine: Pick<Engine, 'assertOpen' | 'store'>,
  source: TaskHead,
  head: TaskHead,
  plan: ForkPlan,
  sweepAt: number,
): Promise<void> {
  const { taskId } = head
  const commit = async (changes: readonly Change[]) => {
    engine.assertOpen()
    await engine.store.commit({ head, changes }, { patient: false })
  }
  await commit([{ kind: 'sweep-orphan', at: sweepAt, isDone: false }])
  const records = plan.records.map(
    ({ record, text }): Change => ({
      kind: 'record',
      segment: countedIn(record),
      seq: record.seq,
      text,
    }),
  )
  const inputKeys = plan.inputKeys.map((key): Change => ({ kind: 'input-key', key }))
  for (const batch of inBatches([...records, ...plan.patches, ...inputKeys], BATCH)) await commit(batch)
  for (const { checkpointId, ...about } of plan.checkpoints) {
    const stateText = await engine.store
      .read((level) => readStateText(level, source.taskId, checkpointId))
      .catch(prunedMeanwhile)
    await commit([{ kind: 'checkpoint', info: { ...about, checkpointId, taskId }, stateText }])
  }

  // The source continues during the copy and may prune the state. If its head did not change, the state is damaged.
  async function prunedMeanwhile(cause: unknown): Promise<never> {
    if (!(cause instanceof HoldfastError && cause.code === 'RECORD_DAMAGED')) throw cause
    const now = await engine.store.read((level) => readHead(level, source.taskId))
    if (now?.seq === source.seq) throw cause
    const said = `Task ${source.taskId} dropped checkpoints while it was being forked. Fork it again, or at a later point.`
    throw new HoldfastError('CHECKPOINT_PRUNED', said, { cause, details: { taskId: source.taskId } })
  }
}

function noSuchPoint(head: TaskHead, at: RecordedPoint, checkpoints: readonly CheckpointInfo[]): HoldfastError {
  const { taskId } = head
  if (at.kind === 'checkpoint') {
    const { checkpointId } = at
    if (checkpoints.some((known) => known.checkpointId === checkpointId)) {
      const said = `Checkpoint ${checkpointId} of task ${taskId} was saved by a client and is no point of its log`
      const more = 'Name one that its body saved, or a step.'
      return new HoldfastError('CHECKPOINT_NOT_FOUND', `${said}. ${more}`, { details: { taskId, checkpointId } })
    }
    const oldestKept = checkpoints.find(({ savedBy }) => savedBy === 'body')?.checkpointId
    return missingCheckpoint(head, checkpointId, oldestKept)
  }
  const { name, number, segment } = at
  const details = { taskId, name, number, segment }
  if (typeof segment === 'number' && segment < head.keptFrom) {
    const said = `Segment ${segment} of task ${taskId} was pruned by a later save; ${head.keptFrom} is the first that is kept`
    return new HoldfastError('CHECKPOINT_PRUNED', said, { details })
  }
  const which = `${number === undefined ? '' : ` (number ${number})`}${segment === undefined ? '' : ` in segment ${segment}`}`
  return new HoldfastError(
    'STEP_NOT_FOUND',
    `The log of task ${taskId} has no '${name}'${which} that was recorded and is kept. \`steps\` lists what there is.`,
    { details },
  )
}

function noBody(taskId: string): HoldfastError {
  return new HoldfastError(
    'STEP_NOT_FOUND',
    `Task ${taskId} is a session task: it has no steps, and no body that could continue from one. Restore one of its checkpoints, and save that in a new session task.`,
    { details: { taskId } },
  )
}
