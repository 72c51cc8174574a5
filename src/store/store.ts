/**
 * The store, as the engine uses it: commits of decisions, and reads. LevelDB, the lock, the anchor and the order of the
 * writes are hidden in this folder.
 *
 * - Keys: `disk/layout.ts`.
 * - Writes: `commit.ts`.
 * - Reads: `reads.ts`, `read-log.ts` and `list.ts`.
 */
import type { Clock } from '../base/clock.js'
import { HoldfastError } from '../base/errors.js'
import type { Logger } from '../base/logger.js'
import type { BindingRecord, IdempotencyScope, TaskDecision } from '../task/changes.js'
import type { Tally } from '../task/counters.js'
import { type Durability, isLive } from '../task/head.js'
import { type AuditEnd, AuditWriter, type NewAuditEntry } from './audit.js'
import { type CommitAnchor, type CommitEnd, type CommitOptions, Committer, type Fate, type Reload } from './commit.js'
import { Connection } from './connection.js'
import { type LinkedCopy, linkDatabase } from './copies/linked-copy.js'
import type { BatchTimesHistogram, OnBatch } from './disk/batch-times.js'
import type { CompactionReport, SliceOptions } from './disk/compact-slices.js'
import { Compactions } from './disk/compactions.js'
import { explain } from './disk/damage.js'
import type { Operation } from './disk/layout.js'
import * as layout from './disk/layout.js'
import type { Level } from './disk/level.js'
import { pages } from './disk/pages.js'
import { runAll } from './disk/release-steps.js'
import type { AnchorFaults } from './integrity/anchor.js'
import { seal, unsealJson } from './integrity/envelope.js'
import type { LockHolder } from './lock/lock.js'
import { type LastOpening, type OpeningRecord, openingOperation, readLastOpening } from './opening-record.js'
import { toWrites } from './operations.js'
import { type Counters, TotalsKeeper } from './totals.js'

/** Parts of an open store. */
export interface StoreParts {
  readonly level: Level
  readonly reopen: () => Promise<Level>
  /** Checks that this process still holds the directory. See `DirectoryLock#assertHeld`. */
  readonly assertHeld: () => void
  readonly anchor: CommitAnchor & { readonly faults: AnchorFaults; close(): Promise<void>; abandon(): void }
  readonly anchorEach: boolean
  /** Number of the newest commit in the database. */
  readonly newest: number
  /** Counters, as they were read at the open. */
  readonly counters: Counters
  /** The newest value of the audit, as it was read. */
  readonly auditEnd: AuditEnd
  /** Damage that was accepted at the open: a sentence, or `undefined`. */
  readonly damage: string | undefined
  readonly durability: Durability
  readonly clock: Clock
  readonly logger: Logger
  /** Releases the directory. */
  readonly release: () => Promise<void>
  /** The directory of a store on disk, its ID and its holder; `undefined` for one in memory. */
  readonly directory?: { readonly dir: string; readonly storeId: string; readonly holder: LockHolder } | undefined
}

/** A copy of the database of an open store. */
export interface StoreCopy extends LinkedCopy {
  readonly storeId: string
  /** Number of a commit that the copy has at least. */
  readonly anchored: number
  /** Damage of the anchor file, as a sentence. */
  readonly anchorDamage?: string | undefined
}

const DELETES_PER_COMMIT = 64

type WrittenWith = Pick<CommitOptions, 'tally' | 'entries'>

export class Store {
  readonly durability: Durability
  /** Damage that was accepted at the open: a sentence for the recovery report. */
  readonly damage: string | undefined
  readonly connection: Connection
  /** Counters since the store was created, and of each hour. */
  readonly totals: TotalsKeeper
  /** The audit, as far as it is written. */
  readonly audit: AuditWriter
  readonly #committer: Committer
  /** Functions that refuse those writes of a binding that wait while the store is down. */
  readonly #refusedAtEnd = new Set<(error: unknown) => void>()
  #onLost: (lost: HoldfastError) => void = () => {}
  /** Called once the database is closed without a failure, before the directory is released. Never rejects. */
  onClosed: () => Promise<unknown> = async () => {}
  readonly #compactions: Compactions

