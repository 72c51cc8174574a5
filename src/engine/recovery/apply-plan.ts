/**
 * Applies the recovery plan to each unfinished task that was found at open, oldest first (recovery-5).
 * `recovery-plan.ts` decides. A crash in the middle, or a second recovery, does no harm (recovery-4).
 */

import { inOrderOfTrial, planRecovery } from '../../task/decisions/recovery-plan.js'
import { NEVER, type Parked, type TaskHead } from '../../task/head.js'
import type { Report } from '../core/recovery-report.js'

/** Functions that a recovery calls. */
export interface RecoveryHost {
  readonly now: () => number
  /** Code mark of the definition of a type. `undefined` if none is registered. */
  readonly codeMark: (type: string) => string | undefined
  /** Number of crashes in a row that park a task. */
  readonly maximumRecoveries: number
  /** Queues the task for a slot. Its run adds the result to the report. */
  readonly resume: (taskId: string) => void
  /** Retries a parked task in its turn, and reports the result. */
  readonly retryParked: (taskId: string) => void
  /** Leaves the task unloaded until its wake time, or news. */
  readonly wait: (taskId: string) => void
  /** Continues the clean-up of a settled task. */
  readonly cleanUp: (taskId: string) => void
  /** Parks the task, and reports that. */
  readonly park: (taskId: string, parked: Omit<Parked, 'since'>) => Promise<void>
  readonly timeOut: (taskId: string) => Promise<void>
}

/** Recovers the tasks with these heads, which are in the order of their creation. Suspects come last. */
export function recover(heads: readonly TaskHead[], report: Report, host: RecoveryHost): void {
  const suspects: TaskHead[] = []
  for (const head of heads) {
    const { taskId, type } = head
    const plan = planRecovery(head, host.codeMark(type), host.maximumRecoveries, host.now())
    const note = (action: 'parked' | 'settled' | 'kept' | 'waiting' | 'cleaning-up', reason: string) => () =>
      report.note({ taskId, type, action, reason }, host.now())
    switch (plan.action) {
      case 'resume':
        host.resume(taskId)
        break
      case 'retry-parked':
        host.retryParked(taskId)
        break
      case 'suspect':
        suspects.push(head)
        report.suspects.push({ taskId, type, deaths: head.deaths ?? 0, reason: plan.reason })
        break
      case 'wait':
        note('waiting', untilWhen(plan.wakeAt))()
        host.wait(taskId)
        break
      case 'clean-up':
        note('cleaning-up', 'it is settled, and its clean-up continues')()
        host.cleanUp(taskId)
        break
      case 'keep':
        note('kept', 'it waits for its client')()
        break
      case 'stay':
        note('parked', plan.reason)()
        break
      case 'time-out':
        void host.timeOut(taskId).then(note('settled', 'its time was over while no process ran it'))
        break
      case 'park': {
        if (head.parked?.code !== plan.parked.code) void host.park(taskId, plan.parked)
        else note('parked', `${plan.parked.code}: ${plan.parked.reason}`)()
      }
    }
  }
  report.suspects.sort((one, other) => one.deaths - other.deaths)
  for (const { taskId } of inOrderOfTrial(suspects)) host.resume(taskId)
}

function untilWhen(wakeAt: number): string {
  if (wakeAt >= NEVER) return 'it waits for an answer, a message or a child'
  return `it sleeps, or waits for its next attempt, until ${new Date(wakeAt).toISOString()}`
}
