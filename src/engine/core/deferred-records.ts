/**
 * Deferred records of a task: decided and handed over to its body, and not on disk yet. They go to the disk with the next
 * commit of the task, whatever that is, in one batch and with one head.
 *
 * deferred-1. Records are numbered, decided and handed over in one order. A record is deferred only where every record
 *     before it is in the history of the run.
 * deferred-2. At most 100 records or 1 MiB are not on disk. Half of that, or 100 ms (clock of the engine), begins a commit.
 *     A record over the limit is committed like any other: its body waits for the disk.
 * deferred-3. Records of a lost commit are decided again from memory, in their order, with their time. They get the same
 *     numbers, since nothing with a number was handed over after them. No function is called again. Only a crash loses them.
 */
import type { Clock } from '../../base/clock.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { deferred } from '../../base/promises.js'
import type { Store } from '../../store/store.js'
import type { Change, TaskDecision } from '../../task/changes.js'
import { isFenced, transition } from '../../task/decisions/transition.js'
import type { NamedRecord } from '../../task/log/records.js'
import type { EventOf, TaskEvent } from '../../task/task-event.js'
import type { LiveTask } from './live-task.js'

/** Largest number of records of a task that are not on disk. The next record waits for the disk. */
export const DEFERRED_RECORDS_MAX = 100
/** Largest size of these records in bytes. */
export const DEFERRED_BYTES_MAX = 1024 * 1024
/** Longest time in milliseconds until these records are written. */
export const DEFERRED_MS_MAX = 100

// Share of the limits at which a commit begins. The body continues while that commit is written. With a share of 1, each
// hundredth record would wait for the disk.
const FLUSHED_AT = 0.5

/** The parts of the engine that deferring uses. */
export interface DeferringHost {
  readonly clock: Clock
  readonly store: Pick<Store, 'connection'>
  readonly logger: Logger
  readonly closing: boolean
  record(task: LiveTask, event: TaskEvent): Promise<TaskDecision>
}

interface DeferredRecord {
  readonly event: EventOf<'record'>
  readonly record: NamedRecord
  readonly change: Extract<Change, { kind: 'record' }>
  readonly bytes: number
  /** Called once the record is on disk. */
  readonly onDisk: (record: NamedRecord) => void
}

/** The deferred records of one task, the oldest first. It exists while there are any. */
export class DeferredRecords {
  readonly #records: DeferredRecord[] = []
  /** Number of records, from the first, that a queued commit contains. */
  #queued = 0
  #bytes = 0
  /** Bytes of the records that no queued commit contains. */
  #unqueuedBytes = 0
  /** True while a `flush` event waits to be decided. */
  isFlushing = false
  readonly #none = deferred()
  #disarm = () => {}

  constructor(
    private readonly task: LiveTask,
    private readonly host: DeferringHost,
  ) {}

  get count(): number {
    return this.#records.length
  }

  /** True if some records are in no queued commit. */
  get hasUnqueued(): boolean {
    return this.#queued < this.#records.length
  }

  /** Resolves once no record is left. */
  get none(): Promise<void> {
    return this.#none.promise
  }

  /** True if a record of this size fits within the limits (deferred-2). */
  hasRoom(bytes: number): boolean {
    return this.#records.length < DEFERRED_RECORDS_MAX && this.#bytes + bytes <= DEFERRED_BYTES_MAX
  }

  add(record: DeferredRecord): void {
    const { clock } = this.host
    if (!this.hasUnqueued) {
      this.#disarm = clock.setTimer(clock.now() + DEFERRED_MS_MAX, () => this.#flush(), { elapsed: true })
    }
    this.#records.push(record)
    this.#bytes += record.bytes
    this.#unqueuedBytes += record.bytes
    const isHalf =
      this.#records.length - this.#queued >= DEFERRED_RECORDS_MAX * FLUSHED_AT ||
      this.#unqueuedBytes >= DEFERRED_BYTES_MAX * FLUSHED_AT
    if (isHalf) this.#flush()
  }

