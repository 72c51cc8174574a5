/** Interfaces between a run, the engine, and the parts of a run. */
import type { Clock } from '../../base/clock.js'
import type { Events } from '../../base/events.js'
import type { Ids } from '../../base/ids.js'
import type { LimitedLogger } from '../../base/line-limit.js'
import type { KeyedMutex } from '../../base/mutex.js'
import type { Store } from '../../store/store.js'
import type { TaskDecision } from '../../task/changes.js'
import type { TaskHead } from '../../task/head.js'
import type { History } from '../../task/log/history.js'
import type { TaskEvent } from '../../task/task-event.js'
import type { Limits } from '../checks/limits.js'
import type { ChildTasks, SuspectTurns } from '../core/collaborators.js'
import type { LiveTask } from '../core/live-task.js'
import type { TaskLines } from '../core/operator-log.js'
import type { Slots } from '../core/slots.js'
import type { RecordEnd } from '../core/task-commits.js'
import type { LoadedRuns } from '../scheduling/loaded-runs.js'
import type { ProcessSemaphore } from '../scheduling/semaphore.js'
import type { PendingCall } from './pending-call.js'

export interface RunHost {
  readonly store: Store
  readonly clock: Clock
  readonly ids: Ids
  readonly events: Events
  readonly logger: LimitedLogger
  readonly limits: Limits
  /** Limits the processes of isolated steps. */
  readonly processes: ProcessSemaphore
  /** Length of a wait after which a run is unloaded. */
  readonly unloadAfterMs: number
  /** Number of checkpoints of a task of this type that keep their state. `undefined` for all. */
  keepCheckpointsOf(type: string): number | undefined
  /** The runs in memory. */
  readonly loaded: Pick<LoadedRuns, 'isFull'>
  /** The slots of waiting runs. */
  readonly slots: Pick<Slots, 'rest' | 'wake' | 'unload'>
  /** Commits the names of the calls of suspects before they begin. */
  readonly suspects: Pick<SuspectTurns, 'beforeBegin'>
  /** True while the engine closes: no new step begins. */
  readonly closing: boolean
  /**
   * Decides and commits an event. Waits while the store is down. Resolves when the commit is on disk.
   * @throws RunFenced, HoldfastError `TASK_SETTLED`. Nothing was written then
   */
  record(task: LiveTask, event: TaskEvent): Promise<TaskDecision>
  /** Commits an event as `record` does, without a promise for its end. */
  beginRecord(task: LiveTask, event: TaskEvent, end: RecordEnd): void
  /** Mutexes by name: the inputs, messages or dropped records of a task. */
  readonly keys: KeyedMutex
  /** Watches a function whose signal was aborted, and counts it if it continues. */
  readonly watchLeak: (taskId: string, step: string, working: Promise<unknown>) => void
  /** Settles a task whose time limit has passed. */
  timeOut(task: LiveTask): Promise<void>
  /** Writes an audit entry for a body that returned after its task was settled. */
  noteDropped(task: LiveTask): void
  readonly children: ChildTasks
  /** Log lines about tasks. */
  readonly lines: Pick<TaskLines, 'retried' | 'forgotten'>
  /** True if the task, or its clean-up, has not ended. */
  isUnfinished(taskId: string): boolean
  /** Counts the restore of a checkpoint in the audit trail. */
  noteRestored(head: TaskHead, checkpointId: string, by: string, patient: boolean): Promise<void>
}

/** Members of a run that its parts use. */
export interface RunCore {
  readonly host: RunHost
  readonly task: LiveTask
  readonly history: History
  /** The number of the run. */
  readonly number: number
  readonly isOver: boolean
  /** True if the call receives no answer any more: the run has ended, or the branch of the call lost. */
  isOverFor(asked: PendingCall): boolean
  /** Ends the task with an error, regardless of what the body does next. */
  fail(error: unknown): void
}

/** Answers `task.patched(id)`, and commits the answers before further functions begin. */
export interface PatchKeeper {
  /**
   * Answers one call of `patched`.
   * @param recordsAtStart the next record number at the start of the run
   */
  answer(run: RunCore, id: string, recordsAtStart: number): boolean
  /**
   * Resolves when every answer is on disk. Stays pending if the run is superseded. `undefined` if there is nothing to
   * commit.
   */
  keep(run: RunCore): Promise<void> | undefined
}
