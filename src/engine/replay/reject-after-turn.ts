/** Delays rejections inside the functions of steps and undos by a turn of the event loop. */
import { setImmediate } from 'node:timers/promises'

/**
 * Resolves with the result of `act`. Rejects with its error after a turn of the event loop. Without this, a loop that
 * catches the error and calls again would block the process.
 */
export async function rejectAfterTurn<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    await setImmediate()
    throw error
  }
}
