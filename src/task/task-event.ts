/** What can happen to a task after it was created. `transition` decides what becomes of it. */

import type { ByteCount } from './byte-count.js'
import type { Parked, Progress, StoppedBy } from './head.js'
import type { Dropped } from './log/dropped-records.js'
import type { Outcome } from './log/outcome.js'
import type { StoredPatches } from './log/patch-answers.js'
import type { PendingRecord } from './log/pending-record.js'
import type {
  CheckpointRecord,
  ChildRecord,
  DecisionRecord,
  InputRecord,
  ReceiveRecord,
  SleepRecord,
  StepRecord,
} from './log/records.js'
import type { SegmentSum } from './log/segment.js'
import type { UndoRecord } from './log/undo-record.js'
import type { Message, MessageKey } from './message.js'

/** A record before it has its place and time in the log. */
export type NewRecord =
  | Omit<StepRecord, 'seq' | 'at'>
  | Omit<SleepRecord, 'seq' | 'at'>
  | Omit<InputRecord, 'seq' | 'at'>
  | Omit<ReceiveRecord, 'seq' | 'at'>
  | Omit<ChildRecord, 'seq' | 'at'>
  | Omit<DecisionRecord, 'seq' | 'at'>
  | Omit<CheckpointRecord, 'seq' | 'at' | 'closes' | 'stateBytes'>

/** A state whose drop makes room for a newer one. */
export interface DroppedState {
  readonly checkpointId: string
  readonly stateBytes: number
}

/** The state of a body's new checkpoint, and what is dropped for it. */
export interface NewState {
  readonly stateText: string
  readonly prune: boolean
  readonly drops?: readonly DroppedState[] | undefined
}

/** An event. `run` is there where a run says so: another run's word is refused (commit-6). */
export type TaskEvent =
  /** A run of its body begins: the first one, or one after a crash. */
  | {
      readonly kind: 'start'
      readonly run: number
      readonly timeoutMs?: number | undefined
      readonly recovered: boolean
      /** The number of this process (crash-count.ts). */
      readonly life?: number | undefined
    }
  /** Something that was asked for ended, or a body's checkpoint is saved. */
  | {
      readonly kind: 'record'
      readonly run: number
      readonly record: NewRecord
      readonly checkpoint?: NewState | undefined
      readonly beside?: AuxiliaryChanges | undefined
      readonly progress?: Progress | undefined
    }
  /** Something begins, or comes further, that has not ended. */
  | {
      readonly kind: 'note'
      readonly run: number
      readonly beside: AuxiliaryChanges
      /** A step saved something that it had not saved before. */
      readonly isNew?: boolean | undefined
    }
  /** Its body was told whether it is patched; kept before the next function begins. */
  | { readonly kind: 'patch'; readonly run: number; readonly answers: readonly StoredPatches[] }
  /** Its body threw, and is tried again. */
  | {
      readonly kind: 'retry'
      readonly run: number
      readonly wakeAt: number
      readonly why: string
      readonly plan: RetryPlan
      /** What retries before dropped, as far as it is not deleted yet. */
      readonly earlier?: Dropped | undefined
    }
  /** It only waits, for long, and is let go of until then. `listens`: also for an answer, or a message. */
  | { readonly kind: 'unload'; readonly run: number; readonly wakeAt: number; readonly listens: boolean }
  /** If the process dies from here on, that is not counted against it: it waits, or its turn as a suspect is over. */
  | { readonly kind: 'excuse'; readonly run: number }
  /** It begins this, and may be parked for it. */
  | { readonly kind: 'begin'; readonly run: number; readonly what: string }
  /** It was parked, and somebody wants it tried again. */
  | { readonly kind: 'resume'; readonly by: string }
  /** Inputs that it asked for are answered from outside. */
  | { readonly kind: 'answer'; readonly notes: readonly PendingRecord[]; readonly by: string }
  /** A message comes from outside. */
  | {
      readonly kind: 'send'
      readonly message: Message
      readonly key?: MessageKey | undefined
      /** Keys of earlier messages that make room for this one's. */
      readonly droppedKeys?: readonly MessageKey[] | undefined
      readonly by: string
    }
  /** It ends. `run` is there when its body says so, absent when it is settled from outside. */
  | {
      readonly kind: 'settle'
      readonly run?: number | undefined
      readonly outcome: Outcome
      readonly by: string
      readonly progress?: Progress | undefined
      /** How long its idempotency key outlives it. */
      readonly retentionMs: number
      /** What stopped it, if its body didn't end it. */
      readonly stoppedBy?: StoppedBy | undefined
      /** True if its definition has an `onCancel`; `unknown` where it is not registered. */
      readonly onCancel?: boolean | 'unknown' | undefined
      /** A parked task is given up: nothing of it is cleaned up. */
      readonly givesUp?: boolean | undefined
    }
  /** Its clean-up is taken up by a process after the one that settled it. */
  | { readonly kind: 'clean-up'; readonly run: number; readonly life?: number | undefined }
  /** An undo, or `onCancel`, comes further. */
  | { readonly kind: 'undo'; readonly run: number; readonly intent: UndoRecord }
  /** A function returned after its task was settled, and before its undo began. */
  | { readonly kind: 'late-result'; readonly intent: UndoRecord }
  /** Its clean-up is over. */
  | { readonly kind: 'cleaned-up'; readonly run: number; readonly failed?: string | undefined }
  /** It can't continue. */
  | {
      readonly kind: 'park'
      readonly run?: number | undefined
      readonly parked: Omit<Parked, 'since'>
      /** What marks the definition, if it is the code that does not fit. */
      readonly triedWith?: string | undefined
    }
  /** A client saves a checkpoint beside it. */
  | {
      readonly kind: 'save-checkpoint'
      readonly checkpointId: string
      readonly stateText: string
      readonly label?: string | undefined
      readonly by: string
      readonly drops?: readonly DroppedState[] | undefined
    }

/** The event of that kind. */
export type EventOf<Kind extends TaskEvent['kind']> = Extract<TaskEvent, { kind: Kind }>

/** Everything beside the log that goes with one commit. */
export interface AuxiliaryChanges {
  /** Notes of something that begins, or begins to ask. */
  readonly begun?: readonly PendingRecord[] | undefined
  /** Notes that say more than before. */
  readonly changed?: readonly PendingRecord[] | undefined
  /** Notes of what has ended: they go. */
  readonly ended?: readonly PendingRecord[] | undefined
  /** An intent to keep. A new one comes after all others: it is given its place in their order. */
  readonly intent?: UndoRecord | undefined
  readonly isNewIntent?: boolean | undefined
  /** A message that is received with this. */
  readonly taken?: Omit<Message, 'text'> | undefined
  /** Messages that go back to their place: whoever had received them is dropped or cancelled. */
  readonly returned?: readonly Message[] | undefined
}

/** What becomes of the log. */
export interface RetryPlan {
  /** The records that go; `undefined` if none does. */
  readonly dropped: Dropped | undefined
  /** Notes of asks that go. */
  readonly ended: readonly PendingRecord[]
  /** What is left: its prefix, its open segment, and its number of records. */
  readonly prefix: SegmentSum
  readonly open: SegmentSum
  readonly records: number
  /** Of what goes: completed steps, checkpoints, messages that return to their place, and bytes. */
  readonly steps: number
  readonly saves: number
  readonly messages: number
  readonly bytes: ByteCount
}
