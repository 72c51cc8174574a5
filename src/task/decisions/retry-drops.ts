/**
 * Decides which records a retry of the task drops from its log. The next attempt of the body then receives every
 * recorded answer except the failure that escaped, and the answers that depend on it. This is the one exception to
 * recovery-1. Pure, and nearly linear. A long log is planned in slices.
 *
 * retry-drops-1. Each failure that escaped is dropped, with later failures and all calls that the body made after it
 *     received the failure, in its scope and in the scopes around it. Sibling branches keep their records.
 * retry-drops-2. A branch that lost a race runs again if the decision of the race is dropped (if it lost several, all
 *     of the decisions). Then two kinds of records in the branch are dropped too, with their dependents inside the
 *     branch: steps that were undone, so that they run again, and receives, because their messages were put back
 *     already. Nothing is dropped inside a branch that stays lost: the next attempt leaves it at the same point.
 * retry-drops-3. Nothing is dropped if no state of a checkpoint would remain to continue from after earlier records
 *     were pruned.
 */

import { addChecksum } from '../../base/checksum.js'
import { bytesOf, stateUsage } from '../byte-count.js'
import type { TaskHead } from '../head.js'
import { ByScope, type CallPlace, Dependents, PendingDependents } from '../log/dependents.js'
import { RangesBuilder, type RecordPlace } from '../log/dropped-records.js'
import type { ReadRecord } from '../log/log-sums.js'
import type { TaskError } from '../log/outcome.js'
import type { PendingRecord } from '../log/pending-record.js'
import { type CheckpointRecord, countedIn, type LogRecord, type ReceiveRecord } from '../log/records.js'
import { emptySegment, PREFIX } from '../log/segment.js'
import type { Message } from '../message.js'
import type { RetryPlan } from '../task-event.js'

/** Stored data of the task that is not in the log. */
export interface AuxiliaryRecords {
  readonly notes?: readonly PendingRecord[] | undefined
  /** Numbers of the records of steps that were undone while the task continued. */
  readonly undone?: ReadonlySet<number> | undefined
}

/** The decision of a race: one branch won, and the others were cancelled. */
interface Decided {
  readonly asked: CallPlace
  /** Scopes of the branches that were cancelled. */
  readonly lost: readonly string[]
  /** Records that are dropped with the decision, if all other decisions that they depend on are dropped too. */
  losers: Loser[] | undefined
}

/** A record in a branch that lost. The record cannot be replayed if the branch runs again. */
interface Loser {
  readonly record: LogRecord
  /** The outermost of the lost branches that contain the record. */
  readonly within: string
  /** The number of decisions that the record's branches lost by and that are not dropped. */
  staying: number
}

// A record takes a few microseconds for any number of branches, so a slice takes a few milliseconds.
const PER_SLICE = 1_000

/**
 * Plans the drop in slices: each `next` takes a few milliseconds. If `error` has no failed record, or that record was
 * pruned, nothing is dropped.
 */
export function* planRetry(
  log: readonly ReadRecord[],
  error: TaskError,
  head: Pick<TaskHead, 'keptFrom' | 'checkpoints'>,
  { notes = [], undone = new Set() }: AuxiliaryRecords = {},
): Generator<void, RetryPlan> {
  const slices = new Slices()
  /** The numbers of records that are dropped regardless of the calls before them. */
  const roots = new Set(failedRecords(error))
  const reach = new Dependents()
  const failures = new Dependents()
  const decisions: Decided[] = []
  yield* slices.over(log, ({ record }) => {
    if (roots.has(record.seq)) {
      reach.add(record)
      failures.add(record)
    }
    if (record.kind === 'decision') decisions.push(decided(record, record.lost))
  })
  // A decision that only has a pending record has undone steps and put back messages too.
  for (const note of notes) if (note.decided) decisions.push(decided(note, note.decided.lost))
  const losses = new Losses(decisions)
  yield* dropLosers(log, { losses, decisions, roots, reach, undone }, slices)

  const isDropped = (record: LogRecord) =>
    reach.isBehind(record) ||
    roots.has(record.seq) ||
    (hasFailed(record) && failures.isBehind({ ...record, after: record.seq }))
  const counted = yield* count(log, isDropped, head, losses, slices)
  const isStuck = counted.saves > 0 && head.keptFrom > 0 && counted.saves >= head.checkpoints.body
  if (isStuck) return { ...(yield* count(log, () => false, head, losses, slices)), ended: [] }
  const ended: PendingRecord[] = []
  yield* slices.over(notes, (note) => {
    if (reach.isBehind(note)) ended.push(note)
  })
  return { ...counted, ended }
}

