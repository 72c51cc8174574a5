/** Counts restores of checkpoints, so that reading one again and again does not fill the audit. */

import type { Clock } from '../../base/clock.js'
import type { Events } from '../../base/events.js'
import type { Store } from '../../store/store.js'
import type { TaskHead } from '../../task/head.js'

const MINUTE_MS = 60_000
// Counts that are over are forgotten, a handful at each call.
const FORGOTTEN_PER_CALL = 4

interface Count {
  auditedAt: number
  unaudited: number
}

export class RestoreCounts {
  /** By task and actor, in the order of their last audit entries. */
  readonly #counts = new Map<string, Count>()

  /** How many counts are kept. */
  get size(): number {
    return this.#counts.size
  }

  /** Counts a restore, writes it to the audit if that is due, and notifies. */
  async note(
    { clock, store, events }: { readonly clock: Clock; readonly store: Store; readonly events: Events },
    head: TaskHead,
    { checkpointId, by, patient }: { checkpointId: string; by: string; patient: boolean },
  ): Promise<void> {
    const { taskId, type } = head
    const at = clock.now()
    const unaudited = this.count(taskId, by, at)
    if (unaudited !== undefined) {
      const why = unaudited === 0 ? checkpointId : `${checkpointId}; ${unaudited} more since the entry before`
      const entry = { at, action: 'checkpoint-restored', by, why } as const
      await store.commit({ head, changes: [{ kind: 'audit', entry }] }, { patient })
    }
    events.emit('checkpoint:restored', { taskId, type, checkpointId })
  }

  /**
   * Counts one restore.
   * @returns the restores since the last audit entry if this one is to be in the audit; `undefined` if it is not, since the
   *   actor's last entry for the task is less than a minute old
   */
  count(taskId: string, by: string, now: number): number | undefined {
    this.#forget(now)
    const key = `${taskId} ${by}`
    const count = this.#counts.get(key)
    if (count && isFresh(count, now)) {
      count.unaudited++
      return undefined
    }
    this.#counts.delete(key)
    this.#counts.set(key, { auditedAt: now, unaudited: 0 })
    return count?.unaudited ?? 0
  }

  #forget(now: number): void {
    let looked = 0
    for (const [key, count] of this.#counts) {
      // One that waits for its next entry to say how many there were is kept for another minute.
      if (looked++ >= FORGOTTEN_PER_CALL || isFresh(count, now, count.unaudited > 0 ? 2 : 1)) return
      this.#counts.delete(key)
    }
  }
}

// An entry from the future was made before the clock was set back.
function isFresh({ auditedAt }: Count, now: number, minutes = 1): boolean {
  return auditedAt <= now && now < auditedAt + minutes * MINUTE_MS
}
