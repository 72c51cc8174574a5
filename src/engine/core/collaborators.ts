/**
 * Interfaces of the parts that the engine calls and does not import: what happens to a task, recovery and retention. They
 * import the engine. `assemble-engine.ts` makes them and hands them in, so imports between the folders point one way.
 */

import type { Level } from '../../store/disk/level.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import type { Parked, StoppedBy, TaskHead } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'
import type { RecordName } from '../../task/log/records.js'
import type { EventOf } from '../../task/task-event.js'
import type { LiveTask } from './live-task.js'
import type { RecoveryReport } from './recovery-report.js'

/** Every part that is handed to an engine. */
export interface Collaborators {
  readonly lifecycle: Lifecycle
  readonly children: ChildTasks
  readonly recovery: Recovery
  readonly suspects: SuspectTurns
  readonly openings: OpeningHistory
  readonly sweeps: SweepGuard
}

/** Who settles a task, and what is known of it. */
export interface Settling {
  readonly run?: number
  readonly by: string
  /** True if it waits while the store is down. */
  readonly patient: boolean
  /** What stopped the task, if its body did not end it. */
  readonly stoppedBy?: StoppedBy | undefined
  /** True if the task is parked and given up: nothing is cleaned up. */
  readonly givesUp?: boolean | undefined
}

/** The input of a task whose run begins with its start. */
export interface FreshInput {
  readonly inputText: string | undefined
}

/** What happens to a task between its start and its end. */
export interface Lifecycle {
  /** Puts a task into the queue for a slot: now, or when it is to be woken. */
  schedule(task: LiveTask, options?: { now?: boolean }): void
  /** Runs a task's body. The slot is taken already. */
  begin(task: LiveTask, fresh?: FreshInput): void
  /** Settles a task whose time is over. */
  timeOut(task: LiveTask): Promise<void>
  /** The event that settles a task of this type. */
  settleEvent(
    head: Pick<TaskHead, 'type' | 'kind'>,
    outcome: Outcome,
    settling: Omit<Settling, 'patient'>,
  ): EventOf<'settle'>
  /** Notifies everybody that a task is settled, once that is on disk, and starts its clean-up. */
  tellSettled(task: LiveTask): void
  /** Parks a task. */
  park(task: LiveTask, parked: Omit<Parked, 'since'>, run?: number): Promise<void>
  /** Wakes a task for which something arrived. */
  wakeTask(task: LiveTask, answered?: readonly string[]): void
  /** Notes that a body returned after its task was settled. */
  noteDropped(task: LiveTask): Promise<void>
}

/** The type and the checked input of a child that is to be created. */
export interface ChildCall {
  readonly type: string
  /** The parsed input as JSON text. */
  readonly inputText: string | undefined
}

/** The children of tasks. */
export interface ChildTasks {
  /** Adds a live task. */
  add(head: TaskHead): void
  /** Removes a task that is over. */
  delete(head: TaskHead): void
  /** The live children of a task. */
  of(taskId: string): string[]
  /** The type of a child; its definition is registered if it is not yet. */
  typeOf(definition: string | AnyTaskDefinition): string
  /** Checks the input of a child. */
  check(type: string, input: unknown): Promise<ChildCall>
  /** Creates a child under the ID that its parent has noted. */
  create(parent: LiveTask, taskId: string, call: ChildCall): Promise<void>
  /** Cancels a child, and waits until its clean-up is over too. */
  end(taskId: string, reason: string): Promise<void>
}

/** What is done with the tasks that an opening finds, and after an outage of the store. */
export interface Recovery {
  /** Reads the unfinished tasks into memory. */
  load(): Promise<readonly TaskHead[]>
  /** Resumes the tasks that were found. */
  resumeTasks(found: readonly TaskHead[]): void
  /** Resumes the tasks that were parked for lack of this definition. */
  resumeType(definition: AnyTaskDefinition): void
  /** Reads these heads again. Returns what is to be told once the store is up. */
  reloadHeads(level: Level, taskIds: ReadonlySet<string>): Promise<() => void>
}

/** The turns of tasks during which several processes in a row crashed. */
export interface SuspectTurns {
  /** True if the task has to wait for its turn. */
  holds(task: LiveTask): boolean
  /** A commit of the task is on disk. */
  seen(task: LiveTask): void
  /** The run of the task only waits. */
  waits(task: LiveTask): void
  /** Nothing of the task runs any more. */
  over(task: LiveTask): void
  /** What is to be waited for before a run begins these calls. */
  beforeBegin(
    task: LiveTask,
    asked: readonly { readonly ask: { readonly name: RecordName } }[],
  ): Promise<void> | undefined
  /** No turn begins any more. */
  stop(): void
}

/** The record of this process in the store, by which the next one knows how it ended. */
export interface OpeningHistory {
  /** The number of this process. */
  readonly life: number | undefined
  /** Begins the record. Returns the heads as they now are, and why the recovery is held, if it is. */
  begin(
    heads: readonly TaskHead[],
    recover: 'auto' | 'manual',
    now: number,
  ): Promise<{ heads: TaskHead[]; heldReason: string | undefined }>
  /** Releases a recovery that was held. */
  release(): Promise<void>
  /** The recovery is done. */
  recovered(report: RecoveryReport): Promise<void>
  /** Notes that a close has begun. */
  beginEnd(): Promise<void>
  /** Notes that the store is closed. */
  end(): Promise<void>
}

/** Keeps the sweeper away from tasks that are in use, and everybody away from tasks that are being swept. */
export interface SweepGuard {
  /** Tasks whose dropped records are being deleted. */
  readonly deletingDropped: Set<string>
  /** Does what a process does before its first sweep. */
  once(prepare: () => Promise<void>): Promise<void>
  /** True if the task is being swept now. */
  isSweeping(taskId: string): boolean
  /** Keeps the sweeper off a task while `act` reads it and writes beside it. */
  using<T>(taskId: string, act: () => Promise<T>): Promise<T>
  /** Runs `sweep` unless the task is in use. */
  sweeping(taskId: string, sweep: () => Promise<unknown>): Promise<void>
}
