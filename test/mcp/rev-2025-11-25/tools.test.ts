// Goal: what `durable.tool` and `durable.attach` promise a server's author.
// Method: the SDK's own client, or a raw one, on a real server in memory.
import { setTimeout as delay } from 'node:timers/promises'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer, type RegisteredTool } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CallToolRequestSchema, CallToolResultSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { connect, INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { gate, local } from '../../helpers/mcp/rev-2025-11-25/local.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double, failing, never, slow } from '../../helpers/mcp/tools.js'

describe('a schema that can’t be listed is refused when the tool is made', () => {
  const task = (input: z.ZodType, output?: z.ZodType) =>
    defineTask({ name: 'odd', input, ...(output ? { output } : {}) }, () => ({}) as never)
  test.each([
    ['a date', task(z.object({ day: z.date() })), 'inputSchema', 'day'],
    ['a bigint', task(z.object({ big: z.bigint() })), 'inputSchema', 'big'],
    ['a bare transform', task(z.object({ odd: z.transform(Number) })), 'inputSchema', 'odd'],
    [
      'a transform in the output',
      task(z.object({}), z.object({ out: z.string().transform(Number) })),
      'outputSchema',
      'out',
    ],
    ['a date in the output', task(z.object({}), z.object({ at: z.date() })), 'outputSchema', 'at'],
  ])('%s', async (_, definition, option, field) => {
    const { durable } = await local()
    expect(() => durable.tool(definition)).toThrow(new RegExp(`${option}.*'odd'.*${field}`))
  })

  test.each([
    ['a string', z.string()],
    ['a union, which the SDK lists as empty', z.union([z.object({ a: z.string() }), z.object({ b: z.string() })])],
    ['a transformed object', z.object({ a: z.string() }).transform((value) => value)],
  ])('an input that is not an object: %s', async (_, input) => {
    const { durable } = await local()
    expect(() => durable.tool(task(input))).toThrow(/'odd' to be a z\.object/)
  })

  test('what JSON has words for is listed, defaults and transforms of an input too', async () => {
    const { durable } = await local()
    durable.tool(task(z.object({ n: z.string().transform(Number), s: z.string().default('x') })))
    const { client } = await connect(durable)
    expect((await client.listTools()).tools[0]?.inputSchema.properties).toEqual({
      n: { type: 'string' },
      s: { type: 'string', default: 'x' },
    })
  })
})

test('a tool is listed as its author said', async () => {
  const { durable } = await local()
  durable.tool(double, {
    name: 'twice',
    title: 'Twice',
    description: 'Doubles',
    annotations: { readOnlyHint: true },
    _meta: { a: 1 },
  })
  durable.tool(slow, { taskSupport: 'required' }).tool(never, { taskSupport: 'forbidden' })
  const { client } = await connect(durable)
  const { tools } = await client.listTools()
  expect(tools).toMatchObject([
    {
      name: 'twice',
      title: 'Twice',
      description: 'Doubles',
      annotations: { readOnlyHint: true },
      _meta: { a: 1 },
      execution: { taskSupport: 'optional' },
      outputSchema: { properties: { n: { type: 'number' } } },
    },
    { name: 'slow', execution: { taskSupport: 'required' } },
    { name: 'never', execution: { taskSupport: 'forbidden' } },
  ])
})

test('a tool of one function is listed and called like any other', async () => {
  const { durable, holdfast } = await local()
  durable.tool('multiply', {
    title: 'Multiply',
    input: z.object({ n: z.number(), by: z.number() }),
    output: z.object({ product: z.number() }),
    taskSupport: 'optional',
    run: ({ n, by }, { idempotencyKey }) => ({ product: n * by, idempotencyKey }),
  })
  expect(() => durable.tool('odd', { run: () => 1, name: 'other' } as never)).toThrow(/`name`/)
  expect(() => durable.tool('odd', { title: 'Odd' } as never)).toThrow(/`body`|`run`/)
  const { client } = await connect(durable)
  const { tools } = await client.listTools()
  expect(tools).toMatchObject([
    { name: 'multiply', title: 'Multiply', outputSchema: { properties: { product: { type: 'number' } } } },
  ])
  const called = await client.callTool({ name: 'multiply', arguments: { n: 4, by: 5 } })
  expect(called.structuredContent).toEqual({ product: 20 })
  expect((await holdfast.list({ type: 'multiply' })).tasks).toMatchObject([{ status: 'completed', completedSteps: 0 }])
})

describe('a low-level server', () => {
  const own = { name: 'own', inputSchema: { type: 'object' as const } }
  const text = (text: string) => ({ content: [{ type: 'text' as const, text }] })
  const lowLevel = async () => {
    const { holdfast, durable } = await local()
    durable.tool(double, { start: true }).tool(slow).tool(never, { taskSupport: 'forbidden', title: 'Never' })
    return { holdfast, durable, server: durable.attach(new Server(INFO, durable.serverOptions())) }
  }

  test('lists and answers the durable tools, the fallback tools and the author’s own as an McpServer does', async () => {
    const { durable, server } = await lowLevel()
    server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [own] }))
    server.setRequestHandler(CallToolRequestSchema, ({ params }) => text(`own ${params.name}`))
    durable.registerFallbackTools(server, { prefix: 'jobs_' })
    const high = durable.attach(new McpServer(INFO, durable.serverOptions()))
    durable.registerFallbackTools(high, { prefix: 'jobs_' })
    high.registerTool('own', {}, () => text('own own'))
    const lists = []
    for (const server_ of [server, high]) {
      const { request, call, initialized } = await rawClient(durable, { server: server_ })
      expect(initialized.result.capabilities).toMatchObject({ tools: {}, tasks: { requests: { tools: { call: {} } } } })
      lists.push((await request('tools/list')).result.tools)
      expect((await call('own')).result).toEqual(text('own own'))
      expect((await call('double', { n: 4 })).result.structuredContent).toEqual({ n: 8 })
      expect((await call('double', { n: 'four' })).result.isError).toBe(true)
      const { taskId } = (await call('slow', { ms: 1 }, { task: {} })).result.task
      expect((await request('tasks/result', { taskId })).result.content).toEqual([{ type: 'text', text: 'slept' }])
      const started = (await call('start_double', { n: 2 })).result.structuredContent
      expect((await call('jobs_wait_for_task', started)).result.structuredContent).toMatchObject({
        status: 'completed',
      })
      expect((await call('jobs_wait_for_task', {})).result.isError).toBe(true)
      expect((await call('jobs_wait_for_task', started, { task: {} })).error?.code).toBe(-32_601)
      expect((await call('never', {}, { task: {} })).error?.code).toBe(-32_601)
    }
    const [ofLow, ofHigh] = lists
    expect(ofLow).toHaveLength(ofHigh.length)
    const find = (name: string) => ofHigh.find((tool: { name: string }) => tool.name === name)
    for (const tool of ofLow) expect({ execution: tool.execution, ...find(tool.name) }).toMatchObject(tool)
  })

  test('without handlers of the author’s lists the durable tools, and refuses any other', async () => {
    const { durable, server } = await lowLevel()
    const { request, call } = await rawClient(durable, { server })
    const { tools } = (await request('tools/list')).result
    expect(tools.map(({ name }: { name: string }) => name)).toEqual(['double', 'start_double', 'slow', 'never'])
    expect((await call('other')).error).toEqual({
      code: -32_602,
      message: expect.stringContaining('Tool other not found'),
    })
  })

  test('lists the durable tools on the first page only, and each name once', async () => {
    const { durable, server } = await lowLevel()
    const second = { ...own, name: 'second' }
    // The schema of an author who reads no more than the method.
    server.setRequestHandler(z.object({ method: z.literal('tools/list') }), () => ({ tools: [own], nextCursor: 'two' }))
    const { request } = await rawClient(durable, { server })
    server.setRequestHandler(ListToolsRequestSchema, ({ params }) =>
      params?.cursor === 'two' ? { tools: [second] } : { tools: [{ ...own, name: 'double' }, own], nextCursor: 'two' },
    )
    const first = (await request('tools/list')).result
    expect(first.nextCursor).toBe('two')
    expect(first.tools.map(({ name }: { name: string }) => name)).toEqual([
      'double',
      'start_double',
      'slow',
      'never',
      'own',
    ])
    expect(first.tools[0].outputSchema).toMatchObject({ type: 'object' })
    expect((await request('tools/list', { cursor: 'two' })).result).toEqual({ tools: [second] })
  })

  test('passes a call with a task for the author’s tool to the author', async () => {
    const { durable, server } = await lowLevel()
    const task = {
      taskId: 'theirs',
      status: 'working' as const,
      ttl: 60_000,
      createdAt: '2026-01-01T00:00:00Z',
      lastUpdatedAt: '2026-01-01T00:00:00Z',
    }
    server.setRequestHandler(CallToolRequestSchema, () => ({ task }))
    const { call } = await rawClient(durable, { server })
    expect((await call('own', {}, { task: {} })).result).toEqual({ task })
  })

  test('takes a fallback tool only once it is attached, and under a name of its own', async () => {
    const { durable, server } = await lowLevel()
    expect(() => durable.registerFallbackTools(new Server(INFO))).toThrow(
      new Error('Call durable.attach(server) before durable.registerFallbackTools(server)'),
    )
    durable.registerFallbackTools(server, { only: ['get_task_status'] })
    expect(() => durable.registerFallbackTools(server, { only: ['get_task_status'] })).toThrow(
      "The name 'get_task_status' is taken on this server.",
    )
  })
})

