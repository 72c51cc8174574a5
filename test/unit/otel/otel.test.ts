// Goal: `otel` refuses options of the wrong type, uses the registered providers by default, and works without any.
import { metrics, ProxyTracerProvider, trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { defineTask } from 'holdfast'
import { type OtelOptions, otel } from 'holdfast/otel'
import { openInMemory } from 'holdfast/testing'
import { expect, test } from 'vitest'

const greet = defineTask({ name: 'greet' }, (task) => task.step('a', () => 1))

test.each([
  [null, 'Expected the options of `otel` to be an object, got object'],
  ['x', 'Expected the options of `otel` to be an object, got string'],
  [{ tracer: {} }, 'There is no option `tracer` of `otel`'],
  [{ tracerProvider: {} }, 'Expected `tracerProvider` to be an object with the function getTracer, got object'],
  [{ meterProvider: null }, 'Expected `meterProvider` to be an object with the function getMeter, got object'],
])('the options %j are refused', (options, message) => {
  expect(() => otel(options as unknown as OtelOptions)).toThrow(new TypeError(message))
})

test('without a registered SDK, tasks run, and no trace is stored with them', async () => {
  expect(metrics.getMeterProvider().getMeter('x')).toBeDefined()
  const telemetry = otel()
  expect(telemetry.begin({ kind: 'recover', found: 0 }).trace).toBeUndefined()
  const holdfast = await openInMemory({ tasks: [greet], telemetry })
  expect(await holdfast.result((await holdfast.start(greet, undefined)).taskId)).toBe(1)
  await holdfast.close()
})

test('an SDK that is registered before the open is used', async () => {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const telemetry = otel({ tracerProvider: undefined })
  trace.setGlobalTracerProvider(provider)
  expect(trace.getTracerProvider()).toBeInstanceOf(ProxyTracerProvider)
  const holdfast = await openInMemory({ tasks: [greet], telemetry })
  await holdfast.result((await holdfast.start(greet, undefined)).taskId)
  await holdfast.close()
  trace.disable()
  expect(exporter.getFinishedSpans().map(({ name }) => name)).toContain('task.complete')
})
