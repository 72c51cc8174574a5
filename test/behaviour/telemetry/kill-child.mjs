/**
 * The process that kill.test.ts kills. It writes each ended span to a file at once, one line of JSON each.
 *
 *   node kill-child.mjs <URL of the built package> <store> <file of spans> kill|finish
 */
import { appendFileSync } from 'node:fs'
import { context } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'

const [, , url = '', dir = '', file = '', mode = ''] = process.argv
/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast } = await import(`${url}/index.js`)
/** @type {typeof import('holdfast/otel')} */
const { otel } = await import(`${url}/otel/index.js`)

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
const tracerProvider = new BasicTracerProvider({
  spanProcessors: [
    new SimpleSpanProcessor({
      export: (spans, done) => {
        for (const span of spans) {
          const line = {
            name: span.name,
            ...span.spanContext(),
            parent: span.parentSpanContext?.spanId,
            links: span.links.map(({ context: { traceId, spanId } }) => ({ traceId, spanId })),
            attributes: span.attributes,
          }
          appendFileSync(file, `${JSON.stringify(line)}\n`)
        }
        done({ code: 0 })
      },
      shutdown: async () => {},
    }),
  ],
})

const work = defineTask({ name: 'work' }, async (task) => {
  await task.step('one', () => 1)
  await task.step('two', () => 2)
  await task.step('three', () => {
    if (mode === 'kill') process.kill(process.pid, 'SIGKILL')
    return 3
  })
})

const holdfast = await Holdfast.open({ dir, tasks: [work], logLevel: 'error', telemetry: otel({ tracerProvider }) })
if (mode === 'kill') await holdfast.start(work, undefined)
else await holdfast.recovery.done
const { tasks } = await holdfast.list()
for (const { taskId } of tasks) await holdfast.result(taskId)
await holdfast.close()
