/** Metrics: their names, units and attributes. No ID and no name that a client chooses is among the attributes. */
import type { Attributes, BatchObservableResult, Meter } from '@opentelemetry/api'
import type { SpanBegin, SpanEnd, SpanTask, TelemetryEvent, TelemetryFigures } from '../task/telemetry.js'
import { ATTRIBUTES, errorAttributes, requestMetricAttributes } from './attributes.js'

const BOUNDS = {
  commit: [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
  batch: [1, 2, 5, 10, 20, 50, 100],
  step: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3_600],
  // Those of the conventions for MCP.
  request: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
  task: [0.01, 0.1, 1, 5, 10, 60, 300, 1_800, 3_600, 21_600, 86_400, 604_800],
} as const

export class Instruments {
  readonly #tasks
  readonly #parked
  readonly #storeBytes
  readonly #taskDuration
  readonly #stepDuration
  readonly #commitDuration
  readonly #batchSize
  readonly #queueWait
  readonly #recovered
  readonly #requestDuration

  constructor(private readonly meter: Meter) {
    const seconds = (name: string, description: string, bounds: readonly number[]) =>
      meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: [...bounds] } })
    const tasks = { unit: '{task}' }
    this.#tasks = meter.createObservableGauge('holdfast.tasks', { ...tasks, description: 'Unfinished tasks.' })
    this.#parked = meter.createObservableGauge('holdfast.tasks.parked', { ...tasks, description: 'Parked tasks.' })
    this.#storeBytes = meter.createObservableGauge('holdfast.store.bytes', {
      description: "Bytes of the database's files.",
      unit: 'By',
    })
    this.#taskDuration = seconds(
      'holdfast.task.duration',
      'Time from the creation of a task to its outcome.',
      BOUNDS.task,
    )
    this.#stepDuration = seconds('holdfast.step.duration', 'Time of an attempt of a step.', BOUNDS.step)
    this.#commitDuration = seconds('holdfast.commit.duration', 'Time of a batch of commits.', BOUNDS.commit)
    this.#batchSize = meter.createHistogram('holdfast.commit.batch_size', {
      description: 'Commits in a batch.',
      unit: '{commit}',
      advice: { explicitBucketBoundaries: [...BOUNDS.batch] },
    })
    this.#queueWait = seconds('holdfast.queue.wait', 'Time that a run waited for a slot.', BOUNDS.step)
    this.#requestDuration = seconds('mcp.server.operation.duration', 'Time of an MCP request.', BOUNDS.request)
    this.#recovered = meter.createCounter('holdfast.recovery.tasks', {
      ...tasks,
      description: 'Unfinished tasks that recoveries found, by result.',
    })
  }

  /** Records an event. */
  record(event: TelemetryEvent): void {
    switch (event.kind) {
      case 'settled': {
        const { status, code, ageMs } = event
        this.#taskDuration.record(ageMs / 1_000, metricAttributes(event.task, status, code))
        break
      }
      case 'queued':
        this.#queueWait.record(event.ms / 1_000, metricAttributes(event.task))
        break
      case 'batch':
        this.#commitDuration.record(event.ms / 1_000)
        this.#batchSize.record(event.commits)
        break
    }
  }

  /** Records the end of a span. */
  ended(about: SpanBegin, end: SpanEnd, ms: number): void {
    const { outcome } = end
    if (about.kind === 'request') {
      this.#requestDuration.record(ms / 1_000, { ...requestMetricAttributes(about), ...errorAttributes(end) })
    }
    if (about.kind === 'step') {
      // Without the code: the code of an author may choose any text for it.
      this.#stepDuration.record(ms / 1_000, metricAttributes(about.task, outcome))
    }
    if (about.kind !== 'recover') return
    for (const [result, count] of Object.entries(end.tasks ?? {})) {
      this.#recovered.add(count, { [ATTRIBUTES.recoveryResult]: result })
    }
  }

  /** Reads figures whenever metrics are collected. Returns a function that ends this. */
  observe(figures: TelemetryFigures): () => void {
    const instruments = [this.#tasks, this.#parked, this.#storeBytes]
    // Series that were observed, as their attributes in JSON. An SDK repeats the last value of a series that is left out.
    const seen = new Set<string>()
    const read = async (result: BatchObservableResult) => {
      const missing = new Set(seen)
      for (const { status, type, count, parked } of figures.tasks()) {
        const typed = type === undefined ? {} : { [ATTRIBUTES.taskType]: type }
        const attributes = { ...typed, [ATTRIBUTES.taskStatus]: status }
        missing.delete(JSON.stringify(attributes))
        seen.add(JSON.stringify(attributes))
        result.observe(this.#tasks, count, attributes)
        result.observe(this.#parked, parked, attributes)
      }
      for (const text of missing) {
        for (const gauge of [this.#tasks, this.#parked]) result.observe(gauge, 0, JSON.parse(text) as Attributes)
      }
      const bytes = await figures.storeBytes()
      for (const [kind, size] of Object.entries(bytes)) {
        result.observe(this.#storeBytes, size, { [ATTRIBUTES.storeKind]: kind })
      }
    }
    this.meter.addBatchObservableCallback(read, instruments)
    return () => this.meter.removeBatchObservableCallback(read, instruments)
  }
}

/** Attributes of a task on a metric. Only those with a value, because an SDK counts `undefined` as a series of its own. */
function metricAttributes(task: SpanTask, outcome?: string, code?: string): Attributes {
  const attributes: Attributes = {}
  // A client may choose the type of a session task, and so the number of series.
  if (!task.isSession) attributes[ATTRIBUTES.taskType] = task.type
  if (outcome !== undefined) attributes[ATTRIBUTES.outcome] = outcome
  if (code !== undefined) attributes[ATTRIBUTES.error] = code
  return attributes
}
