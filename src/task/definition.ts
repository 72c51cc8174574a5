/** What a user defines: a named task, its options and its body. */
import type { input as ZodInput, output as ZodOutput, ZodType } from 'zod'
import { type Duration, durationMs } from '../duration.js'
import type { Jsonified } from '../json.js'
import type { Cancelled, CleanUpContext, StepToUndo, TaskContext } from './context.js'
import { checkName } from './names.js'
import { type RetryOptions, type RetryPolicy, retryPolicy } from './retry.js'

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
  /** How many bodies of this type run at once. Default: no limit of its own. */
  readonly concurrency?: number
  /**
   * How often the body is tried when it throws. Default: once. An attempt takes up the log of the one before, without
   * the failure that escaped and what came of it.
   */
  readonly retry?: RetryOptions
  /**
   * How many checkpoints of a task keep their state; older ones can't be restored any more. A replay needs no older one.
   * Default: the option of `Holdfast.open`, which keeps all of them.
   */
  readonly keepCheckpoints?: number
  /**
   * How steps are taken back, by their names. When the task fails, is cancelled, times out or expires, those that ran, or
   * may have run, are undone, the newest first. It needs no replay: it works in a later process, and after a `prune`.
   */
  readonly undo?: Readonly<
    Record<string, (context: CleanUpContext, step: StepToUndo<Parsed<Input, unknown>>) => unknown>
  >
  /** Runs when the task is cancelled, times out or expires, after its steps are undone. */
  readonly onCancel?: (context: CleanUpContext, cancelled: Cancelled<Parsed<Input, unknown>>) => unknown
  /** How undos and `onCancel` are run. */
  readonly cleanUp?: CleanUpOptions
}

/** How undos and `onCancel` are run. */
export interface CleanUpOptions {
  /** How often each is tried when it throws. Default: five times, first after 1 s, then after twice as long. */
  readonly retry?: RetryOptions
  /** How long one attempt may take. Default `'1m'`. */
  readonly timeout?: Duration
  /** How long functions that run when the task ends may go on before their steps are undone. Default `'5s'`. */
  readonly grace?: Duration
}

/** The same, checked and complete. */
export interface CleanUpPolicy {
  readonly retry: RetryPolicy
  readonly timeoutMs: number
  readonly graceMs: number
}

/** A task that can be started and recovered. Made by `defineTask`; its types are what `start` and `result` infer from. */
export interface TaskDefinition<Input = unknown, Output = unknown> {
  readonly name: string
  readonly version: string | undefined
  readonly input: ZodType | undefined
  readonly output: ZodType | undefined
  readonly timeoutMs: number | undefined
  readonly concurrency: number | undefined
  readonly retry: RetryPolicy
  readonly keepCheckpoints: number | undefined
  readonly undo: Readonly<Record<string, (context: CleanUpContext, step: StepToUndo<never>) => unknown>> | undefined
  readonly onCancel: ((context: CleanUpContext, cancelled: Cancelled<never>) => unknown) | undefined
  readonly cleanUp: CleanUpPolicy
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
  if (options.keepCheckpoints !== undefined) checkCount(options.keepCheckpoints, 'keepCheckpoints')
  if (options.concurrency !== undefined) checkCount(options.concurrency, 'concurrency')
  if (options.onCancel !== undefined) checkFunction(options.onCancel, 'onCancel')
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
  }
}

function checkSchema(schema: unknown, option: string): void {
  if (schema === undefined || typeof (schema as ZodType | null)?.safeParseAsync === 'function') return
  throw new TypeError(`Expected \`${option}\` to be a zod schema, got ${typeof schema}`)
}

function checkCount(value: unknown, option: string): void {
  if (Number.isInteger(value) && (value as number) >= 1) return
  throw new TypeError(`Expected \`${option}\` to be an integer >= 1, got ${String(value)} (${typeof value})`)
}

function checkFunction(value: unknown, option: string): void {
  if (typeof value !== 'function') throw new TypeError(`Expected \`${option}\` to be a function, got ${typeof value}`)
}

function checkUndo(undo: unknown): void {
  if (undo === undefined) return
  checkObject(undo, 'undo', ' of functions, by the names of steps')
  for (const [step, undoes] of Object.entries(undo as object)) checkFunction(undoes, `undo.${step}`)
}

function checkObject(value: unknown, option: string, what = ''): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return
  const got = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
  throw new TypeError(`Expected \`${option}\` to be an object${what}, got ${got}`)
}

const UNDO_ATTEMPTS = 5

function cleanUpPolicy(options: CleanUpOptions = {}): CleanUpPolicy {
  checkObject(options, 'cleanUp')
  const { retry = {}, timeout = '1m', grace = '5s' } = options
  checkObject(retry, 'cleanUp.retry')
  return {
    retry: retryPolicy({ ...retry, maximumAttempts: retry.maximumAttempts ?? UNDO_ATTEMPTS }, 'cleanUp.retry'),
    timeoutMs: durationMs(timeout, 'cleanUp.timeout'),
    graceMs: durationMs(grace, 'cleanUp.grace', { zero: true }),
  }
}