describe('attach', () => {
  test('throws when the server has a tool already', async () => {
    const { durable } = await local()
    const server = new McpServer(INFO)
    server.registerTool('first', {}, async () => ({ content: [] }))
    expect(() => durable.attach(server)).toThrow(/comes too late.*serverOptions/)
  })

  test('throws when the constructor installed the handlers, which serverOptions prevents', async () => {
    const { durable } = await local()
    durable.tool(double)
    expect(() => durable.attach(new McpServer(INFO, { capabilities: { tools: {} } }))).toThrow(/comes too late/)
    const options = durable.serverOptions({ instructions: 'Hello', capabilities: { tools: {}, logging: {} } })
    expect(options).toEqual({ instructions: 'Hello', capabilities: { logging: {} } })
    expect(() => durable.attach(new McpServer(INFO, options))).not.toThrow()
  })

  test('any number of servers share one durable, and a tool after the first is refused', async () => {
    const { durable } = await local()
    durable.tool(double)
    const clients = await Promise.all([connect(durable), connect(durable), connect(durable)])
    const answers = await Promise.all(
      clients.map(({ client }, n) => client.callTool({ name: 'double', arguments: { n } })),
    )
    expect(answers.map(({ structuredContent }) => structuredContent)).toEqual([{ n: 0 }, { n: 2 }, { n: 4 }])
    expect(() => durable.tool(slow)).toThrow(/comes too late/)
  })

  test('a closed server is dropped', async () => {
    const { durable } = await local()
    durable.tool(double)
    const { client, server } = await connect(durable)
    expect(durable.attachments.size).toBe(1)
    const closed = vi.fn()
    server.server.onclose = closed
    await client.close()
    expect(durable.attachments.size).toBe(0)
  })

  test('plain tools beside it are the SDK’s, and may be updated and removed', async () => {
    const { durable } = await local()
    durable.tool(double)
    const { client, server } = await connect(durable, {
      setUp: (server) => {
        server.registerTool('plain', { inputSchema: { x: z.number() } }, async ({ x }) => ({
          content: [{ type: 'text', text: `${x}` }],
        }))
      },
    })
    expect(await client.callTool({ name: 'plain', arguments: { x: 3 } })).toMatchObject({ content: [{ text: '3' }] })
    expect(await client.callTool({ name: 'plain', arguments: { x: 'y' } })).toMatchObject({ isError: true })
    expect(await client.callTool({ name: 'nothing' })).toMatchObject({ isError: true })
    await server.close()
  })

  test('a durable tool that its server disabled, removed or renamed is not answered', async () => {
    const { durable } = await local()
    durable.tool(double).tool(slow).tool(failing)
    const { server, call } = await rawClient(durable)
    const registered = (server as unknown as { _registeredTools: Record<string, RegisteredTool> })._registeredTools
    expect((await call('double', { n: 1 })).result.structuredContent).toEqual({ n: 2 })
    registered['double']?.disable()
    registered['slow']?.remove()
    registered['failing']?.update({ name: 'other' })
    for (const name of ['double', 'slow', 'failing']) {
      const { result } = await call(name, { n: 1, ms: 1, how: 'no' })
      expect(result.content[0].text).toMatch(/disabled|not found/)
    }
    registered['double']?.enable()
    expect((await call('double', { n: 2 })).result.structuredContent).toEqual({ n: 4 })
  })

  test('two servers of one durable have calls of their own, also when one closes', async () => {
    const { durable, holdfast } = await local()
    const hold = gate()
    const held = defineTask({ name: 'held' }, (task) => task.step('wait', () => hold.opened.then(() => 'done')))
    durable.tool(held, { rejoin: false })
    const one = await rawClient(durable)
    const other = await rawClient(durable)
    void one.call('held')
    const answer = other.call('held')
    await untilIdle(holdfast)
    await one.server.close()
    hold.open()
    expect((await answer).result.content).toEqual([{ type: 'text', text: 'done' }])
    await untilIdle(holdfast)
    expect((await holdfast.list()).tasks.map(({ status }) => status)).toEqual(['completed', 'completed'])
  })

  test('a name that is taken is an error', async () => {
    const { durable } = await local()
    durable.tool(double, { start: true })
    expect(() => durable.tool(slow, { name: 'start_double' })).toThrow(/'start_double' already/)
  })
})

