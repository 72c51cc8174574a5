/** Decides what a recovery does with an unfinished task. Pure: it reads the head and nothing else. */
import { dueAt, isSettled, type Parked, type TaskHead } from '../task/head.js'

/** What is to be done with one task. */
export type Plan =
  /** Its time is over: it settles as failed with `TIMEOUT`. */
  | { readonly action: 'time-out' }
  /** It sleeps, or its next attempt is due later. */
  | { readonly action: 'wait'; readonly wakeAt: number }
  /** Its body runs again. A parked one is tried too: today's code may fit. */
  | { readonly action: 'resume' }
  /** Nobody here can run it. It goes on once its definition is registered. */
  | { readonly action: 'park'; readonly parked: Omit<Parked, 'since'> }
  /** It is settled, and its clean-up goes on. */
  | { readonly action: 'clean-up' }
  /** It waits for its client. */
  | { readonly action: 'keep' }

/** The plan for `head` at `now`. */
export function planRecovery(head: TaskHead, isRegistered: boolean, now: number): Plan {
  if (isSettled(head.status)) return { action: 'clean-up' }
  const due = dueAt(head)
  if (due !== undefined && due <= now) return { action: 'time-out' }
  if (head.kind === 'session') return { action: 'keep' }
  // A child may have ended while nobody was there to tell its parent.
  const waits = head.wakeAt !== undefined && head.wakeAt > now && head.children === undefined
  if (isRegistered && waits) return { action: 'wait', wakeAt: head.wakeAt as number }
  if (isRegistered) return { action: 'resume' }
  return {
    action: 'park',
    parked: {
      code: 'TASK_TYPE_UNKNOWN',
      reason: `no task named '${head.type}' is registered in this process; it resumes once one is`,
    },
  }
}
