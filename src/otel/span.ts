/** A span of OpenTelemetry, as the library uses it. */
import {
  type Context,
  context,
  isSpanContextValid,
  type Span,
  type SpanContext,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import type { SpanBegin, SpanEnd, TelemetrySpan } from '../task/telemetry.js'
import type { Trace } from '../task/trace.js'
import { lastAttributes } from './attributes.js'
import type { Instruments } from './instruments.js'

/** A span with the metrics that count its end. */
export class OtelSpan implements TelemetrySpan {
  readonly #startedAt = performance.now()
  #context: Context | undefined

  constructor(
    private readonly about: SpanBegin,
    private readonly span: Span,
    private readonly instruments: Instruments,
  ) {}

  get trace(): Trace | undefined {
    return traceOfContext(this.span.spanContext())
  }

  within<T>(act: () => T): T {
    this.#context ??= trace.setSpan(context.active(), this.span)
    return context.with(this.#context, act)
  }

  end(end: SpanEnd): void {
    const { span, about } = this
    if (span.isRecording()) {
      span.setAttributes(lastAttributes(about, end))
      if (end.outcome === 'failed') span.setStatus({ code: SpanStatusCode.ERROR })
    }
    span.end()
    this.instruments.ended(about, end, performance.now() - this.#startedAt)
  }
}

/** The trace context of a span; `undefined` for the span of a tracer that is off. */
function traceOfContext(of: SpanContext): Trace | undefined {
  if (!isSpanContextValid(of)) return undefined
  return { traceparent: `00-${of.traceId}-${of.spanId}-${of.traceFlags.toString(16).padStart(2, '0')}` }
}
