/** The exit codes of the command line, and the code for each error. */
import { type ErrorCode, HoldfastError } from '../../base/errors.js'
import { InvalidArgument } from '../../base/expected.js'

/** Meaning of each exit code, for the documentation. */
export const EXIT_CODES = {
  0: 'Done.',
  1: 'Failed for a reason that no other code has. Standard error has the sentence.',
  2: 'The command line is wrong: an unknown command or option, or a value that is refused. Nothing was done.',
  3: 'Not found: the task, checkpoint or step, or a store in the directory. Nothing was done.',
  4: 'Refused by the state of the task or the store, such as a cancel of a settled task. Nothing was done.',
  5: 'No process runs this store, and the command needs one. Nothing was done.',
  6: 'A process holds the store and cannot be reached, ends just now, or speaks another version of the operator API. Nothing was done.',
  7: 'Damage was found, a repair lost something, or a file is not what it should be.',
  8: 'The user of the command may not use the store. Nothing was done.',
  9: 'The connection broke after the request was sent. It may have been done: read the state before a second attempt.',
  10: 'Part of a bulk command failed. The output has the counts.',
  130: 'Interrupted.',
} as const

export type ExitCode = keyof typeof EXIT_CODES

const CODES: Partial<Record<ErrorCode, ExitCode>> = {
  INVALID_REQUEST: 2,
  INVALID_INPUT: 2,
  INVALID_CURSOR: 2,
  NOT_SERIALIZABLE: 2,
  TOO_LARGE: 2,
  TASK_TYPE_UNKNOWN: 2,
  TASK_NOT_FOUND: 3,
  CHECKPOINT_NOT_FOUND: 3,
  STEP_NOT_FOUND: 3,
  STORE_NOT_FOUND: 3,
  STORE_NOT_HELD: 5,
  TASK_SETTLED: 4,
  NOT_PARKED: 4,
  TASK_PARKED: 4,
  NO_NEXT_ATTEMPT: 4,
  NOT_SETTLED: 4,
  TASK_IN_USE: 4,
  CHECKPOINT_PRUNED: 4,
  STEP_UNDONE: 4,
  IDEMPOTENCY_CONFLICT: 4,
  LIMIT_EXCEEDED: 4,
  RESULT_GONE: 4,
  STORE_TOO_NEW: 4,
  STORE_TOO_OLD: 4,
  STORE_MOVED: 4,
  TASK_EXISTS: 4,
  TASK_NOT_PORTABLE: 4,
  STORE_INCOMPLETE: 7,
  STORE_LOCKED: 6,
  CLOSED: 6,
  STORE_LOST: 6,
  OPERATOR_UNAVAILABLE: 6,
  OPERATOR_MISMATCH: 6,
  OPERATOR_REFUSED: 6,
  STORE_UNAVAILABLE: 6,
  AUDIT_INVALID: 7,
  BACKUP_INVALID: 7,
  EXPORT_INVALID: 7,
  STORE_DAMAGED: 7,
  RECORD_DAMAGED: 7,
  STORE_OF_ANOTHER_USER: 8,
}

/** An error of the command line itself, with its exit code. The message is one sentence for the operator. */
export class CommandError extends Error {
  override readonly name = 'CommandError'

  constructor(
    readonly exitCode: ExitCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Commands that show what an ID or a name can be. */
const SHOWN_BY: Partial<Record<ErrorCode, string>> = {
  TASK_NOT_FOUND: '`holdfast tasks list` shows the tasks.',
  CHECKPOINT_NOT_FOUND: '`holdfast checkpoints list <taskId>` shows the checkpoints of a task.',
  STEP_NOT_FOUND: '`holdfast tasks steps <taskId>` shows the steps of a task.',
}

/** The sentence for an error. */
export function errorText(error: unknown): string {
  // The words of the library are for the program that has the instance.
  if (error instanceof HoldfastError && error.code === 'CLOSED') {
    return 'The server closes its store just now. Run the command again, at rest or once the server is started.'
  }
  const said = error instanceof Error ? error.message : String(error)
  const advice = error instanceof HoldfastError ? SHOWN_BY[error.code] : undefined
  return advice === undefined ? said : `${said.replace(/\.$/, '')}. ${advice}`
}

/** The exit code for an error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return error.exitCode
  if (error instanceof InvalidArgument) return 2
  if (!(error instanceof HoldfastError)) return 1
  if (error.mayBeWritten) return 9
  return CODES[error.code] ?? 1
}
