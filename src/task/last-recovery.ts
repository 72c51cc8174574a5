/**
 * The report of the last recovery, as the store keeps it: the number of tasks by result, and some tasks by name. Its size
 * does not depend on how many tasks the recovery found. Pure.
 */
import { cutText } from './names.js'

/** Result of a recovery for one task (`RecoveredTask`). */
export type RecoveryAction = 'resumed' | 'parked' | 'settled' | 'waiting' | 'cleaning-up' | 'kept' | 'damaged'

/** A task in the stored report of a recovery. */
export interface LastRecoveredTask {
  readonly taskId: string
  /** Type of the task; empty for a task whose head cannot be read. */
  readonly type: string
  readonly action: RecoveryAction
  /** Reason, in at most 300 bytes. */
  readonly reason?: string | undefined
}

/** The stored report of the last completed recovery that found tasks. */
export interface LastRecovery {
  readonly startedAt: number
  readonly finishedAt: number
  /** Number of unfinished tasks that were found. Damaged heads are not among them. */
  readonly found: number
  /** Number of tasks by result. */
  readonly counts: Readonly<Partial<Record<RecoveryAction, number>>>
  /** Up to 100 of the tasks: damaged ones first, then parked ones, then the others in the order of their results. */
  readonly tasks: readonly LastRecoveredTask[]
}

/** Most tasks of a stored report. */
export const LAST_RECOVERY_TASKS_MAX = 100
const REASON_BYTES_MAX = 300

/** The report to store of a completed recovery with these results. */
export function lastRecoveryOf(
  { startedAt, finishedAt, found }: Pick<LastRecovery, 'startedAt' | 'finishedAt' | 'found'>,
  results: readonly LastRecoveredTask[],
): LastRecovery {
  const counts: Partial<Record<RecoveryAction, number>> = {}
  const [damaged, parked, others]: [LastRecoveredTask[], LastRecoveredTask[], LastRecoveredTask[]] = [[], [], []]
  for (const result of results) {
    const { action } = result
    counts[action] = (counts[action] ?? 0) + 1
    const group = action === 'damaged' ? damaged : action === 'parked' ? parked : others
    if (group.length < LAST_RECOVERY_TASKS_MAX) group.push(result)
  }
  const tasks = [...damaged, ...parked, ...others].slice(0, LAST_RECOVERY_TASKS_MAX).map(shortened)
  return { startedAt, finishedAt, found, counts, tasks }
}

function shortened({ taskId, type, action, reason }: LastRecoveredTask): LastRecoveredTask {
  return { taskId, type, action, reason: reason === undefined ? undefined : cutText(reason, REASON_BYTES_MAX) }
}

/**
 * The stored report in this text.
 * @throws Error if the text is no report, or a report that is not bounded
 */
export function decodeLastRecovery(text: string): LastRecovery {
  const report = JSON.parse(text) as LastRecovery
  const total = Object.values(report.counts).reduce((sum, count) => sum + count, 0)
  if (report.tasks.length === Math.min(total, LAST_RECOVERY_TASKS_MAX)) return report
  throw new Error(`it names ${report.tasks.length} tasks of ${total}`)
}
