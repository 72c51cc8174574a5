/** Task definitions: a name, options and a body. */
import type { input as ZodInput, output as ZodOutput, ZodType } from 'zod'
import { type Duration, durationMs } from '../../base/duration.js'
import {
  checkCount,
  checkFunction,
  checkObject,
  checkOptionsOf,
  expected,
  isObject,
  type Names,
  refuseOldSchema,
} from '../../base/expected.js'
import type { Jsonified } from '../../base/json.js'
import { checkName, NAME_BYTES_MAX } from '../names.js'
import type { Cancelled, CleanUpContext, StepContext, StepToUndo, TaskContext } from './context.js'
import { RETRY_OPTIONS, type RetryOptions, type RetryPolicy, retryPolicy } from './retry-options.js'

/** The options of `defineTask`. */
export interface TaskOptions<Input extends ZodType | undefined, Output extends ZodType | undefined> {
  /** Name of the task type, in at most 128 bytes. It is stored with every task, and finds the code again after a crash. */
  readonly name: string
  /** Version of the code, in at most 64 bytes. It is stored with every task, and `task.version` returns it. */
  readonly version?: string | undefined
  /**
   * Schema that checks the input when a task is started. The parsed input is stored and is not parsed again.
   * @default any JSON value
   */
  readonly input?: Input | undefined
  /**
   * Schema that checks the value that the body returns.
   * @default any JSON value
   */
  readonly output?: Output | undefined
  /**
   * Longest time of a task, from the start of its first run, crashes and down time included. The task then fails
   * with `TIMEOUT`.
   * @default none
   */
  readonly timeout?: Duration | undefined
  /**
   * Number of bodies of this type that run at once.
   * @default none
   */
  readonly concurrency?: number | undefined
  /**
   * Retries of the body after it throws. An attempt continues from the log of the attempt before, without the failure that
   * ended that attempt and without the records that depend on the failure.
   * @default one attempt
   */
  readonly retry?: RetryOptions | undefined
  /**
   * Number of checkpoints of a task that keep their state. Older ones cannot be restored. A replay needs no older one.
   * @default `keepCheckpoints` of `Holdfast.open`
   */
  readonly keepCheckpoints?: number | undefined
  /**
   * Functions that reverse steps, by the name of the step. When the task fails, is cancelled, times out or expires, the
   * steps that ran or may have run are undone, the newest first. An undo needs no replay, so it works in a later
   * process and after a `prune`.
   */
  readonly undo?: Readonly<Record<string, Undo<Parsed<Input, unknown>>>> | undefined
  /** Function that runs when the task is cancelled, times out or expires, after its steps are undone. */
  readonly onCancel?: ((context: CleanUpContext, cancelled: Cancelled<Parsed<Input, unknown>>) => unknown) | undefined
  /**
   * Retries, timeout and grace of each undo and of `onCancel`.
   * @default { retry: { maximumAttempts: 5 }, timeout: '1m', grace: '5s' }
   */
  readonly cleanUp?: CleanUpOptions | undefined
}

/** The options of `defineTask` for a task of one function. */
export interface FunctionTaskOptions<
  Input extends ZodType | undefined,
  Output extends ZodType | undefined,
  Given,
  Returned,
> extends TaskOptions<Input, Output> {
  /**
   * The whole task: a function of the parsed input. Its result is the outcome of the task, and no step is recorded, so the
   * task has two commits in all. It runs at least once: after a crash it runs again, under the same `step.idempotencyKey`.
   * `retry` and `timeout` of the task apply. Its `undo` has the name `run`.
   * @see docs/guides/tasks-of-one-function.md
   */
  readonly run: (input: Parsed<Input, Given>, step: StepContext) => Returned
}

/** Name of the step that a task of one function consists of: for its `undo`, in reasons and in `steps`. */
export const FUNCTION_STEP = 'run'

/** Function that reverses a step. Its second parameter may name the type of the step's result. */
export type Undo<Input = unknown> = {
  // Declared as a method, because the parameters of a method may be narrower: an undo can then name the type of the
  // result.
  undo(context: CleanUpContext, step: StepToUndo<Input>): unknown
}['undo']

/** The names of the options. */
export const TASK_OPTIONS: Names<TaskOptions<undefined, undefined>> = {
  name: true,
  version: true,
  input: true,
  output: true,
  timeout: true,
  concurrency: true,
  retry: true,
  keepCheckpoints: true,
  undo: true,
  onCancel: true,
  cleanUp: true,
}

/** The names of the options of a task of one function. */
export const FUNCTION_TASK_OPTIONS: Names<FunctionTaskOptions<undefined, undefined, unknown, unknown>> = {
  ...TASK_OPTIONS,
  run: true,
}

/** The options of a clean-up, for each undo and for `onCancel`. */
export interface CleanUpOptions {
  /**
   * Retries of a function that throws. The first delay is 1 s, and each delay is twice the one before.
   * @default { maximumAttempts: 5 }
   */
  readonly retry?: RetryOptions | undefined
  /**
   * Longest time of one attempt.
   * @default '1m'
   */
  readonly timeout?: Duration | undefined
  /**
   * Longest wait for functions that still run when the task ends, before their steps are undone.
   * @default '5s'
   */
  readonly grace?: Duration | undefined
}

/** The names of the options of a clean-up. */
export const CLEAN_UP_OPTIONS: Names<CleanUpOptions> = { retry: true, timeout: true, grace: true }

/** Complete options of a clean-up. */
export interface CleanUpPolicy {
  readonly retry: RetryPolicy
  readonly timeoutMs: number
  readonly graceMs: number
}

/**
 * A task that can be started and recovered. `defineTask` creates it, and `start` and `result` infer their types from
 * it.
 */
