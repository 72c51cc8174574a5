/** What a body sees, what a step's function sees, and what an undo sees. */

import type { Duration } from '../../base/duration.js'
import type { Names } from '../../base/expected.js'
import type { Jsonified } from '../../base/json.js'
import type { Logger } from '../../base/logger.js'
import type { Progress, StoppedBy } from '../head.js'
import type { TaskDefinition } from './definition.js'
import type { IsolatedOptions } from './isolated-options.js'
import type { StepOptions } from './step-options.js'

/** The argument of a step's function. */
export interface StepContext {
  /** Aborted when the task is settled behind the step's back, and when `close()` runs out of grace. */
  readonly signal: AbortSignal
  /** Key of every attempt and every run of this step, and of no other step. Pass it to the service that you call. */
  readonly idempotencyKey: string
  /** Counts the attempts of this step, from 1. For logs, never for decisions. */
  readonly attempt: number
  /** State that an earlier attempt of this step saved; `undefined` if none did. */
  readonly checkpoint: unknown
  /** Saves where this step is, so that its next attempt can start from there. Durable once it resolves. */
  saveCheckpoint(state: unknown): Promise<void>
}

/** The options of a body's `saveCheckpoint`. */
export interface SaveCheckpointOptions {
  /** Text that listings show. */
  readonly label?: string | undefined
  /**
   * True to delete what was recorded before this checkpoint, so that a long task keeps a small store. The body must call
   * `restoreCheckpoint` before its first save. Without this, a replay would need what was deleted.
   * @default false
   */
  readonly prune?: boolean | undefined
}

/** The names of the options. */
export const SAVE_OPTIONS: Names<SaveCheckpointOptions> = { label: true, prune: true }

/** A checkpoint as it is restored. */
export interface RestoredCheckpoint<State = unknown> {
  readonly checkpointId: string
  readonly state: State
  /** Number of steps of the task that were completed at the save. */
  readonly completedSteps: number
  /** Instant of the save, in milliseconds since the epoch. */
  readonly createdAt: number
}

/**
 * Context of a body. A body makes all its waits through it, so that a new run after a crash receives the results of the
 * log, in the same order.
 *
 * A call that is refused rejects with the reason, in every run; the 100th in a row without a record fails the task with
 * `REFUSED_TOO_OFTEN`.
 */
