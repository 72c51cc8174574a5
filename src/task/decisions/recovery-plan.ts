/** Decides the action of a recovery for an unfinished task. Pure: the head and the arguments are the only inputs. */

import { isSettled, type Parked, type TaskHead } from '../head.js'
import { isPoisoned, isSuspect, poisoned } from './crash-count.js'
import { dueAt } from './expiry.js'

/** Action of a recovery for one task. */
export type Plan =
  /** A time limit has passed: the task fails with `TIMEOUT` or `EXPIRED`. */
  | { readonly action: 'time-out' }
  /** The task sleeps, or its next attempt is due later. */
  | { readonly action: 'wait'; readonly wakeAt: number }
  /** The body runs again. A parked task runs too, because the registered code may match its log now. */
  | { readonly action: 'resume' }
  /** The task is parked, and did not match the code that is registered now. It is retried in its turn. */
  | { readonly action: 'retry-parked' }
  /** The last processes crashed while they ran the task. The body runs after all others, in a turn of its own. */
  | { readonly action: 'suspect'; readonly reason: string }
  /** The task stays parked until a caller resumes it, or until another definition is registered. */
  | { readonly action: 'stay'; readonly reason: string }
  /** The definition of the task is not registered, or too many processes crashed while they ran the task. */
  | { readonly action: 'park'; readonly parked: Omit<Parked, 'since'> }
  /** The task is settled, and its clean-up continues. */
  | { readonly action: 'clean-up' }
  /** The session task waits for its client. */
  | { readonly action: 'keep' }

/**
 * The plan for `head` at `now`.
 * @param codeMark code mark of the definition registered for the type. `undefined` if none is registered
 */
export function planRecovery(
  head: TaskHead,
  codeMark: string | undefined,
  maximumRecoveries: number,
  now: number,
): Plan {
  // Another store may run the task. So not even a time limit ends it here: its undos would reverse steps of a running task.
  if (head.parked?.code === 'EXPORTED') return { action: 'stay', reason: `EXPORTED: ${head.parked.reason}` }
  const isRegistered = codeMark !== undefined
  const settled = isSettled(head.status)
  const due = dueAt(head)
  if (!settled && due !== undefined && due <= now) return { action: 'time-out' }
  if (head.kind === 'session') return { action: 'keep' }
  if (head.parked?.code === 'POISONED') return { action: 'stay', reason: `POISONED: ${head.parked.reason}` }
  if (isPoisoned(head, maximumRecoveries)) return { action: 'park', parked: poisoned(head) }
  if (settled) return { action: 'clean-up' }
  if (head.parked?.code === 'CODE_CHANGED') {
    if (!isRegistered) return { action: 'stay', reason: `CODE_CHANGED: ${head.parked.reason}` }
    return { action: head.triedWith === codeMark ? 'retry-parked' : 'resume' }
  }
  // A child may have ended before the crash without waking its parent. Only a run shows if a parking still applies.
  const mayHaveMissed = (head.listens && head.children !== undefined) || head.parked !== undefined
  const waits = head.wakeAt !== undefined && head.wakeAt > now && !mayHaveMissed
  if (isRegistered && waits) return { action: 'wait', wakeAt: head.wakeAt as number }
  if (isRegistered && isSuspect(head)) return { action: 'suspect', reason: suspicion(head) }
  if (isRegistered) return { action: 'resume' }
  return {
    action: 'park',
    parked: {
      code: 'TASK_TYPE_UNKNOWN',
      reason: `no task named '${head.type}' is registered in this process; it resumes once one is`,
    },
  }
}

/** Suspects in the order in which they run: fewest crashes first, so that tasks without fault finish first. */
export function inOrderOfTrial(suspects: readonly TaskHead[]): TaskHead[] {
  return [...suspects].sort((one, other) => (one.deaths ?? 0) - (other.deaths ?? 0))
}

function suspicion({ deaths, begun }: TaskHead): string {
  const where = begun === undefined ? '' : `, the last in ${begun}`
  return `the last ${deaths} processes crashed running it and recorded nothing${where}; such tasks run one at a time`
}
