/** A span of OpenTelemetry, as the library uses it. */
import {
  type Attributes,
  context,
  isSpanContextValid,
  type Span,
  type SpanContext,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import type { SpanBegin, SpanEnd, TelemetrySpan } from '../task/telemetry.js'
import type { Trace } from '../task/trace.js'
import { ATTRIBUTES, errorAttributes } from './attributes.js'
import type { Instruments } from './instruments.js'

/** A span with the metrics that count its end. */
export class OtelSpan implements TelemetrySpan {
  readonly #startedAt = performance.now()

  constructor(
    private readonly about: SpanBegin,
    private readonly span: Span,
    private readonly instruments: Instruments,
  ) {}

  get trace(): Trace | undefined {
    return traceOfContext(this.span.spanContext())
  }

  within<T>(act: () => T): T {
    return context.with(trace.setSpan(context.active(), this.span), act)
  }

  end(end: SpanEnd): void {
    this.span.setAttributes(endAttributes(this.about, end))
    if (end.outcome === 'failed') this.span.setStatus({ code: SpanStatusCode.ERROR })
    this.span.end()
    this.instruments.ended(this.about, end, performance.now() - this.#startedAt)
  }
}

function endAttributes(about: SpanBegin, end: SpanEnd): Attributes {
  // The conventions name all attributes of a request, and ours are not among them.
  if (about.kind === 'request') return errorAttributes(end)
  const { outcome, replayedSteps, checkpointId, tasks = {} } = end
  const counts = Object.entries(tasks).map(([result, count]) => [`${ATTRIBUTES.recoveryTasks}.${result}`, count])
  return {
    [ATTRIBUTES.outcome]: outcome,
    ...errorAttributes(end),
    ...(replayedSteps === undefined ? {} : { [ATTRIBUTES.replayedSteps]: replayedSteps }),
    ...(checkpointId === undefined ? {} : { [ATTRIBUTES.checkpointId]: checkpointId }),
    ...Object.fromEntries(counts),
  }
}

/** The trace context of a span; `undefined` for the span of a tracer that is off. */
function traceOfContext(of: SpanContext): Trace | undefined {
  if (!isSpanContextValid(of)) return undefined
  return { traceparent: `00-${of.traceId}-${of.spanId}-${of.traceFlags.toString(16).padStart(2, '0')}` }
}
