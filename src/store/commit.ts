/**
 * The only write to the database. Every change of the store goes through `Committer`, and `writeBatch` below is the
 * only caller of the database's batch.
 *
 * Owns the queue of commits and the number of the next commit. Commits that arrive while a batch is being written form
 * the next batch (group commit). So a hundred tasks that finish a step at once wait for the disk once.
 *
 * commit-1. One batch is in flight, of about 100 operations or 1 MiB. Each batch has the next commit number, and is
 *   synced.
 * commit-2. A commit ends only when its batch is on disk. Callers are notified after that.
 * commit-3. A failed batch is the last one of its database handle (connection.ts). The database is opened again and
 *   read: the number of the batch shows whether it reached the disk. The commits queued after it were decided on a
 *   state that is now unknown, so they are `lost`: their owners read again and decide again. A repeatable commit is not
 *   lost: it keeps its place in the queue.
 * commit-4. No user function runs in this file. The functions for the end of a commit are called outside any `try`, after
 *   the next batch has begun.
 * commit-9. Before a batch is acknowledged, the lock file must still be ours (lock-7). If it is not, the batch is not
 *   acknowledged and no batch follows it, because another process may write to the store. The commits of callers are
 *   then refused. The engine's own never settle.
 */
import { nextTick } from 'node:process'
import { HoldfastError } from '../base/errors.js'
import type { Logger } from '../base/logger.js'
import type { Tally } from '../task/counters.js'
import type { AuditWriter, NewAuditEntry } from './audit.js'
import { type Connection, isLost, unavailable } from './connection.js'
import { BatchTimes } from './disk/batch-times.js'
import type { Operation } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { COMMIT_LOG_BYTES_MIN, chainOperation, logBytesAtLeast, newestIs } from './integrity/chain.js'
import type { TotalsKeeper } from './totals.js'

// A batch of a thousand operations blocks the main thread for 7 to 11 ms. A hundred operations share the wait for the
// disk as well.
const OPERATIONS_PER_BATCH = 100
const BYTES_PER_BATCH = 1024 * 1024

/** Result of a commit: it is on disk, or it is not and must be decided again. */
export type Fate = 'written' | 'lost'

/** Options of a commit: its task, and its behaviour while the store is down. */
export interface CommitOptions {
  readonly taskId: string
  /**
   * True for a commit of the engine, which waits and is decided again. A caller's commit is refused with
   * `STORE_UNAVAILABLE`.
   */
  readonly patient: boolean
  /**
   * True if the operations depend on nothing that is read first. A patient commit of that kind is never `lost`: the committer
   * writes it again, before any commit that came later. Without this, a later write of the same key would be overwritten.
   */
  readonly isRepeatable?: boolean | undefined
  /** Changes of the counters, written in the same batch. */
  readonly tally?: Tally | undefined
  /** Audit entries of the commit, written in its batch. */
  readonly entries?: readonly NewAuditEntry[] | undefined
}

/**
 * Reads the heads of tasks whose commits are unknown or lost, before the store is used again. Returns a function that
 * notifies waiting callers once the store is up: a commit whose caller was refused may be on disk.
 */
export type Reload = (level: Level, taskIds: ReadonlySet<string>) => Promise<() => void>

/**
 * Functions for the end of a commit. One of them is called, once, in the order of the commits. They must not throw. A
 * commit that is not `patient` may be refused. A patient one does not end if the store is lost.
 */
export interface CommitEnd {
  ended(fate: Fate): void
  refused(error: unknown): void
}

/** A commit with its operations and its end. Always written with all fields in this order, so that V8 reads it fast. */
export interface QueuedCommit extends CommitOptions {
  readonly isRepeatable: boolean | undefined
  readonly tally: Tally | undefined
  readonly entries: readonly NewAuditEntry[] | undefined
  readonly operations: readonly Operation[]
  readonly end: CommitEnd
}

/** The part of the anchor that a committer calls (anchor.ts). */
export interface CommitAnchor {
  note(seq: number): void
  /**
   * Writes the anchor and waits for it.
   * @throws Error if the anchor file is not exact after that
   */
  writeNow(): Promise<void>
}

