/** The answer of `explain`: why a task does not run now, or what it runs. Has no inputs, results or messages of errors. */
import type { Parked, TaskStatus } from '../task/head.js'
import type { NamedKind } from '../task/log/records.js'

/** Why a task does not run now. Each `state` has fields of its own. Instants are milliseconds since the epoch. */
export type Explanation =
  | RunningExplanation
  | QueuedExplanation
  | WaitingExplanation
  | NextAttemptExplanation
  | SuspectExplanation
  | ParkedExplanation
  | NotRecoveredExplanation
  | StoreDownExplanation
  | SettledExplanation

/** What every explanation has. */
interface Explained {
  readonly taskId: string
  readonly type: string
  readonly status: TaskStatus
  /** A sentence for people. Its words may change. */
  readonly summary: string
}

/** Functions of the task run now, or its body does. */
export interface RunningExplanation extends Explained {
  readonly state: 'running'
  /** Start of the first run of the task. */
  readonly startedAt: number | undefined
  /** Number of the attempt of the body. */
  readonly attempt: number
  /** Calls that have begun, without those in `waits`. None while only the body itself runs, or its log is replayed. */
  readonly calls: readonly RunningCall[]
  /** Calls of other branches that wait. */
  readonly waits: readonly Wait[]
}

/** A call that runs. */
export interface RunningCall {
  readonly kind: NamedKind
  readonly name: string
  /** Number of the call among those of its name in its segment, from 1. */
  readonly number: number
  /** Branch of the call; `undefined` in the body itself. */
  readonly branch: string | undefined
  /** Instant at which the call began in this process. */
  readonly since: number
  /** Number of the attempt, from 1. */
  readonly attempt: number
}

/** The task waits for a slot. */
export interface QueuedExplanation extends Explained {
  readonly state: 'queued'
  /** Start of the waiting time. */
  readonly since: number
  /** Queued tasks of the same owner that get a slot before it. Owners take turns, so tasks of others do not count. */
  readonly ahead: number
  /** All queued tasks, this one included. */
  readonly queued: number
  /** The limits that are reached and keep it waiting. None if it gets a slot in this turn. */
  readonly limits: readonly ReachedLimit[]
}

/** A limit of the scheduler that is reached. */
export interface ReachedLimit {
  /** The option that sets the limit: of `open`, or `concurrency` of the definition for `type`. */
  readonly limit: 'concurrency' | 'type' | 'owner'
  readonly max: number
  readonly running: number
}

/** The task waits for something outside. */
export interface WaitingExplanation extends Explained {
  readonly state: 'waiting'
  /** What it waits for. The first that ends continues the task. */
  readonly waits: readonly Wait[]
}

/** One wait of a task. `until` is the instant at which it ends by itself; `undefined` for a wait without an end. */
export type Wait =
  | {
      readonly for: 'sleep' | 'message'
      /** Name of the call. A message is sent under this name. */
      readonly name: string
      readonly since: number
      readonly until: number | undefined
    }
  | {
      readonly for: 'answer'
      readonly name: string
      /** Key for `respond`. */
      readonly key: string
      readonly since: number
      readonly until: number | undefined
    }
  | {
      readonly for: 'child'
      readonly name: string
      readonly taskId: string
      readonly since: number
      readonly until: undefined
    }
  | ({ readonly for: 'attempt'; readonly name: string } & NextAttempt)
  /** A session task waits for its client. */
  | { readonly for: 'client'; readonly since: number; readonly until: undefined }

/** An attempt that is due later. `retry` makes it due at once. */
export interface NextAttempt {
  /** Number of the attempt, from 2. */
  readonly attempt: number
  /** Instant at which the attempt is due. */
  readonly until: number
  /** Instant of the last failure; `undefined` if the version that wrote it did not record it. */
  readonly since: number | undefined
  /** Code of the last error, or its name if it has no code. */
  readonly lastError: string | undefined
}

/** The body threw, and its next attempt is due later. */
export interface NextAttemptExplanation extends Explained, NextAttempt {
  readonly state: 'next-attempt'
}

/** Processes crashed while they ran the task. It runs again after the tasks before it, alone among such tasks. */
export interface SuspectExplanation extends Explained {
  readonly state: 'suspect'
  /** Number of processes in a row that crashed while the task ran. */
  readonly deaths: number
}

/** The task is parked. */
export interface ParkedExplanation extends Explained {
  readonly state: 'parked'
  readonly code: Parked['code']
  readonly reason: string
  readonly since: number
  /** What to do. */
  readonly advice: string
}

/** The task was found at the open and is not resumed yet. */
export interface NotRecoveredExplanation extends Explained {
  readonly state: 'not-recovered'
  /**
   * `held`: every start of the store crashed · `manual`: the instance was opened with `recover: 'manual'` · `no-server`:
   * the store is open for a command, and no process runs its tasks.
   */
  readonly cause: 'held' | 'manual' | 'no-server'
  readonly advice: string
}

/** The disk refuses writes. The task continues by itself when the store is up again. */
export interface StoreDownExplanation extends Explained {
  readonly state: 'store-down'
}

/** The task is settled. */
export interface SettledExplanation extends Explained {
  readonly state: 'settled'
  readonly settledAt: number
  readonly cleanUp: CleanUpExplanation
}

/** State of the clean-up of a settled task. */
export type CleanUpExplanation =
  | { readonly state: 'none' | 'done' }
  /** Undos or `onCancel` failed, or never ran. */
  | { readonly state: 'failed'; readonly reason: string | undefined }
  /** It runs, or waits for its turn, for the next attempt of an undo or for children. */
  | { readonly state: 'pending' }
  | { readonly state: 'parked'; readonly code: Parked['code']; readonly reason: string; readonly advice: string }
  | { readonly state: 'not-recovered'; readonly cause: NotRecoveredExplanation['cause']; readonly advice: string }
