/** What can happen to a task after it was created. `transition` decides what becomes of it. */
import type { Beside } from './beside.js'
import type { Parked, Progress, StoppedBy } from './head.js'
import type { ReadRecord } from './integrity.js'
import type { Intent } from './intent.js'
import type {
  CheckpointRecord,
  ChildRecord,
  DecisionRecord,
  InputRecord,
  ReceiveRecord,
  SleepRecord,
  StepRecord,
} from './log.js'
import type { Message, MessageKey } from './message.js'
import type { Note } from './note.js'
import type { Outcome } from './outcome.js'

/** A record before it has its place and time in the log. */
export type NewRecord =
  | Omit<StepRecord, 'seq' | 'at'>
  | Omit<SleepRecord, 'seq' | 'at'>
  | Omit<InputRecord, 'seq' | 'at'>
  | Omit<ReceiveRecord, 'seq' | 'at'>
  | Omit<ChildRecord, 'seq' | 'at'>
  | Omit<DecisionRecord, 'seq' | 'at'>
  | Omit<CheckpointRecord, 'seq' | 'at' | 'closes'>

/** An event. `run` is there where a run says so: another run's word is refused (C6). */
export type TaskEvent =
  /** A run of its body begins: the first one, or one after a crash. */
  | {
      readonly kind: 'start'
      readonly run: number
      readonly timeoutMs?: number | undefined
      readonly recovered: boolean
    }
  /** Something that was asked for ended, or a body's checkpoint is saved. */
  | {
      readonly kind: 'record'
      readonly run: number
      readonly record: NewRecord
      readonly checkpoint?: { readonly stateText: string; readonly prune: boolean } | undefined
      readonly beside?: Beside | undefined
      readonly progress?: Progress | undefined
    }
  /** Something begins, or comes further, that has not ended. */
  | { readonly kind: 'note'; readonly run: number; readonly beside: Beside }
  /** Its body threw, and is tried again. */
  | {
      readonly kind: 'retry'
      readonly run: number
      readonly wakeAt: number
      readonly why: string
      /** Its log, without what the next attempt must not be answered, and that. */
      readonly kept: readonly ReadRecord[]
      readonly dropped: readonly ReadRecord[]
      readonly beside: Beside
    }
  /** It only waits, for long, and is let go of until then. `listens`: also for an answer, or a message. */
  | { readonly kind: 'unload'; readonly run: number; readonly wakeAt: number; readonly listens: boolean }
  /** Inputs that it asked for are answered from outside. */
  | { readonly kind: 'answer'; readonly notes: readonly Note[]; readonly by: string }
  /** A message comes from outside. */
  | {
      readonly kind: 'send'
      readonly message: Message
      readonly key?: MessageKey | undefined
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
      /** Whether its definition has an `onCancel`; `unknown` where it is not registered. */
      readonly onCancel?: boolean | 'unknown' | undefined
      /** A parked task is given up: nothing of it is cleaned up. */
      readonly givesUp?: boolean | undefined
    }
  /** Its clean-up is taken up by a process after the one that settled it. */
  | { readonly kind: 'clean-up'; readonly run: number }
  /** An undo, or `onCancel`, comes further. */
  | { readonly kind: 'undo'; readonly run: number; readonly intent: Intent }
  /** A function returned after its task was settled, and before its undo began. */
  | { readonly kind: 'late-result'; readonly intent: Intent }
  /** Its clean-up is over. */
  | { readonly kind: 'cleaned-up'; readonly run: number; readonly failed?: string | undefined }
  /** It can't go on. */
  | { readonly kind: 'park'; readonly run?: number | undefined; readonly parked: Omit<Parked, 'since'> }
  /** A client saves a checkpoint beside it. */
  | {
      readonly kind: 'save-checkpoint'
      readonly checkpointId: string
      readonly stateText: string
      readonly label?: string | undefined
      readonly by: string
    }

/** The event of that kind. */
export type EventOf<Kind extends TaskEvent['kind']> = Extract<TaskEvent, { kind: Kind }>
