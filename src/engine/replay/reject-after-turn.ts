/** Lets the event loop turn before a call is refused, where no log keeps an order: in functions of steps and of undos. */
import { setImmediate } from 'node:timers/promises'

/**
 * What `act` resolves with. What it rejects with comes after the event loop has turned: a loop that catches it and calls again
 * holds nobody up.
 */
export async function rejectAfterTurn<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    await setImmediate()
    throw error
  }
}
