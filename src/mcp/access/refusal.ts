/**
 * Refusals of requests: JSON-RPC codes, and the client's form of each error of the engine. One function refuses a
 * missing task and a task of another owner, so that both responses are equal in every byte.
 */
import { ERROR_CODES, type ErrorCode, HoldfastError, ProtocolError } from '../../base/errors.js'
import { InvalidArgument } from '../../base/expected.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { cleanText } from '../../http/clean-text.js'
import type { Parked } from '../../task/head.js'

/** JSON-RPC codes that a task server answers with. */
export const RPC = {
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internal: -32_603,
} as const

/** Creates the refusal of invalid parameters. */
export function invalidParams(message: string, data?: unknown): ProtocolError {
  return new ProtocolError(RPC.invalidParams, message, data)
}

/** Error of a call about a task that does not exist, or that the caller may not see. */
export class TaskNotFound extends ProtocolError {
  constructor(taskId: unknown) {
    const shown = typeof taskId === 'string' ? cleanText(taskId, 80) : typeof taskId
    super(RPC.invalidParams, `Task not found: ${shown}`)
  }
}

/** Creates the refusal of a task that does not exist, or that the caller may not see. */
export function noSuchTask(taskId: unknown): TaskNotFound {
  return new TaskNotFound(taskId)
}

/** Creates the refusal of an action that the caller may not take. */
export function denied(what: string): ProtocolError {
  return new ProtocolError(RPC.invalidRequest, `Not allowed: ${what}`)
}

// Errors that the client caused. All others are faults of the server.
const THE_CALLERS = new Set<string>([
  'INVALID_INPUT',
  'NOT_SERIALIZABLE',
  'TOO_LARGE',
  'LIMIT_EXCEEDED',
  'IDEMPOTENCY_CONFLICT',
  'RESULT_GONE',
  'TASK_SETTLED',
  'CHECKPOINT_NOT_FOUND',
  'CHECKPOINT_PRUNED',
  'NOT_A_SESSION_TASK',
])

// Errors whose messages describe the server's disk: paths, keys, messages of the database.
const THE_SERVERS: ReadonlySet<string | undefined> = new Set<ErrorCode>([
  'STORE_UNAVAILABLE',
  'STORE_LOST',
  'CLOSED',
  'STORE_DAMAGED',
  'STORE_UNUSABLE',
  'STORE_LOCKED',
  'STORE_TOO_NEW',
  'STORE_TOO_OLD',
  'START_UNKNOWN',
  'RECORD_DAMAGED',
])

/**
 * Message of an error of the engine for a client. If the original message describes the server's disk, that of the
 * error table replaces it.
 */
export function clientWordsOf(code: string | undefined, message: string): string {
  return THE_SERVERS.has(code) ? ERROR_CODES[code as ErrorCode] : message
}

/** Text that answers a call whose task is parked. It names the task once, even if the reason names it too. */
export function parkedAnswerOf(taskId: string, parked: Pick<Parked, 'code' | 'reason'>): string {
  const words = parkedWordsOf(parked)
  const which = words.includes(taskId) ? 'The task' : `Task ${taskId}`
  return `${which} is parked: ${words}. It is kept, and continues once the cause is fixed.`
}

/** Code and reason of a parked task, for a client. */
export function parkedWordsOf({ code, reason }: Pick<Parked, 'code' | 'reason'>): string {
  return `${code}: ${clientWordsOf(code, reason)}`
}

/** Text that answers an open call when its server is stopped. */
export function stoppedWordsOf(taskId: string): string {
  return `The server was stopped before task ${taskId} ended. The task is not lost: it continues at the next start of the server.`
}

const AWAY = new Set<string>(['STORE_UNAVAILABLE', 'STORE_LOST', 'CLOSED'])

/** True if the store could not serve a call now: it is down, lost or closed. The same call may succeed later. */
export function isStoreAway(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && AWAY.has(error.code)
}

/**
 * Turns an error of a call on the engine into a refusal for the client. The message of an unexpected error goes only to
 * the log.
 */
export function refusalOf(error: unknown, logger: Logger): ProtocolError {
  if (error instanceof ProtocolError) return error
  if (error instanceof HoldfastError) {
    if (THE_SERVERS.has(error.code)) {
      logger.warn('A request was refused', { code: error.code, error: faultOf(error) })
      const { taskId } = error.details
      const data = { code: error.code, ...(taskId === undefined ? {} : { taskId }) }
      return new ProtocolError(RPC.internal, ERROR_CODES[error.code], data)
    }
    if (error.code === 'TASK_NOT_FOUND') return noSuchTask(error.details['taskId'])
    if (error.code === 'INVALID_CURSOR') return invalidParams('Invalid cursor', { code: error.code })
    const code = THE_CALLERS.has(error.code) ? RPC.invalidParams : RPC.internal
    return new ProtocolError(code, error.message, { code: error.code, ...error.details })
  }
  // The engine refuses a label or name that is no text or too long with this error.
  if (error instanceof InvalidArgument) return invalidParams(error.message)
  logger.error('A request failed unexpectedly', { error: faultOf(error) })
  return new ProtocolError(RPC.internal, 'Internal error')
}
