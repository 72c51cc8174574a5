/**
 * Every error that the library throws at its users. A `code` never changes within a major version; a message may. A
 * mistake in a program (a wrong option or argument) is a `TypeError` without a code, because no program should branch
 * on it.
 */

import { type Duration, durationMs } from './duration.js'

/** Error codes, each with its cause and the action to take. The reference of errors is generated from this table. */
export const ERROR_CODES = {
  STORE_LOCKED:
    'Another open holds the directory: another process, or this one. Close it, use another directory, or wait for it with `lockWait`.',
  STORE_UNUSABLE:
    'The directory cannot be a store: a file, not writable, a full disk, or data of another program. Nothing was changed.',
  STORE_NOT_FOUND:
    'There is no store in the directory that a command of an operator names. Name the `dir` of the server.',
  STORE_OF_ANOTHER_USER:
    'A command of an operator runs as another user than the one that made the store. Run it as that user, so that the server can read every file afterwards.',
  STORE_TOO_NEW: 'A newer version of the library wrote the store. Upgrade; nothing was changed.',
  STORE_TOO_OLD:
    'The store has format 1, which no release used. Use an empty directory, or finish its tasks with the build that wrote it. Nothing was changed.',
  STORE_MOVED:
    'The store was moved to a backup, so it accepts no open. Use the store that was restored from it. The message has the file and the instant.',
  STORE_INCOMPLETE:
    'A restore into the directory, or a repair of the store, was interrupted. Restore the backup again, or run `repair` again; the message names which. Nothing was changed.',
  STORE_DAMAGED:
    'Acknowledged commits, or files of the database, are missing or damaged. Restore a backup, or run `repair`; or, where the message offers it, open with `acceptDamage: true` and read the report.',
  REPAIR_FAILED: 'The store could not be repaired. The message has the reason; the store is as it was.',
  BACKUP_FAILED: 'A backup could not be made. The message has the reason; no file is left under its name.',
  BACKUP_INVALID:
    'The file is no whole backup: another kind of file, interrupted, damaged, or written by a newer version. The message names the reason.',
  EXPORT_FAILED: 'A task could not be exported. The message has the reason; no file is left under its name.',
  EXPORT_INVALID:
    'The file cannot be imported: another kind of file, interrupted, damaged, redacted, or written by a newer version. The message names the reason.',
  AUDIT_EXPORT_FAILED: 'The audit could not be exported. The message has the reason; no file is left under its name.',
  AUDIT_INVALID:
    'The file is no exported audit, or what was given as a head is none. The message names the reason. Findings about an audit are no error.',
  STORE_UNAVAILABLE: 'The disk refused a write. Tasks pause and continue by themselves; try the call again.',
  STORE_LOST:
    'The store’s lock file was deleted or replaced, so another process may have opened it. The store stops: start the server again.',
  START_UNKNOWN:
    'The disk failed while a task was being created. Look for `taskId`, or start again under the same idempotency key.',
  CLOSED: 'The instance is closed, or closing.',
  INVALID_INPUT: 'The input does not fit the task’s schema. No task was created.',
  INVALID_OUTPUT: 'The result of the body does not fit the task’s schema. The task failed.',
  NOT_SERIALIZABLE: 'A value that JSON cannot carry. The message names the path.',
  TOO_LARGE: 'A value over its limit in bytes. The message names the option.',
  LIMIT_EXCEEDED: 'A count or a budget over its limit. The message names the option, if there is one.',
  RESOURCE_EXCEEDED:
    'An isolated step took more memory or CPU time than it may. Its process group was ended. The server continues.',
  IDEMPOTENCY_CONFLICT: 'The idempotency key was used with another input. The first task is unharmed.',
  RESULT_GONE:
    'The idempotency key was used, and its task has been deleted since. Nothing was started. Use another key to run it again.',
  INVALID_CURSOR:
    'The cursor is not one that `list` returned, or is one of other options. Pass the options of the page before, or no cursor.',
  TASK_NOT_FOUND: 'No such task, or another owner’s.',
  TASK_TYPE_UNKNOWN: 'No definition of that name is registered.',
  TASK_SETTLED: 'The task is settled already and never changes again.',
  TASK_PARKED: 'The task is parked: it cannot continue for a stated reason. See `parked` in `get`.',
  TASK_FAILED: 'The task’s body threw. The cause is the thrown value.',
  TASK_CANCELLED: 'The task was cancelled.',
  TASK_INTERRUPTED:
    'The task was cancelled, timed out or expired while its body ran. Later calls have no effect. Let this error leave the body.',
  WAIT_TIMEOUT: 'The task did not settle within the time given to `result`. The task continues.',
  TIMEOUT: 'The task’s timeout or deadline passed.',
  EXPIRED: 'The task’s `ttl` was over before it settled. It is swept soon after.',
  STEP_FAILED: 'A step threw, and that is recorded. The cause is the thrown value.',
  STEP_IN_DOUBT:
    "The process crashed while a step ran that must not run twice (`onInterrupted: 'fail'`). See whether its effect took place.",
  STEP_TIMEOUT: 'A step took longer than its timeout. Its signal was aborted; its later effects are not recorded.',
  INPUT_TIMEOUT: 'No client answered an input of the task in time.',
  INPUT_UNAVAILABLE:
    'The task asked for input, but its client does not support elicitation. Use a client that does, or handle this error.',
  RECEIVE_TIMEOUT: 'No message came that the task waited for, in time.',
  STEP_NOT_FOUND: 'A fork named a step that the task’s log does not have, or does not keep.',
  STEP_UNDONE: 'A fork would continue from a step that was undone. Fork at an earlier point, or start a new task.',
  STEP_AMBIGUOUS:
    'The context was called after a wait for something that is not a step, or inside a step’s function. The task fails.',
  CALL_NOT_AWAITED:
    'A body returned right after a call of its context that it did not await, so the call never began. The task fails. Await it.',
  REFUSED_TOO_OFTEN:
    'A body was refused 100 times in a row, with nothing recorded in between. The message names the call, and the cause has the reason.',
  NO_PROGRESS: 'A body got 100,000 answers in a row that need no record, such as `now()`. To wait, use `task.sleep`.',
  STEPS_IN_FLIGHT: 'A checkpoint was saved or restored while calls were pending. Await them first.',
  CODE_CHANGED: 'The body does not match the task’s log any more. The task is parked until code fits that does.',
  RECORD_DAMAGED: 'A record of the task is damaged or missing. The task is parked; the others continue.',
  POISONED:
    'Processes crashed again and again while they ran the task. It is parked. Fix the cause, then `resume` or `cancel` it.',
  EXPORTED:
    'The task was exported, and another store may run it. It is parked. `resume` it in the one store that is to run it.',
  TASK_EXISTS: 'The store has the task of the file already, unfinished or settled. Nothing was imported.',
  TASK_NOT_PORTABLE:
    'The task cannot be moved or imported alone: it waits for children of its own, or a parent waits for it. Nothing was changed.',
  NO_NEXT_ATTEMPT:
    '`retry` is for a task or a step that waits for its next attempt, and none does. Nothing was changed. See `explain`.',
  NOT_SETTLED:
    '`delete` is for settled tasks whose clean-up is over. Nothing was changed. Cancel the task first, or wait for its clean-up.',
  TASK_IN_USE:
    'The task cannot be deleted now: it is being read or copied, or its parent has not recorded its end. Try again.',
  NOT_PARKED: '`resume` is for a parked task, and this one is not. Nothing was changed.',
  CHECKPOINT_NOT_FOUND: 'The task has no such checkpoint.',
  CHECKPOINT_BEHIND: 'A body restored a checkpoint after a call that is newer. Restore first.',
  CHECKPOINT_PRUNED: 'The checkpoint was pruned by a later save, or is older than the newest `keepCheckpoints`.',
  PRUNE_NEEDS_RESTORE: 'A body pruned without having restored. Call `restoreCheckpoint` before the first save.',
  NOT_A_SESSION_TASK: 'Only a session task is completed from outside.',
  STORE_NOT_HELD: 'No process runs the store, so there is no operator API to call. Start the server.',
  OPERATOR_UNAVAILABLE:
    'A process holds the store, and its operator API cannot be reached: it starts or ends, was opened with `operator: false`, could not listen, or closed the connection. If `mayBeWritten` is true, read the state before you repeat the call.',
  OPERATOR_MISMATCH:
    'Client and server of the operator API have different versions. The message names the side to update. Nothing was done.',
  OPERATOR_REFUSED:
    'The operator API refused the request: no secret, an origin, a caller without the right, or too many clients. Nothing was done.',
  INVALID_REQUEST: 'A request to the operator API has a wrong route, name or value. Nothing was done.',
} as const satisfies Record<string, string>

