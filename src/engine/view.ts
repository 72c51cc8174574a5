/** What a caller sees of a task. */
import type { Durability, Parked, Progress, TaskHead, TaskStatus } from '../task/head.js'
import type { Outcome } from '../task/outcome.js'

/** A task as `get` and `list` show it. Instants are milliseconds since the epoch. */
export interface TaskView {
  readonly taskId: string
  readonly type: string
  /** `session` for a task without a body, driven from outside. */
  readonly kind: 'body' | 'session'
  readonly version: string | undefined
  readonly owner: string | undefined
  readonly status: TaskStatus
  /** `buffered` if any of it was written without waiting for the disk. */
  readonly durability: Durability
  readonly createdAt: number
  readonly updatedAt: number
  /** When its first run began. */
  readonly startedAt: number | undefined
  readonly settledAt: number | undefined
  /** Milliseconds from creation, as asked for; `undefined` for a task that is kept for good. */
  readonly ttl: number | undefined
  /** When it fails with `TIMEOUT` if it is not settled by then. */
  readonly deadlineAt: number | undefined
  readonly attempt: number
  /** How many of its steps are completed. */
  readonly completedSteps: number
  /** The task it is a fork of, and the number of the last of its records that it has; `undefined` if it is none. */
  readonly forkedFrom: { readonly taskId: string; readonly at: number } | undefined
  /** What its body said last. */
  readonly progress: Progress | undefined
  /** Why it can't go on, if it can't. */
  readonly parked: Parked | undefined
  readonly cleanUp: 'none' | 'pending' | 'done' | 'failed'
  /** Why it failed: name, message and code, without the stack. */
  readonly error: TaskHead['error']
  /** What it settled with; `get` only. */
  readonly outcome?: Outcome | undefined
}

/** Shows `head`, with what is known of the task in memory: what its body said since, and whether it is being tried again. */
export function viewOf(
  head: TaskHead,
  due: number | undefined,
  live: { readonly progress?: Progress | undefined; readonly awaitsRun: boolean } | undefined,
  outcome?: Outcome,
): TaskView {
  return {
    taskId: head.taskId,
    type: head.type,
    kind: head.kind,
    version: head.version,
    owner: head.owner,
    status: head.status,
    durability: head.durability,
    createdAt: head.createdAt,
    updatedAt: head.updatedAt,
    startedAt: head.startedAt,
    settledAt: head.settledAt,
    ttl: head.ttlMs,
    deadlineAt: due,
    attempt: head.attempt,
    completedSteps: head.completedSteps,
    forkedFrom: head.forkedFrom && { taskId: head.forkedFrom.taskId, at: head.forkedFrom.at },
    progress: live?.progress ?? head.progress,
    parked: live?.awaitsRun ? undefined : head.parked,
    cleanUp: head.cleanUp,
    error: head.error,
    ...(outcome ? { outcome } : {}),
  }
}
