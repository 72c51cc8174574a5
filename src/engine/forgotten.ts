/**
 * Calls that a body has not awaited when it returns. A call of the turn in which the body returns can have begun in no run: it
 * was forgotten, and the task fails with `CALL_NOT_AWAITED`. A call of an earlier turn may be the loser of a `Promise.race`:
 * the task completes, with one warning for each definition.
 */
import type { Logger } from '../logger.js'
import type { AnyTaskDefinition } from '../task/definition.js'
import { describeRecord, type RecordName } from '../task/log.js'
import { cutText, NAME_BYTES_MAX } from '../task/names.js'
import type { Asked } from './asked.js'

/** The calls that are pending when a body returns. */
interface PendingAtReturn {
  /** The first call that was made in the turn in which the body returns. */
  readonly forgotten: RecordName | undefined
  /** The first call that was made in an earlier turn. */
  readonly earlier: RecordName | undefined
}

/**
 * Divides the pending calls of a body that returns.
 * @param turn the number of the turn in which it returns; `undefined` if it returns outside a turn
 */
export function pendingAtReturn(pending: Iterable<Asked>, turn: number | undefined): PendingAtReturn {
  let earlier: RecordName | undefined
  for (const asked of pending) {
    if (asked.turn === turn) return { forgotten: asked.ask.name, earlier }
    earlier ??= asked.ask.name
  }
  return { forgotten: undefined, earlier }
}

/** Warns of calls of earlier turns, once for each definition. */
export class Forgotten {
  readonly #warned = new WeakSet<AnyTaskDefinition>()

  constructor(private readonly logger: Logger) {}

  /** A body returned, and `call` of an earlier turn was pending. */
  note(definition: AnyTaskDefinition, taskId: string, call: RecordName | undefined): void {
    if (!call || this.#warned.has(definition)) return
    this.#warned.add(definition)
    this.logger.warn(
      'A body returned without waiting for a call that it had made, so the call may not have run. Await it, unless it lost a race.',
      { taskId, type: definition.name, call: cutText(describeRecord(call), NAME_BYTES_MAX.step) },
    )
  }
}
