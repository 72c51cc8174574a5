/**
 * Outcomes of tasks, independent of any protocol, and the encoding of errors. A thrown value is stored as a
 * `TaskError`. The first run of a body gets the same decoded error as a replay.
 */
import {
  ERROR_CODES,
  type ErrorCode,
  HoldfastError,
  isError,
  isProtocolError,
  RetryAfterError,
  StepFailedError,
  TaskCancelledError,
  TaskFailedError,
} from '../../base/errors.js'
import { fromJson, type JsonValue, toJson } from '../../base/json.js'

/** Outcome of a task: its result, its error or its cancellation. */
export type Outcome =
  | { readonly kind: 'result'; readonly result?: JsonValue | undefined }
  | { readonly kind: 'error'; readonly error: TaskError }
  | { readonly kind: 'cancelled'; readonly reason?: string | undefined }

/** An error as the store keeps it. */
export interface TaskError {
  readonly name: string
  readonly message: string
  readonly code?: string | number | undefined
  /** Data of a `ProtocolError` for the client. */
  readonly data?: JsonValue | undefined
  readonly stack?: string | undefined
  /** The library's own error, so that `code` is one of `ERROR_CODES` and not a code of other code with the same name. */
  readonly ours?: true | undefined
  /** The figures of the library's own error: its numbers, truth values and short texts. */
  readonly details?: Readonly<Record<string, string | number | boolean>> | undefined
  /** Name of the step, if it is a `StepFailedError`. */
  readonly step?: string | undefined
  /** The record that failed, so that a retry of the task can find it. */
  readonly record?: number | undefined
  /** Delay of a `RetryAfterError`. */
  readonly retryAfterMs?: number | undefined
  readonly cause?: TaskError | undefined
  /** The parts of an `AggregateError`. */
  readonly errors?: readonly TaskError[] | undefined
}

// A stack with a thousand frames or a message with a dumped response must not fill the store.
const TEXT_CHARS_MAX = 8_192
// Names and codes are words that programs compare. A longer one is data. `isolated/runner.mjs` has the same limit.
const WORD_BYTES_MAX = 200
// Most errors that are stored for one thrown error. Its causes and parts may form a cycle, or a tree.
const ERRORS_MAX = 32

/** The number of the log record of each `StepFailedError`. Not a field of the error, so users do not see it. */
const recordOf = new WeakMap<object, number>()

/**
 * Creates the error that a body gets for a failed step or child. It is the same in the first run and in every replay.
 */
export function stepFailure(step: string, record: number, cause: TaskError, kind = 'step'): StepFailedError {
  const error = new StepFailedError(step, reviveError(cause))
  if (kind === 'child') error.message = `Child '${step}' failed: ${cause.message}`
  // The stack of the step's error is useful. The stack of this function is not.
  error.stack = `${error.name}: ${error.message}\n    caused by ${cause.stack ?? cause.message}`
  recordOf.set(error, record)
  return error
}

/** Creates the error that a body gets for a wait that timed out or was refused. It is the same in every run. */
export function waitFailure(record: number, cause: TaskError): Error {
  const error = reviveError(cause)
  recordOf.set(error, record)
  return error
}

/** Describes a thrown value of any type for the store. Never throws, even if a getter of the value throws. */
export function describeError(thrown: unknown): TaskError {
  return describeOne(thrown, { left: ERRORS_MAX })
}

function describeOne(thrown: unknown, budget: { left: number }): TaskError {
  budget.left--
  try {
    return isError(thrown) ? describe(thrown, budget) : { name: 'NonError', message: cut(showValue(thrown)) }
  } catch {
    return { name: 'NonError', message: 'a value that could not be read was thrown' }
  }
}

function describe(error: Error, budget: { left: number }): TaskError {
  const { code } = error as { code?: unknown }
  const parts = partsOf(error).slice(0, ERRORS_MAX)
  return {
    name: cutWord(String(error.name)),
    message: cut(String(error.message)),
    ...(typeof code === 'string' ? { code: cutWord(code) } : typeof code === 'number' ? { code } : {}),
    ...(isProtocolError(error) ? dataOf(error) : {}),
    ...(typeof error.stack === 'string' ? { stack: cut(error.stack) } : {}),
    ...(error instanceof RetryAfterError ? { retryAfterMs: error.retryAfterMs } : {}),
    ...(error instanceof HoldfastError ? { ours: true as const } : {}),
    ...(error instanceof StepFailedError ? { step: error.step } : figuresOf(error)),
    ...(recordOf.has(error) ? { record: recordOf.get(error) } : {}),
    ...(error.cause !== undefined && budget.left > 0 ? { cause: describeOne(error.cause, budget) } : {}),
    ...(parts.length > 0
      ? { errors: parts.flatMap((part) => (budget.left > 0 ? [describeOne(part, budget)] : [])) }
      : {}),
  }
}

