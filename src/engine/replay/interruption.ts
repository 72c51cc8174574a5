/**
 * Tells a body whose task is settled that it is, each time that it asks for something. But not for ever: a loop that
 * catches every error and goes round would keep the process from doing anything else. Past so many times the body is
 * left where it waits.
 */
import { setImmediate } from 'node:timers'
import { deferred } from '../../base/deferred.js'
import { TaskInterruptedError } from '../../base/errors.js'
import type { Logger } from '../../base/logger.js'

// More than any body has to ask for on its way out, and over in less than a millisecond.
const INTERRUPTS_MAX = 100

export class Interruption {
  #left = INTERRUPTS_MAX
  readonly #gaveUp = deferred<void>()

  constructor(
    private readonly taskId: string,
    private readonly logger: Logger,
  ) {}

  /** Resolves once the body is left where it waits. */
  get gaveUp(): Promise<void> {
    return this.#gaveUp.promise
  }

  /** @throws TaskInterruptedError; a promise that stays pending where the body was told often enough */
  refuse(): Promise<never> {
    if (this.#left > 0) {
      this.#left--
      throw new TaskInterruptedError(this.taskId)
    }
    if (this.#left === 0) {
      this.#left--
      this.#gaveUp.resolve()
      this.logger.warn(
        `A body continues although its task is settled, and has caught TaskInterruptedError ${INTERRUPTS_MAX} times. Its calls stay pending from now on. Let a TaskInterruptedError out of loops that catch errors.`,
        { taskId: this.taskId },
      )
    }
    return new Promise(() => {})
  }
}

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
