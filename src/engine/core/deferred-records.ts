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
import { deferred } from '../../base/deferred.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import type { Store } from '../../store/store.js'
import type { Change, TaskDecision } from '../../task/changes.js'
import { isFenced, transition } from '../../task/decisions/transition.js'
import type { NamedRecord } from '../../task/log/records.js'
import type { EventOf, TaskEvent } from '../../task/task-event.js'
import type { LiveTask } from './live-task.js'

/** Records of a task that are not on disk, at most. The 101st waits for the disk. */
export const DEFERRED_RECORDS_MAX = 100
/** Their bytes, at most. */
export const DEFERRED_BYTES_MAX = 1024 * 1024
/** Longest time until they are written. */
export const DEFERRED_MS_MAX = 100

// A body continues while the first half is written. With all of it, each hundredth record would wait for the disk.
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
  /** Called once it is on disk. */
  readonly onDisk: (record: NamedRecord) => void
}

/** The deferred records of one task, the oldest first. It exists while there are any. */
export class DeferredRecords {
  readonly #records: DeferredRecord[] = []
  /** So many of them, from the first, are on their way to the disk. */
  #carried = 0
  #bytes = 0
  /** The bytes of those that are on no way yet. */
  #bytesLeft = 0
  /** True while a commit that takes them along waits to be decided. */
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

  /** True if some of them are on no way to the disk. */
  get isOnNoWay(): boolean {
    return this.#carried < this.#records.length
  }

  /** Resolves once there is none. */
  get none(): Promise<void> {
    return this.#none.promise
  }

  /** True if another one has room (deferred-2). */
  hasRoom(bytes: number): boolean {
    return this.#records.length < DEFERRED_RECORDS_MAX && this.#bytes + bytes <= DEFERRED_BYTES_MAX
  }

  add(record: DeferredRecord): void {
    const { clock } = this.host
    if (!this.isOnNoWay) {
      this.#disarm = clock.setTimer(clock.now() + DEFERRED_MS_MAX, () => this.#flush(), { elapsed: true })
    }
    this.#records.push(record)
    this.#bytes += record.bytes
    this.#bytesLeft += record.bytes
    const isHalf =
      this.#records.length - this.#carried >= DEFERRED_RECORDS_MAX * FLUSHED_AT ||
      this.#bytesLeft >= DEFERRED_BYTES_MAX * FLUSHED_AT
    if (isHalf) this.#flush()
  }

  /** The decision with the records that are on no way yet. Call `carry` once it is queued. */
  joinedTo(decision: TaskDecision): TaskDecision {
    if (!this.isOnNoWay) return decision
    const records = this.#records.slice(this.#carried).map(({ change }) => change)
    return { ...decision, changes: [...decision.changes, ...records] }
  }

  /** A commit with all of them is queued. */
  carry(): void {
    this.#disarm()
    this.#carried = this.#records.length
    this.#bytesLeft = 0
    this.isFlushing = false
  }

  /** A commit is on disk, after which the task's next record has this number. */
  landed(nextRecord: number): void {
    for (const { record, onDisk } of this.#takeBefore(nextRecord)) onDisk(record)
  }

  /**
   * The head was read back after an outage: those that are not on disk are decided again, on it (deferred-3).
   * @returns what is to be done once the store is up
   */
  decideAgain(): () => void {
    const { task } = this
    const there = this.#takeBefore(task.head.nextRecord)
    this.#disarm()
    this.#carried = 0
    this.isFlushing = false
    try {
      this.#bytesLeft = this.#bytes
      for (const { event, record } of this.#records) task.head = transition(task.head, event, record.at).head
    } catch (error) {
      // Settled, or of a run that is superseded: no body waits for them.
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
    this.#carried = Math.max(0, this.#carried - count)
    if (this.#records.length > 0) return taken
    this.#disarm()
    if (this.task.deferred === this) this.task.deferred = undefined
    this.#none.resolve()
    return taken
  }
}

/**
 * Decides a record of a task and defers it. The body may be handed the record at once.
 * @returns the record; `undefined` if it is to be committed like any other
 * @throws HoldfastError `TASK_SETTLED`, RunFenced
 */
export function defer(
  host: DeferringHost,
  task: LiveTask,
  event: EventOf<'record'>,
  onDisk: (record: NamedRecord) => void,
): NamedRecord | undefined {
  if (host.closing || !host.store.connection.isUp || task.settling) return undefined
  const { head, changes, record } = transition(task.head, event, host.clock.now())
  const change = changes.find((change) => change.kind === 'record')
  if (!change || !record || record.kind === 'checkpoint') return undefined
  const bytes = Buffer.byteLength(change.text)
  if (bytes > DEFERRED_BYTES_MAX || task.deferred?.hasRoom(bytes) === false) return undefined
  task.head = head
  task.deferred ??= new DeferredRecords(task, host)
  task.deferred.add({ event, record, change, bytes, onDisk })
  return record
}

/** Has the deferred records of a task written. Resolves once there is none; `undefined` if there is none now. */
export function flush(host: DeferringHost, task: LiveTask): Promise<void> | undefined {
  const { deferred } = task
  if (!deferred) return undefined
  if (deferred.isOnNoWay && !deferred.isFlushing) {
    deferred.isFlushing = true
    const { taskId, run } = task.head
    host.record(task, { kind: 'flush', run }).catch((error: unknown) => {
      deferred.isFlushing = false
      // Settled meanwhile, or superseded: the commit that did so took them along.
      if (isFenced(error)) return
      host.logger.debug('Deferred records could not be written; the next commit tries again', {
        taskId,
        error: faultOf(error),
      })
    })
  }
  return deferred.none
}
