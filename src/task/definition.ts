/** What a user defines: a named task, its options and its body, and the context that the body is handed. */
import type { input as ZodInput, output as ZodOutput, ZodType } from 'zod'
import { type Duration, durationMs } from '../duration.js'
import type { Jsonified } from '../json.js'
import type { Logger } from '../logger.js'
import type { Progress } from './head.js'
import { checkName } from './names.js'
import { type RetryOptions, type RetryPolicy, retryPolicy } from './retry.js'

/** What a step's function is handed. */
export interface StepContext {
  /** Aborted when the task is settled behind the step's back, and when `close()` runs out of grace. */
  readonly signal: AbortSignal
  /** The same for every attempt and every run of this step, and of no other: hand it to the service you call. */
  readonly idempotencyKey: string
  /** Counts the attempts of this step, from 1. For logs, never for decisions. */
  readonly attempt: number
  /** What an earlier attempt of this step saved; `undefined` if none did. */
  readonly checkpoint: unknown
  /** Saves where this step is, so that its next attempt can start from there. Durable once it resolves. */
  saveCheckpoint(state: unknown): Promise<void>
}

/** What a body's `saveCheckpoint` takes besides the state. */
export interface SaveCheckpointOptions {
  /** Shown in listings. */
  readonly label?: string
  /**
   * Drop what was recorded before this checkpoint, so that a long task keeps a small store. Default `false`.
   * The body must have called `restoreCheckpoint` before its first save, or it would need what is dropped.
   */
  readonly prune?: boolean
}

/** A checkpoint as it is restored. */
export interface RestoredCheckpoint<State = unknown> {
  readonly checkpointId: string
  readonly state: State
  /** How many steps of the task were completed when it was saved. */
  readonly completedSteps: number
  /** When it was saved, in milliseconds since the epoch. */
  readonly createdAt: number
}

/**
 * What a body sees. Everything a body waits for goes through here, so that a new run after a crash is answered
 * from the log, in the same order.
 */
export interface TaskContext {
  readonly taskId: string
  readonly type: string
  /** The version of the definition that the task was started with; a fork has that of the task it came from. */
  readonly version: string | undefined
  readonly owner: string | undefined
  /** Counts from 1. For logs, never for decisions. */
  readonly attempt: number
  /** Whether this run took up what an earlier one left. For logs, never for decisions. */
  readonly recovered: boolean
  /** Aborted when the task is settled behind the body's back, and when `close()` runs out of grace. */
  readonly signal: AbortSignal
  /** The library's logger, with the task's ID and type on every line. */
  readonly log: Logger
  /**
   * Runs `fn` once and records its result; a later run is answered from the log. At least once: a crash between the
   * effect and its record runs it again, under the same `idempotencyKey`.
   * @returns what JSON makes of the result
   * @throws StepFailedError when `fn` threw, in this run and in every later one
   * @throws HoldfastError `STEP_AMBIGUOUS` after a wait for something that is not a step; the task fails
   * @throws HoldfastError `STEP_NESTED` inside a step's function
   */
  step<T>(name: string, fn: (step: StepContext) => T | Promise<T>, options?: StepOptions): Promise<Jsonified<T>>
  /**
   * Waits, through crashes and restarts. Meanwhile the task takes up no slot, and after `unloadAfter` no memory.
   * @param name tells it from other sleeps, like a step's
   * @param duration milliseconds, or a string such as `'30d'`
   */
  sleep(name: string, duration: Duration): Promise<void>
  /**
   * Waits until an instant, in the same way; an instant that has passed is waited for no more.
   * @param instant a `Date`, or milliseconds since the epoch
   */
  sleepUntil(name: string, instant: Date | number): Promise<void>
  /**
   * Saves a state of your own choosing, and opens the next segment of the log.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `PRUNE_NEEDS_RESTORE`, `NOT_SERIALIZABLE`, `TOO_LARGE`, `LIMIT_EXCEEDED`
   */
  saveCheckpoint(state: unknown, options?: SaveCheckpointOptions): Promise<{ checkpointId: string }>
  /**
   * Goes on from a checkpoint that a body of this task saved: the latest one, or that of the ID given. `undefined` if
   * there is none yet. For the first lines of a body, or directly after a save.
   * @throws HoldfastError `STEPS_IN_FLIGHT`, `CHECKPOINT_BEHIND`, `CHECKPOINT_PRUNED`, `CHECKPOINT_NOT_FOUND`
   */
  // biome-ignore lint/suspicious/noExplicitAny: the state is whatever the body saved; its author knows the shape
  restoreCheckpoint<State = any>(checkpointId?: string): Promise<RestoredCheckpoint<State> | undefined>
  /** Says how far the body is. Shown by `get` at once and kept with the next record; never waits. */
  progress(progress: Progress): void
  /** The stored time of the last answer, so that a replay sees the same: milliseconds since the epoch. */
  now(): Promise<number>
  /** A UUID derived from the log, so that a replay sees the same. */
  uuid(): Promise<string>
  /**
   * Whether a change of the code holds for this task here: `true` where the body goes on from here for the first time,
   * `false` while answers of an earlier run are ahead of it, which only the old code asks for. What it says first
   * between two checkpoints, it says until the next.
   * @param id names the change, in at most 200 bytes
   * @throws HoldfastError `STEP_AMBIGUOUS`, `STEP_NESTED`, `LIMIT_EXCEEDED`
   * @example
   * if (await task.patched('check-stock')) await task.step('check stock', () => checkStock(order))
   */
  patched(id: string): Promise<boolean>
}

