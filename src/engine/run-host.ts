/** What a run sees of the engine. */
import type { Clock } from '../clock.js'
import { HoldfastError } from '../errors.js'
import type { Events } from '../events.js'
import type { Ids } from '../ids.js'
import type { Logger } from '../logger.js'
import type { Store } from '../store/store.js'
import type { Decision } from '../task/changes.js'
import type { TaskHead } from '../task/head.js'
import type { TaskEvent } from '../task/task-event.js'
import { RunFenced } from '../task/transition.js'
import type { Children } from './children.js'
import type { Processes } from './isolated/processes.js'
import type { LiveTask } from './live-task.js'
import type { LoadedRuns } from './loaded-runs.js'
import type { Limits } from './options.js'
import type { Serial } from './serial.js'
import type { Slots } from './slots.js'
import type { Suspects } from './suspects.js'
import type { TaskLines } from './task-lines.js'

export interface RunHost {
  readonly store: Store
  readonly clock: Clock
  readonly ids: Ids
  readonly events: Events
  readonly logger: Logger
  readonly limits: Limits
  /** The processes that isolated steps run in. */
  readonly processes: Processes
  /** A run that only waits for longer than this is unloaded. */
  readonly unloadAfterMs: number
  /** How many checkpoints of a task of this type keep their state; `undefined` for all. */
  keepCheckpointsOf(type: string): number | undefined
  /** The runs in memory. */
  readonly loaded: Pick<LoadedRuns, 'isFull'>
  /** The slots of waiting runs. */
  readonly slots: Pick<Slots, 'rest' | 'wake' | 'unload'>
  /** Says what has to be on disk before a run begins something. */
  readonly suspects: Pick<Suspects, 'beforeBegin'>
  /** No new step begins. */
  readonly closing: boolean
  /**
   * Decides and commits, waiting while the store is down; resolves once it is on disk.
   * @throws RunFenced, HoldfastError `TASK_SETTLED`: then nothing was written
   */
  record(task: LiveTask, event: TaskEvent): Promise<Decision>
  /** Puts what concerns one key in order. */
  readonly keys: Serial
  /** Watches a function that was told to stop, and counts it if it goes on. */
  readonly watchLeak: (taskId: string, step: string, working: Promise<unknown>) => void
  /** The task's time is over: it settles as failed. */
  timeOut(task: LiveTask): Promise<void>
  /** A body returned after its task was settled. */
  noteDropped(task: LiveTask): void
  readonly children: Children
  /** Log lines about tasks. */
  readonly lines: Pick<TaskLines, 'retried' | 'forgotten'>
  /** Whether the task, or its clean-up, goes on. */
  isUnfinished(taskId: string): boolean
  /** Notes in the audit that a checkpoint was restored. */
  noteRestored(head: TaskHead, checkpointId: string, by: string, patient: boolean): Promise<void>
}

/** Whether a commit was refused because its run no longer counts, or its task is settled: whatever it said is dropped. */
export function isFenced(error: unknown): boolean {
  return error instanceof RunFenced || (error instanceof HoldfastError && error.code === 'TASK_SETTLED')
}
