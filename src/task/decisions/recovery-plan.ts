/** Decides what a recovery does with an unfinished task. Pure: it reads the head and nothing else. */

import { isSettled, type Parked, type TaskHead } from '../head.js'
import { isPoisoned, isSuspect, poisoned } from './crash-count.js'
import { dueAt } from './expiry.js'

/** What is to be done with one task. */
export type Plan =
  /** Its time is over: it settles as failed with `TIMEOUT` or `EXPIRED`. */
  | { readonly action: 'time-out' }
  /** It sleeps, or its next attempt is due later. */
  | { readonly action: 'wait'; readonly wakeAt: number }
  /** Its body runs again. A parked one is tried too: today's code may fit. */
  | { readonly action: 'resume' }
  /** It is parked, and did not fit the code that is there today either. It is tried if it is its turn. */
  | { readonly action: 'retry-parked' }
  /** The last processes died while it ran: its body runs again after the others', in a turn of its own. */
  | { readonly action: 'suspect'; readonly reason: string }
  /** It is parked until somebody resumes it, or until its definition is registered, which it did not fit. */
  | { readonly action: 'stay'; readonly reason: string }
  /** Nobody here can run it, and it goes on once its definition is registered; or it has died too often. */
  | { readonly action: 'park'; readonly parked: Omit<Parked, 'since'> }
  /** It is settled, and its clean-up continues. */
  | { readonly action: 'clean-up' }
  /** It waits for its client. */
  | { readonly action: 'keep' }

/**
 * The plan for `head` at `now`.
 * @param codeMark what marks the definition that is registered for its type; `undefined` if there is none
 */
export function planRecovery(
  head: TaskHead,
  codeMark: string | undefined,
  maximumRecoveries: number,
  now: number,
): Plan {
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
  // A child may have ended while nobody was there to tell its parent; and whether a parking still holds, a run shows.
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

/** Suspects in the order in which they are tried: who has died least first, so that the innocent get through. */
export function inOrderOfTrial(suspects: readonly TaskHead[]): TaskHead[] {
  return [...suspects].sort((one, other) => (one.deaths ?? 0) - (other.deaths ?? 0))
}

function suspicion({ deaths, begun }: TaskHead): string {
  const where = begun === undefined ? '' : `, the last in ${begun}`
  return `the last ${deaths} processes crashed running it and recorded nothing${where}; such tasks run one at a time`
}
