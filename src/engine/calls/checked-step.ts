/** A call of a step, with its options checked. */
import { durationMs } from '../../base/duration.js'
import { callIn, currentContext, type KeptContext } from '../../base/empty-context.js'
import { checkFunction, checkOptionsOf, expected, type Names } from '../../base/expected.js'
import { faultOf } from '../../base/fault.js'
import { fromJson } from '../../base/json.js'
import type { StepContext } from '../../task/definition/context.js'
import { ONE_ATTEMPT, type RetryPolicy, retryPolicy } from '../../task/definition/retry-options.js'
import type { StepOptions } from '../../task/definition/step-options.js'
import { cutText } from '../../task/names.js'
import type { Ended } from '../replay/outcome-of.js'
import type { Run } from '../replay/run.js'

export interface StepCall {
  readonly name: string
  readonly fn: (step: StepContext) => unknown
  readonly retry: RetryPolicy
  readonly timeoutMs: number | undefined
  readonly onInterrupted: NonNullable<StepOptions['onInterrupted']>
  /** True if its record waits for the next commit of the task. */
  readonly isDeferred: boolean
  /** Text for people, or the function that makes it of the result. */
  readonly summary?: string | ((result: never) => string) | undefined
  /** The asynchronous context of the call. The function of the step runs in it. */
  readonly context: KeptContext
}

/** The names of the options of a step. */
export const STEP_OPTIONS: Names<StepOptions> = {
  retry: true,
  timeout: true,
  onInterrupted: true,
  commit: true,
  summary: true,
}

const INTERRUPTED: readonly unknown[] = ['retry', 'fail', 'ask']

/**
 * Checks the arguments of a step.
 * @throws TypeError naming the argument or option, what was expected and what was given
 */
export function checkStep(name: string, fn: (step: StepContext) => unknown, options: StepOptions<never>): StepCall {
  checkFunction('fn', fn)
  checkOptionsOf('task.step', options, STEP_OPTIONS)
  const { retry, timeout, onInterrupted = 'retry', commit, summary } = options
  if (typeof onInterrupted !== 'function' && !INTERRUPTED.includes(onInterrupted)) {
    throw expected('onInterrupted', "'retry', 'fail', 'ask' or a function", onInterrupted)
  }
  if (summary !== undefined && typeof summary !== 'string' && typeof summary !== 'function') {
    throw expected('summary', 'a text, or a function that returns one', summary)
  }
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
  const policy = retry === undefined ? ONE_ATTEMPT : retryPolicy(retry)
  const isDeferred = commit !== undefined
  if (isDeferred) {
    if (commit !== 'deferred') throw expected('commit', "'deferred'", commit)
    if (policy.maximumAttempts > 1) throw notDeferred(name, '`retry` of more than one attempt')
    if (options.onInterrupted !== undefined) throw notDeferred(name, '`onInterrupted`')
  }
  return { name, fn, retry: policy, timeoutMs, onInterrupted, isDeferred, summary, context: currentContext() }
}

/** Largest size of the summary of a step, in bytes. */
export const SUMMARY_BYTES_MAX = 256

/** The text for people about a step that ended. `undefined` if it has none, or if its function made none. Never throws. */
export function summaryOf({ host, task }: Run, step: StepCall, { value, failed }: Ended): string | undefined {
  const { name, summary, context } = step
  if (typeof summary === 'string') return cutText(summary, SUMMARY_BYTES_MAX) || undefined
  if (summary === undefined || failed) return undefined
  try {
    const text: unknown = callIn(() => summary(fromJson(value) as never), context)
    if (typeof text === 'string') return cutText(text, SUMMARY_BYTES_MAX) || undefined
    throw new TypeError('The summary is no text')
  } catch (error) {
    const { taskId, type } = task.head
    const about = { taskId, type, step: name, error: faultOf(error) }
    host.logger.warn('A step has no summary: its function threw, or returned no text.', about)
    return undefined
  }
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
