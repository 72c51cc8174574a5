/**
 * The head of a task: all that is decided about it, except its values. An
 * unfinished head is rewritten with every step, so it stays small: inputs,
 * results and states have keys of their own.
 */

import type { ErrorCode } from '../base/errors.js'
import type { ByteCount } from './byte-count.js'
import type { SavedBy } from './checkpoint.js'
import type { SegmentSum } from './log/segment.js'

/** Status of a task. The last three are final. */
export type TaskStatus = 'pending' | 'running' | 'input_required' | 'completed' | 'failed' | 'cancelled'

/** Every status, in the order of a task's life. */
export const TASK_STATUSES: readonly TaskStatus[] = [
  'pending',
  'running',
  'input_required',
  'completed',
  'failed',
  'cancelled',
]

/** True if an acknowledged write survives a power cut (`synced`) or only a crash of the process (`buffered`). */
export type Durability = 'synced' | 'buffered'

/** Progress of a task, as its body last reported it. */
export interface Progress {
  readonly done?: number | undefined
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/** Reason for which an unfinished task cannot continue, and its instant. */
export interface Parked {
  readonly code: 'TASK_TYPE_UNKNOWN' | 'CODE_CHANGED' | 'RECORD_DAMAGED' | 'POISONED'
  readonly reason: string
  readonly since: number
}

/** The past point that a fork was made from. */
export interface ForkedFrom {
  readonly taskId: string
  /** The number of the last record that it copied. */
  readonly at: number
  /** What `now()` says there before any answer. */
  readonly startedAt: number
}

/** All that is decided about a task. Instants are milliseconds since the epoch. */
export interface TaskHead {
  readonly taskId: string
  readonly type: string
  /** A `body` runs code; a `session` is driven from outside, through checkpoints. */
  readonly kind: 'body' | 'session'
  readonly version?: string | undefined
  readonly owner?: string | undefined
  readonly status: TaskStatus
  readonly durability: Durability
  readonly createdAt: number
  readonly updatedAt: number
  readonly startedAt?: number | undefined
  readonly settledAt?: number | undefined
  readonly ttlMs?: number | undefined
  /** When the task's timeout strikes: its first run's start and the definition's `timeout`. */
  readonly timeoutAt?: number | undefined
  /** When the caller's `deadline` strikes. */
  readonly deadlineAt?: number | undefined
  /** Which of its owner's waiting tasks runs first. Absent for the ordinary 0. */
  readonly priority?: number | undefined
  readonly idempotencyKey?: string | undefined
  /** True if an input lies beside it; without the flag a lost one would pass as `undefined`. */
  readonly hasInput: boolean
  readonly seed: string
  /** The run that may write (commit-6). */
  readonly run: number
  readonly attempt: number
  /** When it runs next, while nothing of it is in memory: it sleeps for long, or waits for its next attempt. */
  readonly wakeAt?: number | undefined
  /** Counts the task's commits. */
  readonly seq: number
  /** The number of the next log record. */
  readonly nextRecord: number
  readonly prefix: SegmentSum
  readonly open: SegmentSum
  /** The first segment whose records are kept; the prefix is kept always. */
  readonly keptFrom: number
  /** Log records that are kept. */
  readonly records: number
  /** Steps completed over the task's whole life, dropped ones included. */
  readonly completedSteps: number
  /** Checkpoints that are kept, by who saved them. */
  readonly checkpoints: Readonly<Record<SavedBy, number>>
  readonly progress?: Progress | undefined
  readonly parked?: Parked | undefined
  /** Marks the version and the body of the definition that the task did not fit, while it is parked as `CODE_CHANGED`. */
  readonly triedWith?: string | undefined
  /** Something of it began once and was noted beside the log; without the flag nothing is looked for. */
  readonly hasStepStates?: boolean | undefined
  /** Steps begun that have an undo; each has an intent beside the log. */
  readonly intents?: number | undefined
  /** Inputs it waits for, and how many it ever asked for. */
  readonly inputs?: number | undefined
  readonly inputsAsked?: number | undefined
  /** True if the keys of all its questions are kept; absent in older heads (input-keys.ts). */
  readonly hasInputKeys?: boolean | undefined
  /** Messages ever sent to it, and those that nobody has received. */
  readonly messagesSent?: number | undefined
  /** Idempotency keys of messages that are kept. */
  readonly messageKeys?: number | undefined
  readonly messages?: number | undefined
  /** Unloaded, it waits for an answer or a message too. */
  readonly listens?: boolean | undefined
  /** An answer or a message came since its run began; unloaded now, it would miss it. */
  readonly hasNews?: boolean | undefined
  /** Children begun and not yet ended. */
  readonly children?: number | undefined
  /** Whose child it is, and how many ancestors it has. */
  readonly parentId?: string | undefined
  readonly depth?: number | undefined
  /** Its body asked `patched`; without the flag no answers are looked for. */
  readonly hasPatches?: boolean | undefined
  /** A retry dropped records; without the flag no list of them is looked for (dropped-records.ts). */
  readonly hasDropped?: boolean | undefined
  /** Where it comes from, if it was made by `fork`. */
  readonly forkedFrom?: ForkedFrom | undefined
  /** The life of the store in which it began to run; gone once it records something or waits (crash-count.ts). */
  readonly life?: number | undefined
  /** Number of processes in a row that crashed while the task ran and recorded nothing. */
  readonly deaths?: number | undefined
  /** What it began last, noted only of a task that may be parked for the next death. */
  readonly begun?: string | undefined
  /** Bytes of it in the store (byte-count.ts). */
  readonly bytes?: ByteCount | undefined
  /** It is being swept: for everybody but the sweeper it is gone. */
  readonly sweeping?: true | undefined
  readonly cleanUp: 'none' | 'pending' | 'done' | 'failed'
  /** What stopped it behind its body's back: then `onCancel` is run. */
  readonly stoppedBy?: StoppedBy | undefined
  /** Why its clean-up failed. */
  readonly cleanUpReason?: string | undefined
  /** Why it failed, without stack and causes, so that a listing can say it. */
  readonly error?: { readonly name: string; readonly message: string; readonly code: ErrorCode } | undefined
}

/**
 * A live head is rewritten with every step and read at every open, so it stays under 2 KiB. The names that a task is
 * created with get this much of it; what comes later fits in the rest.
 */
export const HEAD_BYTES_MAX = 2_048
/**
 * At birth; counters, instants, flags and progress take up to 794 bytes more, a parking 74 without its reason. Texts that
 * explain (a reason, an error) get what is left: all of it where names are of a usual length.
 */
export const NEW_HEAD_BYTES_MAX = 1_060
export const PROGRESS_MESSAGE_BYTES_MAX = 120
export const PARKED_REASON_BYTES_MAX = 240
// What is counted while a task is parked, or cleaned up: its commits, messages and checkpoints from outside.
const COUNTED_LATER_BYTES_MAX = 100

/** Event that stops a task from outside its body. */
export type StoppedBy = 'cancel' | 'timeout' | 'deadline' | 'expiry'

/** An unloaded task that waits for something without a time of its own wakes then: never, or when it is told. */
export const NEVER = 8.64e15 // the last instant that a `Date` can show

/** How many bytes of a text that explains, at most `bytesMax`, the live head has room for. */
export function bytesLeft(head: TaskHead, bytesMax: number): number {
  const left = HEAD_BYTES_MAX - COUNTED_LATER_BYTES_MAX - Buffer.byteLength(JSON.stringify(head))
  return Math.max(0, Math.min(left, bytesMax))
}

/** True if anything is left to do for the task. A settled one is live while its clean-up is pending. */
export function isLive(head: TaskHead): boolean {
  return !isSettled(head.status) || head.cleanUp === 'pending'
}

/** A settled task never changes again. */
export function isSettled(status: TaskStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** What `now()` says before any answer: the first start, of the task that a fork came from if it is one. */
export function firstInstantOf(head: TaskHead): number {
  return head.forkedFrom?.startedAt ?? head.startedAt ?? head.createdAt
}
