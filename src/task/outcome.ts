/**
 * How a task ended, before any protocol has an opinion, and how an error
 * crosses the disk: what a body or a step threw becomes a `TaskError`, and the
 * first run gets back the same revived error that a replay gets.
 */
import { ERROR_CODES, type ErrorCode, HoldfastError, StepFailedError } from '../errors.js'
import type { JsonValue } from '../json.js'

/** What a task settled with. */
export type Outcome =
  | { readonly kind: 'result'; readonly result?: JsonValue | undefined }
  | { readonly kind: 'error'; readonly error: TaskError }
  | { readonly kind: 'cancelled'; readonly reason?: string | undefined }

/** An error as the store keeps it. */
export interface TaskError {
  readonly name: string
  readonly message: string
  readonly code?: string | number | undefined
  readonly stack?: string | undefined
  /** Which step, if it is a `StepFailedError`. */
  readonly step?: string | undefined
  /** The record of the step that failed, so that a retry of the task can find it. */
  readonly record?: number | undefined
  readonly cause?: TaskError | undefined
  /** The parts of an `AggregateError`. */
  readonly errors?: readonly TaskError[] | undefined
}

// A stack with a thousand frames or a message with a dumped response must not fill the store.
const TEXT_CHARS_MAX = 8_192
const CAUSES_MAX = 8
const ERRORS_MAX = 32

/** Marks a `StepFailedError` with the record it came from; kept off the error's visible fields. */
const recordOf = new WeakMap<object, number>()

/** Makes the error a body gets for a failed step: the same in the first run and in every replay. */
export function stepFailure(step: string, record: number, cause: TaskError): StepFailedError {
  const error = new StepFailedError(step, reviveError(cause))
  recordOf.set(error, record)
  return error
}

/** What the store keeps of anything that was thrown. Never throws, whatever getters the value has. */
export function describeError(thrown: unknown, depth = 0): TaskError {
  try {
    return thrown instanceof Error ? describe(thrown, depth) : { name: 'NonError', message: cut(showValue(thrown)) }
  } catch {
    return { name: 'NonError', message: 'a value that could not be read was thrown' }
  }
}

function describe(error: Error, depth: number): TaskError {
  const { code } = error as { code?: unknown }
  const deeper = depth < CAUSES_MAX
  return {
    name: cut(String(error.name)),
    message: cut(String(error.message)),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof error.stack === 'string' ? { stack: cut(error.stack) } : {}),
    ...(error instanceof StepFailedError ? { step: error.step, record: recordOf.get(error) } : {}),
    ...(deeper && error.cause !== undefined ? { cause: describeError(error.cause, depth + 1) } : {}),
    ...(deeper && error instanceof AggregateError
      ? { errors: error.errors.slice(0, ERRORS_MAX).map((inner) => describeError(inner, depth + 1)) }
      : {}),
  }
}

function showValue(value: unknown): string {
  return typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? String(value)) : String(value)
}

function cut(text: string): string {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text
}

/** An `Error` that says what the stored one said: name, message, code, stack, cause and parts. */
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
  if (isErrorCode(stored.code)) {
    const error = new HoldfastError(stored.code, stored.message, options)
    error.name = stored.name
    return error
  }
  const error = stored.errors
    ? new AggregateError(stored.errors.map(reviveError), stored.message, options)
    : new Error(stored.message, options)
  error.name = stored.name
  return stored.code === undefined ? error : Object.assign(error, { code: stored.code })
}

/** The engine's own reason inside what a body threw: a step that failed for it passes it on. */
export function engineCode(error: TaskError): ErrorCode | undefined {
  if (error.step !== undefined) return error.cause && engineCode(error.cause)
  return isErrorCode(error.code) ? error.code : undefined
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
}
