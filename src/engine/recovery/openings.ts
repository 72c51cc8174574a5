/**
 * This process's life in the store: begins it, counts what the last death counts for, says at the beginning of a close
 * that it ends on request, and holds the recovery of a store that every start dies of.
 *
 * What if it dies here? The deaths are counted in the batch that begins the new life. Before it the last life is still
 * the last one, and is counted by the next open; after it no head bears its number any more.
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

export class Openings implements OpeningHistory {
  #note: OpeningRecord | undefined
  #isHeld = false
  #isClosedOnDisk = false

  constructor(
    private readonly store: Store,
    private readonly ids: Ids,
    private readonly logger: Logger,
  ) {}

  /** The number of this life. */
  get life(): number | undefined {
    return this.#note?.life
  }

  /** Begins it. Returns the heads as they now are, and why the recovery is held, if it is. */
  async begin(
    heads: readonly TaskHead[],
    recover: 'auto' | 'manual',
    now: number,
  ): Promise<{ heads: TaskHead[]; heldReason: string | undefined }> {
    const { note, counted, heldReason } = beginOpening(await this.#readLast(), heads, recover, now)
    await this.store.noteOpening(note, counted)
    this.#note = note
    if (note.newestOrder !== undefined) this.ids.continueAfter(note.newestOrder)
    this.#isHeld = heldReason !== undefined
    if (heldReason !== undefined) {
      this.logger.error('The recovery is held: every start of this store crashed', { reason: heldReason })
    }
    const after = new Map(counted.map(({ head }) => [head.taskId, head]))
    return { heads: heads.map((head) => after.get(head.taskId) ?? head), heldReason }
  }

  /** Somebody wants the recovery that was held: from here on it counts again if it dies of it. */
  async release(): Promise<void> {
    if (!this.#isHeld || !this.#note) return
    await this.store.noteOpening({ ...this.#note, recovering: true })
    // A close may have begun meanwhile: its note stays.
    this.#note = { ...this.#note, recovering: true }
    this.#isHeld = false
  }

  /** The recovery came through: the starts that came to nothing are forgotten. */
  async recovered({ finishedAt }: RecoveryReport): Promise<void> {
    if (finishedAt === undefined || !this.#note || this.#note.starts === 0) return
    this.#note = { ...this.#note, starts: 0, recovering: false }
    await this.store.noteOpening(this.#note).catch((error: unknown) => {
      // Then the next one that comes through says so.
      this.logger.debug('That the recovery came through could not be noted', { error: faultOf(error) })
    })
  }

  /**
   * Commits that this process ends on request, as the first thing of a close: from then on a kill counts as a crash of no
   * task. Nothing sets the note back. A failure is left to `end`.
   */
  async beginEnd(): Promise<void> {
    await this.#noteClosed().catch((error: unknown) => {
      this.logger.debug('The beginning of a close could not be recorded', { error: faultOf(error) })
    })
  }

  /** Writes what `beginEnd` could not write, or could not know: IDs that were given since. The last write of a close. */
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
      // No task is harmed by it: a death is not counted.
      this.logger.warn('How the last process ended is not known', { error: faultOf(error) })
      return undefined
    }
  }
}
