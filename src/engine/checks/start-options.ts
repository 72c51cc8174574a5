/** The options of `start` and of `fork`, and their checks. */
import { type Duration, durationMs, instantOf } from '../../base/duration.js'
import { checkOptionsOf, type Names } from '../../base/expected.js'
import { type AttributeChanges, checkAttributes, checkTitle } from '../../task/attributes.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import { checkPriority } from './arguments.js'
import { checkOwner } from './call-options.js'

/** The options of `start`. */
export interface StartOptions {
  /** Principal that the task belongs to, never a session. Without it, only calls without an owner reach the task. */
  readonly owner?: string | undefined
  /**
   * Key of the start. A second start of the same task type, owner and key returns the first task, with another input
   * it is refused with `IDEMPOTENCY_CONFLICT`, and after the first task was deleted with `RESULT_GONE`. The key is kept
   * until `idempotencyRetention` of `Holdfast.open` is over.
   */
  readonly idempotencyKey?: string | undefined
  /**
   * Time that the task is kept, from its creation. A task that is unfinished after it fails with `EXPIRED`. A settled one is
   * deleted with everything that belongs to it.
   * @default none: a settled task is kept for `retention` of `Holdfast.open`
   */
  readonly ttl?: Duration | undefined
  /**
   * Instant at which an unfinished task fails with `TIMEOUT`: a `Date`, or milliseconds since the epoch. No function of a
   * step begins then or later. If the instant is in the past, the task is created as failed.
   */
  readonly deadline?: Date | number | undefined
  /**
   * Order among the waiting tasks of one owner: an integer from -100 to 100, higher ones first. A waiting task gains 1 per
   * 30 s of waiting. Owners take turns, regardless of the priorities of their tasks.
   * @default 0
   */
  readonly priority?: number | undefined
  /** Title for people, in at most 256 bytes of UTF-8, without control characters. It never changes. */
  readonly title?: string | undefined
  /**
   * Attributes by which `list` finds the task: at most 8. Names and texts have at most 64 bytes of UTF-8. Each costs one
   * operation when the task settles.
   * @see docs/guides/attributes.md
   */
  readonly attributes?: AttributeChanges | undefined
}

/** The names of the options of `start`, and of `fork`. */
export const START_OPTIONS: Names<StartOptions> = {
  owner: true,
  idempotencyKey: true,
  ttl: true,
  deadline: true,
  priority: true,
  title: true,
  attributes: true,
}

/** Checks the options of a start or a fork. @throws TypeError that names the option and its expected value */
export function checkStartOptions(options: StartOptions, call = 'start') {
  checkOptionsOf(call, options, START_OPTIONS)
  const { owner, idempotencyKey: key, ttl, deadline, priority, title, attributes: given } = options
  checkOwner(owner)
  if (key !== undefined) checkName(key, 'idempotencyKey', NAME_BYTES_MAX.idempotencyKey)
  const ttlMs = ttl === undefined ? undefined : durationMs(ttl, 'ttl')
  const deadlineAt = deadline === undefined ? undefined : instantOf(deadline, 'deadline')
  if (priority !== undefined) checkPriority(priority)
  if (title !== undefined) checkTitle(title)
  const attributes = given === undefined ? undefined : checkAttributes(given)
  return { owner, key, ttlMs, deadlineAt, priority, title, attributes }
}
