/**
 * The head of a task: its status, counts, instants and flags. In memory, a head is one object. On disk, the fixed part is
 * written once, and the moving part with every commit (head-codec.ts). So the moving part stays small. Inputs, results and
 * states are not part of it.
 */

import type { ErrorCode } from '../base/errors.js'
import type { TaskAttributes } from './attributes.js'
import type { ByteCount } from './byte-count.js'
import type { SavedBy } from './checkpoint.js'
import type { SegmentSum } from './log/segment.js'
import type { Trace } from './trace.js'

/** Status of a task. The last three are final. */
export type TaskStatus = 'pending' | 'running' | 'input_required' | 'completed' | 'failed' | 'cancelled'

/** Every status, in the order in which a task can have them. */
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
  readonly code: 'TASK_TYPE_UNKNOWN' | 'CODE_CHANGED' | 'RECORD_DAMAGED' | 'POISONED' | 'EXPORTED'
  readonly reason: string
  readonly since: number
}

/** The point in the log of another task at which a fork begins. */
export interface ForkedFrom {
  readonly taskId: string
  /** The number of the last record that was copied. */
  readonly at: number
  /** The first instant that `now()` returns in the other task. */
  readonly startedAt: number
}

/** The head of a task. Instants are milliseconds since the epoch. */
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
  /** Instant at which the task times out: the start of its first run plus the `timeout` of its definition. */
  readonly timeoutAt?: number | undefined
  /** The `deadline` that the caller gave. */
  readonly deadlineAt?: number | undefined
  /** Priority among the queued tasks of the same owner. Absent for the default 0. */
  readonly priority?: number | undefined
  readonly idempotencyKey?: string | undefined
  readonly title?: string | undefined
  /** Attributes that the task was created with. */
  readonly attributes?: TaskAttributes | undefined
  /** All attributes of the task, once one was changed. On disk, it is a field `attributes` of the moving part. */
  readonly changedAttributes?: TaskAttributes | undefined
  /**
   * True if an input is stored under a key of its own. Without this flag, a lost input would be read as `undefined`.
   */
  readonly hasInput: boolean
  readonly seed: string
  /** The number of the run whose commits are accepted (commit-6). */
  readonly run: number
  readonly attempt: number
  /** Instant of the next run of an unloaded task: the end of a long sleep, or the next attempt. */
  readonly wakeAt?: number | undefined
  /** Number of commits of the task. */
  readonly seq: number
  /** Number that the next log record gets. */
  readonly nextRecord: number
  readonly prefix: SegmentSum
  readonly open: SegmentSum
  /** The first segment whose records are kept. The prefix is always kept. */
  readonly keptFrom: number
  /** Number of log records that are kept. */
  readonly records: number
  /** Number of completed steps. Records that a checkpoint pruned count too. Steps that a retry dropped do not. */
  readonly completedSteps: number
  /** Number of checkpoints that are kept, by origin. */
  readonly checkpoints: Readonly<Record<SavedBy, number>>
  readonly progress?: Progress | undefined
  readonly parked?: Parked | undefined
  /** Code mark of the definition that did not match the log, while the task is parked as `CODE_CHANGED`. */
  readonly triedWith?: string | undefined
  /** True if a pending record was ever written. Without this flag, a load reads no pending records. */
  readonly hasStepStates?: boolean | undefined
  /** Number of begun steps that have an undo. Each has an undo record. */
  readonly intents?: number | undefined
  /** Number of unanswered inputs. */
  readonly inputs?: number | undefined
  /** Number of inputs that the task ever requested. */
  readonly inputsAsked?: number | undefined
  /** Number of messages that were ever sent to the task. `messages` counts those not received yet. */
  readonly messagesSent?: number | undefined
  /** Number of idempotency keys of messages that are kept. */
  readonly messageKeys?: number | undefined
  /** Number of messages that the task has not received yet. */
  readonly messages?: number | undefined
  /** True if an answer or a message wakes the unloaded task. */
  readonly listens?: boolean | undefined
  /** Attempts that failed before this commit of the task are due at once: a caller asked for them. */
  readonly attemptsBefore?: number | undefined
  /** True if attempts were asked for since the run began. An unload then wakes the task at once. */
  readonly wantsAttempt?: boolean | undefined
  /** True if an answer or a message arrived since the run began. An unload then wakes the task at once. */
  readonly hasNews?: boolean | undefined
  /** Number of children that have begun and not ended. */
  readonly children?: number | undefined
  /** ID of the parent of a child task. */
  readonly parentId?: string | undefined
  /** Number of ancestors of a child task. */
  readonly depth?: number | undefined
  /** True if the body called `patched`. Without this flag, a load reads no answers of `patched`. */
  readonly hasPatches?: boolean | undefined
  /** True if a retry dropped records. Without this flag, a load reads no list of them (dropped-records.ts). */
  readonly hasDropped?: boolean | undefined
  /** Trace context of the span that created the task, if telemetry was on. */
  readonly trace?: Trace | undefined
  /** Origin of a task that `fork` created. */
  readonly forkedFrom?: ForkedFrom | undefined
  /** Number of the opening of the store in which the run began. Removed at the next record or wait (crash-count.ts). */
  readonly life?: number | undefined
  /** Number of processes in a row that crashed while the task ran and recorded nothing. */
  readonly deaths?: number | undefined
  /** The call that began last. Kept only for a task that the next crash may park. */
  readonly begun?: string | undefined
  /** Bytes of the task in the store (byte-count.ts). */
  readonly bytes?: ByteCount | undefined
  /** Set while the task is being deleted: only the sweeper still finds it. */
  readonly sweeping?: true | undefined
  readonly cleanUp: 'none' | 'pending' | 'done' | 'failed'
  /** The cause, if the task was stopped from outside its body. `onCancel` then runs. */
  readonly stoppedBy?: StoppedBy | undefined
  /** Reason for which the clean-up failed. */
  readonly cleanUpReason?: string | undefined
  /** Error of a failed task without stack and causes, for listings. */
  readonly error?: { readonly name: string; readonly message: string; readonly code: ErrorCode } | undefined
  /** Named fields that this version does not know, as they were read (head-codec-2). */
  readonly laterFields?: Readonly<Record<string, unknown>> | undefined
}

