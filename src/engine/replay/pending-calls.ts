/**
 * The pending calls of a run, by identity. Keeps the log of the task within `limits.recordsPerTaskMax`. A call counts
 * from the moment it is made. So calls that are made at once cannot exceed the limit together. If they would, the task
 * fails and none of them begins.
 */

import { SmallMap, SmallSet } from '../../base/collections.js'
import { HoldfastError } from '../../base/errors.js'
import { describeRecord, type RecordName } from '../../task/log/records.js'
import type { RunCore } from './host.js'
import type { PendingCall } from './pending-call.js'

const NONE: readonly PendingCall[] = []

/** A map of calls that also counts the calls without a record. */
export class PendingCalls extends SmallMap<string, PendingCall> {
  readonly #unrecorded = new SmallSet<PendingCall>()
  readonly #fresh = new SmallSet<PendingCall>()

  constructor(private readonly run: RunCore) {
    super()
  }

  /** The calls that have begun. */
  get begun(): PendingCall[] {
    return [...this.values()].filter(({ startedAt }) => startedAt !== undefined)
  }

  /** Removes and returns the calls that have not been released yet, in their order. */
  takeFresh(): readonly PendingCall[] {
    if (this.#fresh.size === 0) return NONE
    const fresh = [...this.#fresh]
    this.#fresh.clear()
    return fresh
  }

  /**
   * Adds a call of the body.
   * @throws HoldfastError `LIMIT_EXCEEDED` if its record would exceed the limit. The task fails with this error, even
   *   if the body catches it.
   */
  add(asked: PendingCall): void {
    // A call with a record in the log is counted by its record.
    if (!this.run.history.isRecorded(asked.ask)) {
      this.#checkLimit(asked)
      this.#unrecorded.add(asked)
    }
    this.#fresh.add(asked)
    this.set(asked.ask.id, asked)
  }

  /** Deletes a call that has its answer, or will never get one. */
  override delete(id: string): boolean {
    const asked = this.get(id)
    if (asked) this.#fresh.delete(asked)
    return super.delete(id)
  }

  /** Stops counting a call whose record is on disk. */
  recorded(asked: PendingCall): void {
    this.#unrecorded.delete(asked)
  }

  /** Removes the calls of branches that lost, which receive no answers. */
  deleteOver(): void {
    for (const asked of [...this.values()]) {
      if (!asked.branch?.isOver) continue
      this.delete(asked.ask.id)
      this.#unrecorded.delete(asked)
    }
  }

  #checkLimit({ ask, prunes }: PendingCall): void {
    const { host, task } = this.run
    const { recordsPerTaskMax: max } = host.limits
    // The count on disk. Records that are being written are counted as pending calls.
    const { records } = task.committed ?? task.head
    const deferred = task.deferred?.count ?? 0
    const number = records + deferred + this.#unrecorded.size + 1
    if (prunes || number <= max) return
    const error = tooManyRecords(task.taskId, describeRecord(ask.name), number, max)
    this.run.fail(error)
    throw error
  }
}

function tooManyRecords(taskId: string, record: string, number: number, max: number): HoldfastError {
  const said = `Task ${taskId} called ${record}, which would be record ${number} of its log`
  const more = `${max} are kept (option \`limits.recordsPerTaskMax\`), calls without a record yet included`
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `${said}; ${more}. Save checkpoints with \`prune: true\` to keep the log short.`,
    { details: { taskId, record, number, max, option: 'limits.recordsPerTaskMax' } },
  )
}

/** The calls that are pending when a body returns. */
interface PendingAtReturn {
  /** The first call that was made in the turn in which the body returns. */
  readonly forgotten: RecordName | undefined
  /** The first call that was made in an earlier turn. */
  readonly earlier: RecordName | undefined
}

/**
 * Divides the pending calls of a body that returns.
 * @param turn the number of the turn in which it returns; `undefined` if it returns outside a turn
 */
export function pendingAtReturn(pending: Iterable<PendingCall>, turn: number | undefined): PendingAtReturn {
  let earlier: RecordName | undefined
  for (const asked of pending) {
    if (asked.turn === turn) return { forgotten: asked.ask.name, earlier }
    earlier ??= asked.ask.name
  }
  return { forgotten: undefined, earlier }
}
