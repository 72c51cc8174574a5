/**
 * Decides the changes that an event makes to a task. Pure: no clock, no store, no randomness. The same head, event and
 * time give the same decision.
 *
 *             create ──► pending ──start──► running ⇄ input_required
 *                           │                  │            │
 *                           └───── settle ─────┴────────────┘
 *                                     ▼
 *                      completed · failed · cancelled          (never left again)
 *
 * - A settled task refuses every event that would change it (`TASK_SETTLED`). The first settling wins (recovery-3).
 * - The events of a body name its run. Those of a superseded run are refused (`RunFenced`, commit-6).
 * - Parked is not a status: an unfinished task keeps its status while it is parked.
 * - Every change of status, every saved checkpoint and every parking has an audit entry in the same batch.
 * - While its clean-up is pending, a settled task accepts events of the clean-up, a parking and a resume, and nothing
 *     else.
 */
import { HoldfastError } from '../../base/errors.js'
import { bytesOf, grownCount, prunedCount, shrunkCount, stateUsage } from '../byte-count.js'
import type { Change, TaskDecision } from '../changes.js'
import {
  draftOf,
  type HeadDraft,
  isLive,
  isSettled,
  PARKED_REASON_BYTES_MAX,
  type Parked,
  type TaskHead,
  type TaskStatus,
} from '../head.js'
import { bytesLeft } from '../head-codec.js'
import { encodeDropped, joinDropped } from '../log/dropped-records.js'
import {
  type CheckpointRecord,
  countedIn,
  encodeRecord,
  type LogRecord,
  type NamedRecord,
  numbered,
  type Unnumbered,
  withRecord,
} from '../log/records.js'
import { emptySegment, PREFIX, type SegmentSum } from '../log/segment.js'
import { messageKeyUsage } from '../message.js'
import { cutText } from '../names.js'
import type { DroppedState, EventOf, NewState, TaskEvent } from '../task-event.js'
import { applyAttributes, planAttributes, recordAttributes } from './attributes.js'
import { sum, withAuxiliaryChanges } from './auxiliary-changes.js'
import { marksAfter } from './crash-count.js'
import { decide } from './decide.js'
import { cleanedUp, decideUndo, settle } from './settle.js'

/** Thrown if a commit comes from a superseded run (commit-6). It never leaves the engine. */
export class RunFenced extends Error {}

/** True if a commit was refused because its run is superseded, or because its task is settled: nothing was written. */
export function isFenced(error: unknown): boolean {
  return error instanceof RunFenced || (error instanceof HoldfastError && error.code === 'TASK_SETTLED')
}

/**
 * Decides the changes that `event` makes to the task.
 * @throws HoldfastError `TASK_SETTLED` if the task is settled already
 * @throws RunFenced if the event comes from a superseded run
 */