/** A head that one decision makes, and that nothing else has yet: the decision may still change it. */
export type HeadDraft = { -readonly [Name in keyof TaskHead]: TaskHead[Name] }

/**
 * Longest moving part of the head of an unfinished task, in bytes, without changed attributes. It is written with every step
 * and read at every open.
 */
export const HEAD_BYTES_MAX = 2_048
/**
 * Longest fixed part of a head, in bytes, without the input, the title and the attributes, which have limits of their own, and
 * without the trace, which has a fixed length. Names of their full length fit, if few characters are escaped.
 */
export const FIXED_PART_BYTES_MAX = 1_060
export const PROGRESS_MESSAGE_BYTES_MAX = 120
export const PARKED_REASON_BYTES_MAX = 240
/** Room for counts that can grow while a task is parked or cleaned up: commits, messages and client checkpoints. */
export const COUNTED_LATER_BYTES_MAX = 100

/** The counts of a task without checkpoints, shared by all of them. */
export const NO_CHECKPOINTS: TaskHead['checkpoints'] = { body: 0, client: 0 }

/** Event that stops a task from outside its body. */
export type StoppedBy = 'cancel' | 'timeout' | 'deadline' | 'expiry'

/** Wake time of an unloaded task that waits without a time limit: only an answer, a message or a child wakes it. */
export const NEVER = 8.64e15 // the last instant that a `Date` can show

/** True if the task is unfinished, or its clean-up is pending. */
export function isLive(head: TaskHead): boolean {
  return !isSettled(head.status) || head.cleanUp === 'pending'
}

/** True if the status is final. */
export function isSettled(status: TaskStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** The attributes of the task now. */
export function attributesOf({
  attributes,
  changedAttributes = attributes,
}: Pick<TaskHead, 'attributes' | 'changedAttributes'>): TaskAttributes | undefined {
  return changedAttributes
}

/** The first instant that `now()` returns: the first start of the task, or of the task that a fork was made from. */
export function firstInstantOf(head: TaskHead): number {
  return head.forkedFrom?.startedAt ?? head.startedAt ?? head.createdAt
}

/**
 * A copy of the head for a decision to change. One literal with every field, so that all heads have one shape: copies by
 * spread get shapes of their own, which made each later read and copy of a head many times slower.
 */
export function draftOf(head: TaskHead): HeadDraft {
  const draft: { [Field in keyof Required<TaskHead>]: TaskHead[Field] } = {
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
    ttlMs: head.ttlMs,
    timeoutAt: head.timeoutAt,
    deadlineAt: head.deadlineAt,
    priority: head.priority,
    idempotencyKey: head.idempotencyKey,
    title: head.title,
    attributes: head.attributes,
    changedAttributes: head.changedAttributes,
    hasInput: head.hasInput,
    seed: head.seed,
    run: head.run,
    attempt: head.attempt,
    wakeAt: head.wakeAt,
    seq: head.seq,
    nextRecord: head.nextRecord,
    prefix: head.prefix,
    open: head.open,
    keptFrom: head.keptFrom,
    records: head.records,
    completedSteps: head.completedSteps,
    checkpoints: head.checkpoints,
    progress: head.progress,
    parked: head.parked,
    triedWith: head.triedWith,
    hasStepStates: head.hasStepStates,
    intents: head.intents,
    inputs: head.inputs,
    inputsAsked: head.inputsAsked,
    messagesSent: head.messagesSent,
    messageKeys: head.messageKeys,
    messages: head.messages,
    listens: head.listens,
    attemptsBefore: head.attemptsBefore,
    wantsAttempt: head.wantsAttempt,
    hasNews: head.hasNews,
    children: head.children,
    parentId: head.parentId,
    depth: head.depth,
    hasPatches: head.hasPatches,
    hasDropped: head.hasDropped,
    trace: head.trace,
    forkedFrom: head.forkedFrom,
    life: head.life,
    deaths: head.deaths,
    begun: head.begun,
    bytes: head.bytes,
    sweeping: head.sweeping,
    cleanUp: head.cleanUp,
    stoppedBy: head.stoppedBy,
    cleanUpReason: head.cleanUpReason,
    error: head.error,
    laterFields: head.laterFields,
  }
  return draft
}
