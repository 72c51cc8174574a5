/**
 * Runs one step: calls its function, tries it again as its options say, then records what came of it. This is where a
 * step's result reaches the disk.
 *
 * C4. The function and the write are never in one `try`: a failed write is the store's failure, and the engine commits
 *     the same result again; the function is not called a second time for it.
 */
import { HoldfastError, TaskInterruptedError } from '../errors.js'
import { fromJson, toJson } from '../json.js'
import type { StepContext, StepOptions } from '../task/definition.js'
import { dueAt, PREFIX } from '../task/head.js'
import { describeError, type TaskError } from '../task/outcome.js'
import { nextAttemptAt, type RetryPolicy } from '../task/retry.js'
import type { StepProgress } from '../task/step-progress.js'
import type { Asked } from './asked.js'
import { callWithin } from './call-within.js'
import { idempotencyKeyOf } from './derived.js'
import { LazyAbort } from './lazy-abort.js'
import { insideStep, type Run } from './run.js'
import { isFenced } from './run-host.js'

/** A step as the body asked for it, with its options checked. */
export interface StepCall {
  readonly name: string
  readonly fn: (step: StepContext) => unknown
  readonly retry: RetryPolicy
  readonly timeoutMs: number | undefined
  readonly onInterrupted: NonNullable<StepOptions['onInterrupted']>
}

/** What came of an attempt: its result as JSON text, or what it threw. */
interface Ended {
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
  readonly thrown?: unknown
}

/** How far the step is, in this process, and whether any of that is on disk. */
interface Trial {
  progress: StepProgress
  isStored: boolean
  /** The write that is on its way. */
  pending: Promise<unknown>
}

/** Runs a step that the log doesn't answer, and records it. Never rejects. */
export async function runStep(run: Run, asked: Asked, step: StepCall): Promise<void> {
  const { host, task } = run
  const { ask, startedAt = host.clock.now() } = asked
  if (task.head.records >= host.limits.stepsPerTaskMax) {
    run.fail(tooManySteps(task.taskId, step.name, host.limits.stepsPerTaskMax))
    return run.dropped(asked)
  }
  const stored = run.progressOf(asked)
  if (stored && stored.id !== ask.id) return run.dropped(asked)
  const progress = stored ?? { id: ask.id, failedAttempts: 0 }
  const trial: Trial = { progress, isStored: stored !== undefined, pending: Promise.resolve() }
  try {
    const ended = await tryUntilDone(run, asked, step, trial)
    // Asked once more: from here to the decision nothing is awaited, so a run that is over writes nothing.
    if (!ended || run.isOver) return run.dropped(asked)
    const { record } = await host.record(task, {
      kind: 'record',
      run: run.number,
      record: {
        kind: 'step',
        segment: ask.segment,
        scope: ask.scope,
        ask: ask.ask,
        after: ask.after,
        name: step.name,
        number: ask.name.kind === 'step' ? ask.name.number : 0,
        startedAt,
        attempts: trial.progress.failedAttempts + 1,
        value: ended.value,
        failed: ended.failed,
      },
      dropStepState: trial.isStored,
      progress: task.progress,
    })
    if (record?.kind !== 'step') return run.dropped(asked)
    run.recorded(asked, record)
    const { taskId, type } = task.head
    const { number, at: recordedAt } = record
    const segment = record.segment === PREFIX ? 'prefix' : record.segment
    const failed = ended.failed !== undefined
    host.events.emit('step:recorded', { taskId, type, step: step.name, segment, number, failed, startedAt, recordedAt })
  } catch (error) {
    run.dropped(asked)
    if (!isFenced(error)) run.fail(error)
  }
}

/**
 * A step that must not begin twice notes that it begins. One that is found like that was running when its process ended,
 * so nobody knows whether its effect took place.
 */
async function beginOnce(run: Run, asked: Asked, step: StepCall, trial: Trial): Promise<Ended | undefined> {
  const { onInterrupted } = step
  if (onInterrupted === 'retry') return undefined
  const { begunAt } = trial.progress
  if (begunAt === undefined) {
    await store(run, asked, trial, { ...trial.progress, begunAt: run.host.clock.now() })
    return undefined
  }
  if (onInterrupted === 'fail') return { failed: describeError(inDoubt(run.task.taskId, step.name, begunAt)) }
  const { taskId } = run.task
  const idempotencyKey = idempotencyKeyOf(taskId, asked.ask.id)
  const info = { name: step.name, idempotencyKey, startedAt: begunAt, attempt: trial.progress.failedAttempts + 1 }
  return outcomeOf(run, step, () => insideStep.run(run, () => onInterrupted(info)))
}

