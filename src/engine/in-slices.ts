/** Does long work a slice at a time, with a turn of the event loop in between. */
import { setImmediate as turn } from 'node:timers/promises'

/** Returns what the work comes to. It yields where others may have their turn. */
export async function inSlices<T>(work: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value as T
    await turn()
  }
}
