/** Telemetry with a batch processor, as a server has it. The exporter drops what it gets: a collector is another process. */
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { otel } from 'holdfast/otel'

/** @param {unknown} _ @param {(result: { code: number }) => void} done */
const drop = (_, done) => done({ code: 0 })
const exporter = { export: drop, shutdown: async () => {}, forceFlush: async () => {} }

function startSdk() {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  return new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] })
}

/** The telemetry of `holdfast/otel`. @returns {import('holdfast').Telemetry} */
export function batchedTelemetry() {
  const tracerProvider = startSdk()
  const selectAggregationTemporality = () => AggregationTemporality.CUMULATIVE
  const reader = new PeriodicExportingMetricReader({ exporter: { ...exporter, selectAggregationTemporality } })
  return otel({ tracerProvider, meterProvider: new MeterProvider({ readers: [reader] }) })
}

/**
 * The least that telemetry with the same spans costs: each span has a name and nothing else, and there are no metrics.
 * @returns {import('holdfast').Telemetry}
 */
export function bareTelemetry() {
  const tracer = startSdk().getTracer('bare')
  return {
    begin: ({ kind }) => {
      const span = tracer.startSpan(kind)
      return {
        trace: undefined,
        within: (act) => context.with(trace.setSpan(context.active(), span), act),
        end: () => span.end(),
      }
    },
    record: ({ kind }) => {
      if (kind === 'status' || kind === 'settled') tracer.startSpan(kind).end()
    },
    observe: () => () => {},
  }
}
