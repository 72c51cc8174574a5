/** The options of the calls on an instance, and their checks. Those of `open` and `start` are in the files of their names. */
import { type Duration, durationMs } from '../../base/duration.js'
import { checkFlag, checkFunctionsOf, checkOptionsOf, InvalidArgument, type Names, oneOf } from '../../base/expected.js'
import { type AttributeChanges, checkAttributes, checkTitle } from '../../task/attributes.js'
import type { SavedBy } from '../../task/checkpoint.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import { checkReason } from './arguments.js'

/** The option of calls that reach tasks. */
export interface OwnerOption {
  /**
   * Owner whose tasks the call reaches. Tasks of other owners do not exist for the call.
   * @default tasks of every owner, and of none: the call is administrative
   */
  readonly owner?: string | undefined
}

/** The options of `cancel`. */
export interface CancelOptions extends OwnerOption {
  /** Reason, in at most 2,000 bytes. It is shown to callers that wait for the result. */
  readonly reason?: string | undefined
  /**
   * True to give up the clean-up of a parked task: its undos and its `onCancel` never run. For an operator, so not
   * allowed together with `owner`. Has no effect on a task that is not parked.
   * @default false
   */
  readonly force?: boolean | undefined
}

/** The options of `send`. */
export interface SendOptions extends OwnerOption {
  /** Key of the message. A second message of the same task under the same key is the first one. */
  readonly idempotencyKey?: string | undefined
}

/** The options of `saveCheckpoint` of an instance. */
export interface ClientSaveOptions extends OwnerOption {
  /** Text that listings show. */
  readonly label?: string | undefined
}

/** The options of `restoreCheckpoint` of an instance. */
export interface ClientRestoreOptions extends OwnerOption {
  /**
   * ID of the checkpoint.
   * @default the latest checkpoint
   */
  readonly checkpointId?: string | undefined
  /**
   * Origin of the checkpoint: the body of the task, or a client.
   * @default both
   */
  readonly savedBy?: SavedBy | undefined
}

/** The options of `createSessionTask`. */
export interface SessionTaskOptions extends OwnerOption {
  /** Type of the task, for listings. */
  readonly type: string
  /**
   * Time that the task is kept, from its creation.
   * @default none
   */
  readonly ttl?: Duration | undefined
  /** Title for people, in at most 256 bytes of UTF-8, without control characters. It never changes. */
  readonly title?: string | undefined
  /** Attributes by which `list` finds the task, as those of `start`. */
  readonly attributes?: AttributeChanges | undefined
}

/** The options of `result`. */
export interface ResultOptions extends OwnerOption {
  /** Signal that ends the wait. The task continues. */
  readonly signal?: AbortSignal | undefined
  /**
   * Longest wait. The call then rejects with `WAIT_TIMEOUT`, and the task continues.
   * @default none
   */
  readonly timeout?: Duration | undefined
  /**
   * True to wait while the task is parked, instead of rejecting with `TASK_PARKED`.
   * @default false
   */
  readonly waitParked?: boolean | undefined
}

/** The options of `close`. */
export interface CloseOptions {
  /**
   * Longest wait for steps that are running. No new step begins.
   * @default '5s'
   */
  readonly grace?: Duration | undefined
}

/** The names of the options of each call. */
export const CALL_OPTIONS = {
  owner: { owner: true } satisfies Names<OwnerOption>,
  cancel: { owner: true, reason: true, force: true } satisfies Names<CancelOptions>,
  send: { owner: true, idempotencyKey: true } satisfies Names<SendOptions>,
  save: { owner: true, label: true } satisfies Names<ClientSaveOptions>,
  restore: { owner: true, checkpointId: true, savedBy: true } satisfies Names<ClientRestoreOptions>,
  session: { owner: true, type: true, ttl: true, title: true, attributes: true } satisfies Names<SessionTaskOptions>,
  result: { owner: true, signal: true, timeout: true, waitParked: true } satisfies Names<ResultOptions>,
  close: { grace: true } satisfies Names<CloseOptions>,
}

