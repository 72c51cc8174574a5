/**
 * Decides what a retry of the task takes out of its log (R1's one exception), so that the next attempt is answered
 * everything but the failure that escaped and what came of it.
 *
 * D1. Each failure that escaped goes, with later failures and all that was asked for after it was handed over, in its
 *     scope and in those around it. Sibling branches keep theirs.
 * D2. A step that was undone when its branch lost goes too, with what its branch asked for after it: it has to run again.
 * D4. Nothing goes where nothing would be left to go on from: the states before were dropped to make room, and what
 *     they stood for was pruned.
 * D3. Where the decision goes by which a branch lost, what that branch had received goes: the messages are back already.
 */
import type { TaskHead } from './head.js'
import type { ReadRecord } from './integrity.js'
import type { LogRecord, ReceiveRecord } from './log.js'
import type { Message } from './message.js'
import type { Note } from './note.js'
import type { TaskError } from './outcome.js'
import { areSiblings, isWithin } from './scope.js'

/** What becomes of the log. */
export interface Dropping {
  readonly kept: readonly ReadRecord[]
  readonly dropped: readonly ReadRecord[]
  /** Notes of asks that go. */
  readonly ended: readonly Note[]
  /** Messages that dropped records had received, and that go back to their place. */
  readonly returned: readonly Message[]
}

/** Something was asked for: when, and where. */
type Asking = Pick<LogRecord, 'after' | 'segment' | 'scope'>

/** Branches were cancelled for another one. */
interface Decided {
  readonly segment: number
  /** Their scopes. */
  readonly lost: readonly string[]
  /** Whether that is to be decided anew. */
  readonly isGone: boolean
}

/**
 * What is dropped. Without a failed record in `error` (or with one that was pruned) and nothing undone, nothing is.
 * @param undone the records of steps that were undone while the task went on
 */
export function dropForRetry(
  log: readonly ReadRecord[],
  error: TaskError,
  { keptFrom, checkpoints }: Pick<TaskHead, 'keptFrom' | 'checkpoints'>,
  { notes = [], undone = new Set() }: { notes?: readonly Note[]; undone?: ReadonlySet<number> } = {},
): Dropping {
  const escaped = new Set(failedRecords(error))
  const records = log.map(({ record }) => record)
  const failures = records.filter(({ seq }) => escaped.has(seq))
  const reversed = records.filter(({ seq }) => undone.has(seq))

  const cameOfFailure = (asking: Asking) =>
    failures.some((root) => asking.after >= root.seq && !standBeside(asking, root)) ||
    reversed.some((root) => asking.after >= root.seq && standsIn(asking, root))
  const goes = (record: LogRecord) =>
    undone.has(record.seq) ||
    cameOfFailure(record) ||
    failures.some((root) => record.seq >= root.seq && hasFailed(record) && !standBeside(record, root))

  // One that is noted and not recorded yet has given the messages back as well.
  const decisions: Decided[] = [
    ...records.flatMap((record) =>
      record.kind === 'decision' ? { segment: record.segment, lost: record.lost, isGone: goes(record) } : [],
    ),
    ...notes.flatMap((note) =>
      note.decided ? { segment: note.segment, lost: note.decided.lost, isGone: cameOfFailure(note) } : [],
    ),
  ]
  const lostBy = (record: LogRecord) =>
    decisions.filter(
      ({ segment, lost }) => segment === record.segment && lost.some((branch) => isWithin(record.scope, branch)),
    )
  const givenBack = records.filter((record) => record.kind === 'receive' && lostBy(record).some(({ isGone }) => isGone))
  const cameOfMessage = (asking: Asking) => givenBack.some((root) => asking.after >= root.seq && standsIn(asking, root))
  const isDropped = (record: LogRecord) => goes(record) || givenBack.includes(record) || cameOfMessage(record)

  const dropped = log.filter(({ record }) => isDropped(record))
  const saves = dropped.filter(({ record }) => record.kind === 'checkpoint').length
  if (saves > 0 && keptFrom > 0 && saves >= checkpoints.body) return { kept: log, dropped: [], ended: [], returned: [] }
  return {
    kept: log.filter(({ record }) => !isDropped(record)),
    dropped,
    ended: notes.filter((note) => cameOfFailure(note) || cameOfMessage(note)),
    returned: dropped.flatMap(({ record }) =>
      record.kind === 'receive' && lostBy(record).length === 0 ? messageOf(record) : [],
    ),
  }
}

/** The message that a record received, if it did. */
export function messageOf({ name, message, value = '' }: ReceiveRecord): Message[] {
  return message === undefined ? [] : [{ name, order: message, text: value }]
}

/** Whether they stand in different branches of one call. Names are numbered anew in each segment. */
function standBeside(one: Asking, other: Asking): boolean {
  return one.segment === other.segment && areSiblings(one.scope, other.scope)
}

function standsIn(asking: Asking, branch: Asking): boolean {
  return asking.segment === branch.segment && isWithin(asking.scope, branch.scope)
}

function hasFailed(record: LogRecord): boolean {
  return 'failed' in record && record.failed !== undefined
}

/** The records whose failures are in `error`, its causes and its parts. */
function failedRecords({ record, cause, errors = [] }: TaskError): number[] {
  const own = record === undefined ? [] : [record]
  return [...own, ...(cause ? failedRecords(cause) : []), ...errors.flatMap(failedRecords)]
}
