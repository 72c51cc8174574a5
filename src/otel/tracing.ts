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
import { ATTRIBUTES, type RequestAbout, requestAttributes, taskAttributes } from './attributes.js'

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
    const links = about.kind === 'run' ? linksTo(about.createdBy) : []
    return this.tracer.startSpan(NAMES[about.kind], { kind: SpanKind.INTERNAL, attributes: attributesOf(about), links })
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
      attributes: { ...taskAttributes(event.task), ...eventAttributes(event) },
      // Within a run, its span has the link.
      links: trace.getSpan(context.active()) ? [] : linksTo(event.createdBy),
    })
    if (isSettled && event.status === 'failed') span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(endTime)
  }
}

function attributesOf(about: Exclude<SpanBegin, RequestAbout>): Attributes {
  switch (about.kind) {
    case 'create':
      return taskAttributes(about.task)
    case 'run':
      return {
        ...taskAttributes(about.task),
        [ATTRIBUTES.run]: about.run,
        [ATTRIBUTES.runAttempt]: about.attempt,
        [ATTRIBUTES.recovered]: about.recovered,
      }
    case 'step':
      return {
        ...taskAttributes(about.task),
        [ATTRIBUTES.run]: about.run,
        [ATTRIBUTES.step]: about.step,
        [ATTRIBUTES.stepAttempt]: about.attempt,
      }
    case 'save-checkpoint':
    case 'restore-checkpoint':
      return { ...taskAttributes(about.task), [ATTRIBUTES.checkpointBy]: about.by }
    case 'recover':
      return { [ATTRIBUTES.recoveryFound]: about.found }
  }
}

function eventAttributes(event: Extract<TelemetryEvent, { kind: 'status' | 'settled' }>): Attributes {
  if (event.kind === 'status') return { [ATTRIBUTES.statusFrom]: event.from, [ATTRIBUTES.statusTo]: event.to }
  const { status, code } = event
  return { [ATTRIBUTES.outcome]: status, ...(code === undefined ? {} : { [ATTRIBUTES.error]: code }) }
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
