/** Types of the arguments that a body, the function of a step and an undo get. */

import type { Duration } from '../../base/duration.js'
import type { Names } from '../../base/expected.js'
import type { Jsonified } from '../../base/json.js'
import type { Logger } from '../../base/logger.js'
import type { AttributeChanges } from '../attributes.js'
import type { Progress, StoppedBy } from '../head.js'
import type { TaskDefinition } from './definition.js'
import type { IsolatedOptions } from './isolated-options.js'
import type { StepOptions } from './step-options.js'

/** The argument of a step's function. */
export interface StepContext {
  /**
   * Aborted when the task is cancelled, times out or expires while the step runs, and at the end of the grace of
   * `close()`.
   */
  readonly signal: AbortSignal
  /** Key of every attempt and every run of this step, and of no other step. Pass it to the service that you call. */
  readonly idempotencyKey: string
  /** Counts the attempts of this step, from 1. For logs, never for decisions. */
  readonly attempt: number
  /** State that an earlier attempt of this step saved; `undefined` if none did. */
  readonly checkpoint: unknown
  /**
   * Saves a state of this step, from which its next attempt can continue. The state is on disk when the promise
   * resolves.
   */
  saveCheckpoint(state: unknown): Promise<void>
}

/** The options of a body's `saveCheckpoint`. */
export interface SaveCheckpointOptions {
  /** Text that listings show. */
  readonly label?: string | undefined
  /**
   * True to delete the records before this checkpoint, so that a long task keeps a small store. The body must call
   * `restoreCheckpoint` before its first save. Without this, a replay would need the deleted records.
   * @default false
   */
  readonly prune?: boolean | undefined
}

/** The names of the options. */
export const SAVE_OPTIONS: Names<SaveCheckpointOptions> = { label: true, prune: true }

/** A checkpoint that `restoreCheckpoint` returns. */
export interface RestoredCheckpoint<State = unknown> {
  readonly checkpointId: string
  readonly state: State
  /** Number of steps of the task that were completed at the save. */
  readonly completedSteps: number
  /** Instant of the save, in milliseconds since the epoch. */
  readonly createdAt: number
}

/**
 * Context of a body. A body makes all its waits through the context, so that a new run after a crash receives the
 * results of the log in the same order.
 *
 * A refused call rejects with the reason, in every run. The 100th refusal in a row without a record fails the task
 * with `REFUSED_TOO_OFTEN`.
 */