/** Parts and settings of a committer. */
export interface CommitterOptions {
  readonly connection: Connection
  readonly anchor: CommitAnchor
  readonly sync: boolean
  readonly logger: Logger
  /** Called once, when the store is lost and all waiting commits were refused. */
  readonly onLost: (lost: HoldfastError) => void
  /** Number of the newest commit in the database. */
  readonly newest: number
  /** True if each commit waits for the anchor. Otherwise the anchor lags. */
  readonly anchorEach: boolean
  readonly totals: TotalsKeeper
  readonly audit: AuditWriter
}

export class Committer {
  /** Times of the batches, from the write to the acknowledgement. */
  readonly times = new BatchTimes()
  #queue: QueuedCommit[] = []
  #newest: number
  #isDraining = false
  /** Functions to call once nothing is queued. */
  #onRest: (() => void)[] = []
  #reload: Reload = async () => () => {}

  constructor(private readonly options: CommitterOptions) {
    this.#newest = options.newest
  }

  /** Number of the newest commit. */
  get newest(): number {
    return this.#newest
  }

  /** True if no commit is queued or being written, or if the store is down: its commits then wait for the connection. */
  get isAtRest(): boolean {
    return !this.#isDraining || !this.options.connection.isUp
  }

  /** Sets the function that reads heads again after the store was down. */
  onReload(reload: Reload): void {
    this.#reload = reload
  }

  /**
   * Writes `operations` in one batch with the other waiting commits. Settles once they are on disk, or known not to be.
   * @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST` for an impatient commit, with `mayBeWritten`
   */
  commit(operations: readonly Operation[], options: CommitOptions): Promise<Fate> {
    const { taskId, patient, isRepeatable, tally, entries } = options
    return new Promise((ended, refused) => {
      this.queue({ taskId, patient, isRepeatable, tally, entries, operations, end: { ended, refused } })
    })
  }

