/**
 * Undoes one step, or runs `onCancel`: attempt after attempt, the end of each on disk before the next. It needs the intent
 * and the definition, and neither the log nor a replay.
 *
 * - What is recorded as done, or as out of attempts, never runs again.
 * undo-2. An attempt that a close, or the death of the process, interrupted counts for nothing: it is made again.
 * - One that a body's decision began, and that succeeds when the task is settled meanwhile, is the clean-up's, as long
 *     as that waits for it: till the grace is over.
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

/** Who undoes, and until when. */
export interface Undoer {
  readonly host: RunHost
  readonly task: LiveTask
  readonly definition: AnyTaskDefinition
  /** The run that may write it. */
  readonly run: number
  readonly isOver: () => boolean
  /** Waits; `false` if it is over by then. */
  readonly until: (instant: number) => Promise<boolean>
  /** Told of each attempt while it runs, with how to abort it. */
  readonly running: (working: Promise<unknown>, aborter: LazyAbort) => void
}

/**
 * Makes attempts until one succeeds, or none is left.
 * @param call the user's function, with its context
 * @returns the intent as it is on disk then; `undefined` if it was over before
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
    // It succeeded: that is written even while the engine closes. What an abort brought down was interrupted (undo-2).
    if (!ended.ok && undoer.isOver()) return undefined
    const { steps } = state.intent.undoing ?? before
    const { failedAttempts } = before
    const now = host.clock.now()
    if (ended.ok) {
      await succeed({ failedAttempts, steps, doneAt: now }, now)
      return state.intent
    }
    const failed = failedAttempts + 1
    const fraction = host.ids.fraction()
    const retryAt = nextAttemptAt(retry, { attempt: failed, error: ended.thrown, now, dueAt: undefined, fraction })
    const error = describeError(ended.thrown).message.slice(0, 500)
    const over = retryAt === undefined ? { failedAt: now } : { retryAt }
    await write({ failedAttempts: failed, steps, error, ...over })
    if (retryAt === undefined) return state.intent
  }
}

/** The key of an undo: another one than the step's, and the same in each of its attempts. */
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
