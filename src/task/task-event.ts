/** Events of a task after its creation. `transition` decides what each event changes. */

import type { AttributeChanges } from './attributes.js'
import type { ByteCount } from './byte-count.js'
import type { Parked, Progress, StoppedBy } from './head.js'
import type { Dropped } from './log/dropped-records.js'
import type { Outcome } from './log/outcome.js'
import type { StoredPatches } from './log/patch-answers.js'
import type { PendingRecord } from './log/pending-record.js'
import type { CheckpointRecord, NamedRecord, Unnumbered } from './log/records.js'
import type { SegmentSum } from './log/segment.js'
import type { UndoRecord } from './log/undo-record.js'
import type { Message, MessageKey } from './message.js'

/** A log record before its number and its time are set. */
export type NewRecord = Unnumbered<NamedRecord> | Omit<CheckpointRecord, 'seq' | 'at' | 'closes' | 'stateBytes'>

/** A checkpoint state that is dropped to make room for a newer one. */
export interface DroppedState {
  readonly checkpointId: string
  readonly stateBytes: number
}

/** The state of a new checkpoint of a body, and the older states that are dropped for it. */
export interface NewState {
  readonly stateText: string
  readonly prune: boolean
  readonly drops?: readonly DroppedState[] | undefined
}

/** An event of a task. `run` is the run that reports the event. Events of a superseded run are refused (commit-6). */
export type TaskEvent =
  /** A run of the body begins: the first one, or one after a crash. */
  | {
      readonly kind: 'start'
      readonly run: number
      readonly timeoutMs?: number | undefined
      readonly recovered: boolean
      /** The number of the opening of the store (crash-count.ts). */
      readonly life?: number | undefined
    }
  /** A call of the body ended, or a checkpoint of the body is saved. */
  | {
      readonly kind: 'record'
      readonly run: number
      readonly record: NewRecord
      readonly checkpoint?: NewState | undefined
      readonly beside?: AuxiliaryChanges | undefined
      readonly progress?: Progress | undefined
    }
  /** A call of the body begins, or its pending record changes. The call has not ended. */
  | {
      readonly kind: 'note'
      readonly run: number
      readonly beside: AuxiliaryChanges
      /** True if a step saved a state for its next attempt that differs from the one before. */
      readonly isNew?: boolean | undefined
    }
  /** Deferred records are written. Nothing else changes. */
  | { readonly kind: 'flush'; readonly run: number }
  /** Answers that `patched` gave to the body. They are written before the next function begins. */
  | { readonly kind: 'patch'; readonly run: number; readonly answers: readonly StoredPatches[] }
  /** The body threw, and has another attempt. */
  | {
      readonly kind: 'retry'
      readonly run: number
      readonly wakeAt: number
      readonly why: string
      readonly plan: RetryPlan
      /** Records that earlier retries dropped and that are not deleted yet. */
      readonly earlier?: Dropped | undefined
    }
  /**
   * The task only waits, and is removed from memory until `wakeAt`. With `listens`, an answer or a message wakes it
   * too.
   */
  | {
      readonly kind: 'unload'
      readonly run: number
      readonly wakeAt: number
      readonly listens: boolean
      /** The pending record of the wait, if it is not on disk yet. */
      readonly begun?: PendingRecord | undefined
    }
  /** A crash after this event does not count against the task: it waits, or its turn as a suspect is over. */
  | { readonly kind: 'excuse'; readonly run: number }
  /** The call named `what` begins. It is named as the reason if the task is parked after a crash. */
  | { readonly kind: 'begin'; readonly run: number; readonly what: string }
  /** A caller resumes the parked task. */
  | { readonly kind: 'resume'; readonly by: string }
  /** A caller makes the next attempts of the task and of its steps due at once. */
  | { readonly kind: 'retry-now'; readonly by: string }
  /** A client answers inputs of the task. */
  | { readonly kind: 'answer'; readonly notes: readonly PendingRecord[]; readonly by: string }
  /** A caller sends a message to the task. */
  | {
      readonly kind: 'send'
      readonly message: Message
      readonly key?: MessageKey | undefined
      /** Idempotency keys of earlier messages that are dropped to make room for this key. */
      readonly droppedKeys?: readonly MessageKey[] | undefined
      readonly by: string
    }
  /** A caller changes attributes of the task. */
  | { readonly kind: 'set-attributes'; readonly attributes: AttributeChanges; readonly by: string }
  /** The task settles. `run` is set if its body ended, and absent if the task is settled from outside. */
  | {
      readonly kind: 'settle'
      readonly run?: number | undefined
      readonly outcome: Outcome
      readonly by: string
      readonly progress?: Progress | undefined
      /** Time for which the idempotency key of the task is kept after its end. */
      readonly retentionMs: number
      /** The cause of the end, if the body did not end by itself. */
      readonly stoppedBy?: StoppedBy | undefined
      /** True if the definition of the task has an `onCancel`. `unknown` if the definition is not registered. */
      readonly onCancel?: boolean | 'unknown' | undefined
      /** True if a parked task is given up: no clean-up runs. */
      readonly givesUp?: boolean | undefined
      /**
       * Number of commits of the task in the file that it was moved to. No clean-up runs, since the task continues elsewhere. A
       * task that has changed since then is not settled.
       */
      readonly movedAt?: number | undefined
    }
  /** A later process continues the clean-up of the settled task. */
  | { readonly kind: 'clean-up'; readonly run: number; readonly life?: number | undefined }
  /** The state of an undo, or of `onCancel`, changes. */
  | { readonly kind: 'undo'; readonly run: number; readonly intent: UndoRecord }
  /** The function of a step returned after its task was settled, and before the undo of the step began. */
  | { readonly kind: 'late-result'; readonly intent: UndoRecord }
  /** The clean-up of the task ended. */
  | { readonly kind: 'cleaned-up'; readonly run: number; readonly failed?: string | undefined }
  /** The task cannot continue. */
  | {
      readonly kind: 'park'
      readonly run?: number | undefined
      readonly parked: Omit<Parked, 'since'>
      /** The code mark of the definition that does not match the log, if the task is parked for that. */
      readonly triedWith?: string | undefined
      /** True if a run may still be there: it is superseded, so that none of its commits follows. */
      readonly endsRun?: boolean | undefined
    }
  /** A client saves a checkpoint of the task. */
  | {
      readonly kind: 'save-checkpoint'
      readonly checkpointId: string
      readonly stateText: string
      readonly label?: string | undefined
      readonly by: string
      readonly drops?: readonly DroppedState[] | undefined
    }