export function transition(head: TaskHead, event: TaskEvent, now: number): TaskDecision {
  if ('run' in event && event.run !== undefined && !BEGINNINGS.has(event.kind) && event.run !== head.run) {
    throw new RunFenced(`Run ${event.run} of task ${head.taskId} is superseded by run ${head.run}`)
  }
  if (isSettled(head.status) && !(isLive(head) && CLEAN_UP.has(event.kind))) throw settledAlready(head)
  // Only a resume ends this parking: the task may run elsewhere.
  if (BEGINNINGS.has(event.kind) && head.parked?.code === 'EXPORTED') {
    throw new RunFenced(`Task ${head.taskId} is exported, and waits for a resume`)
  }
  const next = nextHead(head, event, now)
  switch (event.kind) {
    case 'start':
      return start(next, event, now)
    case 'record':
      return record(next, event, now)
    case 'note': {
      const noted = withAuxiliaryChanges(next, event.beside)
      return asInput(head.status, decide(noted.head, undefined, ...noted.changes), now)
    }
    case 'unload': {
      // The run may not have seen news that arrived after its start, so the task is woken at once.
      const wakeAt = next.wantsAttempt || (next.hasNews && event.listens) ? now : event.wakeAt
      const noted = event.begun ? withAuxiliaryChanges(next, { begun: [event.begun] }) : { head: next, changes: [] }
      const unloaded: TaskHead = { ...noted.head, wakeAt, wantsAttempt: undefined, listens: event.listens || undefined }
      return decide(unloaded, undefined, ...noted.changes)
    }
    case 'patch': {
      const patches = event.answers.map((answers): Change => ({ kind: 'patches', ...answers }))
      return decide({ ...next, hasPatches: true }, undefined, ...patches)
    }
    case 'excuse':
    case 'flush':
    case 'begin':
      return decide(next)
    case 'resume':
      return decide(
        { ...next, parked: undefined, triedWith: undefined },
        { at: now, action: 'resumed', by: event.by, why: head.parked?.code },
      )
    case 'retry-now':
      if (next.wakeAt !== undefined) next.wakeAt = now
      next.attemptsBefore = next.seq
      next.wantsAttempt = true
      return decide(next, { at: now, action: 'retry-requested', by: event.by })
    case 'retry':
      return retry(next, event, now)
    case 'answer': {
      const { by, notes } = event
      const answered: TaskHead = { ...woken(next), inputs: sum(next.inputs, -notes.length) }
      const changes = notes.map((note): Change => ({ kind: 'note', note }))
      const why = notes.map(({ input }) => input?.key).join(', ')
      return asInput(head.status, decide(answered, { at: now, action: 'answered', by, why }, ...changes), now)
    }
    case 'send': {
      const { message, by } = event
      const sent: TaskHead = { ...woken(next), messages: (next.messages ?? 0) + 1, messagesSent: message.order + 1 }
      const { head: counted, changes } = withMessageKey(sent, event)
      const entry = { at: now, action: 'message-sent', by, why: message.name } as const
      return decide(counted, entry, { kind: 'message', message }, ...changes)
    }
    case 'set-attributes':
      return decide(next, applyAttributes(next, planAttributes(head, event.attributes), event.by))
    case 'settle':
      return settle(next, event, now)
    case 'clean-up':
      return decide({ ...next, run: event.run, parked: undefined })
    case 'undo':
      return decideUndo(next, event, now)
    case 'late-result':
      return decide(next, undefined, { kind: 'intent', intent: event.intent })
    case 'cleaned-up':
      return cleanedUp(next, event, now)
    case 'park': {
      const bare: Parked = { code: event.parked.code, reason: '', since: now }
      const { triedWith } = event
      const bytesMax = bytesLeft({ ...next, triedWith, parked: bare }, PARKED_REASON_BYTES_MAX)
      const parked: Parked = { ...bare, reason: cutText(event.parked.reason, bytesMax) }
      const why = `${parked.code}: ${parked.reason}`
      const run = event.endsRun ? next.run + 1 : next.run
      return decide({ ...next, run, triedWith, parked }, { at: now, action: 'parked', by: 'engine', why })
    }
    case 'save-checkpoint':
      return saveCheckpoint(next, event, now)
  }
}

/** The head with the time and the number of this commit. */
function nextHead(head: TaskHead, event: TaskEvent, now: number): HeadDraft {
  const next = Object.assign(draftOf(head), marksAfter(head, event))
  next.updatedAt = now
  next.seq = head.seq + 1
  return next
}

/** Events whose `run` is the run that they begin. */
const BEGINNINGS: ReadonlySet<TaskEvent['kind']> = new Set(['start', 'clean-up'])

const CLEAN_UP: ReadonlySet<TaskEvent['kind']> = new Set([
  'clean-up',
  'undo',
  'late-result',
  'cleaned-up',
  'park',
  'resume',
])