export interface TaskContext {
  readonly taskId: string
  readonly type: string
  /** The version of the definition that the task was started with; a fork has that of the task it came from. */
  readonly version: string | undefined
  readonly owner: string | undefined
  /** Counts from 1. For logs, never for decisions. */
  readonly attempt: number
  /** True if this run continues an earlier one. For logs, never for decisions. */
  readonly recovered: boolean
  /**
   * Aborted when the task is cancelled, runs out of time or is parked while the body is in memory, and at the end of a
   * `close()`. For calls that can be stopped, never for clean-up: a body that is unloaded, as in a wait of more than
   * `unloadAfter`, or in any wait at `limits.loadedRunsMax`, is stopped without it, and so is one whose process
   * crashes. No `catch` and no `finally` runs then either. `undo` and `onCancel` of the definition do. A listener that
   * throws raises an uncaught exception.
   * @see docs/guides/cancel-and-undo.md: the table of what runs at the end of a body
   */
  readonly signal: AbortSignal
  /** The library's logger, with the task's ID and type on every line. */
  readonly log: Logger
  /**
   * Runs `fn` once and records its result; a later run is answered from the log. At least once: a crash between the
   * effect and its record runs it again, under the same `idempotencyKey`.
   * @returns what JSON makes of the result
   * @throws StepFailedError when `fn` threw, in this run and in every later one
   * @throws HoldfastError `STEP_AMBIGUOUS` after a wait for something that is not a step, and inside a step's function; the
   * task fails, whatever the body does with the error
   */
  step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options?: StepOptions): Promise<Jsonified<T>>
  /**
   * Runs a function that a module exports as a step, in a process of its own, and ends it past its limits: the step
   * fails with `RESOURCE_EXCEEDED`, and the server continues. What the process has started is ended with it, except what it
   * started detached. A guard against accidents, no sandbox: the process has the server's rights, environment and
   * secrets. It starts in about 0.2 s; at most `limits.isolatedProcessesMax` run.
   * @param moduleUrl `new URL('./work.js', import.meta.url)`, a `file:` URL as text, or an absolute path
   * @param args JSON; the function is called as `(args, { idempotencyKey, attempt, signal })`
   * @returns what JSON makes of what the function returns
   */
  isolated<T = unknown>(
    name: string,
    moduleUrl: string | URL,
    args?: unknown,
    options?: IsolatedOptions,
  ): Promise<Jsonified<T>>
  /**
   * Waits, through crashes and restarts. Meanwhile the task uses no slot, and after `unloadAfter` no memory.
   * @param name distinguishes it from other sleeps, as the name of a step does
   * @param duration milliseconds, or a string such as `'30d'`
   */
  sleep(name: string, duration: Duration): Promise<void>
  /**
   * Waits until an instant, in the same way; an instant that has passed is waited for no more.
   * @param instant a `Date`, or milliseconds since the epoch
   */
  sleepUntil(name: string, instant: Date | number): Promise<void>
  /**
   * Requires an input from outside, and waits for the answer. The task is `input_required` until `respond` answers.
   * @param name name of the input; the first of a name is answered under that name, later
   *   ones under `<name>-<n>`, where `n` counts the inputs of the task. No key is used twice
   * @param request the question as JSON; shown by `get`
   * @returns the answer, any JSON value
   * @throws HoldfastError `INPUT_TIMEOUT` when no answer came in time
   */
  input<Answer = unknown>(name: string, request?: unknown, options?: WaitOptions): Promise<Answer>
  /**
   * Takes the oldest message of that name that was sent to the task, or waits for one.
   * @throws HoldfastError `RECEIVE_TIMEOUT` when none came in time
   */
  receive<Payload = unknown>(name: string, options?: WaitOptions): Promise<Payload>
  /**
   * Runs branches side by side, each with a context of its own, and waits for all of them. When one fails, the others are
   * cancelled and waited for, and it rejects with what that one threw.
   * @returns what each branch returned, by name
   */
  all<Results extends Record<string, unknown>>(branches: BranchesOf<Results>): Promise<Results>
  /**
   * Runs branches side by side until the first one ends, and cancels the others: steps of theirs that have an undo are
   * undone, and then this resolves with what the first returned, or rejects with what it threw.
   */
  race<Results extends Record<string, unknown>>(branches: BranchesOf<Results>): Promise<Results[keyof Results]>
  /**
   * Runs branches side by side until the first one returns, and cancels the others. A branch that throws is passed over.
   * @throws AggregateError with what each branch threw, if all did
   */
  any<Results extends Record<string, unknown>>(branches: BranchesOf<Results>): Promise<Results[keyof Results]>
  /**
   * Starts a task that belongs to this one, and waits for its end. It is cancelled when this task ends before it, or when
   * the branch that started it loses, and never outlives this task's clean-up.
   * @param definition a definition (registered now if it is not yet), or the name of a registered one
   * @returns its output
   * @throws StepFailedError when it failed or was cancelled, or could not be started; its `cause` is the reason
   */
  child<Input, Output>(definition: TaskDefinition<Input, Output>, input: Input, options?: ChildOptions): Promise<Output>
  child(definition: string, input?: unknown, options?: ChildOptions): Promise<unknown>
  /**
   * Saves a state of your own choosing, and opens the next segment of the log.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `PRUNE_NEEDS_RESTORE`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `LIMIT_EXCEEDED`
   */
  saveCheckpoint(state: unknown, options?: SaveCheckpointOptions): Promise<{ checkpointId: string }>
  /**
   * Continues from a checkpoint that the body of this task saved: the latest one, or that of the ID given. `undefined` if
   * there is none yet. For the first lines of a body, or directly after a save.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `CHECKPOINT_BEHIND`, `CHECKPOINT_PRUNED`, `CHECKPOINT_NOT_FOUND`
   */
  // biome-ignore lint/suspicious/noExplicitAny: the state is whatever the body saved; its author knows the shape
  restoreCheckpoint<State = any>(checkpointId?: string): Promise<RestoredCheckpoint<State> | undefined>
  /**
   * Reports the progress of the body. Shown by `get` at once and kept with the next record; never waits. A figure that is no
   * finite number is left out: no task fails for its progress bar.
   */
  progress(progress: Progress): void
  /**
   * The stored time of the last answer, so that a replay sees the same: milliseconds since the epoch. It stays the same
   * until the next record: to wait, use `sleep`.
   * @throws HoldfastError `NO_PROGRESS` as the 100,000th answer in a row without a record; the task fails
   */
  now(): Promise<number>
  /** A UUID derived from the log, so that a replay sees the same. */
  uuid(): Promise<string>
  /**
   * True if a change of the code holds for this task here: `true` where the body continues from here for the first time,
   * `false` while something of an earlier run is ahead of it, which only the old code requests: results, and waits that
   * had begun. Its answer stays the same until the next checkpoint.
   * @param id names the change, in at most 200 bytes
   * @throws HoldfastError `STEP_AMBIGUOUS`, `LIMIT_EXCEEDED`
   * @example
   * if (await task.patched('check-stock')) await task.step('check stock', () => checkStock(order))
   */
  patched(id: string): Promise<boolean>
}

