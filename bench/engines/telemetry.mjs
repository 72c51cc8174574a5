/** Telemetry with a batch processor, as a server has it. The exporter drops what it gets: a collector is another process. */
import { context } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { otel } from 'holdfast/otel'

/** @returns {import('holdfast').Telemetry} */
export function batchedTelemetry() {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  /** @param {unknown} _ @param {(result: { code: number }) => void} done */
  const drop = (_, done) => done({ code: 0 })
  const exporter = { export: drop, shutdown: async () => {}, forceFlush: async () => {} }
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] })
  const selectAggregationTemporality = () => AggregationTemporality.CUMULATIVE
  const reader = new PeriodicExportingMetricReader({ exporter: { ...exporter, selectAggregationTemporality } })
  return otel({ tracerProvider, meterProvider: new MeterProvider({ readers: [reader] }) })
}
