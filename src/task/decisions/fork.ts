/**
 * Decides the content of a fork: a new task that continues from a past point of another task, its source. Pure.
 *
 * - The fork has the log records up to and including the point, unchanged: numbers, call indexes and times. The body
 *     made each of these calls before it received the point, so a replay makes them again in the same place. A call
 *     made by then and recorded later is not copied, and begins again.
 * - Other inputs of a replay are the same too: the seed of `uuid()`, the first instant of `now()`, the version, the
 *     states of the checkpoints, the answers of `patched` before the point.
 * - Nothing unfinished is copied: no undo record, wait, child or message. The fork never undoes a copied step.
 * - The source is not changed. Its audit trail has an entry about the fork.
 */
import { HoldfastError } from '../../base/errors.js'
import { checkCount, checkObject, expected, InvalidArgument, isObject, type Names } from '../../base/expected.js'
import { type ByteCount, bytesOf, grownCount, stateUsage } from '../byte-count.js'
import type { Change, TaskDecision } from '../changes.js'
import type { CheckpointInfo } from '../checkpoint.js'
import { NO_CHECKPOINTS, type TaskHead } from '../head.js'
import type { ReadRecord } from '../log/log-sums.js'
import { type PatchAnswers, patchesForFork } from '../log/patch-answers.js'
import { countedIn, describeRecord, type LogRecord, withRecord } from '../log/records.js'
import { emptySegment, PREFIX, type SegmentSum } from '../log/segment.js'
import { createTask, type NewTask } from './create.js'
import { inputKeyUsage } from './input-keys.js'

/** The name of a step or a wait, as `steps()` shows it. */
export interface StepPoint {
  /** Name of the call. */
  readonly name: string
  /**
   * Number of the call among those of its name in the segment, from 1.
   * @default the last one recorded
   */
  readonly number?: number | undefined
  /**
   * Segment of the log.
   * @default the last segment that has such a call
   */
  readonly segment?: 'prefix' | number | undefined
}

/** The past point that a fork continues from. */
export type ForkPoint =
  /** Directly after a checkpoint that the body saved. */
  | { readonly checkpointId: string; readonly afterStep?: undefined; readonly from?: undefined }
  /** Directly after the record of a step: the last of that name, or the one named exactly. */
  | { readonly afterStep: string | StepPoint; readonly checkpointId?: undefined; readonly from?: undefined }
  /** Before the first record: a new task of the registered definition, with the same input. */
  | { readonly from: 'start'; readonly checkpointId?: undefined; readonly afterStep?: undefined }

/** Field names of a fork point. */
const POINTS: Names<{ checkpointId: string; afterStep: string | StepPoint; from: 'start' }> = {
  checkpointId: true,
  afterStep: true,
  from: true,
}
const STEP_POINT: Names<StepPoint> = { name: true, number: true, segment: true }

/** A fork point after the check. */
export type CheckedPoint = { readonly kind: 'start' } | RecordedPoint

/** A fork point at a log record, after the check. */
export type RecordedPoint =
  | { readonly kind: 'checkpoint'; readonly checkpointId: string }
  | ({ readonly kind: 'step' } & StepPoint)

/**
 * Checks the fork point that a caller gave.
 * @throws TypeError naming the option, what was expected and what was given
 */
export function checkForkPoint(given: unknown): CheckedPoint {
  const what = "{ checkpointId }, { afterStep } or { from: 'start' }"
  if (!isObject(given)) throw expected('point', what, given)
  checkObject('point', given, POINTS)
  const { checkpointId, afterStep, from } = given
  if ([checkpointId, afterStep, from].filter((one) => one !== undefined).length !== 1) {
    throw new InvalidArgument(`Expected \`point\` to be ${what}, got { ${Object.keys(given).join(', ')} }`)
  }
  if (from !== undefined) {
    if (from !== 'start') throw expected('from', "'start'", from)
    return { kind: 'start' }
  }
  if (checkpointId !== undefined) {
    if (typeof checkpointId !== 'string') throw expected('checkpointId', 'a string', checkpointId)
    return { kind: 'checkpoint', checkpointId }
  }
  if (typeof afterStep === 'string') return { kind: 'step', name: afterStep }
  if (!isObject(afterStep)) throw expected('afterStep', 'a step’s name, or { name, number?, segment? }', afterStep)
  checkObject('afterStep', afterStep, STEP_POINT)
  const { name, number, segment } = afterStep
  if (typeof name !== 'string') throw expected('afterStep.name', 'a string', name)
  if (number !== undefined) checkCount('afterStep.number', number)
  if (segment !== undefined && segment !== 'prefix' && !(Number.isInteger(segment) && segment >= 0)) {
    throw expected('afterStep.segment', "'prefix' or an integer >= 0", segment)
  }
  return { kind: 'step', name, number, segment }
}

