// Goal: calls of durable tools, with and without tasks, on both kinds of servers.
// Method: raw requests over a connection in memory, the real engine on a disk in memory.
import { setTimeout as delay } from 'node:timers/promises'
import { McpServer, Server } from '@modelcontextprotocol/server'
import { defineTask } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { INFO, KNOWS_TASKS, modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double, failing, never, slow } from '../../helpers/mcp/tools.js'

async function setUp(options = {}) {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local', pollInterval: 20, progressInterval: 0, ...options })
    .tool(double, { description: 'Doubles' })
    .tool(slow)
    .tool(failing)
    .tool(never, { taskSupport: 'required' })
    .tool(
      defineTask({ name: 'quick', output: z.object({ ok: z.boolean() }) }, () => ({ ok: true })),
      { inlineBudget: '10s' },
    )
    .tool(
      defineTask({ name: 'plainly' }, () => 'ok'),
      { taskSupport: 'forbidden' },
    )
  return { holdfast, durable }
}

test('a client that knows tasks gets one, and its result when it is there', async () => {
  const { durable } = await setUp()
  const { call, settled } = await modernClient(durable)
  const { result } = await call('double', { n: 4 })
  expect(result).toMatchObject({ resultType: 'task', status: 'working', ttlMs: expect.any(Number), pollIntervalMs: 20 })
  expect(await settled(result.taskId)).toMatchObject({
    resultType: 'complete',
    status: 'completed',
    result: { resultType: 'complete', structuredContent: { n: 8 }, content: [{ type: 'text', text: '{"n":8}' }] },
  })
})

test('a client that does not know tasks gets the result', async () => {
  const { durable } = await setUp()
  const { call } = await modernClient(durable, { capabilities: {} })
  expect((await call('double', { n: 4 })).result).toMatchObject({ resultType: 'complete', structuredContent: { n: 8 } })
})

test('a tool of one function is listed, called and retried like any other', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local', pollInterval: 20 })
  let calls = 0
  durable.tool('multiply', {
    title: 'Multiply',
    input: z.object({ n: z.number(), by: z.number() }),
    output: z.object({ product: z.number() }),
    retry: { maximumAttempts: 2, initialInterval: 1 },
    toResult: ({ product }) => ({ content: [{ type: 'text', text: product.toFixed(1) }] }),
    run: ({ n, by }, { attempt }) => {
      calls++
      if (by === 0 && attempt === 1) throw new Error('again')
      return { product: n * by }
    },
  })
  const { call, request } = await modernClient(durable, { capabilities: {} })
  const { result } = await request('tools/list', {})
  expect(result.tools).toMatchObject([{ name: 'multiply', title: 'Multiply', inputSchema: { required: ['n', 'by'] } }])
  expect((await call('multiply', { n: 4, by: 5 })).result).toMatchObject({ content: [{ text: '20.0' }] })
  expect((await call('multiply', { n: 4, by: 0 })).result).toMatchObject({ content: [{ text: '0.0' }] })
  expect(calls).toBe(3)
  expect((await holdfast.list({ type: 'multiply' })).tasks).toHaveLength(2)
  expect((await call('multiply', { n: 'x' })).result).toMatchObject({ isError: true })
})

test('within its budget a tool answers with the result, and a forbidden one always', async () => {
  const { durable } = await setUp()
  const { call } = await modernClient(durable)
  expect((await call('quick')).result).toMatchObject({ resultType: 'complete', structuredContent: { ok: true } })
  expect((await call('plainly')).result).toMatchObject({ content: [{ text: 'ok' }] })
})

test('a tool that needs a task names the extension to a client without it', async () => {
  const { durable } = await setUp()
  const { call } = await modernClient(durable, { capabilities: {} })
  expect((await call('never')).error).toMatchObject({ code: -32_021, data: { requiredCapabilities: KNOWS_TASKS } })
})

test('arguments that do not fit are a result that says so, also for a client with tasks', async () => {
  const { durable } = await setUp()
  const { call } = await modernClient(durable)
  expect((await call('double', { n: 'four' })).result).toMatchObject({ isError: true, resultType: 'complete' })
})

test('tools of the author stand beside ours, on both kinds of servers', async () => {
  const { durable } = await setUp()
  const low = () => {
    const server = durable.attach(new Server(INFO, { capabilities: { tools: {} } }))
    server.setRequestHandler('tools/list', () => ({ tools: [{ name: 'own', inputSchema: { type: 'object' } }] }))
    server.setRequestHandler('tools/call', ({ params }) => ({
      content: [{ type: 'text', text: `own ${params.name}` }],
    }))
    durable.registerFallbackTools(server, { prefix: 'jobs_' })
    return server
  }
  const high = () => {
    const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
    server.registerTool('own', {}, async () => ({ content: [{ type: 'text', text: 'own own' }] }))
    durable.registerFallbackTools(server, { prefix: 'jobs_' })
    return server
  }
  const lists = []
  for (const server of [low, high]) {
    const { request, call, close } = await modernClient(durable, { server })
    const { tools } = (await request('tools/list')).result
    lists.push(tools)
    expect((await call('own')).result).toMatchObject({ content: [{ text: 'own own' }] })
    const { taskId } = (await call('slow', { ms: 1 })).result
    expect((await call('jobs_wait_for_task', { taskId })).result.structuredContent).toMatchObject({
      status: 'completed',
      text: ['slept'],
    })
    expect((await call('nothing')).error ?? (await call('nothing')).result).toBeDefined()
    await close()
  }
  const shape = (tools: { name: string }[]) =>
    [...tools].sort((one, other) => one.name.localeCompare(other.name)).map(({ name }) => name)
  expect(shape(lists[0])).toEqual(shape(lists[1]))
  const of = (tools: { name: string; inputSchema: object }[], name: string) => tools.find((tool) => tool.name === name)
  expect(of(lists[0], 'double')).toMatchObject({ inputSchema: of(lists[1], 'double')?.inputSchema as object })
})

