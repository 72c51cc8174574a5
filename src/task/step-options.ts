/** The options of a step. */
import type { Duration } from '../duration.js'
import type { RetryOptions } from './retry-options.js'

/** A step that was running when the process died: whether its effect took place is not known. */
export interface InterruptedStep {
  readonly name: string
  /** The key it was begun under: the service it called may know it. */
  readonly idempotencyKey: string
  /** When the attempt began, in milliseconds since the epoch. */
  readonly startedAt: number
  /** Which attempt it was, from 1. */
  readonly attempt: number
}

/** The options of a step. */
export interface StepOptions {
  /** How often it is tried when it throws. Default: once. */
  readonly retry?: RetryOptions | undefined
  /** How long one attempt may take; then its signal is aborted, and the attempt has failed. Default: no limit. */
  readonly timeout?: Duration | undefined
  /**
   * What happens to the step if the process dies, or is closed, while it runs. `'retry'` (default): it runs again, at
   * least once in all. `'fail'`: it fails with `STEP_IN_DOUBT`, and never begins twice. A function finds out what
   * happened, and its result is recorded as the step's. `'ask'`: the task is `input_required`, and whoever answers says
   * `{ tookPlace: true, result }`, which becomes the step's result, or `{ tookPlace: false }`, and it runs again. Other
   * than `'retry'` costs one write more.
   */
  readonly onInterrupted?: 'retry' | 'fail' | 'ask' | ((step: InterruptedStep) => unknown) | undefined
}