/** Checks the options of a call that only has `owner`. Returns the owner. */
export function ownerOption(call: string, options: OwnerOption = {}): string | undefined {
  checkOptionsOf(call, options, CALL_OPTIONS.owner)
  checkOwner(options.owner)
  return options.owner
}

/** Checks an owner. @throws TypeError */
export function checkOwner(owner: unknown): void {
  if (owner !== undefined) checkName(owner, 'owner', NAME_BYTES_MAX.owner)
}

export function checkCancel(options: CancelOptions): CancelOptions {
  checkOptionsOf('cancel', options, CALL_OPTIONS.cancel)
  const { owner, reason, force } = options
  checkOwner(owner)
  if (reason !== undefined) checkReason(reason)
  if (force !== undefined) checkFlag('force', force)
  if (force && owner !== undefined) {
    throw new InvalidArgument(
      'Expected `force` without `owner`: only an unscoped call may give up the clean-up of a task',
    )
  }
  return options
}

export function checkSend(options: SendOptions): SendOptions {
  checkOptionsOf('send', options, CALL_OPTIONS.send)
  checkOwner(options.owner)
  const { idempotencyKey: key } = options
  if (key !== undefined) checkName(key, 'idempotencyKey', NAME_BYTES_MAX.idempotencyKey)
  return options
}

export function checkClientSave(options: ClientSaveOptions): ClientSaveOptions {
  checkOptionsOf('saveCheckpoint', options, CALL_OPTIONS.save)
  checkOwner(options.owner)
  if (options.label !== undefined) checkName(options.label, 'label', NAME_BYTES_MAX.label)
  return options
}

export function checkClientRestore(options: ClientRestoreOptions): ClientRestoreOptions {
  checkOptionsOf('restoreCheckpoint', options, CALL_OPTIONS.restore)
  const { owner, checkpointId, savedBy } = options
  checkOwner(owner)
  if (checkpointId !== undefined) checkName(checkpointId, 'checkpointId', NAME_BYTES_MAX.label)
  if (savedBy !== undefined) oneOf('savedBy', savedBy, ['body', 'client'])
  return options
}

/** Checks the options of `createSessionTask`. Returns them with the `ttl` in milliseconds. */
export function checkSessionTask(options: SessionTaskOptions): Omit<SessionTaskOptions, 'ttl'> & { ttlMs?: number } {
  checkOptionsOf('createSessionTask', options, CALL_OPTIONS.session)
  const { type, owner, ttl, title, attributes: given } = options
  checkName(type, 'type', NAME_BYTES_MAX.type)
  checkOwner(owner)
  if (title !== undefined) checkTitle(title)
  const attributes = given === undefined ? undefined : checkAttributes(given)
  return { type, owner, title, attributes, ...(ttl === undefined ? {} : { ttlMs: durationMs(ttl, 'ttl') }) }
}

/** Checks the options of `result`. Returns them with the `timeout` in milliseconds. */
export function checkResult(options: ResultOptions): Omit<ResultOptions, 'timeout'> & { timeoutMs?: number } {
  checkOptionsOf('result', options, CALL_OPTIONS.result)
  const { owner, signal, timeout, waitParked } = options
  checkOwner(owner)
  const what = ['throwIfAborted', 'addEventListener', 'removeEventListener']
  if (signal !== undefined) checkFunctionsOf('signal', signal, what)
  if (waitParked !== undefined) checkFlag('waitParked', waitParked)
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout', { zero: true })
  return { owner, signal, waitParked, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}

const CLOSE_GRACE = '5s'

/** The grace of a close, in milliseconds. */
export function graceOf(options: CloseOptions): number {
  checkOptionsOf('close', options, CALL_OPTIONS.close)
  return durationMs(options.grace === undefined ? CLOSE_GRACE : options.grace, 'grace', { zero: true })
}
