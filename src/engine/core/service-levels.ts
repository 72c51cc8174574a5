/**
 * How well tasks and recoveries end, in figures: since open and over the store's life. The counters move with the commits
 * that they count (task/counters.ts), so a crash takes none of them; a recovery is counted once all of it is done, and one
 * that dies before is not.
 */

import type { Store } from '../../store/store.js'
import { COUNTERS, type Totals } from '../../task/counters.js'
import type { RecoveryReport } from './recovery-report.js'

/** Service levels of a stretch of time. A rate of nothing is `undefined`. */
export interface ServiceLevels {
  readonly completed: number
  /** Failed for any reason, those below included. */
  readonly failed: number
  readonly cancelled: number
  /** Failed with `TIMEOUT`. */
  readonly timedOut: number
  /** Failed with `EXPIRED`. */
  readonly expired: number
  /** From creation to completion, waits included, of the tasks that completed. */
  readonly meanCompletionMs: number | undefined
  /** Of all that settled, the share whose time was over: `timedOut` and `expired`. */
  readonly timeoutRate: number | undefined
  /**
   * Share of the unfinished tasks found by recoveries that continued: resumed, waiting for its time
   * or its client, or settled because its time was over or it had ended. The rest was parked, or is damaged.
   */
  readonly recoverySuccessRate: number | undefined
  /** Of the clean-ups that ended, the share that did all they had to. */
  readonly cleanUpRate: number | undefined
}

/** Counts, and reads what was counted. */
export class Levels {
  constructor(private readonly store: Store) {}

  /** Since this instance was opened. */
  get sinceOpen(): ServiceLevels {
    const { atOpen, current } = this.store.totals
    return levelsOf(Object.fromEntries(COUNTERS.map((name) => [name, current[name] - atOpen[name]])) as Totals)
  }

  /** Over the store's life. */
  get overLife(): ServiceLevels {
    return levelsOf(this.store.totals.current)
  }

  /** Counts a recovery that is done. */
  async recovered({ found, tasks }: RecoveryReport): Promise<void> {
    if (found === 0 && tasks.length === 0) return
    const lost = tasks.filter(({ action }) => action === 'parked' || action === 'damaged').length
    const damaged = tasks.filter(({ action }) => action === 'damaged').length
    const all = found + damaged
    await this.store.put('', [], { found: all, takenUp: all - lost })
  }
}

function levelsOf(totals: Totals): ServiceLevels {
  const { completed, failed, cancelled, timedOut, expired, cleanedUp, notCleanedUp, found, takenUp } = totals
  return {
    completed,
    failed,
    cancelled,
    timedOut,
    expired,
    meanCompletionMs: rate(totals.completionMs, completed),
    timeoutRate: rate(timedOut + expired, completed + failed + cancelled),
    recoverySuccessRate: rate(takenUp, found),
    cleanUpRate: rate(cleanedUp, cleanedUp + notCleanedUp),
  }
}

function rate(part: number, whole: number): number | undefined {
  return whole === 0 ? undefined : part / whole
}