/** Functions by the name of their branch, each with a context of its own. */
export type BranchesOf<Results> = {
  readonly [Name in keyof Results]: (task: TaskContext) => Results[Name] | Promise<Results[Name]>
}

/** The options of `input` and `receive`. */
export interface WaitOptions {
  /**
   * Longest wait, from the call on, over crashes and down time. The call then rejects with `INPUT_TIMEOUT` or
   * `RECEIVE_TIMEOUT`.
   * @default none
   */
  readonly timeout?: Duration | undefined
}

/** The names of the options. */
export const WAIT_OPTIONS: Names<WaitOptions> = { timeout: true }

/** The options of `task.child`. */
export interface ChildOptions {
  /**
   * Name that distinguishes the child from other children, as the name of a step does.
   * @default the name of the definition
   */
  readonly name?: string | undefined
}

/** The names of the options. */
export const CHILD_OPTIONS: Names<ChildOptions> = { name: true }

/** The first argument of an undo and of `onCancel`. */
export interface CleanUpContext {
  readonly taskId: string
  readonly type: string
  readonly owner: string | undefined
  /** Counts the attempts of this undo, from 1. For logs, never for decisions. */
  readonly attempt: number
  /** Key of every attempt of this undo, and of no other undo or step. Pass it to the service that you call. */
  readonly idempotencyKey: string
  /** Aborted when the attempt takes too long, and when `close()` runs out of grace. */
  readonly signal: AbortSignal
  /** The library's logger, with the task's ID and type on every line. */
  readonly log: Logger
  /**
   * Runs `fn` once and records its result; a later attempt, also after a crash, is given that. Side by side, give each
   * call a name of its own.
   * @returns what JSON makes of the result
   */
  step<T>(
    name: string,
    fn: (step: { readonly signal: AbortSignal; readonly idempotencyKey: string }) => T | Promise<T>,
  ): Promise<Jsonified<T>>
}

/** The second argument of an undo: its step. */
// biome-ignore lint/suspicious/noExplicitAny: an undo that does not name the type knows the shape
export interface StepToUndo<Input = unknown, Result = any> {
  /** Name of the step. */
  readonly step: string
  /** Number of the step among those of its name. */
  readonly number: number
  /** Input of the task. */
  readonly input: Input
  /**
   * Result of the step; `undefined` if it failed, or if it is not known whether it took place. TypeScript cannot see
   * what a body returns from a step, so an undo that needs the type names it: `(context, step: StepToUndo<Input,
   * Charge>) => …`.
   */
  readonly result: Result | undefined
}

/** The second argument of `onCancel`. */
export interface Cancelled<Input = unknown> {
  readonly input: Input
  /** The checkpoint that the body saved last. */
  readonly lastCheckpoint: RestoredCheckpoint | undefined
  /** The `reason` of `cancel`, or `'TIMEOUT'` or `'EXPIRED'`. */
  readonly reason: string | undefined
  /** Event that stopped the task. */
  readonly stoppedBy: StoppedBy
}
