/** A planned retry, told in records in place of their numbers. */

import { type AuxiliaryRecords, planRetry } from '../../src/task/decisions/retry-drops.js'
import type { TaskHead } from '../../src/task/head.js'
import { includes } from '../../src/task/log/dropped-records.js'
import type { ReadRecord } from '../../src/task/log/log-sums.js'
import type { TaskError } from '../../src/task/log/outcome.js'
import type { RetryPlan } from '../../src/task/task-event.js'

export interface Planned {
  readonly dropping: RetryPlan
  readonly kept: readonly ReadRecord[]
  readonly dropped: readonly ReadRecord[]
  /** How many slices it took. */
  readonly slices: number
}

export function planned(
  log: readonly ReadRecord[],
  error: TaskError,
  head: Pick<TaskHead, 'keptFrom' | 'checkpoints'>,
  beside?: AuxiliaryRecords,
): Planned {
  const planning = planRetry(log, error, head, beside)
  for (let slices = 1; ; slices++) {
    const { done, value } = planning.next()
    if (!done) continue
    const isDropped = ({ record }: ReadRecord) => includes(value.dropped?.numbers ?? [], record.seq)
    return {
      dropping: value,
      kept: log.filter((read) => !isDropped(read)),
      dropped: log.filter(isDropped),
      slices,
    }
  }
}
