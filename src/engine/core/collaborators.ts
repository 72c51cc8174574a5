/**
 * Interfaces of the parts that the engine calls and does not import: life cycle, recovery and retention. The parts
 * import the engine. `assemble-engine.ts` creates them and passes them to the engine, so imports between the folders
 * point one way.
 */

import type { Level } from '../../store/disk/level.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { Parked, TaskHead } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'
import type { RecordName } from '../../task/log/records.js'
import type { EventOf } from '../../task/task-event.js'
import type { LiveTask } from './live-task.js'
import type { RecoveryReport } from './recovery-report.js'

/** The parts that are passed to an engine. */
export interface Collaborators {
  readonly lifecycle: Lifecycle
  readonly children: ChildTasks
  readonly recovery: Recovery
  readonly suspects: SuspectTurns
  readonly openings: OpeningHistory
  readonly sweeps: SweepGuard
}

/** Origin and circumstances of the end of a task. */
export interface Settling extends SettledBy {
  /** True if the commit waits while the store is down. False if it is refused then. */
  readonly patient: boolean
}

/** The cause of a settlement. */
export type SettledBy = Pick<EventOf<'settle'>, 'run' | 'by' | 'stoppedBy' | 'givesUp' | 'progress'>

/** The input of a task that starts to run in the commit that creates it. */
export interface FreshInput {
  readonly inputText: string | undefined
}

/** Functions for everything that happens to a task between its start and its end. */
export interface Lifecycle {
  /** Queues a task for a slot now, or at its wake time. */
  schedule(task: LiveTask, options?: { now?: boolean }): void
  /** Runs the body of a task that holds a slot. */
  begin(task: LiveTask, fresh?: FreshInput): void
  /** Settles a task whose timeout, deadline or `ttl` has passed. */
  timeOut(task: LiveTask): Promise<void>
  /** Creates the event that settles a task of this type. */
  settleEvent(head: Pick<TaskHead, 'type' | 'kind'>, outcome: Outcome, who: SettledBy): EventOf<'settle'>
  /** Notifies waiters and listeners that a task is settled on disk, and starts its clean-up. */
  announceSettled(task: LiveTask, outcomeText: string): void
  /** Parks a task. */
  park(task: LiveTask, parked: Omit<Parked, 'since'>, run?: number): Promise<void>
  /** Wakes a task after an answer, a message, or the end of a child. */
  wakeTask(task: LiveTask, answered?: readonly string[]): void
  /** Writes an audit entry for a result that came after the task was settled. */
  noteDropped(task: LiveTask): Promise<void>
}

/** The type and the checked input of a child before its creation. */
export interface ChildCall {
  readonly type: string
  /** The parsed input as JSON text. */
  readonly inputText: string | undefined
}

/** The children of tasks. */
export interface ChildTasks {
  /** Adds a live task to the children of its parent. */
  add(head: TaskHead): void
  /** Removes a task that has ended and is cleaned up. */
  delete(head: TaskHead): void
  /** IDs of the live children of a task. */
  of(taskId: string): string[]
  /** Returns the type of a child, and registers its definition if needed. */
  typeOf(definition: string | AnyTaskDefinition): string
  /** Checks the input of a child. */
  check(type: string, input: unknown): Promise<ChildCall>
  /** Creates a child under the ID in the pending record of its parent. */
  create(parent: LiveTask, taskId: string, call: ChildCall): Promise<void>
  /** Cancels a child, and waits until its clean-up ends. */
  end(taskId: string, reason: string): Promise<void>
}

/** Recovery of the tasks that an opening finds, and after an outage of the store. */
export interface Recovery {
  /** Reads the unfinished tasks into memory. */
  load(): Promise<readonly TaskHead[]>
  /** Resumes the tasks that the opening found. */
  resumeTasks(found: readonly TaskHead[]): void
  /** Resumes the tasks that were parked because this definition was not registered. */
  resumeType(definition: AnyTaskDefinition): void
  /** Reads these heads again after an outage. Returns a function that sends the notifications when the store is up. */
  reloadHeads(level: Level, taskIds: ReadonlySet<string>): Promise<() => void>
}

/** The turns of tasks during which several processes in a row crashed. */
export interface SuspectTurns {
  /** True if the task is a suspect and must wait for its turn. */
  holds(task: LiveTask): boolean
  /** To be called when a commit of the task is on disk. */
  seen(task: LiveTask): void
  /** To be called when the run of the task only waits. */
  waits(task: LiveTask): void
  /** To be called when the run of the task has ended. */
  over(task: LiveTask): void
  /** Returns a promise that a run must await before it begins these calls. `undefined` if there is nothing to await. */
  beforeBegin(
    task: LiveTask,
    asked: readonly { readonly ask: { readonly name: RecordName }; readonly isDeferred?: boolean | undefined }[],
  ): Promise<void> | undefined
  /** Prevents further turns. */
  stop(): void
}

/** The record of this opening in the store. From it, the next opening learns if this one was closed or crashed. */
export interface OpeningHistory {
  /** The number of this opening. */
  readonly life: number | undefined
  /**
   * Writes the record. Returns the heads with crashes counted, and the reason if the recovery must wait for
   * `recover()`.
   */
  begin(
    heads: readonly TaskHead[],
    recover: 'auto' | 'manual',
    now: number,
  ): Promise<{ heads: TaskHead[]; heldReason: string | undefined }>
  /** Records that `recover()` was called although the recovery was held. */
  release(): Promise<void>
  /** Records that the recovery is done. */
  recovered(report: RecoveryReport): Promise<void>
  /** Records that a close has begun. */
  beginEnd(): Promise<void>
  /** Records that the store is closed. */
  end(): Promise<void>
}

/** Keeps the sweeper away from tasks that are in use, and all other code away from tasks that are being swept. */
export interface SweepGuard {
  /** IDs of tasks whose dropped records are being deleted. */
  readonly deletingDropped: Set<string>
  /** Runs `prepare` before the first sweep of the process. */
  once(prepare: () => Promise<void>): Promise<void>
  /** True if the task is being swept now. */
  isSweeping(taskId: string): boolean
  /** Runs `act`, which reads the task or writes records of it. The task is not swept during that. */
  using<T>(taskId: string, act: () => Promise<T>): Promise<T>
  /** Runs `sweep` unless the task is in use. @returns false if it is in use */
  sweeping(taskId: string, sweep: () => Promise<unknown>): Promise<boolean>
}