/** The record that `point` names. If several match, the last one. */
export function findPoint(log: readonly ReadRecord[], point: RecordedPoint): LogRecord | undefined {
  return log.findLast(({ record }) => {
    if (point.kind === 'checkpoint') return record.kind === 'checkpoint' && record.checkpointId === point.checkpointId
    const { name, number = numberOf(record), segment = shown(record.segment) } = point
    return (
      record.kind !== 'checkpoint' &&
      record.name === name &&
      numberOf(record) === number &&
      shown(record.segment) === segment
    )
  })?.record
}

/** Data of the source of a fork, as it is on disk. */
export interface ForkSource {
  readonly head: TaskHead
  /** The kept records of the log. */
  readonly log: readonly ReadRecord[]
  /** The checkpoints whose states are kept, in the order they were saved. */
  readonly checkpoints: readonly CheckpointInfo[]
  readonly patches: ReadonlyMap<number, PatchAnswers>
  /** The numbers of the records whose steps were undone, or are being undone. */
  readonly undone: ReadonlySet<number>
}

/** The data that a fork copies. */
export interface ForkPlan {
  /** The number of the last record that is copied. */
  readonly at: number
  readonly records: readonly ReadRecord[]
  readonly checkpoints: readonly CheckpointInfo[]
  readonly patches: Change[]
  /** Keys of the inputs whose answers are copied. The fork uses none of these keys again. */
  readonly inputKeys: readonly string[]
  /** Fields of the new head that describe the log. */
  readonly log: Pick<
    TaskHead,
    | 'seq'
    | 'nextRecord'
    | 'prefix'
    | 'open'
    | 'keptFrom'
    | 'records'
    | 'completedSteps'
    | 'checkpoints'
    | 'hasPatches'
    | 'hasStepStates'
    | 'inputsAsked'
  >
  /** The point as people read it: `step 'load' (number 2) of segment 3`; `undefined` for the start. */
  readonly described: string | undefined
}

/** Plans a fork from the start: only the input is copied. */
export function planFromStart(): ForkPlan {
  return {
    at: -1,
    records: [],
    checkpoints: [],
    patches: [],
    inputKeys: [],
    described: undefined,
    log: {
      seq: 1,
      nextRecord: 0,
      prefix: emptySegment(PREFIX),
      open: emptySegment(PREFIX),
      keptFrom: 0,
      records: 0,
      completedSteps: 0,
      checkpoints: NO_CHECKPOINTS,
    },
  }
}

/**
 * Plans the fork of `source` after its record `point`.
 * @throws HoldfastError `STEP_UNDONE` if a step up to the point was undone
 * @throws HoldfastError `CHECKPOINT_PRUNED` if the state of the last checkpoint before the point is not kept
 */
export function planFork({ head, log, checkpoints, patches, undone }: ForkSource, point: LogRecord): ForkPlan {
  const at = point.seq
  const records = log.filter(({ record }) => record.seq <= at)
  const step = isUndone(records, undone)
  if (step) throw undoneStep(head.taskId, point, step)
  const saved = records.flatMap(({ record }) => (record.kind === 'checkpoint' ? record : []))
  const last = saved.at(-1)
  const savedIds = new Set(saved.map(({ checkpointId }) => checkpointId))
  const copied = checkpoints.filter(({ checkpointId }) => savedIds.has(checkpointId))
  const lastInfo = copied.find(({ checkpointId }) => checkpointId === last?.checkpointId)
  if (last && !lastInfo) throw stateDropped(head.taskId, point, last.checkpointId)
  const open = records.reduce((newest, { record }) => Math.max(newest, countedIn(record)), PREFIX)
  const kept = patchesForFork(patches, at)
  const inputKeys = [...new Set(records.flatMap(({ record }) => (record.kind === 'input' ? record.key : [])))]
  const completedSince = records.filter(
    ({ record }) => record.kind === 'step' && !record.failed && record.seq > (last?.seq ?? -1),
  ).length
  return {
    at,
    records,
    checkpoints: copied,
    patches: kept.map((answers): Change => ({ kind: 'patches', ...answers })),
    inputKeys,
    described: describePoint(point),
    log: {
      // Higher than the numbers of the copied checkpoints, so that a later checkpoint has a higher number.
      seq: Math.max(0, ...copied.map(({ seq }) => seq)) + 1,
      nextRecord: at + 1,
      prefix: sumOf(records, PREFIX),
      open: open === PREFIX ? emptySegment(PREFIX) : sumOf(records, open),
      keptFrom: open === PREFIX ? 0 : head.keptFrom,
      records: records.length,
      completedSteps: (lastInfo?.completedSteps ?? 0) + completedSince,
      checkpoints: { body: copied.length, client: 0 },
      hasPatches: kept.length > 0 ? true : undefined,
      hasStepStates: undefined,
      inputsAsked: inputKeys.length || undefined,
    },
  }
}

