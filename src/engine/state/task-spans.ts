/**
 * The spans of tasks: that of a run with those within it, and the events of a task that has a run or none. Exists only
 * with telemetry.
 */
import { callIn } from '../../base/empty-context.js'
import type { StepContext } from '../../task/definition/context.js'
import type { TaskHead } from '../../task/head.js'
import {
  errorCodeOf,
  type SpanBegin,
  type SpanEnd,
  type SpanTask,
  spanTaskOf,
  type Telemetry,
  type TelemetryEvent,
  type TelemetrySpan,
} from '../../task/telemetry.js'
import { type Trace, traceOf } from '../../task/trace.js'

/** A call of a step. Its span ends with the function, or when its signal is aborted. */
interface SpannedCall {
  span: TelemetrySpan | undefined
}

/** The span of one run of a body. */
export class RunSpan {
  readonly #task: SpanTask
  readonly #run: number
  readonly #span: TelemetrySpan
  #replayedSteps = 0

  constructor(
    private readonly telemetry: Telemetry,
    head: TaskHead,
    recovered: boolean,
  ) {
    const { run, attempt } = head
    const createdBy = createdByOf(head)
    this.#task = spanTaskOf(head)
    this.#run = run
    this.#span = telemetry.begin({ kind: 'run', task: this.#task, run, attempt, recovered, createdBy })
  }

  /** Calls `act` while the span is the active one. */
  within<T>(act: () => T): T {
    return this.#span.within(act)
  }

  /** Counts an answer of the log. */
  noteReplayed(kind: string): void {
    if (kind === 'step') this.#replayedSteps++
  }

  /** Begins a span of the creation of a child. */
  child(task: SpanTask): TelemetrySpan {
    return this.within(() => this.telemetry.begin({ kind: 'create', task }))
  }

  /** Wraps the function of a step, so that each call has a span, which is active in the function. */
  step<T>(asked: SpannedCall, name: string, fn: (step: StepContext) => T): (step: StepContext) => T {
    return (step) => {
      const { attempt } = step
      // The parent is what is active where the body called the step: this span, or one that the body made.
      const span = this.telemetry.begin({ kind: 'step', task: this.#task, run: this.#run, step: name, attempt })
      asked.span = span
      return span.within(() => fn(step))
    }
  }

  /** Runs work of the body on a checkpoint within a span. */
  checkpoint<T extends OfCheckpoint>(kind: CheckpointSpan, act: () => Promise<T>): Promise<T> {
    return this.within(() => tracedCheckpoint(this.telemetry, { kind, task: this.#task, by: 'body' }, act))
  }

  /** Ends the span. A second end has no effect. */
  end(end: SpanEnd): void {
    this.#span.end({ ...end, replayedSteps: this.#replayedSteps })
  }
}

type CheckpointSpan = 'save-checkpoint' | 'restore-checkpoint'

/** The checkpoint that was saved or restored. `undefined` if the task was settled meanwhile. */
type OfCheckpoint = { readonly checkpointId: string } | undefined

/** Runs work on a checkpoint within a span. */
export function tracedCheckpoint<T extends OfCheckpoint>(
  telemetry: Telemetry,
  about: Extract<SpanBegin, { kind: CheckpointSpan }>,
  act: () => Promise<T>,
): Promise<T> {
  const span = telemetry.begin(about)
  const work = span.within(act)
  work.then(
    (made) => span.end(made ? { outcome: 'completed', checkpointId: made.checkpointId } : INTERRUPTED),
    (thrown: unknown) => span.end(failedWith(thrown)),
  )
  return work
}

/** The end of a span whose work is done. */
export const COMPLETED: SpanEnd = { outcome: 'completed' }
/** The end of a span whose work was stopped from outside. */
export const INTERRUPTED: SpanEnd = { outcome: 'interrupted' }

/** The end of a span whose work threw. */
export function failedWith(thrown: unknown): SpanEnd {
  return { outcome: 'failed', code: errorCodeOf(thrown) }
}

/** A task in memory, as far as its events need it. */
interface SpannedTask {
  readonly committed: TaskHead | undefined
  readonly slot: { readonly run: { readonly span?: RunSpan | undefined } | undefined }
}

/** Records that a task has the status of `head`, which is on disk now. Call it before `committed` changes. */
export function recordStatus(telemetry: Telemetry, task: SpannedTask, head: TaskHead, now: number): void {
  const from = task.committed?.status
  const { status: to, updatedAt } = head
  if (from === undefined || from === to) return
  const ms = Math.max(0, now - updatedAt)
  recordFor(telemetry, task, { kind: 'status', task: spanTaskOf(head), from, to, createdBy: createdByOf(head), ms })
}

/** Records that a task is settled on disk. */
export function recordSettled(telemetry: Telemetry, task: SpannedTask, head: TaskHead, now: number): void {
  const { status, error, createdAt, settledAt = now } = head
  if (status !== 'completed' && status !== 'failed' && status !== 'cancelled') return
  const times = { ageMs: Math.max(0, settledAt - createdAt), ms: Math.max(0, now - settledAt) }
  recordFor(telemetry, task, {
    kind: 'settled',
    task: spanTaskOf(head),
    status,
    code: error?.code,
    createdBy: createdByOf(head),
    ...times,
  })
}

/** Trace of the span that created the task. It was read from the store, so it may be invalid. */
function createdByOf({ trace }: TaskHead): Trace | undefined {
  return trace && traceOf({ ...trace })
}

/** Records an event of a task within the span of its run, or within no span. The caller is any commit, so its span is another. */
function recordFor(telemetry: Telemetry, { slot: { run } }: SpannedTask, event: TelemetryEvent): void {
  const record = () => telemetry.record(event)
  if (run?.span) run.span.within(record)
  else callIn(record)
}
