// Goal: what `durable.tool` and `durable.attach` promise a server's author.
// Method: the SDK's own client, or a raw one, on a real server in memory.
import { setTimeout as delay } from 'node:timers/promises'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer, type RegisteredTool } from '@modelcontextprotocol/sdk/server/mcp.js'
import {
  CallToolRequestSchema,
  CallToolResultSchema,
  ListToolsRequestSchema,
  McpError,
} from '@modelcontextprotocol/sdk/types.js'
import { defineTask, ProtocolError } from 'holdfast'
import { type DurableOptions, durableTasks } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { connect, INFO, tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double, failing, never, slow } from '../../helpers/mcp/tools.js'

const local = async (options: Partial<DurableOptions> = {}) => {
  const holdfast = await openInMemory()
  return { holdfast, durable: durableTasks(holdfast, { access: 'local', ...options }) }
}

/** A step that waits until the test lets it go. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

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
    await delay(20)
    await one.server.close()
    hold.open()
    expect((await answer).result.content).toEqual([{ type: 'text', text: 'done' }])
    await delay(20)
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

describe('arguments and results', () => {
  test('toInput makes the input of the checked arguments, which the definition checks again', async () => {
    const { durable } = await local()
    const seen = vi.fn()
    durable.tool(double, {
      inputSchema: z.object({ text: z.string() }),
      toInput: ({ text }: { text: string }, { owner, _meta }) => {
        seen(owner, _meta)
        return { n: text === 'bad' ? (text as never) : text.length }
      },
    })
    const { call } = await rawClient(durable)
    expect((await call('double', { text: 'four' }, { _meta: { x: 1 } })).result.structuredContent).toEqual({ n: 8 })
    expect(seen).toHaveBeenCalledWith('local', { x: 1 })
    expect((await call('double', { text: 'bad' })).result.isError).toBe(true)
    expect((await call('double', { n: 1 })).result.isError).toBe(true)
  })

  test('what toInput and toIdempotencyKey throw is told like what a tool throws', async () => {
    const { durable, holdfast } = await local()
    const thrown: Record<string, Error> = {
      plain: new Error('No such customer'),
      protocol: new ProtocolError(-32_077, 'Not today', { why: 'weekend' }),
      sdk: new McpError(-32_042, 'Not here'),
    }
    const fail = ({ how }: { how: string }) => {
      throw thrown[how]
    }
    const inputSchema = z.object({ how: z.string() })
    durable.tool(double, { name: 'input', inputSchema, toInput: fail })
    durable.tool(double, { name: 'key', inputSchema, toInput: () => ({ n: 1 }), toIdempotencyKey: fail })
    const { call } = await rawClient(durable)
    for (const name of ['input', 'key']) {
      const said = [{ type: 'text', text: 'No such customer' }]
      expect((await call(name, { how: 'plain' })).result).toEqual({ content: said, isError: true })
      expect((await call(name, { how: 'plain' }, { task: {} })).error).toEqual({
        code: -32_602,
        message: 'No such customer',
      })
      expect((await call(name, { how: 'protocol' })).error).toEqual({
        code: -32_077,
        message: 'Not today',
        data: { why: 'weekend' },
      })
      expect((await call(name, { how: 'sdk' })).error).toEqual({ code: -32_042, message: 'Not here' })
    }
    expect((await holdfast.list()).tasks).toEqual([])
  })

  test.each([
    [undefined],
    [{}],
    [{ name: 5 }],
    [{ name: 'double', arguments: [] }],
    [{ name: 'double', task: 'yes' }],
    [{ name: 'double', task: { ttl: 'long' } }],
  ])('parameters of tools/call that are none are -32602: %j', async (params) => {
    const { durable } = await local()
    durable.tool(double)
    const { request } = await rawClient(durable)
    expect((await request('tools/call', params as never)).error).toMatchObject({
      code: -32_602,
      message: expect.stringContaining('Invalid tools/call request'),
    })
  })

  test.each([[-1], [0], [0.5], [7_200_000.5], [1e300], [Number.MAX_SAFE_INTEGER]])(
    'a ttl of %d is a wish like any other',
    async (ttl) => {
      const { durable } = await local()
      durable.tool(double)
      const { call } = await rawClient(durable)
      const granted = (await call('double', { n: 1 }, { task: { ttl } })).result.task.ttl
      expect(granted).toBeGreaterThanOrEqual(3_600_000)
      expect(granted).toBeLessThanOrEqual(30 * 24 * 3_600_000)
      expect(Number.isInteger(granted)).toBe(true)
    },
  )

  test('toResult is computed once and stored: every later read says the same', async () => {
    const disk = new MemoryDisk()
    let version = 1
    const open = async () => {
      const holdfast = await openInMemory({ disk })
      const durable = durableTasks(holdfast, { access: 'local' }).tool(double, {
        toResult: ({ n }) => ({ content: [{ type: 'text', text: `version ${version}: ${n}` }] }),
      })
      return { holdfast, ...(await rawClient(durable)) }
    }
    const first = await open()
    const { taskId } = (await first.call('double', { n: 1 }, { task: {} })).result.task
    expect((await first.request('tasks/result', { taskId })).result.content[0].text).toBe('version 1: 2')
    await first.holdfast.close()
    version = 2
    const second = await open()
    expect((await second.request('tasks/result', { taskId })).result.content[0].text).toBe('version 1: 2')
    expect((await second.call('double', { n: 1 })).result.content[0].text).toBe('version 2: 2')
  })

  test('with toResult only an explicit output schema is listed, and results are checked against it', async () => {
    const { durable } = await local()
    durable.tool(double, { toResult: ({ n }) => ({ content: [{ type: 'text', text: `${n}` }] }) })
    durable.tool(double, {
      name: 'checked',
      outputSchema: z.object({ twice: z.number() }),
      toResult: ({ n }) => ({ content: [], structuredContent: n > 2 ? { wrong: n } : { twice: n } }),
    })
    const { client } = await connect(durable)
    const { tools } = await client.listTools()
    expect(tools.map(({ outputSchema }) => outputSchema?.properties)).toEqual([
      undefined,
      { twice: { type: 'number' } },
    ])
    expect((await client.callTool({ name: 'checked', arguments: { n: 1 } })).structuredContent).toEqual({ twice: 2 })
    await expect(client.callTool({ name: 'checked', arguments: { n: 2 } })).rejects.toMatchObject({ code: -32_603 })
  })

  test('toError shapes a failure, and may leave it as it is', async () => {
    const { durable } = await local()
    durable.tool(failing, {
      toError: ({ message }) =>
        message === 'mine' ? { content: [{ type: 'text', text: 'Ours' }], isError: true } : undefined,
    })
    const { call } = await rawClient(durable)
    expect((await call('failing', { how: 'mine' })).result.content).toEqual([{ type: 'text', text: 'Ours' }])
    expect((await call('failing', { how: 'other' })).result.content).toEqual([{ type: 'text', text: 'other' }])
  })

  test.each([
    ['text', 'text'],
    [5, '5'],
    [[1, 2], '[1,2]'],
    [null, 'null'],
  ])('an output that is no object is text: %j', async (output, text) => {
    const { durable } = await local()
    durable.tool(defineTask({ name: 'some' }, () => output))
    const { call } = await rawClient(durable)
    expect((await call('some')).result).toEqual({ content: [{ type: 'text', text }] })
  })

  test('arguments nested too deep are refused, and nothing is stored', async () => {
    const { durable, holdfast } = await local()
    durable.tool(never)
    const { call } = await rawClient(durable)
    let deep: unknown = 1
    for (let depth = 0; depth < 80; depth++) deep = { deep }
    expect((await call('never', { deep })).error).toMatchObject({ code: -32_602, data: { limit: 'jsonDepthMax' } })
    expect((await holdfast.list()).tasks).toEqual([])
  })
})

describe('a client that gives up or comes again', () => {
  const counting = () => {
    const hold = gate()
    const runs = vi.fn()
    const task = defineTask({ name: 'held', input: z.object({ n: z.number() }) }, async (task, { n }) =>
      task.step('wait', async ({ signal }) => {
        runs(n)
        await Promise.race([hold.opened, new Promise((_, reject) => signal.addEventListener('abort', reject))])
        return `done ${n}`
      }),
    )
    return { task, hold, runs }
  }
  const cancelled = (requestId: number) =>
    ({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId, reason: 'timeout' } }) as const

  test('joins the task of the call it gave up, also after it has ended, once', async () => {
    const { durable, holdfast } = await local()
    const { task, hold, runs } = counting()
    durable.tool(task)
    const { call, send, lastId } = await rawClient(durable)
    void call('held', { n: 1 })
    await vi.waitFor(() => expect(runs).toHaveBeenCalledTimes(1))
    await send(cancelled(lastId()))
    await delay(50)
    const again = call('held', { n: 1 })
    await delay(50)
    await send(cancelled(lastId()))
    hold.open()
    await vi.waitFor(async () => expect((await holdfast.list()).tasks).toMatchObject([{ status: 'completed' }]))
    void again
    expect((await call('held', { n: 1 })).result.content).toEqual([{ type: 'text', text: 'done 1' }])
    expect((await holdfast.list()).tasks).toHaveLength(1)
    expect(runs).toHaveBeenCalledTimes(1)
    await call('held', { n: 1 })
    expect((await holdfast.list()).tasks).toHaveLength(2)
  })

  test('two calls at once are two tasks; another input, another owner and `rejoin: false` join nothing', async () => {
    const { durable, holdfast } = await local({ access: 'principal' })
    const { task, hold } = counting()
    durable.tool(task).tool(task, { name: 'alone', rejoin: false })
    const alice = await rawClient(durable, { authInfo: tokenOf('alice') })
    const bob = await rawClient(durable, { authInfo: tokenOf('bob') })
    const count = (tasks: number) => vi.waitFor(async () => expect((await holdfast.list()).tasks).toHaveLength(tasks))
    const calls = [alice.call('held', { n: 1 }), alice.call('held', { n: 1 })]
    await count(2)
    void alice.call('held', { n: 5 })
    await count(3)
    await alice.send(cancelled(alice.lastId()))
    void alice.call('alone', { n: 5 })
    await count(4)
    await alice.send(cancelled(alice.lastId()))
    await delay(50)
    calls.push(bob.call('held', { n: 5 }), alice.call('held', { n: 6 }), alice.call('alone', { n: 5 }))
    await count(7)
    hold.open()
    await Promise.all(calls)
  })

  test('onInterrupt: cancel ends the task when the client cancels the call, and never when the connection drops', async () => {
    const { durable, holdfast } = await local()
    const { task } = counting()
    durable.tool(task, { onInterrupt: 'cancel' })
    const first = await rawClient(durable)
    const statuses = (...expected: string[]) =>
      vi.waitFor(async () => expect((await holdfast.list()).tasks.map(({ status }) => status)).toEqual(expected))
    void first.call('held', { n: 1 })
    await statuses('running')
    await first.transport.close()
    await delay(50)
    const second = await rawClient(durable)
    void second.call('held', { n: 2 })
    await statuses('running', 'running')
    await second.send(cancelled(second.lastId()))
    await statuses('running', 'cancelled')
  })

  test('after a crash a repeated call joins what the dead process was working on', async () => {
    const disk = new MemoryDisk()
    const { task, hold, runs } = counting()
    const open = async () => {
      const holdfast = await openInMemory({ disk })
      return { holdfast, ...(await rawClient(durableTasks(holdfast, { access: 'local' }).tool(task))) }
    }
    const first = await open()
    void first.call('held', { n: 1 })
    await vi.waitFor(() => expect(runs).toHaveBeenCalledTimes(1))
    disk.crash()
    hold.open()
    const second = await open()
    expect((await second.call('held', { n: 1 })).result.content).toEqual([{ type: 'text', text: 'done 1' }])
    expect((await second.holdfast.list()).tasks).toHaveLength(1)
    expect(runs).toHaveBeenCalledTimes(2) // The step that the crash interrupted runs again; it had no record.
  })

  test('an idempotency key, the client’s or the author’s, joins the first task', async () => {
    const { durable, holdfast } = await local()
    durable.tool(double).tool(double, { name: 'keyed', toIdempotencyKey: ({ n }: { n: number }) => `n${n}` })
    const { call } = await rawClient(durable)
    const _meta = { 'holdfast/idempotencyKey': 'k1' }
    const one = (await call('double', { n: 1 }, { task: {}, _meta })).result.task.taskId
    const two = (await call('double', { n: 1 }, { task: {}, _meta })).result.task.taskId
    expect(two).toBe(one)
    expect((await call('double', { n: 2 }, { _meta })).error).toMatchObject({
      code: -32_602,
      data: { code: 'IDEMPOTENCY_CONFLICT' },
    })
    await call('keyed', { n: 7 })
    await call('keyed', { n: 7 })
    expect((await holdfast.list()).tasks).toHaveLength(2)
    for (const key of [5, 'x'.repeat(300), '\u0000']) {
      expect((await call('double', { n: 1 }, { _meta: { 'holdfast/idempotencyKey': key } })).error?.code).toBe(-32_602)
    }
  })

  test('without authentication keys and rejoining count per session: in memory there is none, and nothing is joined', async () => {
    const { durable, holdfast } = await local({ access: 'open' })
    durable.tool(double)
    const { call } = await rawClient(durable)
    const _meta = { 'holdfast/idempotencyKey': 'k1' }
    await call('double', { n: 1 }, { _meta })
    await call('double', { n: 1 }, { _meta })
    expect((await holdfast.list()).tasks).toHaveLength(2)
  })
})

describe('progress', () => {
  const steps = defineTask({ name: 'steps', input: z.object({ of: z.number() }) }, async (task, { of }) => {
    for (let n = 1; n <= of; n++) {
      task.progress({ done: n, total: of, message: `at ${n}` })
      await task.step('one', () => delay(2))
    }
  })

  test('is the latest value at most once per interval, the first and the last at once', async () => {
    const { durable } = await local({ progressInterval: '60ms' })
    durable.tool(steps)
    const { client } = await connect(durable)
    const seen: number[] = []
    await client.callTool({ name: 'steps', arguments: { of: 50 } }, undefined, {
      onprogress: ({ progress }) => seen.push(progress),
    })
    expect(seen[0]).toBe(1)
    expect(seen.at(-1)).toBe(50)
    expect(seen.length).toBeLessThan(15)
    expect(seen).toEqual([...seen].sort((one, other) => one - other))
  })

  test('its message is shown without what forges or reorders text', async () => {
    const { durable } = await local({ progressInterval: 0 })
    durable.tool(
      defineTask({ name: 'forging' }, async (task) => {
        task.progress({ done: 1, message: 'fine\u202egnp.exe\u001b[2J\n' })
        await task.step('one', () => 1)
      }),
    )
    const { call, notifications, request } = await rawClient(durable)
    await call('forging', {}, { _meta: { progressToken: 1 } })
    expect(notifications.map(({ params }) => params['message'])).toEqual(['fine gnp.exe [2J '])
    expect((await request('tasks/list')).result.tasks).toHaveLength(1)
  })

  test('with 0 each is sent', async () => {
    const { durable } = await local({ progressInterval: 0 })
    durable.tool(steps)
    const { client } = await connect(durable)
    const seen: unknown[] = []
    await client.callTool({ name: 'steps', arguments: { of: 5 } }, undefined, {
      onprogress: (progress) => seen.push(progress),
    })
    expect(seen).toEqual([1, 2, 3, 4, 5].map((n) => ({ progress: n, total: 5, message: `at ${n}` })))
  })
})
