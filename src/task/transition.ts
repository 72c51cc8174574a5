/**
 * Decides what an event makes of a task. Pure: no clock, no store, no
 * randomness; the same head, event and time give the same decision.
 *
 *             create ──► pending ──start──► running ⇄ input_required
 *                           │                  │            │
 *                           └───── settle ─────┴────────────┘
 *                                     ▼
 *                      completed · failed · cancelled          (never left again)
 *
 * T1. A settled task refuses every event that would change it (`TASK_SETTLED`); who settles first wins (R3).
 * T2. What a body does names its run; another run's is refused (`RunFenced`, C6).
 * T3. Parked is no status: an unfinished task keeps its status while it is parked.
 * T4. Every change of status, every saved checkpoint, every parking is an audit entry in the same batch.
 */
import { HoldfastError } from '../errors.js'
import type { Change, Decision } from './changes.js'
import { forgetAt } from './expiry.js'
import {
  emptySegment,
  isSettled,
  PARKED_REASON_BYTES_MAX,
  type Parked,
  PREFIX,
  type Progress,
  type SegmentSum,
  type TaskHead,
} from './head.js'
import type { ReadRecord } from './integrity.js'
import {
  type CheckpointRecord,
  countedIn,
  encodeRecord,
  type LogRecord,
  type SleepRecord,
  type StepRecord,
  withRecord,
} from './log.js'
import { cutText } from './names.js'
import { failureCode, type Outcome, type TaskError } from './outcome.js'
import type { StoredPatches } from './patches.js'
import { encodeStepProgress, type StepProgress } from './step-progress.js'

/** A record before it has its place and time in the log. */
export type NewRecord =
  | Omit<StepRecord, 'seq' | 'at'>
  | Omit<SleepRecord, 'seq' | 'at'>
  | Omit<CheckpointRecord, 'seq' | 'at' | 'closes'>

/** What can happen to a task after it was created. */
export type TaskEvent =
  /** A run of its body begins: the first one, or one after a crash. */
  | {
      readonly kind: 'start'
      readonly run: number
      readonly timeoutMs?: number | undefined
      readonly recovered: boolean
    }
  /** A step ended, or a body's checkpoint is saved. */
  | {
      readonly kind: 'record'
      readonly run: number
      readonly record: NewRecord
      readonly checkpoint?: { readonly stateText: string; readonly prune: boolean } | undefined
      /** The step saved where it was; what it saved goes with its record. */
      readonly dropStepState?: boolean | undefined
      readonly progress?: Progress | undefined
    }
  /** A step that has not ended saves where it is, or has an attempt behind it. */
  | {
      readonly kind: 'step-progress'
      readonly run: number
      readonly segment: number
      readonly ask: number
      readonly step: StepProgress
    }
  /** Its body was told whether it is patched; kept before the next function begins. */
  | { readonly kind: 'patch'; readonly run: number; readonly answers: readonly StoredPatches[] }
  /** Its body threw, and is tried again. */
  | {
      readonly kind: 'retry'
      readonly run: number
      readonly wakeAt: number
      readonly why: string
      /** Its log, without what the next attempt must not be answered, and that. */
      readonly kept: readonly ReadRecord[]
      readonly dropped: readonly ReadRecord[]
    }
  /** It sleeps for long, and is let go of until then. */
  | { readonly kind: 'unload'; readonly run: number; readonly wakeAt: number }
  /** It ends. `run` is there when its body says so, absent when it is settled from outside. */
  | {
      readonly kind: 'settle'
      readonly run?: number | undefined
      readonly outcome: Outcome
      readonly by: string
      readonly progress?: Progress | undefined
      /** How long its idempotency key outlives it. */
      readonly retentionMs: number
    }
  /** It can't go on. */
  | { readonly kind: 'park'; readonly run?: number | undefined; readonly parked: Omit<Parked, 'since'> }
  /** A client saves a checkpoint beside it. */
  | {
      readonly kind: 'save-checkpoint'
      readonly checkpointId: string
      readonly stateText: string
      readonly label?: string | undefined
      readonly by: string
    }

/** What a superseded run is told instead of being written (C6). It never leaves the engine. */
export class RunFenced extends Error {}

/**
 * What `event` makes of a task.
 * @throws HoldfastError `TASK_SETTLED` when it is settled already
 * @throws RunFenced when the event comes from a run that no longer counts
 */