  constructor(private readonly parts: StoreParts) {
    const { level, reopen, assertHeld, clock, logger, anchor, newest, anchorEach } = parts
    this.durability = parts.durability
    this.damage = parts.damage
    this.connection = new Connection(level, { reopen, assertHeld, clock, logger })
    const sync = parts.durability === 'synced'
    const totals = new TotalsKeeper(parts.counters)
    this.totals = totals
    this.audit = new AuditWriter(parts.auditEnd)
    const { audit } = this
    const onLost = (lost: HoldfastError) => {
      // The anchor file may belong to another process by now.
      anchor.abandon()
      for (const refuse of this.#refusedAtEnd) refuse(lost)
      this.#onLost(lost)
    }
    const { connection } = this
    this.#compactions = new Compactions(connection, logger)
    this.#committer = new Committer({ connection, anchor, sync, logger, onLost, newest, anchorEach, totals, audit })
  }

  /** The directory, the ID of the store and its holder; `undefined` for a store in memory. */
  get directory(): StoreParts['directory'] {
    return this.parts.directory
  }

  /** True if no commit, no read and no compaction is running, and no attempt to open the database again. */
  get isAtRest(): boolean {
    return this.#committer.isAtRest && this.connection.isAtRest && !this.#compactions.isRunning
  }

  /** Faults of the anchor file since the store was opened. */
  get anchorFaults(): AnchorFaults {
    return this.parts.anchor.faults
  }

  /** Sets the function that reads heads again after the store was down. */
  onReload(reload: Reload): void {
    this.#committer.onReload(reload)
  }

  /**
   * Sets the function that is called once, when another process may hold the directory. By then every call is refused
   * with `lost`.
   */
  onLost(stop: (lost: HoldfastError) => void): void {
    this.#onLost = stop
  }

  /**
   * Writes a decision in one batch. Settles once it is on disk (`written`), or known not to be (`lost`: decide again).
   * @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST` for a commit that is not `patient`
   */
  commit(decision: TaskDecision, { patient }: { patient: boolean }): Promise<Fate> {
    return new Promise((ended, refused) => this.queue(decision, patient, { ended, refused }))
  }

  /** Queues the write of a decision in one batch, without a promise for its end. @throws as `commit`. It is not queued then */
  queue(decision: TaskDecision, patient: boolean, end: CommitEnd): void {
    const { head, tally } = decision
    const { operations, entries } = toWrites(decision)
    if (!isLive(head) && decision.changes[0]?.kind === 'head') this.#compactions.noteSettled()
    this.#committer.queue({ taskId: head.taskId, patient, isRepeatable: undefined, tally, entries, operations, end })
  }

  /**
   * Records the state of this opening, and the crash counts that follow from the last one, in one batch.
   * @throws HoldfastError `STORE_UNAVAILABLE`
   */
  async noteOpening(note: OpeningRecord, counted: readonly TaskDecision[] = []): Promise<void> {
    const writes = counted.map(toWrites)
    const operations = writes.flatMap((write) => write.operations)
    operations.push(openingOperation(note, this.#committer.newest + 1))
    const entries = writes.flatMap((write) => write.entries ?? [])
    await this.#committer.commit(operations, { taskId: '', patient: false, entries })
  }

  /** Reads the record of the last opening, and whether a commit followed it. */
  async readOpening(): Promise<LastOpening | undefined> {
    return this.read((level) => readLastOpening(level, this.#committer.newest))
  }

  /** Runs a read. Fails with `STORE_UNAVAILABLE` while the store is down. */
  read<T>(read: (level: Level) => Promise<T>): Promise<T> {
    return this.connection.read(read)
  }

  /** Runs a read of the engine itself. Waits while the store is down. */
  readPatiently<T>(read: (level: Level) => Promise<T>): Promise<T> {
    return this.connection.readPatiently(read)
  }

  /**
   * Deletes the parts that a save with `prune` dropped: records, checkpoints and states of the segments before
   * `keptFrom`. The head that dropped them is on disk already, so this may stop anywhere and be repeated.
   */
  async deletePruned(taskId: string, keptFrom: number): Promise<void> {
    const keys = await this.readPatiently(async (level) => {
      const found: string[] = []
      for (const prefix of [layout.logPrefix(taskId), layout.patchPrefix(taskId)]) {
        const range = layout.prunedRange(prefix, keptFrom)
        for await (const page of pages(level, range)) found.push(...page.map(([key]) => key))
      }
      for await (const page of pages(level, layout.under(layout.checkpointPrefix(taskId)))) {
        for (const [key, text] of page) {
          const { opens, checkpointId } = unsealJson<{ opens?: number; checkpointId: string }>(key, text)
          if (opens !== undefined && opens < keptFrom) found.push(key, layout.stateKey(taskId, checkpointId))
        }
      }
      return found
    })
    await this.#delete(taskId, keys)
  }

  /**
   * Writes records of a protocol binding in one batch. Waits while the store is down.
   * @throws HoldfastError `STORE_UNAVAILABLE` for a write that is not `patient`; `STORE_LOST`, `CLOSED`
   */
  async commitBinding(records: readonly BindingRecord[], { patient }: { patient: boolean }): Promise<void> {
    const operations = records.map(({ key, text }) =>
      text === undefined ? { key } : { key, value: seal(key, 0, text) },
    )
    this.connection.assertOpen()
    // A write of a binding does not depend on earlier reads, and names no task whose head has to be read again.
    await this.#untilEnd(this.#committer.commit(operations, { taskId: '', patient, isRepeatable: true }))
  }

  /**
   * Rejects with `CLOSED` or `STORE_LOST` if the store ends before the write: a client waits for the binding's answer.
   */
  #untilEnd(written: Promise<Fate>): Promise<Fate> {
    return new Promise((resolve, reject) => {
      this.#refusedAtEnd.add(reject)
      written.then(resolve, reject).finally(() => this.#refusedAtEnd.delete(reject))
    })
  }

  /** Deletes the records of a fork or an import that was not created, and then the timer of that deletion. */
  async deleteOrphan(taskId: string, sweepAt: number): Promise<void> {
    const keys = await this.readPatiently(async (level) => {
      const found = layout.keysOf(taskId, undefined)
      for (const range of layout.rangesOf(taskId, undefined)) {
        for await (const page of pages(level, { ...range, values: false })) found.push(...page.map(([key]) => key))
      }
      return found
    })
    await this.#delete(taskId, [...keys, layout.timerKey(sweepAt, 'sweep-orphan', taskId)])
  }

  /** Deletes an idempotency key and its timer. Deletes only the timer if the key belongs to a new task by now. */
  async forgetKey(taskId: string, timer: string, scope: IdempotencyScope | undefined): Promise<void> {
    const key = scope && layout.idempotencyKey(scope.owner, scope.type, scope.key)
    await this.#delete(taskId, key === undefined ? [timer] : [timer, key])
  }

  /** Moves a timer to a later instant, because its key may not be forgotten yet. */
  async moveTimer(taskId: string, timer: string, at: number, scope: IdempotencyScope): Promise<void> {
    const key = layout.timerKey(at, 'forget-key', taskId)
    await this.put(taskId, [{ key: timer }, { key, value: seal(key, 0, JSON.stringify(scope)) }])
  }

  async #delete(taskId: string, keys: readonly string[]): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETES_PER_COMMIT) {
      await this.put(
        taskId,
        keys.slice(at, at + DELETES_PER_COMMIT).map((key) => ({ key })),
      )
    }
  }

  /**
   * Writes operations that are right regardless of earlier commits, such as deletes of records that a commit on disk
   * has dropped. A lost write is repeated unchanged.
   */
  async put(
    taskId: string,
    operations: readonly Operation[],
    tally?: Tally,
    entries?: readonly NewAuditEntry[],
  ): Promise<void> {
    await this.#committer.commit(operations, { taskId, patient: true, isRepeatable: true, tally, entries })
  }

  /** Writes operations for a caller in one batch. @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST` */
  async putForCaller(taskId: string, operations: readonly Operation[], about: WrittenWith = {}): Promise<void> {
    this.connection.assertOpen()
    await this.#committer.commit(operations, { taskId, patient: false, ...about })
  }

  /** Counts what the sweep of a task deleted from the ranges that lists read. */
  noteSwept(keys: readonly string[]): void {
    this.#compactions.noteSwept(keys)
  }

  /** Compacts all keys, a slice at a time. @throws HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST`, `CLOSED`; as `beforeSlice` */
  compact(options: SliceOptions): Promise<CompactionReport> {
    return this.#compactions.compactAll(options)
  }

  /** Sets the function that is called at the end of each batch. */
  onBatch(onBatch: OnBatch): void {
    this.#committer.times.onBatch = onBatch
  }

  /** Times of the batches since the open. */
  get batchTimes(): BatchTimesHistogram {
    return this.#committer.times.histogram
  }

  /**
   * Makes a copy of the database with hard links, while commits continue.
   * @param token names the copy; not used before
   * @throws TypeError for a store in memory; HoldfastError `STORE_UNAVAILABLE`, `STORE_LOST`, `CLOSED`; a system error
   */
  async linkedCopy(token: string): Promise<StoreCopy> {
    const { directory } = this.parts
    if (!directory) throw new TypeError('Expected a store on disk: a store in memory has no files to copy')
    this.connection.assertUp()
    // Noted before the first link: what is acknowledged by now is in the copy.
    const anchored = this.#committer.newest
    const copy = await linkDatabase(directory.dir, { ...directory.holder, token })
    return { ...copy, storeId: directory.storeId, anchored }
  }

  /** Directory of the store; `undefined` for one in memory. */
  get dir(): string | undefined {
    return this.parts.directory?.dir
  }

  /**
   * Writes the queued commits, makes the anchor exact, closes the database and releases the directory, even if one of
   * these fails.
   * @throws HoldfastError `STORE_UNAVAILABLE` with the first failure. The store is closed and the directory is free.
   */
  async close(): Promise<void> {
    const { anchor, release } = this.parts
    const refuse = () => {
      for (const refuseOne of this.#refusedAtEnd) refuseOne(new HoldfastError('CLOSED', 'The store is closed'))
    }
    const steps = [() => this.#committer.flushed(), () => this.connection.close(), refuse, () => anchor.close()]
    const closing = await runAll(steps)
    if (!closing) await this.onClosed()
    const releasing = await runAll([release])
    const failure = closing ?? releasing
    if (failure) throw closedBadly(failure.error)
  }
}

function closedBadly(cause: unknown): HoldfastError {
  if (cause instanceof HoldfastError) return cause
  return new HoldfastError(
    'STORE_UNAVAILABLE',
    `The store was closed, and not all of that worked: ${explain(cause)}. What was acknowledged was on disk before; the directory is free again.`,
    { cause },
  )
}
