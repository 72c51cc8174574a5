/**
 * What a decision wants written. A decision returns a list of these;
 * `store/operations.ts` turns the list into the operations of one batch.
 */
import type { CheckpointInfo } from './checkpoint.js'
import type { Tally } from './counters.js'
import type { TaskHead } from './head.js'
import type { PendingRecord } from './log/pending-record.js'
import type { LogRecord } from './log/records.js'
import type { UndoRecord } from './log/undo-record.js'
import type { Message, MessageKey } from './message.js'

/** Something that happened to a task, as the audit keeps it. */
export interface AuditEntry {
  /** Sorts by time. */
  readonly id: string
  readonly at: number
  readonly taskId: string
  readonly type: string
  readonly action:
    | 'created'
    | 'started'
    | 'recovered'
    | 'retried'
    | 'parked'
    | 'resumed'
    | 'completed'
    | 'failed'
    | 'cancelled'
    | 'input-required'
    | 'input-over'
    | 'answered'
    | 'message-sent'
    | 'undone'
    | 'undo-failed'
    | 'cleaned-up'
    | 'clean-up-failed'
    | 'result-dropped'
    | 'checkpoint-saved'
    | 'checkpoint-restored'
    | 'forked'
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** An owner, `admin` (an unscoped call), `body`, `engine` or `recovery`. */
  readonly by: string
  readonly why?: string | undefined
}

/** An idempotency key, within its owner and task type. */
export interface IdempotencyScope {
  readonly owner: string | undefined
  readonly type: string
  readonly key: string
}

/** What an idempotency key stands for. */
export interface IdempotencyEntry extends IdempotencyScope {
  readonly taskId: string
  /** A hash of the raw input in canonical form. */
  readonly fingerprint: string
  /** When it counts no more, once its task is swept; before, the task's head says it. */
  readonly forgetAt?: number | undefined
  /** When its task settled, once that is swept. */
  readonly settledAt?: number | undefined
}

/** Something that a protocol binding keeps: `key` is its own, `undefined` deletes it (store/binding-records.ts). */
export interface BindingRecord {
  readonly key: string
  readonly text: string | undefined
}

/** One thing to write. */
export type Change =
  | { readonly kind: 'head'; readonly head: TaskHead }
  | { readonly kind: 'input'; readonly text: string }
  | { readonly kind: 'outcome'; readonly text: string }
  | { readonly kind: 'record'; readonly segment: number; readonly seq: number; readonly text: string }
  /** The list of what retries dropped from the log and is not deleted yet. */
  | { readonly kind: 'dropped'; readonly text: string }
  | { readonly kind: 'drop-checkpoint'; readonly checkpointId: string }
  /** A checkpoint's state, without its record or what is known of it. */
  | { readonly kind: 'drop-state'; readonly checkpointId: string }
  | { readonly kind: 'checkpoint'; readonly info: CheckpointInfo; readonly stateText: string }
  | { readonly kind: 'owner'; readonly owner: string; readonly isChild?: boolean | undefined }
  | { readonly kind: 'idempotency'; readonly entry: IdempotencyEntry }
  | { readonly kind: 'forget-key'; readonly at: number; readonly scope: IdempotencyScope }
  | { readonly kind: 'binding'; readonly record: BindingRecord }
  | { readonly kind: 'note'; readonly note: PendingRecord }
  | { readonly kind: 'drop-note'; readonly note: PendingRecord }
  /** A key under which a question can be answered: no later one gets it. */
  | { readonly kind: 'input-key'; readonly key: string }
  | { readonly kind: 'intent'; readonly intent: UndoRecord }
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'drop-message'; readonly name: string; readonly order: number }
  | { readonly kind: 'message-key'; readonly entry: MessageKey }
  | { readonly kind: 'drop-message-key'; readonly key: string }
  /** What `patched` was answered in a segment. */
  | { readonly kind: 'patches'; readonly segment: number; readonly text: string }
  /** When what is copied for a fork is swept, should its head never follow; `isDone` with the head. */
  | { readonly kind: 'sweep-orphan'; readonly at: number; readonly isDone: boolean }
  /** `taskId` where it is about another task than the one decided on. */
  | {
      readonly kind: 'audit'
      readonly entry: Omit<AuditEntry, 'id' | 'taskId' | 'type'>
      readonly taskId?: string | undefined
    }

/** What was decided: the head as it now is, and everything to write with it, the head included. */
export interface TaskDecision {
  readonly head: TaskHead
  readonly changes: readonly Change[]
  /** The record that a `record` event became, with its number and time. */
  readonly record?: LogRecord | undefined
  /** How far it moves the counters over the store's life. */
  readonly tally?: Tally | undefined
}