/** The parts of an `AggregateError`. An error of another realm is recognized by its name. */
function partsOf(error: Error): readonly unknown[] {
  const { errors } = error as { errors?: unknown }
  const isAggregate = error instanceof AggregateError || error.name === 'AggregateError'
  return isAggregate && Array.isArray(errors) ? errors : []
}

const DATA_BYTES_MAX = 16_384

// Data that JSON cannot hold is left out. The error itself must reach its client in any case.
function dataOf({ data }: { data?: unknown }): { data?: JsonValue | undefined } {
  try {
    return { data: fromJson(toJson(data, { what: 'the data of the error', bytesMax: DATA_BYTES_MAX, option: '' })) }
  } catch {
    return {}
  }
}

const DETAIL_CHARS_MAX = 200

/** The details of a `HoldfastError` that are stored: its numbers, booleans and short texts. */
function figuresOf(error: Error): Pick<TaskError, 'details'> {
  if (!(error instanceof HoldfastError)) return {}
  const { details } = error
  const figures = Object.entries(details).filter(
    (entry): entry is [string, string | number | boolean] =>
      ['number', 'boolean'].includes(typeof entry[1]) ||
      (typeof entry[1] === 'string' && entry[1].length <= DETAIL_CHARS_MAX),
  )
  return figures.length > 0 ? { details: Object.fromEntries(figures) } : {}
}

function showValue(value: unknown): string {
  return typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? String(value)) : String(value)
}

function cut(text: string): string {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text
}

/** Cuts a name or a code at `WORD_BYTES_MAX` UTF-8 bytes, at the end of a character. */
function cutWord(text: string): string {
  let word = text.slice(0, WORD_BYTES_MAX)
  while (Buffer.byteLength(word) > WORD_BYTES_MAX) word = word.slice(0, -1)
  // The first half of a character that takes two units.
  return word.length < text.length ? word.replace(/[\ud800-\udbff]$/, '') : word
}

/** Creates an `Error` with the name, message, code, stack, cause and parts of the stored one. */
export function reviveError(stored: TaskError): Error {
  const cause = stored.cause && reviveError(stored.cause)
  const error = revived(stored, cause)
  if (stored.stack !== undefined) error.stack = stored.stack
  return error
}

function revived(stored: TaskError, cause: Error | undefined): Error {
  if (stored.step !== undefined) {
    const error = new StepFailedError(stored.step, cause)
    error.message = stored.message
    return error
  }
  const options = cause ? { cause } : {}
  if (stored.ours && isErrorCode(stored.code)) {
    const { name, code, message, details = {} } = stored
    const { taskId, reason } = details
    if (name === 'TaskFailedError' && typeof taskId === 'string') {
      return new TaskFailedError(taskId, code, message, cause)
    }
    if (name === 'TaskCancelledError' && typeof taskId === 'string') {
      const error = new TaskCancelledError(taskId, typeof reason === 'string' ? reason : undefined)
      // The stored message has the reason even if the reason was too long to be kept in `details`.
      error.message = message
      return error
    }
    const error = new HoldfastError(code, message, { ...options, details })
    error.name = name
    return error
  }
  const error = stored.errors
    ? new AggregateError(stored.errors.map(reviveError), stored.message, options)
    : new Error(stored.message, options)
  error.name = stored.name
  const { code, retryAfterMs, data } = stored
  return Object.assign(
    error,
    code === undefined ? {} : { code },
    retryAfterMs === undefined ? {} : { retryAfterMs },
    data === undefined ? {} : { data },
  )
}

/**
 * The code of a task that failed with `error`: the code of the engine's own error, or of the engine's error that made
 * a step fail. `TASK_FAILED` for every other error.
 */
export function failureCode(error: TaskError): ErrorCode {
  if (error.step !== undefined) return error.cause ? failureCode(error.cause) : 'TASK_FAILED'
  return error.ours && isErrorCode(error.code) ? error.code : 'TASK_FAILED'
}

// Longest text of `shortCodeOf`.
const CODE_CHARS_MAX = 60

/** A short text that names an error without its message: its code, or its name if it has no code. */
export function shortCodeOf({ code, name }: TaskError): string {
  return String(code ?? name).slice(0, CODE_CHARS_MAX)
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
}
