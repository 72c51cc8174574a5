/** Time limits of unfinished tasks, and the instants at which settled tasks and their keys are deleted. Pure. */
import type { StoppedBy, TaskHead } from '../head.js'
import type { Outcome } from '../log/outcome.js'

/** Time limit that ends an unfinished task. */
export type TimeLimit = 'timeout' | 'deadline' | 'ttl'

/** End of the task's `ttl`, which counts from the creation. `undefined` without a `ttl`. */
export function expiresAt({ createdAt, ttlMs }: TaskHead): number | undefined {
  return ttlMs === undefined ? undefined : createdAt + ttlMs
}

/**
 * The first time limit of an unfinished task, and its instant. At the same instant: timeout before deadline before
 * `ttl`.
 */
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

/** Head fields with the time limits of an unfinished task. The first run sets `timeoutAt`. */
export type TimeLimits = Pick<TaskHead, 'timeoutAt' | 'deadlineAt' | 'ttlMs' | 'createdAt'>

/** True if a limit of an unfinished task has passed at `now`. Called before each function, so it allocates nothing. */
export function isOutOfTime({ timeoutAt, deadlineAt, ttlMs, createdAt }: TimeLimits, now: number): boolean {
  return (
    (timeoutAt !== undefined && timeoutAt <= now) ||
    (deadlineAt !== undefined && deadlineAt <= now) ||
    (ttlMs !== undefined && createdAt + ttlMs <= now)
  )
}

/**
 * The outcome of a task whose first limit has passed, and the cause of its end. `undefined` for a task without limits.
 */
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

/** The earlier of a task's timeout and deadline. The task fails with `TIMEOUT` then. */
export function deadlineOf({ timeoutAt, deadlineAt }: TaskHead): number | undefined {
  if (timeoutAt === undefined) return deadlineAt
  return deadlineAt === undefined ? timeoutAt : Math.min(timeoutAt, deadlineAt)
}

/**
 * The instant at which the idempotency key of a settled task is deleted: `retentionMs` after the end of its `ttl`, or
 * after the instant at which it settled if that is later or there is no `ttl`. `undefined` for an unfinished task,
 * whose key is kept.
 */
export function forgetAt(head: TaskHead, retentionMs: number): number | undefined {
  return head.settledAt === undefined ? undefined : Math.max(head.settledAt, expiresAt(head) ?? 0) + retentionMs
}

/**
 * The instant at which a settled task is swept. With a `ttl`: its end, or the settlement if that is later. Without a
 * `ttl`: `retentionMs` after the settlement. `undefined` for a task that is kept for good, is unfinished, or is being
 * cleaned up.
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