  /**
   * Queues a commit, without a promise for its end.
   * @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST` for an impatient commit. It is not queued then
   */
  queue(commit: QueuedCommit): void {
    if (!commit.patient) this.options.connection.assertUp()
    this.#queue.push(commit)
    if (this.#isDraining) return
    this.#isDraining = true
    // Everything that is decided in this turn of the event loop joins the first batch.
    nextTick(this.#writeNext)
  }

  /**
   * Resolves once nothing is queued, or the store is down. Commits that are queued then are not on disk and not
   * acknowledged.
   */
  async flushed(): Promise<void> {
    const { connection } = this.options
    while (this.#isDraining && connection.isUp) {
      await Promise.race([new Promise<void>((resolve) => this.#onRest.push(resolve)), connection.down])
    }
  }

  /** Writes the next batch, and the ones after it, until nothing is queued. No promise of its own: each step has a batch. */
  readonly #writeNext = (): void => {
    if (this.#queue.length === 0) {
      this.#isDraining = false
      for (const tell of this.#onRest.splice(0)) tell()
      return
    }
    const group = this.#nextGroup()
    this.times.begin()
    const fail = (cause: unknown) => void this.#afterFailure(group, cause)
    try {
      this.#write(group).then(() => this.#written(group, fail), fail)
    } catch (cause) {
      fail(cause)
    }
  }

  /** Checks the lock and notes the commit in the anchor, after the batch of `group` is on disk. Then acknowledges it. */
  #written(group: readonly QueuedCommit[], fail: (cause: unknown) => void): void {
    const { connection, anchor, anchorEach } = this.options
    try {
      connection.assertHeld()
      anchor.note(this.#newest + 1)
    } catch (cause) {
      fail(cause)
      return
    }
    // A failing anchor is an outage like a failed batch: no commit is acknowledged before the anchor includes it.
    if (anchorEach) anchor.writeNow().then(() => this.#acknowledge(group), fail)
    else this.#acknowledge(group)
  }

  #acknowledge(group: readonly QueuedCommit[]): void {
    this.#land()
    this.times.end(group.length)
    this.#writeNext()
    for (const { end } of group) end.ended('written')
  }

  #land(): void {
    this.#newest++
    this.options.totals.landed()
    this.options.audit.landed()
  }

  async #afterFailure(group: readonly QueuedCommit[], cause: unknown): Promise<void> {
    await this.#recover(group, cause).catch((error: unknown) => this.#lose(group, error))
    this.#writeNext()
  }

  #nextGroup(): QueuedCommit[] {
    let operations = 0
    let bytes = 0
    let size = 0
    for (const pending of this.#queue) {
      operations += pending.operations.length + (pending.entries?.length ?? 0)
      for (const { value } of pending.operations) bytes += value?.length ?? 0
      if (size > 0 && (operations > OPERATIONS_PER_BATCH || bytes > BYTES_PER_BATCH)) break
      size++
    }
    return this.#queue.splice(0, size)
  }

  #write(group: readonly QueuedCommit[]): Promise<void> {
    const { connection, sync, totals, audit } = this.options
    const seq = this.#newest + 1
    const operations = group.flatMap((pending) => pending.operations)
    operations.push(...totals.count(group, seq))
    operations.push(...audit.operations(group, seq))
    operations.push(chainOperation(seq, operations))
    assertPadded(operations)
    return writeBatch(connection.level, operations, sync)
  }

  async #recover(group: readonly QueuedCommit[], cause: unknown): Promise<void> {
    const { connection, logger, anchor, anchorEach } = this.options
    if (isLost(cause)) throw cause
    const attempted = this.#newest + 1
    connection.poison(cause)
    refuseImpatient(group, cause, true)
    refuseImpatient(this.#queue, cause, false)
    const taskIds = new Set([...group, ...this.#queue].map(({ taskId }) => taskId))
    const { landed, tell } = await connection.reopen(async (level) => {
      const landed = await newestIs(level, attempted)
      if (!landed && this.#newest > 0 && !(await newestIs(level, this.#newest))) {
        logger.error('The database was opened again without commits it had acknowledged; it is not used', {
          newest: this.#newest,
        })
        throw new Error(`Commit ${this.#newest} was acknowledged and is not there any more`)
      }
      if (landed) anchor.note(attempted)
      if (anchorEach) await anchor.writeNow()
      return { landed, tell: await this.#reload(level, taskIds) }
    })
    if (landed) this.#land()
    const unwritten = [...(landed ? [] : group), ...this.#queue]
    this.#queue = unwritten.filter(keepsItsPlace)
    connection.resume()
    tell()
    // The commits of callers have ended: they were refused.
    if (landed) for (const { patient, end } of group) if (patient) end.ended('written')
    for (const commit of unwritten) if (commit.patient && !commit.isRepeatable) commit.end.ended('lost')
  }

  #lose(group: readonly QueuedCommit[], error: unknown): void {
    if (!isLost(error)) throw error
    const { connection, onLost } = this.options
    const isFirst = connection.lose(error)
    refuseLost(group, error, true)
    refuseLost(this.#queue.splice(0), error, false)
    if (isFirst) onLost(error)
  }
}

/**
 * Writes `operations` to the database: all of them, or none. No other code writes a batch. With `sync`, they survive a
 * power cut, and so does the name of the file that holds them.
 */
export function writeBatch(level: Level, operations: readonly Operation[], sync: boolean): Promise<void> {
  const batch = level.batch()
  for (const { key, value } of operations) {
    if (value === undefined) batch.del(key)
    else batch.put(key, value)
  }
  const written = batch.write({ sync })
  return level.afterWrite ? written.then(() => level.afterWrite?.(operations, sync)) : written
}

/**
 * Checks the padding of a batch. With smaller commits, LevelDB's logs could hold more commits than the ring has slots
 * (chain.ts).
 */
function assertPadded(operations: readonly Operation[]): void {
  const bytes = logBytesAtLeast(operations)
  if (bytes >= COMMIT_LOG_BYTES_MIN) return
  throw new Error(`A commit takes ${bytes} bytes of the log; it has to take at least ${COMMIT_LOG_BYTES_MIN}`)
}

/** True if the commit is written again unchanged, in its place, after the store was down. */
function keepsItsPlace({ isRepeatable, patient }: QueuedCommit): boolean {
  return isRepeatable === true && patient
}

function refuseImpatient(pending: readonly QueuedCommit[], cause: unknown, mayBeWritten: boolean): void {
  for (const { patient, end } of pending) if (!patient) end.refused(unavailable(cause, mayBeWritten))
}

function refuseLost(pending: readonly QueuedCommit[], lost: HoldfastError, mayBeWritten: boolean): void {
  const { code, message, details } = lost
  for (const { patient, end } of pending) {
    if (!patient) end.refused(mayBeWritten ? new HoldfastError(code, message, { details, mayBeWritten }) : lost)
  }
}
