/** Interrupts a body where it waits, without a rejection that nobody is there to catch. */
import { setImmediate } from 'node:timers'

interface Waiting {
  readonly reject: (error: unknown) => void
}

/**
 * Rejects what a body waits for, one at a time and letting it come to rest in between, until it has ended. Of two chains
 * that it awaits one after the other, the second would be rejected unheard, and that ends the process.
 */
export function rejectOneByOne(waiting: Iterator<Waiting>, hasEnded: () => boolean, reason: unknown): void {
  const { value: first } = hasEnded() ? { value: undefined } : waiting.next()
  if (!first) return
  first.reject(reason)
  setImmediate(() => rejectOneByOne(waiting, hasEnded, reason))
}