/** The head with the key of a sent message counted, and without the keys that are dropped for it. */
function withMessageKey(head: TaskHead, { key, droppedKeys = [] }: EventOf<'send'>): TaskDecision {
  if (!key) return { head, changes: [] }
  const more = droppedKeys.reduce((bytes, dropped) => bytes - messageKeyUsage(dropped), messageKeyUsage(key))
  const messageKeys = Math.max(0, (head.messageKeys ?? 0) - droppedKeys.length) + 1
  const drops = droppedKeys.map((dropped): Change => ({ kind: 'drop-message-key', key: dropped.key }))
  return {
    head: { ...head, messageKeys, bytes: grownCount(head, more) },
    changes: [{ kind: 'message-key', entry: key }, ...drops],
  }
}

/** The error for an event that would change a settled task. */
export function settledAlready(head: TaskHead): HoldfastError {
  const details = { taskId: head.taskId, status: head.status }
  return new HoldfastError('TASK_SETTLED', `Task ${head.taskId} is already '${head.status}' and never changes again`, {
    details,
  })
}

/**
 * The head after news for the task. An unloaded task that listens runs again. `hasNews` is for a task that is being
 * unloaded.
 */
function woken(head: TaskHead): TaskHead {
  return { ...head, hasNews: true, wakeAt: head.listens ? undefined : head.wakeAt, listens: undefined }
}

/** The decision with the status that follows from the unanswered inputs. A changed status gets an audit entry. */
function asInput(before: TaskStatus, { head, changes, record: made }: TaskDecision, now: number): TaskDecision {
  const status = head.inputs === undefined ? 'running' : 'input_required'
  if (status === before) return { head, changes, record: made }
  const action = status === 'running' ? 'input-over' : 'input-required'
  const entry = { at: now, action, from: before, to: status, by: 'body' } as const
  const changed = draftOf(head)
  changed.status = status
  return { ...decide(changed, entry, ...changes.filter(({ kind }) => kind !== 'head')), record: made }
}

function start(head: HeadDraft, event: EventOf<'start'>, now: number): TaskDecision {
  const from = head.status
  const startedAt = head.startedAt ?? now
  head.status = from === 'pending' ? 'running' : from
  head.run = event.run
  head.startedAt = startedAt
  // Set once: the timeout counts from the start of the first run, crashes and down time included.
  head.timeoutAt ??= event.timeoutMs === undefined ? undefined : startedAt + event.timeoutMs
  head.parked = undefined
  head.triedWith = undefined
  head.wakeAt = undefined
  head.listens = undefined
  head.hasNews = undefined
  head.wantsAttempt = undefined
  return decide(head, {
    at: now,
    action: event.recovered ? 'recovered' : 'started',
    from,
    to: head.status,
    by: event.recovered ? 'recovery' : 'engine',
  })
}

function record(head: HeadDraft, event: EventOf<'record'>, now: number): TaskDecision {
  const seq = head.nextRecord
  head.nextRecord = seq + 1
  if (event.progress !== undefined) head.progress = event.progress
  if (event.record.kind !== 'checkpoint') return recordNamed(head, event, seq, now)
  const { stateText, prune, drops = [] } = event.checkpoint as NewState
  const closes = event.record.segment === PREFIX ? head.prefix : segmentOf(head, event.record.segment)
  const stateBytes = Buffer.byteLength(stateText)
  const saved: CheckpointRecord = { ...event.record, seq, at: now, stateBytes, closes }
  const text = encodeRecord(saved)
  const more = bytesOf(text) + stateUsage(stateBytes)
  const open = withRecord(emptySegment(saved.opens), text)
  const after: TaskHead = {
    ...head,
    open,
    keptFrom: prune ? saved.opens : head.keptFrom,
    records: prune ? head.prefix.count + 1 : head.records + 1,
    checkpoints: { ...head.checkpoints, body: prune ? 1 : head.checkpoints.body + 1 - drops.length },
    bytes: prune ? prunedCount(head, more) : grownCount(head, more - dropped(drops), saved.opens),
  }
  const { checkpointId, label, opens } = saved
  const by = 'body'
  return {
    ...decide(
      after,
      { at: now, action: 'checkpoint-saved', by, why: label },
      recordChange(saved, text),
      checkpointChange(after, { checkpointId, label, opens, savedBy: by }, stateText, now),
      ...drops.map(({ checkpointId }): Change => ({ kind: 'drop-state', checkpointId })),
    ),
    record: saved,
  }
}

