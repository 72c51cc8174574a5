/** Checks arguments of callers: IDs, statuses, limits, instants, outcomes. Each error names the expected value. */
import { expected, InvalidArgument, shown } from '../../base/expected.js'
import { type JsonValue, toJson } from '../../base/json.js'
import { TASK_STATUSES, type TaskStatus } from '../../task/head.js'
import type { Outcome } from '../../task/log/outcome.js'

// True for text in the form of a task ID. Other text is never used in a store key.
export function isTaskId(taskId: unknown): boolean {
  return typeof taskId === 'string' && /^task-[0-9A-Z]{20,60}$/.test(taskId)
}

export function checkStatuses(status: unknown): readonly TaskStatus[] {
  const statuses = (Array.isArray(status) ? status : [status]) as TaskStatus[]
  const at = statuses.findIndex((one) => !TASK_STATUSES.includes(one))
  if (at < 0) return statuses
  throw expected('status', `one of ${TASK_STATUSES.join(', ')}, or several of them`, statuses[at])
}

export function checkLimit(limit: unknown, max: number): void {
  if (Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= max) return
  throw expected('limit', `an integer from 1 to ${max}`, limit)
}

const PRIORITY_MAX = 100

/** Checks a priority. @throws TypeError for anything but an integer from -100 to 100 */
export function checkPriority(priority: unknown): void {
  if (Number.isInteger(priority) && Math.abs(priority as number) <= PRIORITY_MAX) return
  throw expected('priority', `an integer from -${PRIORITY_MAX} to ${PRIORITY_MAX}`, priority)
}

const REASON_BYTES_MAX = 2_000

/** Checks the reason of a cancel. @throws TypeError if the reason is not a text, or is too long */
export function checkReason(reason: unknown): asserts reason is string {
  const bytes = typeof reason === 'string' ? Buffer.byteLength(reason) : undefined
  if (bytes !== undefined && bytes <= REASON_BYTES_MAX) return
  const got = bytes === undefined ? shown(reason) : `${bytes} bytes`
  throw new InvalidArgument(`Expected \`reason\` to be a text of at most ${REASON_BYTES_MAX} bytes, got ${got}`)
}

/** Checks an outcome. Returns it after a round trip through JSON, without unknown fields. */
export function checkOutcome(outcome: Outcome, bytesMax: number): Outcome {
  const use = { what: 'the outcome of the session task', bytesMax, option: 'limits.outputBytesMax' }
  const text = toJson(outcome, use)
  const given = (text === undefined || text === 'null' ? {} : JSON.parse(text)) as Record<string, unknown>
  const { kind, result, reason, error } = given
  if (kind === 'result') return { kind, result: result as JsonValue | undefined }
  if (kind === 'cancelled') {
    if (reason !== undefined) checkReason(reason)
    return { kind, reason }
  }
  const { name, message, code } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>
  if (kind === 'error' && typeof message === 'string') {
    const named = { name: typeof name === 'string' ? name : 'Error', message }
    return { kind, error: typeof code === 'string' || typeof code === 'number' ? { ...named, code } : named }
  }
  throw new InvalidArgument(
    `Expected \`outcome\` to be { kind: 'result', result }, { kind: 'error', error: { message } } or { kind: 'cancelled' }, got kind ${JSON.stringify(kind)}`,
  )
}
