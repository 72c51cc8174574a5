/** What a run sees of the engine. */
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
  /** The processes that isolated steps run in. */
  readonly processes: ProcessSemaphore
  /** A run that only waits for longer than this is unloaded. */
  readonly unloadAfterMs: number
  /** How many checkpoints of a task of this type keep their state; `undefined` for all. */
  keepCheckpointsOf(type: string): number | undefined
  /** The runs in memory. */
  readonly loaded: Pick<LoadedRuns, 'isFull'>
  /** The slots of waiting runs. */
  readonly slots: Pick<Slots, 'rest' | 'wake' | 'unload'>
  /** Says what has to be on disk before a run begins something. */
  readonly suspects: Pick<SuspectTurns, 'beforeBegin'>
  /** No new step begins. */
  readonly closing: boolean
  /**
   * Decides and commits, waiting while the store is down; resolves once it is on disk.
   * @throws RunFenced, HoldfastError `TASK_SETTLED`: then nothing was written
   */
  record(task: LiveTask, event: TaskEvent): Promise<TaskDecision>
  /** Puts what concerns one key in order. */
  readonly keys: KeyedMutex
  /** Watches a function that was told to stop, and counts it if it continues. */
  readonly watchLeak: (taskId: string, step: string, working: Promise<unknown>) => void
  /** The task's time is over: it settles as failed. */
  timeOut(task: LiveTask): Promise<void>
  /** A body returned after its task was settled. */
  noteDropped(task: LiveTask): void
  readonly children: ChildTasks
  /** Log lines about tasks. */
  readonly lines: Pick<TaskLines, 'retried' | 'forgotten'>
  /** True if the task, or its clean-up, continues. */
  isUnfinished(taskId: string): boolean
  /** Notes in the audit that a checkpoint was restored. */
  noteRestored(head: TaskHead, checkpointId: string, by: string, patient: boolean): Promise<void>
}

/** A run, as its parts see it. */
export interface RunCore {
  readonly host: RunHost
  readonly task: LiveTask
  readonly history: History
  /** The number of the run. */
  readonly number: number
  readonly isOver: boolean
  /** True if the call is answered no more: the run is over, or the branch of the call lost. */
  isOverFor(asked: PendingCall): boolean
  /** Ends the task with an error, whatever its body does next. */
  fail(error: unknown): void
}

/** Answers `task.patched(id)`, and keeps functions from beginning until the answers are on disk. */
export interface PatchKeeper {
  /** @param recordsAtStart the number of records that the log had when the run began */
  answer(run: RunCore, id: string, recordsAtStart: number): boolean
  /** Resolves once every answer is on disk, and stays pending if the run is over; `undefined` if all of them are. */
  keep(run: RunCore): Promise<void> | undefined
}