/** Stable name of an error. */
export type ErrorCode = keyof typeof ERROR_CODES

interface ErrorOptions {
  readonly cause?: unknown
  readonly details?: Readonly<Record<string, unknown>>
  readonly mayBeWritten?: boolean
}

/** Error of the library with a stable `code`. */
export class HoldfastError extends Error {
  /** Stable inside a major version. */
  readonly code: ErrorCode
  /** The figures of the message, for programs: limits, sizes, IDs. Never inputs or results. */
  readonly details: Readonly<Record<string, unknown>>
  /**
   * True if the call failed while it was being written, so that its write may be on disk. Read the state before you
   * repeat it.
   */
  readonly mayBeWritten: boolean

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = new.target.name
    this.code = code
    this.details = options.details ?? {}
    this.mayBeWritten = options.mayBeWritten ?? false
  }
}

/**
 * Error of a task that failed, thrown by `result()`. `code` is `TASK_FAILED` where the body threw (`cause` is its error),
 * else the engine's own reason, such as `TIMEOUT` or `STEP_AMBIGUOUS`.
 */
export class TaskFailedError extends HoldfastError {
  constructor(
    readonly taskId: string,
    code: ErrorCode,
    message: string,
    cause?: unknown,
  ) {
    super(code, message, { cause, details: { taskId } })
  }
}