/** Attempt after attempt, each failure on disk before the wait for the next. `undefined` if the run ends before. */
async function tryUntilDone(run: Run, asked: Asked, step: StepCall, trial: Trial): Promise<Ended | undefined> {
  const { host, task } = run
  for (;;) {
    const { retryAt } = trial.progress
    if (retryAt !== undefined && !(await run.waitUntil(asked, retryAt))) return undefined
    const found = await beginOnce(run, asked, step, trial)
    if (found) return run.isOver ? undefined : found
    if (run.isOver) return undefined
    const ended = await attempt(run, asked, step, trial)
    await trial.pending
    // Settled meanwhile, or left for the next open: a step that an abort brought down was interrupted, not failed (C8).
    if (run.isOver || (ended.failed && asked.aborted)) return undefined
    if (!ended.failed) return ended
    const next = nextAttemptAt(step.retry, {
      attempt: trial.progress.failedAttempts + 1,
      error: ended.thrown,
      now: host.clock.now(),
      dueAt: dueAt(task.head),
      fraction: host.ids.fraction(),
    })
    if (next === undefined) return ended
    const failedAttempts = trial.progress.failedAttempts + 1
    host.logger.debug('A step failed and is tried again', { taskId: task.taskId, step: step.name, failedAttempts })
    await store(run, asked, trial, { ...trial.progress, failedAttempts, retryAt: next, begunAt: undefined })
  }
}

async function attempt(run: Run, asked: Asked, step: StepCall, trial: Trial): Promise<Ended> {
  const attempt = { isOver: false }
  const aborter = new LazyAbort()
  asked.aborter = aborter
  const call = () => insideStep.run(run, () => step.fn(contextOf(run, asked, trial, attempt, aborter)))
  const { timeoutMs } = step
  const ended = await outcomeOf(run, step, () =>
    timeoutMs === undefined ? call() : callWithin(run, asked, step, timeoutMs, call),
  )
  attempt.isOver = true
  return ended
}

/** What comes of a user's function, as it is recorded. Never rejects, and writes nothing (C4). */
async function outcomeOf(run: Run, { name }: StepCall, call: () => unknown): Promise<Ended> {
  const { resultBytesMax: bytesMax } = run.host.limits
  try {
    const value = await call()
    return { value: toJson(value, { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }) }
  } catch (thrown) {
    return { failed: describeError(thrown), thrown }
  }
}

function contextOf(
  run: Run,
  asked: Asked,
  trial: Trial,
  attempt: { readonly isOver: boolean },
  aborter: LazyAbort,
): StepContext {
  const { host, task } = run
  const { stateText } = trial.progress
  return {
    get signal() {
      return aborter.signal
    },
    get idempotencyKey() {
      return idempotencyKeyOf(task.taskId, asked.ask.id)
    },
    attempt: trial.progress.failedAttempts + 1,
    checkpoint: stateText === undefined || stateText === '' ? undefined : fromJson(stateText),
    async saveCheckpoint(state) {
      // Its function has ended: whatever it would still save belongs to no attempt.
      if (attempt.isOver) throw new TypeError('`saveCheckpoint` was called after its step had ended')
      const { stateBytesMax: bytesMax } = host.limits
      const what = 'the state of the checkpoint of a step'
      const saved = toJson(state, { what, bytesMax, option: 'limits.stateBytesMax' }) ?? ''
      const writing = store(run, asked, trial, { ...trial.progress, stateText: saved })
      trial.pending = writing.catch(() => {})
      await writing.catch((error: unknown) => {
        throw isFenced(error) ? new TaskInterruptedError(task.taskId) : error
      })
    },
  }
}

/** Puts the step's progress on disk, where the next attempt finds it, in whatever process that is. */
async function store(run: Run, { ask }: Asked, trial: Trial, progress: StepProgress): Promise<void> {
  trial.progress = progress
  trial.isStored = true
  const { segment, ask: index } = ask
  await run.host.record(run.task, { kind: 'step-progress', run: run.number, segment, ask: index, step: progress })
}

function tooManySteps(taskId: string, step: string, max: number): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `Step '${step}' would be record ${max + 1} of task ${taskId}; ${max} are kept (option \`limits.stepsPerTaskMax\`). Save checkpoints with \`prune: true\` to keep the log short.`,
    { details: { taskId, step, max, option: 'limits.stepsPerTaskMax' } },
  )
}

function inDoubt(taskId: string, step: string, begunAt: number): HoldfastError {
  return new HoldfastError(
    'STEP_IN_DOUBT',
    `Step '${step}' of task ${taskId} began at ${new Date(begunAt).toISOString()} and was interrupted; whether its effect took place is not known. Find out, and start a new task for what is left.`,
    { details: { taskId, step, begunAt } },
  )
}