export function transition(head: TaskHead, event: TaskEvent, now: number): Decision {
  if ('run' in event && event.run !== undefined && event.kind !== 'start' && event.run !== head.run) {
    throw new RunFenced(`Run ${event.run} of task ${head.taskId} is over; run ${head.run} has taken its place`)
  }
  if (isSettled(head.status)) throw settledAlready(head)
  const next: TaskHead = { ...head, updatedAt: now, seq: head.seq + 1 }
  switch (event.kind) {
    case 'start':
      return start(next, event, now)
    case 'record':
      return record(next, event, now)
    case 'step-progress': {
      const { segment, ask, step } = event
      const text = encodeStepProgress(step)
      return decide({ ...next, hasStepStates: true }, undefined, { kind: 'step-state', segment, ask, text })
    }
    case 'patch': {
      const patches = event.answers.map((answers): Change => ({ kind: 'patches', ...answers }))
      return decide({ ...next, hasPatches: true }, undefined, ...patches)
    }
    case 'unload':
      return decide({ ...next, wakeAt: event.wakeAt })
    case 'retry':
      return retry(next, event, now)
    case 'settle':
      return settle(next, event, now)
    case 'park': {
      const reason = cutText(event.parked.reason, PARKED_REASON_BYTES_MAX)
      const parked: Parked = { code: event.parked.code, reason, since: now }
      const why = `${parked.code}: ${parked.reason}`
      return decide({ ...next, parked }, { at: now, action: 'parked', by: 'engine', why })
    }
    case 'save-checkpoint':
      return saveCheckpoint(next, event, now)
  }
}

/** The refusal of anything that would change a settled task. */
export function settledAlready(head: TaskHead): HoldfastError {
  const details = { taskId: head.taskId, status: head.status }
  return new HoldfastError('TASK_SETTLED', `Task ${head.taskId} is already '${head.status}' and never changes again`, {
    details,
  })
}

type Event<Kind extends TaskEvent['kind']> = Extract<TaskEvent, { kind: Kind }>
type Entry = Extract<Change, { kind: 'audit' }>['entry']

function decide(head: TaskHead, entry?: Entry, ...more: Change[]): Decision {
  const audit: Change[] = entry ? [{ kind: 'audit', entry }] : []
  return { head, changes: [{ kind: 'head', head }, ...audit, ...more] }
}

function start(head: TaskHead, event: Event<'start'>, now: number): Decision {
  const startedAt = head.startedAt ?? now
  // Counted from the first run's start, over crashes and down time, and therefore decided only once.
  const timeoutAt = head.timeoutAt ?? (event.timeoutMs === undefined ? undefined : startedAt + event.timeoutMs)
  const status = head.status === 'pending' ? 'running' : head.status
  const started: TaskHead = {
    ...head,
    status,
    run: event.run,
    startedAt,
    timeoutAt,
    parked: undefined,
    wakeAt: undefined,
  }
  return decide(started, {
    at: now,
    action: event.recovered ? 'recovered' : 'started',
    from: head.status,
    to: status,
    by: event.recovered ? 'recovery' : 'engine',
  })
}

function record(head: TaskHead, event: Event<'record'>, now: number): Decision {
  const seq = head.nextRecord
  const before: TaskHead = { ...head, nextRecord: seq + 1, progress: event.progress ?? head.progress }
  if (event.record.kind !== 'checkpoint') {
    const step: StepRecord | SleepRecord = { ...event.record, seq, at: now }
    const text = encodeRecord(step)
    const completedSteps = head.completedSteps + (step.kind === 'step' && !step.failed ? 1 : 0)
    const after = { ...before, ...withSegment(head, step, text), records: head.records + 1, completedSteps }
    const { segment, ask } = step
    const dropped: Change[] = event.dropStepState ? [{ kind: 'step-state', segment, ask, text: undefined }] : []
    return { ...decide(after, undefined, recordChange(step, text), ...dropped), record: step }
  }
  const { stateText, prune } = event.checkpoint as NonNullable<typeof event.checkpoint>
  const closes = event.record.segment === PREFIX ? head.prefix : segmentOf(head, event.record.segment)
  const saved: CheckpointRecord = { ...event.record, seq, at: now, closes }
  const text = encodeRecord(saved)
  const open = withRecord(emptySegment(saved.opens), text)
  const after: TaskHead = {
    ...before,
    open,
    keptFrom: prune ? saved.opens : head.keptFrom,
    records: prune ? head.prefix.count + 1 : head.records + 1,
    checkpoints: { ...head.checkpoints, body: prune ? 1 : head.checkpoints.body + 1 },
  }
  const { checkpointId, label, opens } = saved
  const by = 'body'
  return {
    ...decide(
      after,
      { at: now, action: 'checkpoint-saved', by, why: label },
      recordChange(saved, text),
      checkpointChange(after, { checkpointId, label, opens, savedBy: by }, stateText, now),
    ),
    record: saved,
  }
}