/** The event of kind `Kind`. */
export type EventOf<Kind extends TaskEvent['kind']> = Extract<TaskEvent, { kind: Kind }>

/** Changes of one commit to records other than log entries. */
export interface AuxiliaryChanges {
  /** Pending records of calls that begin. */
  readonly begun?: readonly PendingRecord[] | undefined
  /** Pending records that changed. */
  readonly changed?: readonly PendingRecord[] | undefined
  /** Pending records of calls that ended. They are deleted. */
  readonly ended?: readonly PendingRecord[] | undefined
  /** An undo record to write. A new one gets the next number in the order of the task's undo records. */
  readonly intent?: UndoRecord | undefined
  readonly isNewIntent?: boolean | undefined
  /** A message that the body receives with this commit. */
  readonly taken?: Omit<Message, 'text'> | undefined
  /** Messages that are put back in their order, because the call that received them is dropped or cancelled. */
  readonly returned?: readonly Message[] | undefined
  /** Attributes that the body sets with this record. If they do not fit, the record has the refusal. */
  readonly attributes?: AttributeChanges | undefined
}

/** The changes that a retry of the task makes to its log. */
export interface RetryPlan {
  /** The records that are dropped. `undefined` if there are none. */
  readonly dropped: Dropped | undefined
  /** Pending records of calls that are dropped. */
  readonly ended: readonly PendingRecord[]
  /** Count and checksum of the records of the prefix that the retry keeps. */
  readonly prefix: SegmentSum
  /** Count and checksum of the records of the open segment that the retry keeps. */
  readonly open: SegmentSum
  /** Number of log records after the drop. */
  readonly records: number
  /** Number of completed steps that are dropped. */
  readonly steps: number
  /** Number of checkpoints that are dropped. */
  readonly saves: number
  /** Number of messages that are put back. */
  readonly messages: number
  /** Bytes that are dropped. */
  readonly bytes: ByteCount
}