/** The decision that records what a call with a name came to. Most commits of a task are of this kind. */
function recordNamed(head: HeadDraft, event: EventOf<'record'>, seq: number, now: number): TaskDecision {
  const { beside } = event
  const { status } = head
  const set = beside?.attributes && recordAttributes(head, beside.attributes)
  const given = event.record as Unnumbered<NamedRecord>
  const named = numbered(set?.failed && given.kind === 'set' ? { ...given, failed: set.failed } : given, seq, now)
  const text = encodeRecord(named)
  const { segment } = named
  if (segment === PREFIX) head.prefix = withRecord(head.prefix, text)
  else head.open = withRecord(segmentOf(head, segment), text)
  head.records++
  if (named.kind === 'step' && !named.failed) head.completedSteps++
  head.bytes = grownCount(head, bytesOf(text), segment)
  const change = recordChange(named, text)
  if (!beside) return { head, changes: [{ kind: 'head', head }, change], record: named }
  const intent = beside.intent && { ...beside.intent, record: seq }
  const { head: counted, changes } = withAuxiliaryChanges(head, { ...beside, intent })
  return asInput(status, { ...decide(counted, set?.entry, change, ...changes), record: named }, now)
}

function retry(head: TaskHead, { plan, earlier, wakeAt, why }: EventOf<'retry'>, now: number): TaskDecision {
  const { dropped, ended, prefix, open, records } = plan
  const next: TaskHead = {
    ...head,
    attempt: head.attempt + 1,
    wakeAt,
    prefix,
    open,
    records,
    completedSteps: head.completedSteps - plan.steps,
    checkpoints: { ...head.checkpoints, body: Math.max(0, head.checkpoints.body - plan.saves) },
    messages: sum(head.messages, plan.messages),
    bytes: shrunkCount(head, plan.bytes),
    hasDropped: head.hasDropped || dropped !== undefined || undefined,
  }
  // One list for any number of records. The listed records are cleared and deleted after this commit
  // (store/clear-dropped.ts).
  const text = dropped && encodeDropped(joinDropped(earlier, dropped))
  const list: Change[] = text === undefined ? [] : [{ kind: 'dropped', text }]
  const { head: counted, changes } = withAuxiliaryChanges(next, { ended })
  const entry = { at: now, action: 'retried', by: 'engine', why } as const
  return asInput(head.status, decide(counted, entry, ...list, ...changes), now)
}

function saveCheckpoint(head: TaskHead, event: EventOf<'save-checkpoint'>, now: number): TaskDecision {
  const { checkpointId, label, by, stateText, drops = [] } = event
  const checkpoints = { ...head.checkpoints, client: head.checkpoints.client + 1 - drops.length }
  const bytes = grownCount(head, stateUsage(Buffer.byteLength(stateText)) - dropped(drops))
  return decide(
    { ...head, checkpoints, bytes },
    { at: now, action: 'checkpoint-saved', by, why: label },
    checkpointChange(head, { checkpointId, label, savedBy: 'client' }, stateText, now),
    ...drops.map(({ checkpointId }): Change => ({ kind: 'drop-checkpoint', checkpointId })),
  )
}

function dropped(states: readonly DroppedState[]): number {
  return states.reduce((sum, { stateBytes }) => sum + stateUsage(stateBytes), 0)
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

/** The sum of the segment so far. A segment that a restore opened has no records yet. */
function segmentOf(head: TaskHead, segment: number): SegmentSum {
  return head.open.segment === segment ? head.open : emptySegment(segment)
}