  /** The decision with the records that no queued commit contains. Call `markQueued` once it is queued. */
  joinedTo(decision: TaskDecision): TaskDecision {
    if (!this.hasUnqueued) return decision
    const records = this.#records.slice(this.#queued).map(({ change }) => change)
    return { ...decision, changes: [...decision.changes, ...records] }
  }

  /** Notes that a commit with all records is queued. */
  markQueued(): void {
    this.#disarm()
    this.#queued = this.#records.length
    this.#unqueuedBytes = 0
    this.isFlushing = false
  }

  /** Removes the records that are on disk. @param nextRecord number of the next record after the commit that is on disk */
  landed(nextRecord: number): void {
    for (const { record, onDisk } of this.#takeBefore(nextRecord)) onDisk(record)
  }

  /**
   * Decides the records that are not on disk again, on the head that was read after an outage (deferred-3).
   * @returns a function to call once the store is up
   */
  decideAgain(): () => void {
    const { task } = this
    const there = this.#takeBefore(task.head.nextRecord)
    this.#disarm()
    this.#queued = 0
    this.isFlushing = false
    try {
      this.#unqueuedBytes = this.#bytes
      for (const { event, record } of this.#records) {
        task.commits.decide(transition(task.head, event, record.at).head)
      }
    } catch (error) {
      // The task is settled, or the run is superseded: no body waits for the records.
      if (!isFenced(error)) throw error
      this.#takeBefore(Number.POSITIVE_INFINITY)
    }
    return () => {
      for (const { record, onDisk } of there) onDisk(record)
      this.#flush()
    }
  }

  #flush(): void {
    void flush(this.host, this.task)
  }

  #takeBefore(nextRecord: number): DeferredRecord[] {
    let count = 0
    while (count < this.#records.length && (this.#records[count] as DeferredRecord).record.seq < nextRecord) count++
    const taken = this.#records.splice(0, count)
    for (const { bytes } of taken) this.#bytes -= bytes
    this.#queued = Math.max(0, this.#queued - count)
    if (this.#records.length > 0) return taken
    this.#disarm()
    this.task.commits.endDeferring(this)
    this.#none.resolve()
    return taken
  }
}

/**
 * Decides a record of a task and defers its write. The body may receive the record at once.
 * @returns the record. `undefined` if it must be committed like any other
 * @throws HoldfastError `TASK_SETTLED`, RunFenced
 */
export function defer(
  host: DeferringHost,
  task: LiveTask,
  event: EventOf<'record'>,
  onDisk: (record: NamedRecord) => void,
): NamedRecord | undefined {
  if (host.closing || !host.store.connection.isUp || task.commits.isSettling) return undefined
  const { head, changes, record } = transition(task.head, event, host.clock.now())
  const change = changes.find((change) => change.kind === 'record')
  if (!change || !record || record.kind === 'checkpoint') return undefined
  const bytes = Buffer.byteLength(change.text)
  if (bytes > DEFERRED_BYTES_MAX || task.deferred?.hasRoom(bytes) === false) return undefined
  task.commits.decide(head)
  const records = task.deferred ?? new DeferredRecords(task, host)
  if (!task.deferred) task.commits.defer(records)
  records.add({ event, record, change, bytes, onDisk })
  return record
}

/** Writes the deferred records of a task. Resolves once none is left. `undefined` if there are none. */
export function flush(host: DeferringHost, task: LiveTask): Promise<void> | undefined {
  const { deferred } = task
  if (!deferred) return undefined
  if (deferred.hasUnqueued && !deferred.isFlushing) {
    deferred.isFlushing = true
    const { taskId, run } = task.head
    host.record(task, { kind: 'flush', run }).catch((error: unknown) => {
      deferred.isFlushing = false
      // The task is settled or the run is superseded. The commit that did so contains the records.
      if (isFenced(error)) return
      host.logger.debug('Deferred records could not be written; the next commit tries again', {
        taskId,
        error: faultOf(error),
      })
    })
  }
  return deferred.none
}