export interface TaskDefinition<Input = unknown, Output = unknown> {
  readonly name: string
  readonly version: string | undefined
  readonly input: ZodType | undefined
  readonly output: ZodType | undefined
  readonly timeoutMs: number | undefined
  readonly concurrency: number | undefined
  readonly retry: RetryPolicy
  readonly keepCheckpoints: number | undefined
  readonly undo: Readonly<Record<string, Undo<never>>> | undefined
  readonly onCancel: ((context: CleanUpContext, cancelled: Cancelled<never>) => unknown) | undefined
  readonly cleanUp: CleanUpPolicy
  /** The body; `undefined` for a task of one function. */
  readonly body: ((task: TaskContext, input: never) => unknown) | undefined
  /** The function of a task of one function. */
  readonly run: ((input: never, step: StepContext) => unknown) | undefined
  /** Never set. For type inference only. */
  readonly types?: { readonly input: Input; readonly output: Output }
}

/** Definition of a task with any input and output. */
export type AnyTaskDefinition = TaskDefinition<never, unknown> | TaskDefinition

/** The input that `start` takes: that of the schema, or what the code names. */
export type InputOf<I, Given> = I extends ZodType ? ZodInput<I> : Given
/** The input that the code of the task receives. */
export type Parsed<I, Given> = I extends ZodType ? Jsonified<ZodOutput<I>> : Given
/** The output of a task: that of the schema, or what the code returns. */
export type OutputOf<O, Returned> = O extends ZodType ? Jsonified<ZodOutput<O>> : Jsonified<Awaited<Returned>>
/** The values that the code of a task may return. */
export type Returns<O> = O extends ZodType ? ZodInput<O> : unknown

/**
 * Defines a task: with a body, or of one function.
 * @param options name, schemas and limits of the task; with `run`, the task is that one function
 * @param body function that runs from its first line in every run. All its waits go through `task`
 * @throws TypeError for an option of the wrong type, with its name
 */
export function defineTask<
  I extends ZodType | undefined = undefined,
  O extends ZodType | undefined = undefined,
  Given = unknown,
  Returned extends Returns<O> | Promise<Returns<O>> = Returns<O> | Promise<Returns<O>>,
>(options: FunctionTaskOptions<I, O, Given, Returned>): TaskDefinition<InputOf<I, Given>, OutputOf<O, Returned>>
export function defineTask<
  I extends ZodType | undefined = undefined,
  O extends ZodType | undefined = undefined,
  Given = unknown,
  Returned extends Returns<O> | Promise<Returns<O>> = Returns<O> | Promise<Returns<O>>,
>(
  options: TaskOptions<I, O>,
  body: (task: TaskContext, input: Parsed<I, Given>) => Returned,
): TaskDefinition<InputOf<I, Given>, OutputOf<O, Returned>>
export function defineTask(
  options: TaskOptions<ZodType | undefined, ZodType | undefined> & { run?: TaskDefinition['run'] },
  body?: TaskDefinition['body'],
): TaskDefinition<never, never> {
  checkOptionsOf('defineTask', options, FUNCTION_TASK_OPTIONS)
  const { run } = options
  checkName(options.name, 'name', NAME_BYTES_MAX.type)
  if (options.version !== undefined) checkName(options.version, 'version', NAME_BYTES_MAX.version)
  checkSchema(options.input, 'input')
  checkSchema(options.output, 'output')
  if (run === undefined) checkFunction('body', body)
  else checkFunction('run', run)
  if (run !== undefined && body !== undefined) {
    throw new TypeError(
      `Expected \`defineTask\` to be given either \`run\` or a body, got both for task '${options.name}'`,
    )
  }
  if (options.keepCheckpoints !== undefined) checkCount('keepCheckpoints', options.keepCheckpoints)
  if (options.concurrency !== undefined) checkCount('concurrency', options.concurrency)
  if (options.onCancel !== undefined) checkFunction('onCancel', options.onCancel)
  checkUndo(options.undo)
  return {
    name: options.name,
    version: options.version,
    input: options.input,
    output: options.output,
    timeoutMs: options.timeout === undefined ? undefined : durationMs(options.timeout, 'timeout'),
    concurrency: options.concurrency,
    retry: retryPolicy(options.retry),
    keepCheckpoints: options.keepCheckpoints,
    undo: options.undo,
    onCancel: options.onCancel,
    cleanUp: cleanUpPolicy(options.cleanUp),
    body,
    run,
  }
}

function checkSchema(schema: unknown, option: string): void {
  if (schema === undefined) return
  refuseOldSchema(option, schema)
  if (typeof (schema as ZodType | null)?.safeParseAsync === 'function') return
  throw expected(option, 'a zod schema', schema)
}

function checkUndo(undo: unknown): void {
  if (undo === undefined) return
  if (!isObject(undo)) throw expected('undo', 'an object of functions, by the names of steps', undo)
  for (const [step, undoes] of Object.entries(undo)) checkFunction(`undo.${step}`, undoes)
}

const UNDO_ATTEMPTS = 5

function cleanUpPolicy(options: CleanUpOptions = {}): CleanUpPolicy {
  checkObject('cleanUp', options, CLEAN_UP_OPTIONS)
  const { retry = {}, timeout = '1m', grace = '5s' } = options
  checkObject('cleanUp.retry', retry, RETRY_OPTIONS)
  const { maximumAttempts = UNDO_ATTEMPTS } = retry
  return {
    retry: retryPolicy({ ...retry, maximumAttempts }, 'cleanUp.retry'),
    timeoutMs: durationMs(timeout, 'cleanUp.timeout'),
    graceMs: durationMs(grace, 'cleanUp.grace', { zero: true }),
  }
}
