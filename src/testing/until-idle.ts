/** Waits until the engine cannot continue without the test. Replaces delays and counted turns of the event loop. */

import { bindingOf } from '../api/binding.js'
import type { Holdfast } from '../api/holdfast.js'
import { hasImmediates, turn } from './immediates.js'
import { isInMemory } from './open-in-memory.js'

/**
 * Resolves once nothing can continue unless a clock moves or an input comes from outside. Then:
 *
 * - no commit and no read of the store is queued or running, and the database is not being opened again;
 * - no body is in a turn, and none is planned. So no queued task could begin, and no step that could begin has not;
 * - no microtask and no immediate (`setImmediate`) of the process is left.
 *
 * What waits for the test counts as idle: a function of a step that waits for a promise which the test resolves, a write
 * that the `latency` of a `MemoryDisk` holds back or a crashed process never gets. So does what waits for a timer (that of
 * any clock, the machine's included), for a socket, a file or another process, as an isolated step does.
 *
 * Code that queues immediates for ever keeps it waiting. Two calls at a time do not wait for each other.
 *
 * @param holdfast an instance of `openInMemory` or `Holdfast.open`; closed ones are idle. While one closes, wait for
 *   the promise of `close()` instead.
 * @throws TypeError if `holdfast` is no instance
 * @example
 * const { taskId } = await holdfast.start(order, input)
 * await untilIdle(holdfast)                            // its body waits for the customer's answer now
 * await clock.advance(60_000)
 */
export async function untilIdle(holdfast: Holdfast): Promise<void> {
  const engine = bindingOf(holdfast)
  // A disk in memory only waits for immediates, or for the test.
  const storeIsAtRest = isInMemory(holdfast) ? () => true : () => engine.storeIsAtRest
  do await turn()
  while (hasImmediates() || !storeIsAtRest())
}