/** Bytes of the fork in the store: those of any new task, and those of the copies. */
function bytesWith(created: TaskHead, { records, checkpoints, inputKeys }: ForkPlan): ByteCount {
  const states = new Map(checkpoints.map(({ checkpointId, stateBytes }) => [checkpointId, stateUsage(stateBytes)]))
  const asked = grownCount(
    created,
    inputKeys.reduce((bytes, key) => bytes + inputKeyUsage(key), 0),
  )
  return records.reduce((bytes, { record, text }) => {
    const state = record.kind === 'checkpoint' ? (states.get(record.checkpointId) ?? 0) : 0
    return grownCount({ ...created, bytes }, bytesOf(text) + state, countedIn(record))
  }, asked)
}

/** The decision that writes the head of the fork. Made after the records and states are copied. */
export function forkTask(about: NewTask, plan: ForkPlan, sweepAt: number, now: number): TaskDecision {
  const created = createTask(about, now)
  const head: TaskHead = { ...created.head, ...plan.log, bytes: bytesWith(created.head, plan) }
  const from = about.forkedFrom?.taskId
  const { by, taskId } = about
  const where = plan.described === undefined ? 'from its start' : `after ${plan.described}`
  return {
    head,
    changes: [
      { kind: 'head', head },
      ...created.changes.filter(({ kind }) => kind !== 'head'),
      { kind: 'audit', entry: { at: now, action: 'forked', by, why: `from ${from}, ${where}` } },
      {
        kind: 'audit',
        taskId: from,
        entry: { at: now, action: 'forked', by, why: `${taskId}, ${where}` },
      },
      { kind: 'sweep-orphan', at: sweepAt, isDone: true },
    ],
  }
}

/**
 * The first of `records` whose step was undone. The effect of such a step no longer exists, so no fork may continue
 * from it.
 * @param undone the numbers of the records whose steps were undone, or are being undone
 */
export function isUndone(records: readonly ReadRecord[], undone: ReadonlySet<number>): LogRecord | undefined {
  return records.find(({ record }) => undone.has(record.seq))?.record
}

/** Groups changes into commits of bounded size. A change that is larger than the bound gets its own commit. */
export function inBatches(changes: Iterable<Change>, { count, bytes }: { count: number; bytes: number }): Change[][] {
  const batches: Change[][] = []
  let size = 0
  for (const change of changes) {
    const taken = 'text' in change ? change.text.length : 0
    const batch = batches.at(-1)
    if (batch && batch.length < count && size + taken <= bytes) {
      batch.push(change)
      size += taken
    } else {
      batches.push([change])
      size = taken
    }
  }
  return batches
}

/** Describes the point for people. */
function describePoint(record: LogRecord): string {
  if (record.kind === 'checkpoint') return `checkpoint ${record.checkpointId}`
  const where = record.segment === PREFIX ? 'the prefix' : `segment ${record.segment}`
  return `${describeRecord(record)} of ${where}`
}

function sumOf(records: readonly ReadRecord[], segment: number): SegmentSum {
  return records
    .filter(({ record }) => countedIn(record) === segment)
    .reduce((sum, { text }) => withRecord(sum, text), emptySegment(segment))
}

function shown(segment: number): 'prefix' | number {
  return segment === PREFIX ? 'prefix' : segment
}

function numberOf(record: LogRecord): number {
  return record.kind === 'checkpoint' ? 1 : record.number
}

function undoneStep(taskId: string, point: LogRecord, step: LogRecord): HoldfastError {
  return new HoldfastError(
    'STEP_UNDONE',
    `Task ${taskId} cannot be forked after ${describePoint(point)}: ${describePoint(step)} is before it, and was undone. Fork before that, or start a new task.`,
    { details: { taskId } },
  )
}

function stateDropped(taskId: string, point: LogRecord, checkpointId: string): HoldfastError {
  return new HoldfastError(
    'CHECKPOINT_PRUNED',
    `Task ${taskId} cannot be forked after ${describePoint(point)}: the state of ${checkpointId}, which a restore there would need, is not kept any more. Fork at a later point.`,
    { details: { taskId, checkpointId } },
  )
}
