/** The options of a step. */
import type { Duration } from '../../base/duration.js'
import type { RetryOptions } from './retry-options.js'

/** A step that was running when the process crashed, so it is not known if its effect took place. */
export interface InterruptedStep {
  readonly name: string
  /** The idempotency key of the step. The service that the step called may know the key. */
  readonly idempotencyKey: string
  /** Start of the attempt, in milliseconds since the epoch. */
  readonly startedAt: number
  /** Number of the attempt, from 1. */
  readonly attempt: number
}

/** The options of a step that `task.isolated` has too. */
export interface BasicStepOptions<Result = unknown> {
  /**
   * Retries after an attempt that throws.
   * @default one attempt
   */
  readonly retry?: RetryOptions | undefined
  /**
   * Longest time of one attempt. After it, the signal of the step is aborted and the attempt fails with `STEP_TIMEOUT`.
   * @default none
   */
  readonly timeout?: Duration | undefined
  /**
   * Reaction to a crash, or a close, of the process while the step runs. With `'retry'`, the step runs again, so it runs at
   * least once. With `'fail'`, it fails with `STEP_IN_DOUBT` and never begins twice. A function finds out what happened, and
   * its result is recorded as the result of the step. With `'ask'`, the task is `input_required`: the answer
   * `{ tookPlace: true, result }` gives the step its result, and after `{ tookPlace: false }` the step runs again. Every
   * value but `'retry'` costs one write more.
   * @default 'retry'
   */
  readonly onInterrupted?: 'retry' | 'fail' | 'ask' | ((step: InterruptedStep) => unknown) | undefined
  /**
   * Text about the step for people: the text itself, or a function that makes it of the result, after a round trip through
   * JSON. It is recorded with the result, and shown by `steps`, the operator API and the command line. It is not logged. A
   * step that failed has only a text that was given as such. Longer than 256 bytes, it is cut. The function may be called
   * more than once, and must not wait. If it throws or returns no text, the step has none, and a line is logged.
   * @default none
   */
  readonly summary?: string | ((result: Result) => string) | undefined
}

/** The options of a step. */
export interface StepOptions<Result = unknown> extends BasicStepOptions<Result> {
  /**
   * Time of the commit of the result. With `'deferred'`, the step continues at once, and its result is written with the
   * next commit of the task, at most 100 records, 1 MiB or 100 ms later, and at `close()`. For a step that may safely run
   * again: a crash runs the deferred steps again that ended since the last commit, under the same keys, and no others. Not
   * together with `retry` of more than one attempt, with `onInterrupted`, or with an `undo` of the step.
   * @default none: the result is on disk before the body receives it
   * @see docs/guides/deferred-steps.md
   */
  readonly commit?: 'deferred' | undefined
}
