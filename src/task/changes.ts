/**
 * Changes that decisions return. `store/operations.ts` turns a list of changes into the operations of one batch.
 */
import type { CheckpointInfo } from './checkpoint.js'
import type { Tally } from './counters.js'
import type { TaskHead } from './head.js'
import type { PendingRecord } from './log/pending-record.js'
import type { LogRecord } from './log/records.js'
import type { UndoRecord } from './log/undo-record.js'
import type { Message, MessageKey } from './message.js'

/** One entry of the audit trail: an event of a task. */
export interface AuditEntry {
  /** ID of the entry. IDs sort in the order in which the entries were written. */
  readonly id: string
  readonly at: number
  readonly taskId: string
  readonly type: string
  readonly action:
    | 'created'
    | 'started'
    | 'recovered'
    | 'retried'
    | 'retry-requested'
    | 'deleted'
    | 'imported'
    | 'parked'
    | 'resumed'
    | 'completed'
    | 'failed'
    | 'cancelled'
    | 'input-required'
    | 'input-over'
    | 'answered'
    | 'message-sent'
    | 'attributes-set'
    | 'undone'
    | 'undo-failed'
    | 'cleaned-up'
    | 'clean-up-failed'
    | 'result-dropped'
    | 'checkpoint-saved'
    | 'checkpoint-restored'
    | 'forked'
    | 'repaired'
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** Origin of the event: an owner, `admin` (a call without an owner), `body`, `engine`, `recovery` or `repair`. */
  readonly by: string
  readonly why?: string | undefined
  /** ID of the store that wrote the entry, if the task was imported with it. Its `at` may be before that of earlier entries. */
  readonly importedFrom?: string | undefined
}

/** An idempotency key, within its owner and task type. */
export interface IdempotencyScope {
  readonly owner: string | undefined
  readonly type: string
  readonly key: string
}

/** The task that an idempotency key belongs to. */
export interface IdempotencyEntry extends IdempotencyScope {
  readonly taskId: string
  /** Hash of the unparsed input in canonical form. */
  readonly fingerprint: string
  /**
   * Instant from which the key is free again. Set when its task is swept. Before that, it follows from the head of the
   * task.
   */
  readonly forgetAt?: number | undefined
  /** Instant at which the task settled. Set when the task is swept. */
  readonly settledAt?: number | undefined
}

/**
 * A record that a protocol binding keeps under a `key` of its own. A `text` of `undefined` deletes it
 * (store/binding-records.ts).
 */
export interface BindingRecord {
  readonly key: string
  readonly text: string | undefined
}

/** One change to the store. */
export type Change =
  | { readonly kind: 'head'; readonly head: TaskHead }
  /** Fixed part of the head of a new task, and its input. */
  | { readonly kind: 'task'; readonly inputText: string | undefined }
  | { readonly kind: 'outcome'; readonly text: string }
  | { readonly kind: 'record'; readonly segment: number; readonly seq: number; readonly text: string }
  /** List of the records that retries dropped and that are not deleted yet. */
  | { readonly kind: 'dropped'; readonly text: string }
  | { readonly kind: 'drop-checkpoint'; readonly checkpointId: string }
  /** Deletion of the state of a checkpoint. Its log record and its description stay. */
  | { readonly kind: 'drop-state'; readonly checkpointId: string }
  | { readonly kind: 'checkpoint'; readonly info: CheckpointInfo; readonly stateText: string }
  | { readonly kind: 'idempotency'; readonly entry: IdempotencyEntry }
  | { readonly kind: 'forget-key'; readonly at: number; readonly scope: IdempotencyScope }
  | { readonly kind: 'binding'; readonly record: BindingRecord }
  | { readonly kind: 'note'; readonly note: PendingRecord }
  | { readonly kind: 'drop-note'; readonly note: PendingRecord }
  /** The key of an input. No later input of the task gets the same key. */
  | { readonly kind: 'input-key'; readonly key: string }
  | { readonly kind: 'intent'; readonly intent: UndoRecord }
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'drop-message'; readonly name: string; readonly order: number }
  | { readonly kind: 'message-key'; readonly entry: MessageKey }
  | { readonly kind: 'drop-message-key'; readonly key: string }
  /** Answers of `patched` in a segment. */
  | { readonly kind: 'patches'; readonly segment: number; readonly text: string }
  /**
   * Instant at which the records copied for a fork are deleted if its head is never written. `isDone`: the head is
   * written.
   */
  | { readonly kind: 'sweep-orphan'; readonly at: number; readonly isDone: boolean }
  /** An audit entry. `taskId` is set if the entry is about another task than the one decided on. */
  | {
      readonly kind: 'audit'
      readonly entry: Omit<AuditEntry, 'id' | 'taskId' | 'type'>
      readonly taskId?: string | undefined
    }

/** A decision: the new head, and all changes to write, the head included. */
export interface TaskDecision {
  readonly head: TaskHead
  readonly changes: readonly Change[]
  /** The log record of a `record` event, with its number and time. */
  readonly record?: LogRecord | undefined
  /** Changes of the counters of the store. */
  readonly tally?: Tally | undefined
}
