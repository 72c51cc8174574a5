/**
 * Undoes one step, or runs `onCancel`. The end of each attempt is on disk before the next one begins. An undo needs
 * the undo record and the definition, and neither the log nor a replay.
 *
 * - An undo that is recorded as done, or as failed for good, never runs again.
 * undo-2. An attempt that a close or a crash interrupted does not count. It is made again.
 * - A decision of the body may begin an undo before the task is settled. If that undo succeeds within the grace of the
 *     clean-up, the clean-up records it.
 */
import { callIn } from '../../base/empty-context.js'
import { checkFunction } from '../../base/expected.js'
import { idempotencyKeyOf } from '../../base/ids.js'
import { fromJson, type Jsonified, toJson } from '../../base/json.js'
import { LazyAbort } from '../../base/lazy-abort.js'
import { loggerAbout } from '../../base/logger.js'
import { nextAttemptAt } from '../../task/decisions/retry.js'
import { isFenced } from '../../task/decisions/transition.js'
import type { CleanUpContext } from '../../task/definition/context.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'
import { describeError } from '../../task/log/outcome.js'
import { ON_CANCEL, type Undoing, type UndoRecord } from '../../task/log/undo-record.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import type { LiveTask } from '../core/live-task.js'
import type { RunHost } from '../replay/host.js'
import { rejectAfterTurn } from '../replay/reject-after-turn.js'
import { callWithTimeout } from '../replay/timed-call.js'

/** The context of an undo: the task, the run that may write, and the end of the work. */
export interface Undoer {
  readonly host: RunHost
  readonly task: LiveTask
  readonly definition: AnyTaskDefinition
  /** The run whose commits are accepted. */
  readonly run: number
  readonly isOver: () => boolean
  /** Waits until an instant. Resolves with `false` if the work has ended by then. */
  readonly until: (instant: number) => Promise<boolean>
  /** Called at the begin of each attempt, with its promise and the means to abort it. */
  readonly running: (working: Promise<unknown>, aborter: LazyAbort) => void
}

/**
 * Makes attempts until one succeeds, or none is left.
 * @param call calls the user's function
 * @returns the undo record on disk afterwards. `undefined` if the work ended first
 */
export async function undo(
  undoer: Undoer,
  first: UndoRecord,
  call: (context: CleanUpContext) => unknown,
): Promise<UndoRecord | undefined> {
  const { host, task, definition, run } = undoer
  const { retry, timeoutMs, graceMs } = definition.cleanUp
  const { taskId } = task
  const state = { intent: first }
  const write = async (undoing: Undoing, by = run): Promise<void> => {
    state.intent = { ...state.intent, undoing }
    await host.record(task, { kind: 'undo', run: by, intent: state.intent })
  }
  const succeed = async (done: Undoing, now: number): Promise<void> => {
    await write(done).catch((error: unknown) => {
      const { settledAt, run: cleanUp } = task.head
      if (!isFenced(error) || settledAt === undefined || now >= settledAt + graceMs) throw error
      return write(done, cleanUp)
    })
  }
  for (;;) {
    const before = state.intent.undoing ?? { failedAttempts: 0 }
    if (before.retryAt !== undefined && !(await undoer.until(before.retryAt))) return undefined
    if (!host.store.connection.isUp) await host.store.connection.up
    if (undoer.isOver()) return undefined
    const aborter = new LazyAbort()
    const name = first.id === ON_CANCEL ? ON_CANCEL : `undo of ${first.name}`
    const context = contextOf(undoer, state, before.failedAttempts + 1, aborter, write)
    const timed = { taskId, name, timeoutMs, aborter }
    const working = callWithTimeout(host, timed, () => callIn(() => call(context)))
    undoer.running(working, aborter)
    const ended = await working.then(
      () => ({ ok: true }) as const,
      (thrown: unknown) => ({ ok: false, thrown }) as const,
    )
    // A success is written even while the engine closes. A failure then is an interruption by the abort (undo-2).
    if (!ended.ok && undoer.isOver()) return undefined
    const { undoing = before } = state.intent
    const now = host.clock.now()
    if (ended.ok) {
      await succeed({ ...undoing, retryAt: undefined, error: undefined, doneAt: now }, now)
      return state.intent
    }
    const failed = before.failedAttempts + 1
    const fraction = host.ids.fraction()
    const retryAt = nextAttemptAt(retry, { attempt: failed, error: ended.thrown, now, dueAt: undefined, fraction })
    const error = describeError(ended.thrown).message.slice(0, 500)
    const over = retryAt === undefined ? { retryAt, failedAt: now } : { retryAt }
    await write({ ...undoing, failedAttempts: failed, error, ...over })
    if (retryAt === undefined) return state.intent
  }
}

/** The idempotency key of an undo. It differs from the key of the step, and is the same in each attempt of the undo. */
function keyOf(taskId: string, { id, times = 0 }: UndoRecord): string {
  return idempotencyKeyOf(taskId, `undo\n${times}\n${id}`)
}

function contextOf(
  { host, task }: Undoer,
  state: { intent: UndoRecord },
  attempt: number,
  aborter: LazyAbort,
  write: (undoing: Undoing) => Promise<void>,
): CleanUpContext {
  const { taskId, type, owner } = task.head
  const key = keyOf(taskId, state.intent)
  const asked = new Map<string, number>()
  return {
    taskId,
    type,
    owner,
    attempt,
    idempotencyKey: key,
    get signal() {
      return aborter.signal
    },
    log: loggerAbout(host.logger.unlimited, { taskId, type }),
    step: <T>(name: string, fn: (step: { signal: AbortSignal; idempotencyKey: string }) => T | Promise<T>) =>
      rejectAfterTurn(async () => {
        checkName(name, 'name', NAME_BYTES_MAX.step)
        checkFunction('fn', fn)
        const number = (asked.get(name) ?? 0) + 1
        asked.set(name, number)
        const which = `${name}#${number}`
        const known = state.intent.undoing?.steps?.[which]
        if (known !== undefined) return fromJson(known || undefined) as Jsonified<T>
        const { resultBytesMax: bytesMax } = host.limits
        const use = { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }
        const value = await fn({ signal: aborter.signal, idempotencyKey: idempotencyKeyOf(taskId, `${key}\n${which}`) })
        const text = toJson(value, use)
        const undoing = state.intent.undoing ?? { failedAttempts: 0 }
        await write({ ...undoing, steps: { ...undoing.steps, [which]: text ?? '' } })
        return fromJson(text) as Jsonified<T>
      }),
  }
}
