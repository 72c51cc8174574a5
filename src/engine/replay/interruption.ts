/**
 * Rejects the calls of a body whose task is settled. After `INTERRUPTS_MAX` rejections, calls stay pending. Without
 * this, a loop that catches every error would block the process.
 */
import { setImmediate } from 'node:timers'
import { TaskInterruptedError } from '../../base/errors.js'
import type { Logger } from '../../base/logger.js'
import { type Deferred, deferred } from '../../base/promises.js'

// More calls than a body makes on its way out. That many rejections take less than a millisecond.
const INTERRUPTS_MAX = 100

export class Interruption {
  #left = INTERRUPTS_MAX
  /** Created on first use: the end of every run creates an interruption. */
  #gaveUp: Deferred<void> | undefined

  constructor(
    private readonly taskId: string,
    private readonly logger: Logger,
  ) {}

  /** Resolves when the calls of the body stay pending. */
  get gaveUp(): Promise<void> {
    this.#gaveUp ??= deferred()
    if (this.#left < 0) this.#gaveUp.resolve()
    return this.#gaveUp.promise
  }

  /**
   * Refuses a call. Returns a promise that stays pending after `INTERRUPTS_MAX` refusals.
   * @throws TaskInterruptedError
   */
  refuse(): Promise<never> {
    if (this.#left > 0) {
      this.#left--
      throw new TaskInterruptedError(this.taskId)
    }
    if (this.#left === 0) {
      this.#left--
      this.#gaveUp?.resolve()
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
 * Rejects the pending calls of a body one at a time, with a turn of the event loop in between, until the body has
 * ended. Without this, a call that the body has not awaited yet could be rejected without a handler, which ends the
 * process.
 */
export function rejectOneByOne(waiting: Iterator<Waiting>, hasEnded: () => boolean, reason: unknown): void {
  const { value: first } = hasEnded() ? { value: undefined } : waiting.next()
  if (!first) return
  first.reject(reason)
  setImmediate(() => rejectOneByOne(waiting, hasEnded, reason))
}