/** Error of a task that was cancelled, thrown by `result()`. */
export class TaskCancelledError extends HoldfastError {
  constructor(
    readonly taskId: string,
    /** The `reason` of the `cancel` call. */
    readonly reason: string | undefined,
  ) {
    super('TASK_CANCELLED', `Task ${taskId} was cancelled${reason === undefined ? '' : `: ${reason}`}`, {
      details: reason === undefined ? { taskId } : { taskId, reason },
    })
  }
}

/** Error of a step without attempts left, thrown by `task.step(…)`. `cause` is the error of the last attempt. */
export class StepFailedError extends HoldfastError {
  constructor(
    /** The step's name. */
    readonly step: string,
    cause: unknown,
  ) {
    const said = isError(cause) ? cause.message : String(cause)
    super('STEP_FAILED', `Step '${step}' failed: ${said}`, { cause, details: { step } })
  }
}

/** Thrown by a step or a body that no further attempt can help. There is none, regardless of `retry`. */
export class NonRetryableError extends Error {
  override readonly name: string = 'NonRetryableError'
}

/** Thrown by a step or a body to set the delay before the next attempt. It counts as an attempt like any other. */
export class RetryAfterError extends Error {
  override readonly name: string = 'RetryAfterError'
  /** The wait, in milliseconds. */
  readonly retryAfterMs: number

  /**
   * @param duration milliseconds, or a string such as `'30s'`
   * @throws TypeError for anything else
   */
  constructor(duration: Duration, message = 'Try again later', options?: { cause?: unknown }) {
    super(message, options)
    this.retryAfterMs = durationMs(duration, 'duration', { zero: true })
  }
}

/**
 * Thrown by a step or a body whose client is to receive a JSON-RPC error instead of the result of a failed tool.
 * An error of the MCP SDK's with an integer `code` (`McpError`, its own `ProtocolError`) counts as one too.
 */
export class ProtocolError extends Error {
  override readonly name: string = 'ProtocolError'

  constructor(
    /** A JSON-RPC error code, such as -32602. */
    readonly code: number,
    message: string,
    /** For the client; JSON, at most 16 KiB. */
    readonly data?: unknown,
    options?: { cause?: unknown },
  ) {
    super(message, options)
    if (!Number.isSafeInteger(code)) throw new TypeError(`Expected \`code\` to be an integer, got ${String(code)}`)
  }
}

const ERROR_TAGS = new Set(['[object Error]', '[object DOMException]'])

/**
 * True if `value` is an error of this realm or of another one, such as a `vm` context, in which Jest runs its tests.
 */
export function isError(value: unknown): value is Error {
  return value instanceof Error || ERROR_TAGS.has(Object.prototype.toString.call(value))
}

/**
 * True if an error, or its stored form, is meant for the protocol. Checks the name, because several copies of the class
 * can be loaded.
 */
export function isProtocolError<T extends { name: string }>(error: T): error is T & { code: number; data?: unknown } {
  const named = error.name === 'ProtocolError' || error.name === 'McpError'
  return named && Number.isSafeInteger((error as { code?: unknown }).code)
}

/** Error in the body of a task that was cancelled, timed out or expired while its body ran. */
export class TaskInterruptedError extends HoldfastError {
  constructor(readonly taskId: string) {
    super('TASK_INTERRUPTED', `Task ${taskId} is settled; later calls of its body have no effect`, {
      details: { taskId },
    })
  }
}