test('attached too late, it says where to put it', async () => {
  const { durable } = await setUp()
  const eager = new McpServer(INFO, { capabilities: { tools: {} } })
  expect(() => durable.attach(eager)).toThrow(/too late.*serverOptions/)
  const late = new McpServer(INFO)
  late.registerTool('own', {}, async () => ({ content: [] }))
  expect(() => durable.attach(late)).toThrow(/Attach before the first tool/)
  const low = new Server(INFO, { capabilities: { tools: {} } })
  low.setRequestHandler('tools/call', () => ({ content: [] }))
  expect(() => durable.attach(low)).toThrow(/too late/)
  expect(() => durable.tool(defineTask({ name: 'other' }, () => 1))).toThrow(/too late/)
})

test('progress is the status message, and what a call without tasks is sent', async () => {
  const { durable } = await setUp()
  const { call, until } = await modernClient(durable)
  const { taskId } = (await call('slow', { ms: 200 })).result
  expect(await until(taskId, ({ statusMessage }) => statusMessage)).toMatchObject({
    statusMessage: expect.stringContaining('of 4'),
  })
  const plain = await modernClient(durable, { capabilities: {} })
  await plain.call('slow', { ms: 20 }, { _meta: { progressToken: 'p' } })
  expect(plain.notifications.map(({ params }) => params['progress'])).toEqual([1, 2, 3, 4])
})

test('a dropped connection leaves the task alone; a cancelled call ends one of a client without tasks if it may', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local' }).tool(slow, { onInterrupt: 'cancel' })
  const { call, close, send } = await modernClient(durable, { capabilities: {} })
  const ofTasks = async (count: number) => {
    for (;;) {
      const { tasks } = await holdfast.list()
      if (tasks.length === count) return tasks
      await delay(5)
    }
  }
  void call('slow', { ms: 2_000 }, {}, { id: 'one' })
  const [first] = await ofTasks(1)
  await send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'one' } })
  await expect(holdfast.result(first?.taskId as string)).rejects.toThrow(/cancelled/)
  void call('slow', { ms: 100 }, {}, { id: 'two' })
  const second = (await ofTasks(2)).find(({ taskId }) => taskId !== first?.taskId)
  await close()
  expect(await holdfast.result(second?.taskId as string)).toBe('slept')
})

test('the trace of a call is kept with its task', async () => {
  const { durable } = await setUp()
  const { call } = await modernClient(durable)
  const trace = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a=b' }
  const { taskId } = (await call('never', {}, { _meta: trace })).result
  expect(await durable.traceOf(taskId)).toEqual(trace)
  const other = (await call('never', {}, { _meta: { traceparent: 'nonsense' } })).result
  expect(await durable.traceOf(other.taskId)).toBeUndefined()
})

test('a repeated call with the same idempotency key gets the first task, and its result once it is there', async () => {
  const { durable } = await setUp()
  const { call, settled } = await modernClient(durable)
  const again = () => call('double', { n: 2 }, { _meta: { 'holdfast/idempotencyKey': 'k' } })
  const { taskId } = (await again()).result
  await settled(taskId)
  expect((await again()).result).toMatchObject({ resultType: 'complete', structuredContent: { n: 4 } })
})

test('without tasks a repeated call joins the one that was given up', async () => {
  const { durable, holdfast } = await setUp()
  const first = await modernClient(durable, { capabilities: {} })
  void first.call('slow', { ms: 100 })
  while ((await holdfast.list()).tasks.length === 0) await delay(2)
  await first.close()
  await untilIdle(holdfast)
  const second = await modernClient(durable, { capabilities: {} })
  expect((await second.call('slow', { ms: 100 })).result).toMatchObject({ content: [{ text: 'slept' }] })
  expect((await holdfast.list()).tasks).toHaveLength(1)
})

test('the bindings of both eras count together what an owner does', async () => {
  const holdfast = await openInMemory()
  const limits = { liveTasksPerOwnerMax: 2 }
  const legacy = legacyEra.durableTasks(holdfast, { access: 'local', limits }).tool(never)
  const durable = durableTasks(holdfast, { access: 'local', limits }).tool(never)
  const earlier = await rawClient(legacy)
  const { call } = await modernClient(durable)
  expect((await earlier.call('never', {}, { task: {} })).error).toBeUndefined()
  expect((await call('never')).error).toBeUndefined()
  for (const { error } of [await call('never'), await earlier.call('never', {}, { task: {} })]) {
    expect(error).toMatchObject({ code: -32_602, data: { limit: 'liveTasksPerOwnerMax' } })
  }
})
