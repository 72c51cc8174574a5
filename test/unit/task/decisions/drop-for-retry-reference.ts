/**
 * The first planner of retries, which compares each record with each: quadratic, and plain. The planner of today is held
 * against it (plan-retry-model.test.ts). The rules retry-drops-1 to retry-drops-3 stand in src/task/decisions/retry-drops.ts.
 */

import { messageOf } from '../../../../src/task/decisions/retry-drops.js'
import type { TaskHead } from '../../../../src/task/head.js'
import type { ReadRecord } from '../../../../src/task/log/log-sums.js'
import type { TaskError } from '../../../../src/task/log/outcome.js'
import type { PendingRecord } from '../../../../src/task/log/pending-record.js'
import type { LogRecord } from '../../../../src/task/log/records.js'
import { isWithin } from '../../../../src/task/log/scope.js'
import type { Message } from '../../../../src/task/message.js'

/** What becomes of the log. */
export interface Dropping {
  readonly kept: readonly ReadRecord[]
  readonly dropped: readonly ReadRecord[]
  /** Notes of asks that go. */
  readonly ended: readonly PendingRecord[]
  /** Messages that dropped records had received, and that go back to their place. */
  readonly returned: readonly Message[]
}

/** Something was asked for: when, and where. */
type Asking = Pick<LogRecord, 'after' | 'segment' | 'scope'>

/** Branches were cancelled for another one. */
interface Decided {
  readonly asked: LogRecord | PendingRecord
  /** Their scopes. */
  readonly lost: readonly string[]
}

/** A record that goes, and the scope within which all goes that came of it. */
interface Root {
  readonly record: LogRecord
  readonly within: string
}

/**
 * What is dropped. Without a failed record in `error` (or with one that was pruned) and nothing undone, nothing is.
 * @param undone the records of steps that were undone while the task went on
 */
export function dropForRetry(
  log: readonly ReadRecord[],
  error: TaskError,
  { keptFrom, checkpoints }: Pick<TaskHead, 'keptFrom' | 'checkpoints'>,
  { notes = [], undone = new Set() }: { notes?: readonly PendingRecord[]; undone?: ReadonlySet<number> } = {},
): Dropping {
  const escaped = new Set(failedRecords(error))
  const records = log.map(({ record }) => record)
  const failures = records.filter(({ seq }) => escaped.has(seq))
  // One that is noted and not recorded yet has undone steps, and given messages back, as well.
  const decisions: Decided[] = [
    ...records.flatMap((record) => (record.kind === 'decision' ? { asked: record, lost: record.lost } : [])),
    ...notes.flatMap((note) => (note.decided ? { asked: note, lost: note.decided.lost } : [])),
  ]
  const lostBy = ({ segment, scope }: LogRecord) =>
    decisions.filter(({ asked, lost }) => asked.segment === segment && lost.some((branch) => isWithin(scope, branch)))
  const unanswerable = records.filter(({ seq, kind }) => undone.has(seq) || kind === 'receive')

  const escapes = failures.map((record): Root => ({ record, within: '' }))
  let roots = escapes
  const cameOf = (asking: Asking) => roots.some((root) => asking.after >= root.record.seq && isReached(asking, root))
  const isDropped = (record: LogRecord) =>
    roots.some((root) => root.record === record) ||
    cameOf(record) ||
    failures.some((root) => record.seq >= root.seq && hasFailed(record) && !standBeside(record, root))
  const isGone = ({ asked }: Decided) => ('seq' in asked ? isDropped(asked) : cameOf(asked))
  // A decision that goes may let another go, inside the branch that it cancelled: until nothing more comes of it.
  for (let known = -1; known < roots.length; ) {
    known = roots.length
    const gone = new Set(decisions.filter(isGone))
    const lost = unanswerable.flatMap((record): Root[] => {
      const by = lostBy(record)
      const isRoot = by.length > 0 && by.every((decided) => gone.has(decided))
      return isRoot ? [{ record, within: outermost(record, by) }] : []
    })
    roots = [...escapes, ...lost]
  }

  const dropped = log.filter(({ record }) => isDropped(record))
  const saves = dropped.filter(({ record }) => record.kind === 'checkpoint').length
  if (saves > 0 && keptFrom > 0 && saves >= checkpoints.body) return { kept: log, dropped: [], ended: [], returned: [] }
  return {
    kept: log.filter(({ record }) => !isDropped(record)),
    dropped,
    ended: notes.filter(cameOf),
    returned: dropped.flatMap(({ record }) =>
      record.kind === 'receive' && lostBy(record).length === 0 ? messageOf(record) : [],
    ),
  }
}

/** Whether they stand in different branches of one call. Names are numbered anew in each segment. */
function standBeside(one: Asking, other: Asking): boolean {
  return one.segment === other.segment && areSiblings(one.scope, other.scope)
}

/** Whether what came of a record may be there: around it, within the scope, and in no branch beside it. */
function isReached(asking: Asking, { record, within }: Root): boolean {
  // Whatever lies in a later segment came of the failure too: no call of branches is open over a checkpoint.
  return isWithin(asking.scope, within) && !standBeside(asking, record)
}

/** The outermost branch that the record stands in of those that lost. */
function outermost({ scope }: LogRecord, by: readonly Decided[]): string {
  const branches = by.flatMap(({ lost }) => lost.filter((branch) => isWithin(scope, branch)))
  return branches.sort((one, other) => one.length - other.length)[0] as string
}

function hasFailed(record: LogRecord): boolean {
  return 'failed' in record && record.failed !== undefined
}

/** The records whose failures are in `error`, its causes and its parts. */
function failedRecords({ record, cause, errors = [] }: TaskError): number[] {
  const own = record === undefined ? [] : [record]
  return [...own, ...(cause ? failedRecords(cause) : []), ...errors.flatMap(failedRecords)]
}

/** Whether two scopes lie in different branches of the same call. */
function areSiblings(one: string, other: string): boolean {
  const ones = one.split('/')
  const others = other.split('/')
  const at = ones.findIndex((part, index) => part !== others[index])
  const [left, right] = [ones[at], others[at]]
  return left !== undefined && right !== undefined && callOf(left) === callOf(right)
}

// A branch's name is encoded and holds no dot of its own that would come first: `kind#number` has none.
function callOf(part: string): string {
  return part.slice(0, part.indexOf('.'))
}
