/**
 * This process's life in the store: begins it, counts what the last death counts for, says at the end that it was
 * closed, and holds the recovery of a store that every start dies of.
 *
 * What if it dies here? The deaths are counted in the batch that begins the new life. Before it the last life is still
 * the last one, and is counted by the next open; after it no head bears its number any more.
 */

import type { Ids } from '../ids.js'
import type { Logger } from '../logger.js'
import { beginLife } from '../recovery/lives.js'
import type { RecoveryReport } from '../recovery/report.js'
import type { LastLife, LifeNote } from '../store/life.js'
import type { Store } from '../store/store.js'
import type { TaskHead } from '../task/head.js'

export class Lives {
  #note: LifeNote | undefined
  #isHeld = false

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
    const { note, counted, heldReason } = beginLife(await this.#readLast(), heads, recover, now)
    await this.store.noteLife(note, counted)
    this.#note = note
    if (note.newestOrder !== undefined) this.ids.continueAfter(note.newestOrder)
    this.#isHeld = heldReason !== undefined
    if (heldReason !== undefined) {
      this.logger.error('The recovery is held: every start of this store dies', { reason: heldReason })
    }
    const after = new Map(counted.map(({ head }) => [head.taskId, head]))
    return { heads: heads.map((head) => after.get(head.taskId) ?? head), heldReason }
  }

  /** Somebody wants the recovery that was held: from here on it counts again if it dies of it. */
  async release(): Promise<void> {
    if (!this.#isHeld || !this.#note) return
    const note = { ...this.#note, recovering: true }
    await this.store.noteLife(note)
    this.#note = note
    this.#isHeld = false
  }

  /** The recovery came through: the starts that came to nothing are forgotten. */
  async recovered({ finishedAt }: RecoveryReport): Promise<void> {
    if (finishedAt === undefined || !this.#note || this.#note.starts === 0) return
    this.#note = { ...this.#note, starts: 0, recovering: false }
    await this.store.noteLife(this.#note).catch((error: unknown) => {
      // Then the next one that comes through says so.
      this.logger.debug('That the recovery came through could not be noted', { error: String(error) })
    })
  }

  /** The process is being closed, and did not die. The last thing that is written. */
  async end(): Promise<void> {
    if (!this.#note) return
    const { newestOrder } = this.ids
    await this.store.noteLife({ ...this.#note, closed: true, starts: 0, newestOrder }).catch((error: unknown) => {
      this.logger.warn('The close could not be noted; the next open takes it for a death', { error: String(error) })
    })
  }

  async #readLast(): Promise<LastLife | undefined> {
    try {
      return await this.store.readLife()
    } catch (error) {
      // No task is harmed by it: a death is not counted.
      this.logger.warn('How the last process ended is not known', { error: String(error) })
      return undefined
    }
  }
}
