/**
 * The process that trial.mjs kills and starts again: a store whose spans and metrics go to a receiver by OTLP.
 *
 *   node server.mjs <URL of the built package> <store> <URL of the receiver> kill|finish
 */
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'

const [, , url = '', dir = '', receiver = '', mode = ''] = process.argv
/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast } = await import(`${url}/index.js`)
/** @type {typeof import('holdfast/otel')} */
const { otel } = await import(`${url}/otel/index.js`)

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
const tracerProvider = new BasicTracerProvider({
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${receiver}/v1/traces` }))],
})
const exporter = new OTLPMetricExporter({ url: `${receiver}/v1/metrics` })
const meterProvider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
const flush = () => Promise.all([tracerProvider.forceFlush(), meterProvider.forceFlush()])

const work = defineTask({ name: 'work' }, async (task) => {
  await task.step('one', () => 1)
  await task.saveCheckpoint({ at: 'one' })
  await task.step('two', async () => {
    if (mode !== 'kill') return 2
    await flush()
    return process.kill(process.pid, 'SIGKILL')
  })
})

const telemetry = otel({ tracerProvider, meterProvider })
const holdfast = await Holdfast.open({ dir, tasks: [work], logLevel: 'error', telemetry })
if (mode === 'kill') {
  const span = tracerProvider.getTracer('client').startSpan('client request')
  await context.with(trace.setSpan(context.active(), span), () => holdfast.start(work, undefined))
  span.end()
}
for (const { taskId } of (await holdfast.list()).tasks) await holdfast.result(taskId)
// The gauges of the store are read while it is open.
await flush()
await holdfast.close()
await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()])
