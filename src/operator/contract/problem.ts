/**
 * Errors of the operator API on the wire: status of HTTP, and `{ error: { code, message, details, mayBeWritten } }`. The
 * client throws the same `HoldfastError` that the method of the server threw.
 */
import { ERROR_CODES, type ErrorCode, HoldfastError } from '../../base/errors.js'
import { InvalidArgument } from '../../base/expected.js'

/** An error as it is sent. */
export interface Problem {
  readonly code: ErrorCode
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>> | undefined
  readonly mayBeWritten?: boolean | undefined
}

/** Status for the codes that have one of their own. Every other code of the library gets 409: the state refuses the call. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  TASK_NOT_FOUND: 404,
  CHECKPOINT_NOT_FOUND: 404,
  STEP_NOT_FOUND: 404,
  TASK_TYPE_UNKNOWN: 404,
  INVALID_REQUEST: 400,
  INVALID_INPUT: 400,
  INVALID_CURSOR: 400,
  NOT_SERIALIZABLE: 400,
  OPERATOR_MISMATCH: 400,
  OPERATOR_REFUSED: 403,
  TOO_LARGE: 413,
  LIMIT_EXCEEDED: 429,
  STORE_UNAVAILABLE: 503,
  STORE_LOST: 503,
  START_UNKNOWN: 503,
  OPERATOR_UNAVAILABLE: 503,
  CLOSED: 503,
  RECORD_DAMAGED: 500,
}

/** Makes the response to a request that failed; `undefined` for an error of an unknown kind, which is a fault. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof HoldfastError) {
    const { code, message, details, mayBeWritten } = error
    return { code, message, details, mayBeWritten: mayBeWritten || undefined }
  }
  // A wrong argument. Its message has names of options and no value of a task.
  if (error instanceof InvalidArgument) return { code: 'INVALID_REQUEST', message: error.message }
  return undefined
}

/** Makes the response that carries a problem. */
export function problemResponse(problem: Problem, headers: Record<string, string> = {}, status?: number): Response {
  return Response.json({ error: problem }, { status: status ?? STATUS[problem.code] ?? 409, headers })
}

/** The error that a problem stands for; `undefined` if `body` is none. A code of a newer release becomes `INVALID_REQUEST`. */
export function errorOfProblem(body: unknown): HoldfastError | undefined {
  const { error } = (body ?? {}) as { error?: Partial<Record<keyof Problem, unknown>> }
  if (typeof error?.message !== 'string' || typeof error.code !== 'string') return undefined
  const { code, message, details, mayBeWritten } = error
  const isKnown = Object.hasOwn(ERROR_CODES, code as string)
  return new HoldfastError(isKnown ? (code as ErrorCode) : 'INVALID_REQUEST', message as string, {
    details: isKnown ? ((details ?? {}) as Record<string, unknown>) : { code },
    mayBeWritten: mayBeWritten === true,
  })
}
