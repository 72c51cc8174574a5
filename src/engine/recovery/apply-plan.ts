/**
 * Resumes every unfinished task that was found at open (recovery-5: behind it, oldest first). It decides through `recovery-plan.ts` and
 * leaves the doing to the engine; recovering twice, or dying in the middle, leaves nothing half done (recovery-4).
 */

import { inOrderOfTrial, planRecovery } from '../../task/decisions/recovery-plan.js'
import { NEVER, type Parked, type TaskHead } from '../../task/head.js'
import type { Report } from '../core/recovery-report.js'

/** What a recovery needs done. */
export interface RecoveryHost {
  readonly now: () => number
  /** What marks the definition of a type; `undefined` where none is registered. */
  readonly codeMark: (type: string) => string | undefined
  /** So many deaths park a task. */
  readonly maximumRecoveries: number
  /** Puts the task into the queue for a slot; the run itself reports. */
  readonly resume: (taskId: string) => void
  /** Tries a parked task again if it is its turn, and reports what became of it. */
  readonly retryParked: (taskId: string) => void
  /** Leaves it alone until its time comes, or something comes for it. */
  readonly wait: (taskId: string) => void
  /** Goes on with the clean-up of a settled task. */
  readonly cleanUp: (taskId: string) => void
  /** Parks the task, and reports what became of it. */
  readonly park: (taskId: string, parked: Omit<Parked, 'since'>) => Promise<void>
  readonly timeOut: (taskId: string) => Promise<void>
}

/** Takes up `heads`, which are in the order of their creation; suspects come last. */
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
