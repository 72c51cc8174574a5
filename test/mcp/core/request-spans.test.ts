// Goal: each request of a client has a span by the conventions for MCP, whose parent is the client's span, in both revisions.
// Method: a real SDK of OpenTelemetry in memory, and the endpoints and connections of both revisions.
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { defineTask } from 'holdfast'
import { durableTasks as durable2025 } from 'holdfast/mcp/2025-11-25'
import { durableTasks as durable2026 } from 'holdfast/mcp/2026-07-28'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { CallServer, REVISIONS, type Revision } from '../../helpers/mcp/call-server.js'
import { connect } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { TestSdk } from '../../helpers/telemetry.js'

const TRACE = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }
const _meta = { traceparent: `00-${TRACE.traceId}-${TRACE.spanId}-01`, tracestate: 'vendor=1' }
const SECRET = 4_711_817

/** A server over HTTP, and a function that returns the last span of a name. */
async function begin(revision: Revision) {
  const sdk = new TestSdk()
  const server = await CallServer.start(revision, new MemoryDisk(), sdk.telemetry)
  const send = async (method: string, params: Record<string, unknown>) => {
    await (await server.request(method, params)).text()
    await untilIdle(server.holdfast)
  }
  const last = (name: string) => sdk.named(name).at(-1) as ReadableSpan
  return { sdk, server, send, last }
}

describe.each(REVISIONS)('over HTTP, a request of %s', (revision) => {
  test('has a span whose parent is the client, and the task is created within it', async () => {
    const { sdk, server, send, last } = await begin(revision)
    await sdk.tracer.startActiveSpan('POST /mcp', async (http) => {
      await send('tools/call', { name: 'add', arguments: { n: SECRET }, _meta })
      http.end()
    })
    const span = last('tools/call add')
    expect(span.kind).toBe(SpanKind.SERVER)
    expect(span.parentSpanContext).toMatchObject({ ...TRACE, isRemote: true })
    expect(span.parentSpanContext?.traceState?.serialize()).toBe('vendor=1')
    expect(span.spanContext().traceId).toBe(TRACE.traceId)
    expect(span.links.map(({ context }) => context.spanId)).toEqual([last('POST /mcp').spanContext().spanId])
    const session = revision === '2025-11-25' ? { 'mcp.session.id': expect.stringMatching(/.{16,}/) } : {}
    expect(span.attributes).toEqual({
      'mcp.method.name': 'tools/call',
      'mcp.protocol.version': revision,
      'gen_ai.tool.name': 'add',
      'gen_ai.operation.name': 'execute_tool',
      'jsonrpc.request.id': expect.stringMatching(/^\d+$/),
      'network.transport': 'tcp',
      ...session,
    })
    const create = last('task.create')
    expect(sdk.parentOf(create)).toBe(span)
    expect(last('holdfast.task.run').links.map(({ context }) => context.spanId)).toEqual([create.spanContext().spanId])
    expect(JSON.stringify(sdk.spans.map(({ attributes }) => attributes))).not.toContain(String(SECRET))
    await server.close()
  })

  test('without a trace of the client is a child of the active span, without a link', async () => {
    const { sdk, server, send, last } = await begin(revision)
    await sdk.tracer.startActiveSpan('POST /mcp', async (http) => {
      await send('tools/call', { name: 'add', arguments: { n: 1 }, _meta: { traceparent: 'nonsense' } })
      http.end()
    })
    expect(sdk.parentOf(last('tools/call add'))?.name).toBe('POST /mcp')
    expect(last('tools/call add').links).toEqual([])
    await server.close()
  })

  test('that fails has the code of its error, or tool_error for the result of a tool', async () => {
    const { sdk, server, send, last } = await begin(revision)
    const isModern = revision === '2026-07-28'
    const capabilities = {
      'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
    }
    await send('tasks/get', { taskId: 'none', name: 'none', ...(isModern ? { _meta: capabilities } : {}) })
    expect(last('tasks/get').attributes).toMatchObject({ 'error.type': '-32602', 'rpc.response.status_code': '-32602' })
    expect(last('tasks/get').status).toEqual({ code: SpanStatusCode.ERROR })
    await send('tools/call', { name: 'add', arguments: { n: 'no number' } })
    expect(last('tools/call add').attributes).toMatchObject({ 'error.type': 'tool_error' })
    expect(last('tools/call add').attributes).not.toHaveProperty('rpc.response.status_code')
    const points = await sdk.pointsOf('mcp.server.operation.duration')
    expect(points.map(({ attributes }) => attributes)).toContainEqual({
      'mcp.method.name': 'tools/call',
      'mcp.protocol.version': revision,
      'gen_ai.tool.name': 'add',
      'gen_ai.operation.name': 'execute_tool',
      'network.transport': 'tcp',
      'error.type': 'tool_error',
    })
    await server.close()
  })

  test('of a tool that is none has the name on its span, cut, and not on the metric', async () => {
    const { sdk, server, send } = await begin(revision)
    const name = 'n'.repeat(5_000)
    await send('tools/call', { name, arguments: {} })
    const spans = sdk.spans.filter((span) => span.attributes['gen_ai.tool.name'] === 'n'.repeat(128))
    expect(spans.map((span) => span.name)).toEqual([`tools/call ${'n'.repeat(128)}`])
    const points = await sdk.pointsOf('mcp.server.operation.duration')
    expect(points.map(({ attributes }) => attributes['gen_ai.tool.name'])).toEqual(['add', undefined])
    await server.close()
  })
})

test('over a connection without HTTP, a request has the transport pipe and the agreed revision (2025-11-25)', async () => {
  const sdk = new TestSdk()
  const holdfast = await openInMemory({ telemetry: sdk.telemetry })
  const durable = durable2025(holdfast, { access: 'local' }).tool('greet', { run: () => 'hello' })
  const { client } = await connect(durable)
  await client.callTool({ name: 'greet', arguments: {}, _meta })
  const span = sdk.one('tools/call greet')
  expect(span.attributes).toMatchObject({ 'network.transport': 'pipe', 'mcp.protocol.version': '2025-11-25' })
  expect(span.parentSpanContext).toMatchObject(TRACE)
  expect(sdk.parentOf(sdk.one('task.create'))).toBe(span)
  await client.close()
  await holdfast.close()
})

test('over a connection without HTTP, a call that is answered with a task ends with that answer (2026-07-28)', async () => {
  const sdk = new TestSdk()
  const waits = defineTask({ name: 'waits', input: z.object({}) }, (task) => task.input('go'))
  const holdfast = await openInMemory({ telemetry: sdk.telemetry })
  const durable = durable2026(holdfast, { access: 'local' }).tool(waits)
  const { call, close } = await modernClient(durable)
  expect((await call('waits', {}, { _meta })).result).toMatchObject({ resultType: 'task' })
  const span = sdk.one('tools/call waits')
  expect(span.attributes).toMatchObject({ 'network.transport': 'pipe', 'mcp.protocol.version': '2026-07-28' })
  expect(span.attributes).not.toHaveProperty('error.type')
  await close()
  await holdfast.close({ grace: 0 })
})
