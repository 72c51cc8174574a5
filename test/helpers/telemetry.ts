/** A real SDK of OpenTelemetry in memory, for tests: its spans, and its metrics when they are read. */
import { context, type Tracer } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { otel } from 'holdfast/otel'
import type { Telemetry } from '../../src/task/telemetry.js'

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

class Reader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

/** One point of a metric: its attributes, and its value, or the count and the sum of a histogram. */
export interface Point {
  readonly name: string
  readonly unit: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly value: unknown
}

/** The SDK, and the telemetry over it. */
export class TestSdk {
  readonly #exporter = new InMemorySpanExporter()
  readonly #reader = new Reader()
  readonly telemetry: Telemetry
  readonly tracer: Tracer

  constructor() {
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.#exporter)] })
    const meterProvider = new MeterProvider({ readers: [this.#reader] })
    this.telemetry = otel({ tracerProvider, meterProvider })
    this.tracer = tracerProvider.getTracer('test')
  }

  /** The spans that have ended, in the order of their ends. */
  get spans(): readonly ReadableSpan[] {
    return this.#exporter.getFinishedSpans()
  }

  /** The spans of a name. */
  named(name: string): readonly ReadableSpan[] {
    return this.spans.filter((span) => span.name === name)
  }

  /** The only span of a name. @throws Error if there is none, or another */
  one(name: string): ReadableSpan {
    const [span, ...others] = this.named(name)
    if (!span || others.length > 0) throw new Error(`Expected one span ${name}, got ${others.length + (span ? 1 : 0)}`)
    return span
  }

  /** The span that a span has as its parent; `undefined` for a root. */
  parentOf(span: ReadableSpan): ReadableSpan | undefined {
    return this.spans.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId)
  }

  /** Reads the metrics. */
  async points(): Promise<Point[]> {
    const { resourceMetrics } = await this.#reader.collect()
    return resourceMetrics.scopeMetrics
      .flatMap(({ metrics }) => metrics)
      .flatMap(({ descriptor: { name, unit }, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => ({ name, unit, attributes, value })),
      )
  }

  /** Reads the points of one metric. */
  async pointsOf(name: string): Promise<Point[]> {
    return (await this.points()).filter((point) => point.name === name)
  }
}