export interface TaskContext {
  readonly taskId: string
  readonly type: string
  /** Version of the definition that the task was started with. A fork has the version of the task it came from. */
  readonly version: string | undefined
  readonly owner: string | undefined
  /** Number of the attempt of the body, from 1. For logs, never for decisions. */
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
   * Runs `fn` and records its result. A later run gets the result from the log. `fn` runs at least once: after a crash
   * between its effect and the record, `fn` runs again, under the same `idempotencyKey`.
   * @returns the result after a round trip through JSON
   * @throws StepFailedError if `fn` threw, in this run and in every later one
   * @throws HoldfastError `STEP_AMBIGUOUS` after a wait that was not made through the context, and inside the function
   * of a step. The task fails, even if the body catches the error
   */
  step<T>(
    name: string,
    fn: (step: StepContext) => T | Promise<T>,
    options?: StepOptions<Jsonified<T>>,
  ): Promise<Jsonified<T>>
  /**
   * Runs an exported function of a module as a step, in a process of its own. A process that passes its limits is
   * ended: the step fails with `RESOURCE_EXCEEDED`, and the server continues. Processes that it started end with it,
   * except detached ones. This is a guard against accidents and not a sandbox: the process has the rights, environment
   * and secrets of the server. It starts in about 0.2 s. At most `limits.isolatedProcessesMax` run at once.
   * @param moduleUrl `new URL('./work.js', import.meta.url)`, a `file:` URL as text, or an absolute path
   * @param args JSON; the function is called as `(args, { idempotencyKey, attempt, signal })`
   * @returns the result of the function after a round trip through JSON
   */
  isolated<T = unknown>(
    name: string,
    moduleUrl: string | URL,
    args?: unknown,
    options?: IsolatedOptions<Jsonified<T>>,
  ): Promise<Jsonified<T>>
  /**
   * Waits for a duration, also over crashes and restarts. During the wait the task uses no slot, and after
   * `unloadAfter` no memory.
   * @param name distinguishes the sleep from other sleeps, as the name of a step does
   * @param duration milliseconds, or a string such as `'30d'`
   */
  sleep(name: string, duration: Duration): Promise<void>
  /**
   * Waits until an instant, in the same way as `sleep`. Returns at once if the instant has passed.
   * @param instant a `Date`, or milliseconds since the epoch
   */
  sleepUntil(name: string, instant: Date | number): Promise<void>
  /**
   * Requests an input from the client, and waits for the answer. The task is `input_required` until `respond` answers.
   * @param name name of the input. The first input of a name is answered under that name, later
   *   ones under `<name>-<n>`, where `n` counts the inputs of the task. No key is used twice
   * @param request the question as JSON, which `get` shows
   * @returns the answer, any JSON value
   * @throws HoldfastError `INPUT_TIMEOUT` if no answer came in time
   */
  input<Answer = unknown>(name: string, request?: unknown, options?: WaitOptions): Promise<Answer>
  /**
   * Receives the oldest unreceived message of that name, or waits for one.
   * @throws HoldfastError `RECEIVE_TIMEOUT` if no message came in time
   */
  receive<Payload = unknown>(name: string, options?: WaitOptions): Promise<Payload>
  /**
   * Runs branches concurrently, each with a context of its own, and waits for all of them. If one fails, the others
   * are cancelled, and `all` rejects with the error of the failed branch after the others have ended.
   * @returns the result of each branch, by name
   */
  all<Results extends Record<string, unknown>>(branches: BranchesOf<Results>): Promise<Results>
  /**
   * Runs branches concurrently until the first one ends, and cancels the others. Their steps that have an undo are
   * undone. Then `race` resolves with the result of the first branch, or rejects with its error.
   */
  race<Results extends Record<string, unknown>>(branches: BranchesOf<Results>): Promise<Results[keyof Results]>
  /**
   * Runs branches concurrently until the first one returns, and cancels the others. A branch that throws is ignored.
   * @throws AggregateError with the error of each branch, if all of them threw
   */
  any<Results extends Record<string, unknown>>(branches: BranchesOf<Results>): Promise<Results[keyof Results]>
  /**
   * Starts a child task, and waits for its end. The child is cancelled if this task ends first, or if the branch that
   * started the child loses. The clean-up of this task waits for the end of the child.
   * @param definition a definition (registered now if it is not yet), or the name of a registered one
   * @returns the output of the child
   * @throws StepFailedError if the child failed, was cancelled or could not be started. `cause` is the reason
   */
  child<Input, Output>(definition: TaskDefinition<Input, Output>, input: Input, options?: ChildOptions): Promise<Output>
  child(definition: string, input?: unknown, options?: ChildOptions): Promise<unknown>
  /**
   * Saves a state that the body chooses, and opens the next segment of the log.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `PRUNE_NEEDS_RESTORE`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `LIMIT_EXCEEDED`
   */
  saveCheckpoint(state: unknown, options?: SaveCheckpointOptions): Promise<{ checkpointId: string }>
  /**
   * Continues from a checkpoint that the body of this task saved: the latest one, or the one with the given ID.
   * `undefined` if there is none yet. Call it in the first lines of a body, or directly after a save.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `CHECKPOINT_BEHIND`, `CHECKPOINT_PRUNED`, `CHECKPOINT_NOT_FOUND`
   */
  // biome-ignore lint/suspicious/noExplicitAny: the author of the body knows the type of the saved state
  restoreCheckpoint<State = any>(checkpointId?: string): Promise<RestoredCheckpoint<State> | undefined>
  /**
   * Changes attributes of the task, by which `list` finds it. The change is on disk when the promise resolves. A replay
   * changes nothing again.
   * @param attributes values by name. `null` removes an attribute; one that is absent stays as it is
   * @throws HoldfastError `LIMIT_EXCEEDED` if the task would have more than 8
   */
  setAttributes(attributes: AttributeChanges): Promise<void>
  /**
   * Reports the progress of the body. `get` shows the progress at once. It is stored with the next record. Never
   * waits. A value that is not a finite number is left out, so that no task fails because of its progress.
   */
  progress(progress: Progress): void
  /**
   * The stored time of the last answer in milliseconds since the epoch, the same in every replay. The time changes
   * only with the next record. To wait, use `sleep`.
   * @throws HoldfastError `NO_PROGRESS` at the 100,000th call in a row without a record. The task fails
   */
  now(): Promise<number>
  /** A UUID derived from the log, the same in every replay. */
  uuid(): Promise<string>
  /**
   * True if the body should run the new code of a change. `true` if the body runs this place for the first time.
   * `false` while a replay still has recorded results, or waits that had begun, ahead of it, which only the old code
   * requests. The answer stays the same until the next checkpoint.
   * @param id name of the change, in at most 200 bytes
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
   * Longest wait. It counts from the call, crashes and down time included. The call then rejects with `INPUT_TIMEOUT`
   * or `RECEIVE_TIMEOUT`.
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
   * Runs `fn` once and records its result. A later attempt, also after a crash, gets the recorded result. Concurrent
   * calls need different names.
   * @returns the result after a round trip through JSON
   */
  step<T>(
    name: string,
    fn: (step: { readonly signal: AbortSignal; readonly idempotencyKey: string }) => T | Promise<T>,
  ): Promise<Jsonified<T>>
}

/** The second argument of an undo: its step. */
// biome-ignore lint/suspicious/noExplicitAny: the author of an undo knows the type of the result
export interface StepToUndo<Input = unknown, Result = any> {
  /** Name of the step. */
  readonly step: string
  /** Number of the step among those of its name. */
  readonly number: number
  /** Input of the task. */
  readonly input: Input
  /**
   * Result of the step. `undefined` if the step failed, or if it is not known if it took place. TypeScript cannot
   * infer the type of the result here, so an undo that needs it names it: `(context, step: StepToUndo<Input, Charge>)
   * => …`.
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
