/**
 * Service levels: rates and counts of the ends of tasks and recoveries, since the open, since the creation of the store, and
 * over a window of hours. The counters are in the commits that they count (task/counters.ts), so a crash loses none of them. A
 * recovery is counted when all of it is done. A recovery that crashed before that is not counted.
 */

import { META_RECOVERY } from '../../store/disk/layout.js'
import { damaged, seal, unseal } from '../../store/integrity/envelope.js'
import type { Store } from '../../store/store.js'
import { COUNTERS, type Totals } from '../../task/counters.js'
import { type HourSums, sumOfHours } from '../../task/hour-counters.js'
import { decodeLastRecovery, type LastRecovery, lastRecoveryOf } from '../../task/last-recovery.js'
import type { RecoveryReport } from './recovery-report.js'

/** Service levels of a period. A rate is `undefined` if there was nothing to count. */
export interface ServiceLevels {
  readonly completed: number
  /** Number of failed tasks, `timedOut` and `expired` included. */
  readonly failed: number
  readonly cancelled: number
  /** Number of tasks that failed with `TIMEOUT`. */
  readonly timedOut: number
  /** Number of tasks that failed with `EXPIRED`. */
  readonly expired: number
  /** Mean milliseconds from creation to completion of the completed tasks, waits included. */
  readonly meanCompletionMs: number | undefined
  /** Share of the settled tasks that are `timedOut` or `expired`. */
  readonly timeoutRate: number | undefined
  /**
   * Share of the unfinished tasks found by recoveries that continued: resumed, waiting for an instant or a client,
   * or settled because a time limit had passed or the body ended. The others were parked, or are damaged.
   */
  readonly recoverySuccessRate: number | undefined
  /** Share of the ended clean-ups that succeeded. */
  readonly cleanUpRate: number | undefined
}

/** A target of a service level. `holds` is `undefined` if there was nothing to count. */
export type LevelTarget =
  | { readonly below: number; readonly holds: boolean | undefined }
  | { readonly above: number; readonly holds: boolean | undefined }

/** Targets of the service levels of a window: of means in milliseconds, of rates as shares of 1. */
export interface LevelTargets {
  /** Below 30 seconds. */
  readonly meanShortCompletionMs: LevelTarget
  /** Below 30 minutes. */
  readonly meanLongCompletionMs: LevelTarget
  /** Below 0.05. */
  readonly timeoutRate: LevelTarget
  /** Above 0.95. */
  readonly recoverySuccessRate: LevelTarget
  /** Above 0.99. */
  readonly cleanUpRate: LevelTarget
}

/** Service levels of a window, with their targets. */
export interface WindowLevels extends ServiceLevels {
  /** Number of short tasks: those that completed within a minute of their creation. */
  readonly shortCompleted: number
  /** Mean milliseconds from creation to completion of the short tasks. */
  readonly meanShortCompletionMs: number | undefined
  /** Number of long tasks: all others that completed. */
  readonly longCompleted: number
  /** Mean milliseconds from creation to completion of the long tasks, waits included. */
  readonly meanLongCompletionMs: number | undefined
  readonly targets: LevelTargets
}

/** Reads the service levels, counts recoveries, and keeps the report of the last one. */
export class Levels {
  constructor(private readonly store: Store) {}

  /** Service levels since this instance was opened. */
  get sinceOpen(): ServiceLevels {
    const { atOpen, current } = this.store.totals
    return levelsOf(Object.fromEntries(COUNTERS.map((name) => [name, current[name] - atOpen[name]])) as Totals)
  }

  /** Service levels since the creation of the store. */
  get overLife(): ServiceLevels {
    return levelsOf(this.store.totals.current)
  }

  /** Service levels of the hours from `from` up to, and without, `to`. */
  between(from: number, to: number): WindowLevels {
    return windowLevelsOf(sumOfHours(this.store.totals.hours, from, to))
  }

  /** Counts a completed recovery, and stores its report in the same batch. */
  async recovered({ found, tasks, startedAt = 0, finishedAt = startedAt }: RecoveryReport): Promise<void> {
    if (found === 0 && tasks.length === 0) return
    const lost = tasks.filter(({ action }) => action === 'parked' || action === 'damaged').length
    const unreadable = tasks.filter(({ action }) => action === 'damaged').length
    const all = found + unreadable
    const text = JSON.stringify(lastRecoveryOf({ startedAt, finishedAt, found }, tasks))
    const report = { key: META_RECOVERY, value: seal(META_RECOVERY, 0, text) }
    await this.store.put('', [report], { at: finishedAt, found: all, takenUp: all - lost })
  }

  /**
   * The stored report of the last recovery that found tasks.
   * @throws HoldfastError `RECORD_DAMAGED`, `STORE_UNAVAILABLE`
   */
  async lastRecovery(): Promise<LastRecovery | undefined> {
    const text = await this.store.read((level) => level.get(META_RECOVERY))
    if (text === undefined) return undefined
    const { body } = unseal(META_RECOVERY, text)
    try {
      return decodeLastRecovery(body)
    } catch (error) {
      throw damaged(META_RECOVERY, (error as Error).message)
    }
  }
}

function levelsOf(sums: Omit<HourSums, 'shortCompleted' | 'shortMs'>): ServiceLevels {
  const { completed, failed, cancelled, timedOut, expired, cleanedUp, notCleanedUp, found, takenUp } = sums
  return {
    completed,
    failed,
    cancelled,
    timedOut,
    expired,
    meanCompletionMs: rate(sums.completionMs, completed),
    timeoutRate: rate(timedOut + expired, completed + failed + cancelled),
    recoverySuccessRate: rate(takenUp, found),
    cleanUpRate: rate(cleanedUp, cleanedUp + notCleanedUp),
  }
}

function windowLevelsOf(sums: HourSums): WindowLevels {
  const levels = levelsOf(sums)
  const { shortCompleted, shortMs } = sums
  const longCompleted = sums.completed - shortCompleted
  const meanShortCompletionMs = rate(shortMs, shortCompleted)
  const meanLongCompletionMs = rate(sums.completionMs - shortMs, longCompleted)
  const targets = {
    meanShortCompletionMs: below(30_000, meanShortCompletionMs),
    meanLongCompletionMs: below(1_800_000, meanLongCompletionMs),
    timeoutRate: below(0.05, levels.timeoutRate),
    recoverySuccessRate: above(0.95, levels.recoverySuccessRate),
    cleanUpRate: above(0.99, levels.cleanUpRate),
  }
  return { ...levels, shortCompleted, meanShortCompletionMs, longCompleted, meanLongCompletionMs, targets }
}

function below(bound: number, level: number | undefined): LevelTarget {
  return { below: bound, holds: level === undefined ? undefined : level < bound }
}

function above(bound: number, level: number | undefined): LevelTarget {
  return { above: bound, holds: level === undefined ? undefined : level > bound }
}

function rate(part: number, whole: number): number | undefined {
  return whole === 0 ? undefined : part / whole
}
