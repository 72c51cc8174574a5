/**
 * Runs one step: calls its function, then records what came of it. This is where a step's result reaches the disk.
 *
 * C4. The function and the write are never in one `try`: a failed write is the store's failure, and the engine commits
 *     the same result again; the function is not called a second time for it.
 */
import { HoldfastError, TaskInterruptedError } from '../errors.js'
import { fromJson, toJson } from '../json.js'
import { stepStateKey } from '../store/layout.js'
import type { StepContext } from '../task/definition.js'
import { PREFIX } from '../task/head.js'
import { describeError, type TaskError } from '../task/outcome.js'
import { idempotencyKeyOf } from './derived.js'
import { type Asked, insideStep, type Run } from './run.js'
import { isFenced } from './run-host.js'

type StepFunction = (step: StepContext) => unknown

/** What came of the function: its result as JSON text, or what it threw. */
interface Ended {
  readonly value?: string | undefined
  readonly failed?: TaskError | undefined
}

/** What a step saves for its next attempt. */
interface Saves {
  made: boolean
  pending: Promise<void>
  /** Its function has ended: whatever it would still save belongs to no attempt. */
  over: boolean
}

/** Runs a step that the log doesn't answer, and records it. Never rejects. */
export async function runStep(run: Run, asked: Asked, name: string, fn: StepFunction): Promise<void> {
  const { host, task } = run
  const { ask, startedAt = host.clock.now() } = asked
  if (task.head.records >= host.limits.stepsPerTaskMax) {
    run.fail(tooManySteps(task.taskId, name, host.limits.stepsPerTaskMax))
    return run.dropped(asked)
  }
  const made = run.stepStates.has(stepStateKey(task.taskId, ask.segment, ask.ask))
  const saves: Saves = { made, pending: Promise.resolve(), over: false }
  const ended = await call(run, asked, name, fn, saves)
  saves.over = true
  await saves.pending
  // Settled meanwhile, or left for the next open: a step that an abort brought down was interrupted, not failed (C8).
  if (run.isOver || (ended.failed && asked.aborted)) return run.dropped(asked)
  try {
    const { record } = await host.record(task, {
      kind: 'record',
      run: run.number,
      record: {
        kind: 'step',
        segment: ask.segment,
        scope: ask.scope,
        ask: ask.ask,
        after: ask.after,
        name,
        number: ask.name.kind === 'step' ? ask.name.number : 0,
        startedAt,
        attempts: 1,
        value: ended.value,
        failed: ended.failed,
      },
      dropStepState: saves.made,
      progress: task.progress,
    })
    if (record?.kind !== 'step') return run.dropped(asked)
    run.recorded(asked, record)
    const { taskId, type } = task.head
    const { number, at: recordedAt } = record
    const segment = record.segment === PREFIX ? 'prefix' : record.segment
    const failed = ended.failed !== undefined
    host.events.emit('step:recorded', { taskId, type, step: name, segment, number, failed, startedAt, recordedAt })
  } catch (error) {
    run.dropped(asked)
    if (!isFenced(error)) run.fail(error)
  }
}

async function call(run: Run, asked: Asked, name: string, fn: StepFunction, saves: Saves): Promise<Ended> {
  try {
    const value = await insideStep.run(run, () => fn(contextOf(run, asked, saves)))
    const { resultBytesMax: bytesMax } = run.host.limits
    return { value: toJson(value, { what: `the result of step '${name}'`, bytesMax, option: 'limits.resultBytesMax' }) }
  } catch (error) {
    return { failed: describeError(error) }
  }
}

function contextOf(run: Run, asked: Asked, saves: Saves): StepContext {
  const { host, task, stepStates } = run
  const { segment, ask, id } = asked.ask
  const saved = stepStates.get(stepStateKey(task.taskId, segment, ask))
  return {
    get signal() {
      return run.signalOf(asked)
    },
    get idempotencyKey() {
      return idempotencyKeyOf(task.taskId, id)
    },
    attempt: task.head.attempt,
    checkpoint: saved === undefined || saved === '' ? undefined : fromJson(saved),
    async saveCheckpoint(state) {
      if (saves.over) throw new TypeError('`saveCheckpoint` was called after its step had ended')
      const use = {
        what: `the checkpoint of step '${id}'`,
        bytesMax: host.limits.stateBytesMax,
        option: 'limits.stateBytesMax',
      }
      const stateText = toJson(state, use) ?? ''
      saves.made = true
      const write = host.record(task, { kind: 'step-state', run: run.number, segment, ask, stateText }).then(
        () => {},
        (error: unknown) => {
          throw isFenced(error) ? new TaskInterruptedError(task.taskId) : error
        },
      )
      saves.pending = write.catch(() => {})
      return write
    },
  }
}

function tooManySteps(taskId: string, step: string, max: number): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `Step '${step}' would be record ${max + 1} of task ${taskId}; ${max} are kept (option \`limits.stepsPerTaskMax\`). Save checkpoints with \`prune: true\` to keep the log short.`,
    { details: { taskId, step, max, option: 'limits.stepsPerTaskMax' } },
  )
}