/** A step that was running when the process died: whether its effect took place is not known. */
export interface InterruptedStep {
  readonly name: string
  /** The key it was begun under: the service it called may know it. */
  readonly idempotencyKey: string
  /** When the attempt began, in milliseconds since the epoch. */
  readonly startedAt: number
  /** Which attempt it was, from 1. */
  readonly attempt: number
}

/** The options of a step. */
export interface StepOptions {
  /** How often it is tried when it throws. Default: once. */
  readonly retry?: RetryOptions
  /** How long one attempt may take; then its signal is aborted, and the attempt has failed. Default: no limit. */
  readonly timeout?: Duration
  /**
   * What happens to the step if the process dies, or is closed, while it runs. `'retry'` (default): it runs again, at
   * least once in all. `'fail'`: it fails with `STEP_IN_DOUBT`, and never begins twice. A function finds out what
   * happened, and its result is recorded as the step's. Other than `'retry'` costs one write more.
   */
  readonly onInterrupted?: 'retry' | 'fail' | ((step: InterruptedStep) => unknown)
}

/** The options of `defineTask`. */
export interface TaskOptions<Input extends ZodType | undefined, Output extends ZodType | undefined> {
  /** The type's name: what is stored with every task, and what finds the code again after a crash. At most 128 bytes. */
  readonly name: string
  /** Stored with every task for people to read. At most 64 bytes. */
  readonly version?: string
  /** Checks the input when a task is started. Without it any JSON value will do. */
  readonly input?: Input
  /** Checks what the body returns. Without it any JSON value will do. */
  readonly output?: Output
  /** How long a task may take, from its first run's start, over crashes and down time. Default: no limit. */
  readonly timeout?: Duration
  /**
   * How often the body is tried when it throws. Default: once. An attempt takes up the log of the one before, without
   * the failure that escaped and what came of it.
   */
  readonly retry?: RetryOptions
  /** Checked and kept on the definition; this version does not call it and says so when it is registered. */
  readonly undo?: Readonly<Record<string, (...args: never[]) => unknown>>
  /** Checked and kept on the definition; this version does not call it and says so when it is registered. */
  readonly onCancel?: (...args: never[]) => unknown
}

/** A task that can be started and recovered. Made by `defineTask`; its types are what `start` and `result` infer from. */
export interface TaskDefinition<Input = unknown, Output = unknown> {
  readonly name: string
  readonly version: string | undefined
  readonly input: ZodType | undefined
  readonly output: ZodType | undefined
  readonly timeoutMs: number | undefined
  readonly retry: RetryPolicy
  readonly undo: TaskOptions<undefined, undefined>['undo'] | undefined
  readonly onCancel: TaskOptions<undefined, undefined>['onCancel'] | undefined
  readonly body: (task: TaskContext, input: never) => unknown
  /** For type inference only; never there. */
  readonly types?: { readonly input: Input; readonly output: Output }
}

/** A definition of any task. */
export type AnyTaskDefinition = TaskDefinition<never, unknown> | TaskDefinition

type InputOf<I, Given> = I extends ZodType ? ZodInput<I> : Given
type Parsed<I, Given> = I extends ZodType ? Jsonified<ZodOutput<I>> : Given
type OutputOf<O, Returned> = O extends ZodType ? Jsonified<ZodOutput<O>> : Jsonified<Awaited<Returned>>
type Returns<O> = O extends ZodType ? ZodInput<O> : unknown

/**
 * Defines a task.
 * @param options its name, schemas and limits
 * @param body runs from its first line in every run; what it waits for goes through `task`
 * @throws TypeError for an option of the wrong type, naming it
 */
export function defineTask<
  I extends ZodType | undefined = undefined,
  O extends ZodType | undefined = undefined,
  Given = unknown,
  Returned extends Returns<O> | Promise<Returns<O>> = Returns<O> | Promise<Returns<O>>,
>(
  options: TaskOptions<I, O>,
  body: (task: TaskContext, input: Parsed<I, Given>) => Returned,
): TaskDefinition<InputOf<I, Given>, OutputOf<O, Returned>> {
  checkName(options.name, 'name', 128)
  if (options.version !== undefined) checkName(options.version, 'version', 64)
  checkSchema(options.input, 'input')
  checkSchema(options.output, 'output')
  checkFunction(body, 'body')
  if (options.onCancel !== undefined) checkFunction(options.onCancel, 'onCancel')
  for (const [step, undo] of Object.entries(options.undo ?? {})) checkFunction(undo, `undo.${step}`)
  return {
    name: options.name,
    version: options.version,
    input: options.input,
    output: options.output,
    timeoutMs: options.timeout === undefined ? undefined : durationMs(options.timeout, 'timeout'),
    retry: retryPolicy(options.retry),
    undo: options.undo,
    onCancel: options.onCancel,
    body,
  }
}

function checkSchema(schema: unknown, option: string): void {
  if (schema === undefined || typeof (schema as ZodType | null)?.safeParseAsync === 'function') return
  throw new TypeError(`Expected \`${option}\` to be a zod schema, got ${typeof schema}`)
}

function checkFunction(value: unknown, option: string): void {
  if (typeof value !== 'function') throw new TypeError(`Expected \`${option}\` to be a function, got ${typeof value}`)
}
