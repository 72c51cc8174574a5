/**
 * The trace context of a call (W3C, https://www.w3.org/TR/trace-context/), as clients send it in `_meta`, and as a span of
 * telemetry has it. It is stored with the task, so that work after a crash links to the call that began it. An invalid
 * trace is ignored, because no call should fail for its trace.
 */

/** Trace context of a call. */
export interface Trace {
  readonly traceparent: string
  readonly tracestate?: string | undefined
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
const TRACESTATE_CHARS_MAX = 512

/** Trace in a request's `_meta`; `undefined` if there is none. */
export function traceOf(meta: Readonly<Record<string, unknown>> | undefined): Trace | undefined {
  const { traceparent, tracestate } = meta ?? {}
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return undefined
  const fits = typeof tracestate === 'string' && /^[\x20-\x7e]*$/.test(tracestate)
  return { traceparent, ...(fits && tracestate.length <= TRACESTATE_CHARS_MAX ? { tracestate } : {}) }
}