/** The message that the record received. Empty if it received none. */
export function messageOf({ name, message, value = '' }: ReceiveRecord): Message[] {
  return message === undefined ? [] : [{ name, order: message, text: value }]
}

/** A branch that lost, and the decision of that race. */
interface Loss {
  readonly branch: string
  readonly decision: Decided
}

const NO_LOSSES: readonly Loss[] = []

/** The decision that each lost branch lost by. A call has one decision. */
class Losses {
  readonly #byBranch = new ByScope<Decided>()
  #isRead = false

  constructor(private readonly decisions: readonly Decided[]) {}

  /** Builds the index by branch. Call this before `of` or `isLost`. Most retries need neither. */
  *read(slices: Slices): Generator<void, void> {
    if (this.#isRead) return
    this.#isRead = true
    yield* slices.over(this.decisions, (decision) => {
      if (decision.lost.length === 1) this.#byBranch.set(decision.asked.segment, decision.lost[0] as string, decision)
    })
    for (const decision of this.decisions) {
      if (decision.lost.length === 1) continue
      yield* slices.over(decision.lost, (branch) => this.#byBranch.set(decision.asked.segment, branch, decision))
    }
  }

  /** The lost branches that contain the record, the outermost first. */
  of({ segment, scope }: LogRecord): readonly Loss[] {
    const decisions = this.#byBranch.of(segment)
    if (decisions === undefined) return NO_LOSSES
    const found: Loss[] = []
    for (const branch of branchesOf(scope)) {
      const decision = decisions.get(branch)
      if (decision) found.push({ branch, decision })
    }
    return found
  }

  /** True if the record is in a branch that lost. */
  isLost({ segment, scope }: LogRecord): boolean {
    const decisions = scope === '' ? undefined : this.#byBranch.of(segment)
    return decisions !== undefined && branchesOf(scope).some((branch) => decisions.has(branch))
  }
}

/**
 * Adds the records to drop in branches that lost to the roots (retry-drops-2). A dropped decision may cause the drop
 * of another decision inside a branch that it cancelled. The loop ends when no more decisions are dropped.
 */
function* dropLosers(
  log: readonly ReadRecord[],
  {
    losses,
    decisions,
    roots,
    reach,
    undone,
  }: {
    losses: Losses
    decisions: readonly Decided[]
    roots: Set<number>
    reach: Dependents
    undone: ReadonlySet<number>
  },
  slices: Slices,
): Generator<void, void> {
  const gone: Decided[] = []
  const staying: Decided[] = []
  yield* slices.over(decisions, (decision) => {
    if (reach.isBehind(decision.asked)) gone.push(decision)
    else if (decision.asked.scope !== '') staying.push(decision)
  })
  if (gone.length === 0) return
  yield* losses.read(slices)
  yield* slices.over(log, ({ record }) => {
    if (record.scope === '' || !(record.kind === 'receive' || undone.has(record.seq))) return
    const by = losses.of(record)
    const [outermost] = by
    if (outermost === undefined) return
    const loser: Loser = { record, within: outermost.branch, staying: by.length }
    for (const { decision } of by) {
      decision.losers ??= []
      decision.losers.push(loser)
    }
  })
  const pending = new PendingDependents<Decided>()
  yield* slices.over(staying, (decision) => pending.add(decision))
  for (let decision = gone.pop(); decision; decision = gone.pop()) {
    const { losers } = decision
    if (losers === undefined) continue
    // A decision may come again, from another scope on the way to it.
    decision.losers = undefined
    const free: Loser[] = []
    yield* slices.over(losers, (loser) => {
      if (--loser.staying === 0) free.push(loser)
    })
    for (const { record, within } of free) {
      roots.add(record.seq)
      reach.add(record, within)
      yield* slices.over(pending.take(record, within), (other) => gone.push(other))
    }
  }
}

/** Counts the records to drop, and sums the records that are kept. */
function* count(
  log: readonly ReadRecord[],
  isDropped: (record: LogRecord) => boolean,
  { checkpoints }: Pick<TaskHead, 'checkpoints'>,
  losses: Losses,
  slices: Slices,
): Generator<void, Omit<RetryPlan, 'ended'>> {
  const [prefix, open] = [{ ...emptySegment(PREFIX) }, { ...emptySegment(PREFIX) }]
  const numbers = new RangesBuilder()
  const saves: CheckpointRecord[] = []
  const received: LogRecord[] = []
  const ends: RecordPlace[] = []
  let [records, steps, kept, prunable] = [0, 0, 0, 0]
  let wasDropped = false
  yield* slices.over(log, ({ record, text }) => {
    const segment = countedIn(record)
    if (!isDropped(record)) {
      wasDropped = false
      records++
      if (segment > open.segment) Object.assign(open, emptySegment(segment))
      const sum = segment === open.segment && segment !== PREFIX ? open : prefix
      sum.count++
      sum.sum = addChecksum(sum.sum, text)
      return
    }
    numbers.add(record.seq, wasDropped)
    wasDropped = true
    ends[ends.length === 0 ? 0 : 1] = { segment, seq: record.seq }
    kept += bytesOf(text)
    if (segment !== PREFIX) prunable += bytesOf(text)
    if (record.kind === 'checkpoint') saves.push(record)
    if (record.kind === 'step' && !record.failed) steps++
    if (record.kind === 'receive' && record.message !== undefined) received.push(record)
  })
  const returned = new RangesBuilder()
  let messages = 0
  if (received.length > 0) yield* losses.read(slices)
  yield* slices.over(received, (record) => {
    // Messages that a lost branch had received were put back already.
    if (losses.isLost(record)) return
    // A number in between may be a receive that an earlier retry dropped, and whose message was put back then.
    returned.add(record.seq, returned.ranges.at(-1) === record.seq - 1)
    messages++
  })
  // The dropped checkpoints are the newest. So as many of the kept states are dropped as checkpoints.
  const states = saves
    .slice(Math.max(0, saves.length - checkpoints.body))
    .reduce((bytes, { stateBytes = 0 }) => bytes + stateUsage(stateBytes), 0)
  const [from, to = from] = ends
  const dropped = from &&
    to && {
      from,
      to,
      numbers: numbers.ranges,
      returned: messages > 0 ? returned.ranges : undefined,
      opens: saves[0]?.opens,
    }
  const bytes = { kept: kept + states, prunable: prunable + states }
  return { dropped, prefix, open, records, steps, saves: saves.length, messages, bytes }
}

/** Counts the work, and yields whenever a slice is full. */
class Slices {
  #count = 0;

  *over<T>(items: Iterable<T>, act: (item: T) => void): Generator<void, void> {
    // Each list counts as one item, because many short or empty lists take time too.
    if (this.#isFull()) yield
    for (const item of items) {
      if (this.#isFull()) yield
      act(item)
    }
  }

  #isFull(): boolean {
    if (++this.#count < PER_SLICE) return false
    this.#count = 0
    return true
  }
}

function decided(asked: CallPlace, lost: readonly string[]): Decided {
  return { asked, lost, losers: undefined }
}

/** The branches on the path to a scope, the outermost first, the scope itself included. */
function branchesOf(scope: string): string[] {
  let end = scope.indexOf('/')
  if (end < 0) return [scope]
  const branches: string[] = []
  for (; end >= 0; end = scope.indexOf('/', end + 1)) branches.push(scope.slice(0, end))
  return [...branches, scope]
}

function hasFailed(record: LogRecord): boolean {
  return 'failed' in record && record.failed !== undefined
}

/** The numbers of the records whose failures are in `error`, its causes and its parts. */
function failedRecords({ record, cause, errors = [] }: TaskError): number[] {
  const own = record === undefined ? [] : [record]
  return [...own, ...(cause ? failedRecords(cause) : []), ...errors.flatMap(failedRecords)]
}
