/**
 * The record of this opening in the store. Writes it at the begin and at a close, counts a crash of the last opening,
 * and holds the recovery of a store that crashes every start.
 *
 * One batch counts the crash and writes the record of the new opening. After a crash before that batch, the next open
 * counts. After a crash after it, no head has the number of the old opening any more. So each crash counts once.
 */

import { faultOf } from '../../base/fault.js'
import type { Ids } from '../../base/ids.js'
import type { Logger } from '../../base/logger.js'
import type { LastOpening, OpeningRecord } from '../../store/opening-record.js'
import type { Store } from '../../store/store.js'
import type { TaskHead } from '../../task/head.js'
import type { OpeningHistory } from '../core/collaborators.js'
import type { RecoveryReport } from '../core/recovery-report.js'
import { beginOpening } from './begin-opening.js'

/** An opening for a command of an operator. Writes no record, so it is no start, and its end is no crash. */
export class UnrecordedOpening implements OpeningHistory {
  readonly life = undefined

  async begin(heads: readonly TaskHead[]): Promise<{ heads: TaskHead[]; heldReason: undefined }> {
    return { heads: [...heads], heldReason: undefined }
  }

  async release(): Promise<void> {}
  async recovered(): Promise<void> {}
  async beginEnd(): Promise<void> {}
  async end(): Promise<void> {}
}

export class Openings implements OpeningHistory {
  #note: OpeningRecord | undefined
  #isHeld = false
  #isClosedOnDisk = false

  constructor(
    private readonly store: Store,
    private readonly ids: Ids,
    private readonly logger: Logger,
  ) {}

  /** The number of this opening. */
  get life(): number | undefined {
    return this.#note?.life
  }

  /** Begins the opening. Returns the heads with crashes counted, and the reason if the recovery is held. */
  async begin(
    heads: readonly TaskHead[],
    recover: 'auto' | 'manual',
    now: number,
  ): Promise<{ heads: TaskHead[]; heldReason: string | undefined }> {
    const last = await this.#readLast()
    const { note, counted, heldReason } = beginOpening(last, heads, recover, now)
    await this.store.noteOpening(note, counted)
    this.#note = note
    if (note.newestOrder !== undefined) this.ids.continueAfter(note.newestOrder)
    this.#isHeld = heldReason !== undefined || note.held !== undefined
    if (last?.repaired) {
      const { at, lost } = last.repaired
      this.logger.warn('The store was repaired since its last opening. See the report in its folder broken-….', {
        at: new Date(at).toISOString(),
        lost,
      })
    }
    if (note.held !== undefined) {
      this.logger.warn('The store was restored or repaired, so its unfinished tasks wait for recover().', {
        reason: note.held,
      })
    } else if (heldReason !== undefined) {
      this.logger.error(
        'The recovery is held, because every start of this store crashed. Call recover() to begin it.',
        { reason: heldReason },
      )
    }
    const after = new Map(counted.map(({ head }) => [head.taskId, head]))
    return { heads: heads.map((head) => after.get(head.taskId) ?? head), heldReason }
  }

  /** Records that `recover()` was called while the recovery was held. From here on, a crash counts again. */
  async release(): Promise<void> {
    if (!this.#isHeld || !this.#note) return
    const released = { recovering: true, held: undefined }
    await this.store.noteOpening({ ...this.#note, ...released })
    // A close may have begun during the write. Its values stay.
    this.#note = { ...this.#note, ...released }
    this.#isHeld = false
  }

  /** Resets the count of fruitless starts after a completed recovery. */
  async recovered({ finishedAt }: RecoveryReport): Promise<void> {
    if (finishedAt === undefined || !this.#note || this.#note.starts === 0) return
    this.#note = { ...this.#note, starts: 0, recovering: false }
    await this.store.noteOpening(this.#note).catch((error: unknown) => {
      // The next completed recovery writes it.
      this.logger.debug('The end of the recovery could not be recorded. The next completed recovery records it.', {
        error: faultOf(error),
      })
    })
  }

  /**
   * Commits that a close has begun, before the close waits for anything. After this, a kill does not count as a
   * crash of any task. After a failure, `end` writes again.
   */
  async beginEnd(): Promise<void> {
    await this.#noteClosed().catch((error: unknown) => {
      this.logger.debug('The beginning of a close could not be recorded', { error: faultOf(error) })
    })
  }

  /** Writes the record if `beginEnd` failed, or if IDs were created since. The last write of a close. */
  async end(): Promise<void> {
    await this.#noteClosed().catch((error: unknown) => {
      this.logger.warn('The close could not be recorded. The next open counts this process as crashed.', {
        error: faultOf(error),
      })
    })
  }

  async #noteClosed(): Promise<void> {
    if (!this.#note) return
    const { newestOrder } = this.ids
    if (this.#isClosedOnDisk && this.#note.newestOrder === newestOrder) return
    this.#note = { ...this.#note, closed: true, starts: 0, newestOrder }
    await this.store.noteOpening(this.#note)
    this.#isClosedOnDisk = true
  }

  async #readLast(): Promise<LastOpening | undefined> {
    try {
      return await this.store.readOpening()
    } catch (error) {
      // Continues without the record. Only the crash of the last process is not counted.
      this.logger.warn('The record of the last process is not readable. If that process crashed, no task is blamed.', {
        error: faultOf(error),
      })
      return undefined
    }
  }
}