function retry(head: TaskHead, { kept, dropped, wakeAt, why }: Event<'retry'>, now: number): Decision {
  const open = Math.max(PREFIX, ...kept.map(({ record }) => countedIn(record)))
  const sumOf = (segment: number) =>
    kept
      .filter(({ record }) => countedIn(record) === segment)
      .reduce((sum, { text }) => withRecord(sum, text), emptySegment(segment))
  const steps = dropped.filter(({ record }) => record.kind === 'step' && !record.failed).length
  const saved = kept.filter(({ record }) => record.kind === 'checkpoint').length
  const next: TaskHead = {
    ...head,
    attempt: head.attempt + 1,
    wakeAt,
    prefix: sumOf(PREFIX),
    open: open === PREFIX ? emptySegment(PREFIX) : sumOf(open),
    records: kept.length,
    completedSteps: head.completedSteps - steps,
    checkpoints: { ...head.checkpoints, body: saved },
  }
  const drops = dropped.flatMap(({ record }): Change[] => {
    const gone: Change = { kind: 'drop-record', segment: countedIn(record), seq: record.seq }
    if (record.kind !== 'checkpoint') return [gone]
    // What was patched holds for a segment: it stays where anything of the segment may, and goes with the segment.
    const patches: Change = { kind: 'patches', segment: record.opens, text: undefined }
    return [gone, { kind: 'drop-checkpoint', checkpointId: record.checkpointId }, patches]
  })
  return decide(next, { at: now, action: 'retried', by: 'engine', why }, ...drops)
}

function settle(head: TaskHead, event: Event<'settle'>, now: number): Decision {
  const { outcome, by } = event
  const action = ({ result: 'completed', error: 'failed', cancelled: 'cancelled' } as const)[outcome.kind]
  const settled: TaskHead = {
    ...head,
    status: action,
    settledAt: now,
    parked: undefined,
    wakeAt: undefined,
    progress: event.progress ?? head.progress,
    error: outcome.kind === 'error' ? headline(outcome.error) : undefined,
  }
  const why = outcome.kind === 'cancelled' ? outcome.reason : settled.error?.code
  const entry: Entry = { at: now, action, from: head.status, to: action, by, why }
  const { owner, type, idempotencyKey: key } = head
  const at = forgetAt(settled, event.retentionMs)
  const forget: Change[] =
    key === undefined || at === undefined ? [] : [{ kind: 'forget-key', at, scope: { owner, type, key } }]
  return decide(settled, entry, { kind: 'outcome', text: JSON.stringify(outcome) }, ...forget)
}

function saveCheckpoint(head: TaskHead, event: Event<'save-checkpoint'>, now: number): Decision {
  const { checkpointId, label, by, stateText } = event
  const checkpoints = { ...head.checkpoints, client: head.checkpoints.client + 1 }
  return decide(
    { ...head, checkpoints },
    { at: now, action: 'checkpoint-saved', by, why: label },
    checkpointChange(head, { checkpointId, label, savedBy: 'client' }, stateText, now),
  )
}

function recordChange(record: LogRecord, text: string): Change {
  return { kind: 'record', segment: countedIn(record), seq: record.seq, text }
}

function checkpointChange(
  head: TaskHead,
  about: { checkpointId: string; label?: string | undefined; opens?: number; savedBy: 'body' | 'client' },
  stateText: string,
  createdAt: number,
): Change {
  const { taskId, completedSteps, seq } = head
  const stateBytes = Buffer.byteLength(stateText)
  return { kind: 'checkpoint', info: { ...about, taskId, seq, createdAt, completedSteps, stateBytes }, stateText }
}

/** The segment as far as it is written; one that a restore opened has no record yet. */
function segmentOf(head: TaskHead, segment: number): SegmentSum {
  return head.open.segment === segment ? head.open : emptySegment(segment)
}

function withSegment(head: TaskHead, step: StepRecord | SleepRecord, text: string): Pick<TaskHead, 'prefix' | 'open'> {
  if (step.segment === PREFIX) return { prefix: withRecord(head.prefix, text), open: head.open }
  return { prefix: head.prefix, open: withRecord(segmentOf(head, step.segment), text) }
}

const HEADLINE_BYTES_MAX = 400

function headline(error: TaskError): NonNullable<TaskHead['error']> {
  return {
    name: cutText(error.name, HEADLINE_BYTES_MAX),
    message: cutText(error.message, HEADLINE_BYTES_MAX),
    code: failureCode(error),
  }
}
