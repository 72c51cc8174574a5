/** Counts restores of checkpoints. Without this, a client that restores again and again would fill the audit trail. */

import type { Clock } from '../../base/clock.js'
import type { Events } from '../../base/events.js'
import type { Store } from '../../store/store.js'
import type { TaskHead } from '../../task/head.js'

const MINUTE_MS = 60_000
// Outdated counts are deleted, a few at each call.
const FORGOTTEN_PER_CALL = 4

interface Count {
  auditedAt: number
  unaudited: number
}

export class RestoreCounts {
  /** Counts by task and actor, in the order of their last audit entries. */
  readonly #counts = new Map<string, Count>()

  /** Number of counts that are kept. */
  get size(): number {
    return this.#counts.size
  }

  /** Counts a restore, writes an audit entry if one is due, and emits the event. */
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
   * @returns the number of restores since the last audit entry if an entry is due now. `undefined` if the last entry of
   *   the actor for the task is less than a minute old
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
      // A count with restores that are in no entry yet is kept for another minute, for the number in the next entry.
      if (looked++ >= FORGOTTEN_PER_CALL || isFresh(count, now, count.unaudited > 0 ? 2 : 1)) return
      this.#counts.delete(key)
    }
  }
}

// An entry in the future was made before the clock was set back, and is not fresh.
function isFresh({ auditedAt }: Count, now: number, minutes = 1): boolean {
  return auditedAt <= now && now < auditedAt + minutes * MINUTE_MS
}
