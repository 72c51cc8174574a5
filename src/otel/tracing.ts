/** Spans: their names, parents, links and first attributes. */
import {
  type Attributes,
  context,
  createTraceState,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { SpanBegin, TelemetryEvent } from '../task/telemetry.js'
import type { Trace } from '../task/trace.js'
import { ATTRIBUTES, firstAttributes, type RequestAbout, requestAttributes, taskAttributes } from './attributes.js'

/** Names of spans by kind. */
const NAMES: Readonly<Record<Exclude<SpanBegin['kind'], 'request'>, string>> = {
  create: 'task.create',
  run: 'holdfast.task.run',
  step: 'holdfast.step',
  'save-checkpoint': 'holdfast.checkpoint.save',
  'restore-checkpoint': 'holdfast.checkpoint.restore',
  recover: 'holdfast.recover',
}

export class Tracing {
  constructor(private readonly tracer: Tracer) {}

  /** Begins a span under the active one. */
  begin(about: SpanBegin): Span {
    if (about.kind === 'request') return this.#beginRequest(about)
    const options = { kind: SpanKind.INTERNAL, attributes: firstAttributes(about) }
    if (about.kind !== 'run') return this.tracer.startSpan(NAMES[about.kind], options)
    return this.tracer.startSpan(NAMES.run, { ...options, root: true, links: linksTo(about.createdBy) })
  }

  /** Begins the span of a request. Its parent is the client's span, and the active one is linked then. */
  #beginRequest(about: RequestAbout): Span {
    const { method, tool, prompt, parent } = about
    const target = tool ?? prompt
    const client = parent && spanContextOf(parent)
    const active = trace.getSpanContext(context.active())
    const options = {
      kind: SpanKind.SERVER,
      attributes: requestAttributes(about),
      links: client && active ? [{ context: active }] : [],
    }
    const within = client ? trace.setSpanContext(ROOT_CONTEXT, client) : context.active()
    return this.tracer.startSpan(target === undefined ? method : `${method} ${target}`, options, within)
  }

  /** Makes the span of an event on disk: it began `ms` ago, and ends now. */
  record(event: TelemetryEvent): void {
    if (event.kind !== 'status' && event.kind !== 'settled') return
    const isSettled = event.kind === 'settled'
    const endTime = performance.timeOrigin + performance.now()
    const span = this.tracer.startSpan(isSettled ? 'task.complete' : 'task.status_change', {
      startTime: endTime - event.ms,
      attributes: { [ATTRIBUTES.taskType]: event.task.type },
      // Within a run, its span has the link.
      links: trace.getSpan(context.active()) ? [] : linksTo(event.createdBy),
    })
    if (span.isRecording()) span.setAttributes(eventAttributes(event))
    if (isSettled && event.status === 'failed') span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(endTime)
  }
}

function eventAttributes(event: Extract<TelemetryEvent, { kind: 'status' | 'settled' }>): Attributes {
  const attributes = taskAttributes(event.task)
  if (event.kind === 'status') {
    attributes[ATTRIBUTES.statusFrom] = event.from
    attributes[ATTRIBUTES.statusTo] = event.to
  } else {
    attributes[ATTRIBUTES.outcome] = event.status
    attributes[ATTRIBUTES.error] = event.code
  }
  return attributes
}

/** A link to the span of a trace context, if there is one. */
function linksTo(of: Trace | undefined): Link[] {
  return of ? [{ context: spanContextOf(of) }] : []
}

/** The span that a trace context names. */
function spanContextOf({ traceparent, tracestate }: Trace): SpanContext {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-')
  const traceState = tracestate === undefined ? {} : { traceState: createTraceState(tracestate) }
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true, ...traceState }
}