describe('a call without a task', () => {
  test('is the durable task’s result, at once', async () => {
    const { durable, holdfast } = await local()
    durable.tool(double)
    const { client } = await connect(durable)
    await client.callTool({ name: 'double', arguments: { n: 1 } })
    const before = Date.now()
    expect(await client.callTool({ name: 'double', arguments: { n: 2 } })).toEqual({
      content: [{ type: 'text', text: '{"n":4}' }],
      structuredContent: { n: 4 },
    })
    expect(Date.now() - before).toBeLessThan(200) // The SDK's own way polls after a second.
    expect((await holdfast.list()).tasks).toMatchObject([{ type: 'double' }, { type: 'double', owner: 'local' }])
  })

  test('invalid input is a tool error; with task it is -32602', async () => {
    const { durable, holdfast } = await local()
    durable.tool(double)
    const { call } = await rawClient(durable)
    expect(await call('double', { n: 'x' })).toMatchObject({
      result: { isError: true, content: [{ text: expect.stringContaining('n') }] },
    })
    expect(await call('double', { n: 'x' }, { task: {} })).toMatchObject({ error: { code: -32_602 } })
    expect((await holdfast.list()).tasks).toEqual([])
  })

  test('errors of tasks: a tool’s, the protocol’s, the engine’s', async () => {
    const { durable } = await local()
    const timed = defineTask({ name: 'timed', timeout: 30 }, (task) => task.step('wait', () => delay(5_000)))
    const doubtful = defineTask({ name: 'ambiguous' }, async (task) => {
      await delay(1)
      await task.step('late', () => 1)
    })
    durable.tool(failing).tool(timed).tool(doubtful)
    const { call } = await rawClient(durable)
    expect((await call('failing', { how: 'badly' })).result).toEqual({
      content: [{ type: 'text', text: 'badly' }],
      isError: true,
    })
    expect((await call('failing', { how: 'protocol' })).error).toEqual({
      code: -32_077,
      message: 'Not today',
      data: { why: 'weekend' },
    })
    expect((await call('failing', { how: 'sdk' })).error).toEqual({ code: -32_042, message: 'Not here' })
    expect((await call('timed')).error).toMatchObject({
      code: -32_603,
      data: { code: 'TIMEOUT', taskId: expect.stringMatching(/^task-/) },
    })
    expect((await call('ambiguous')).error).toMatchObject({ code: -32_603, data: { code: 'STEP_AMBIGUOUS' } })
  })

  test('a task that parks is a tool error that names reason and task', async () => {
    const disk = new MemoryDisk()
    let renamed = false
    const changing = defineTask({ name: 'changing' }, async (task) => {
      await task.step(renamed ? 'other' : 'one', () => 1)
      await task.step('hang', () => new Promise(() => {}))
    })
    const first = await openInMemory({ disk, tasks: [changing] })
    const recorded = new Promise<unknown>((resolve) => first.on('step:recorded', resolve))
    const { taskId } = await first.start(changing, {}, { owner: 'local', idempotencyKey: 'k' })
    await recorded
    disk.crash()
    renamed = true
    const holdfast = await openInMemory({ disk })
    const durable = durableTasks(holdfast, { access: 'local' }).tool(changing, { toIdempotencyKey: () => 'k' })
    const { call, request } = await rawClient(durable)
    const answer = await call('changing')
    expect(answer.result).toMatchObject({ isError: true })
    expect(answer.result.content[0].text).toMatch(new RegExp(`${taskId}.*CODE_CHANGED`))
    expect((await request('tasks/get', { taskId })).result).toMatchObject({
      status: 'working',
      statusMessage: expect.stringContaining('CODE_CHANGED'),
    })
  })

  test('inlineBudget answers with a handle, and is refused beside an output schema', async () => {
    const { durable } = await local()
    expect(() => durable.tool(double, { inlineBudget: 10 })).toThrow(/'double'.*output schema.*outputSchema: false/)
    durable.tool(slow, { inlineBudget: 30 })
    durable.tool(slow, { name: 'patient', inlineBudget: '1m' })
    const { client } = await connect(durable)
    const answer = await client.callTool({ name: 'slow', arguments: { ms: 200 } })
    const { taskId } = answer.structuredContent as { taskId: string }
    expect(answer).toMatchObject({
      structuredContent: { status: 'working' },
      content: [{ text: expect.stringContaining(taskId) }],
    })
    expect(await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)).toMatchObject({
      content: [{ text: 'slept' }],
    })
    expect(await client.callTool({ name: 'patient', arguments: { ms: 4 } })).toMatchObject({
      content: [{ text: 'slept' }],
    })
  })

  test('start_<name> answers with the task ID at once', async () => {
    const { durable } = await local()
    durable.tool(slow, { start: true })
    const { client } = await connect(durable)
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['slow', 'start_slow'])
    const answer = await client.callTool({ name: 'start_slow', arguments: { ms: 40 } })
    const { taskId } = answer.structuredContent as { taskId: string }
    expect(await client.experimental.tasks.getTask(taskId)).toMatchObject({ status: 'working' })
    expect(await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)).toMatchObject({
      content: [{ text: 'slept' }],
    })
  })
})
