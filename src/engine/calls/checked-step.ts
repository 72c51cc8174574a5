/** A call of a step, with its options checked. */
import { durationMs } from '../../base/duration.js'
import { currentContext, type KeptContext } from '../../base/empty-context.js'
import { checkFunction, checkOptionsOf, expected, type Names } from '../../base/expected.js'
import type { StepContext } from '../../task/definition/context.js'
import { ONE_ATTEMPT, type RetryPolicy, retryPolicy } from '../../task/definition/retry-options.js'
import type { StepOptions } from '../../task/definition/step-options.js'
import type { Run } from '../replay/run.js'

export interface StepCall {
  readonly name: string
  readonly fn: (step: StepContext) => unknown
  readonly retry: RetryPolicy
  readonly timeoutMs: number | undefined
  readonly onInterrupted: NonNullable<StepOptions['onInterrupted']>
  /** True if its record waits for the next commit of the task. */
  readonly isDeferred: boolean
  /** The asynchronous context of the call. The function of the step runs in it. */
  readonly context: KeptContext
}

/** The names of the options of a step. */
export const STEP_OPTIONS: Names<StepOptions> = { retry: true, timeout: true, onInterrupted: true, commit: true }

const INTERRUPTED: readonly unknown[] = ['retry', 'fail', 'ask']

/**
 * Checks the arguments of a step.
 * @throws TypeError naming the argument or option, what was expected and what was given
 */
export function checkStep(name: string, fn: (step: StepContext) => unknown, options: StepOptions): StepCall {
  checkFunction('fn', fn)
  checkOptionsOf('task.step', options, STEP_OPTIONS)
  const { retry, timeout, onInterrupted = 'retry', commit } = options
  if (typeof onInterrupted !== 'function' && !INTERRUPTED.includes(onInterrupted)) {
    throw expected('onInterrupted', "'retry', 'fail', 'ask' or a function", onInterrupted)
  }
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
  const policy = retry === undefined ? ONE_ATTEMPT : retryPolicy(retry)
  const isDeferred = commit !== undefined
  if (isDeferred) {
    if (commit !== 'deferred') throw expected('commit', "'deferred'", commit)
    if (policy.maximumAttempts > 1) throw notDeferred(name, '`retry` of more than one attempt')
    if (options.onInterrupted !== undefined) throw notDeferred(name, '`onInterrupted`')
  }
  return { name, fn, retry: policy, timeoutMs, onInterrupted, isDeferred, context: currentContext() }
}

/** True if the definition has an undo for the step. */
export function hasUndo({ definition: { undo } }: Run, { name }: Pick<StepCall, 'name'>): boolean {
  return undo !== undefined && Object.hasOwn(undo, name)
}

/** The refusal of what would be lost with a record that a crash takes back. */
export function notDeferred(name: string, what: string): TypeError {
  return new TypeError(
    `Step '${name}' has \`commit: 'deferred'\` and ${what}. A crash may run a deferred step again. Leave one of the two out.`,
  )
}
