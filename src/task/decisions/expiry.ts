/** When a task runs out of time, and when things that outlive their use are let go. Pure. */
import type { StoppedBy, TaskHead } from '../head.js'
import type { Outcome } from '../log/outcome.js'

/** What ends an unfinished task by the clock. */
export type TimeLimit = 'timeout' | 'deadline' | 'ttl'

/** When the task's `ttl` is over. It counts from the creation, whatever happens meanwhile. */
export function expiresAt({ createdAt, ttlMs }: TaskHead): number | undefined {
  return ttlMs === undefined ? undefined : createdAt + ttlMs
}

/** Which of its limits strikes an unfinished task first, and when. Of two at one instant, the one that says more. */
export function timeLimit(head: TaskHead): { readonly at: number; readonly which: TimeLimit } | undefined {
  const limits = [
    { at: head.timeoutAt, which: 'timeout' },
    { at: head.deadlineAt, which: 'deadline' },
    { at: expiresAt(head), which: 'ttl' },
  ] as const
  return limits
    .flatMap(({ at, which }) => (at === undefined ? [] : [{ at, which }]))
    .reduce<{ at: number; which: TimeLimit } | undefined>(
      (first, limit) => (first === undefined || limit.at < first.at ? limit : first),
      undefined,
    )
}

/** What says when an unfinished task runs out of time. A task that is not created yet has no timeout: its run sets that. */
export type TimeLimits = Pick<TaskHead, 'timeoutAt' | 'deadlineAt' | 'ttlMs' | 'createdAt'>

/** True if a limit of an unfinished task has passed at `now`. Asked before each function, so it allocates nothing. */
export function isOutOfTime({ timeoutAt, deadlineAt, ttlMs, createdAt }: TimeLimits, now: number): boolean {
  return (
    (timeoutAt !== undefined && timeoutAt <= now) ||
    (deadlineAt !== undefined && deadlineAt <= now) ||
    (ttlMs !== undefined && createdAt + ttlMs <= now)
  )
}

/** How a task ends whose time is over: the limit that strikes first, and the outcome. `undefined` for one without limits. */
export function endOfTime(head: TaskHead): { readonly outcome: Outcome; readonly stoppedBy: StoppedBy } | undefined {
  const limit = timeLimit(head)
  if (!limit) return undefined
  const { which, at } = limit
  const value =
    which === 'deadline' ? '' : ` of ${at - (which === 'ttl' ? head.createdAt : (head.startedAt as number))} ms`
  const passed = `its \`${which}\`${value} passed at ${new Date(at).toISOString()}`
  const code = which === 'ttl' ? 'EXPIRED' : 'TIMEOUT'
  const message = `Task ${head.taskId} ran out of time: ${passed}`
  const error = { name: 'TaskFailedError', message, code, ours: true } as const
  return { outcome: { kind: 'error', error }, stoppedBy: which === 'ttl' ? 'expiry' : which }
}

/** The earlier of a task's timeout and its deadline: when it fails with `TIMEOUT`. */
export function deadlineOf({ timeoutAt, deadlineAt }: TaskHead): number | undefined {
  if (timeoutAt === undefined) return deadlineAt
  return deadlineAt === undefined ? timeoutAt : Math.min(timeoutAt, deadlineAt)
}

/**
 * When the idempotency key of a settled task stops counting: `retentionMs` after the task's own end. That is the end
 * of its `ttl` where it has one, else the instant it settled. `undefined` for an unfinished task: its key counts.
 */
export function forgetAt(head: TaskHead, retentionMs: number): number | undefined {
  return head.settledAt === undefined ? undefined : Math.max(head.settledAt, expiresAt(head) ?? 0) + retentionMs
}

/**
 * When a settled task is swept: at the end of its `ttl`, or at once if it settled later; without a `ttl`, `retentionMs`
 * after it settled. `undefined` for one that is kept for good, is unfinished, or is being cleaned up.
 */
export function sweepAt(head: TaskHead, retentionMs: number | undefined): number | undefined {
  if (head.settledAt === undefined || head.cleanUp === 'pending') return undefined
  const expiry = expiresAt(head)
  if (expiry !== undefined) return Math.max(head.settledAt, expiry)
  return retentionMs === undefined ? undefined : head.settledAt + retentionMs
}

/** The earliest of a task's timeout, its deadline and the end of its `ttl`. */
export function dueAt(head: TaskHead): number | undefined {
  return timeLimit(head)?.at
}
