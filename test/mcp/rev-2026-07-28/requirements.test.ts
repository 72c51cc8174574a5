// Goal: what the tasks extension demands of a server, one test each (test/mcp/conformance/requirements.ts).
// Method: raw requests over HTTP, the real engine on a disk in memory; every answer passes the official wire schemas.
import { InMemoryTransport, McpServer } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { defineTask } from 'holdfast'
import { untilIdle } from 'holdfast/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ModernServer } from '../../helpers/mcp/rev-2026-07-28/http-client.js'
import { INFO, KNOWS_TASKS, modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double, failing, never, slow } from '../../helpers/mcp/tools.js'

const ask = defineTask({ name: 'ask' }, (task) => task.input('name', { message: 'Who?' }))
const tools = [double, slow, failing, never, ask]
const UNKNOWN = 'task-01ARZ3NDEKTSV4RRFFQ69G5FAV0123456789'

let server: ModernServer
beforeAll(async () => {
  server = await ModernServer.start({ tools })
})
afterAll(() => server.close())

const call = (name: string, args: Record<string, unknown> = {}, sent = {}) =>
  server.request('tools/call', { name, arguments: args }, sent)
const begun = async (name: string, args: Record<string, unknown> = {}, sent = {}): Promise<string> =>
  (await call(name, args, sent)).result.taskId
const get = async (taskId: string) => (await server.request('tasks/get', { taskId })).result

/** A server with other options, for one test. */
async function other(options: Partial<Parameters<typeof ModernServer.start>[0]>) {
  const made = await ModernServer.start({ tools, ...options })
  return { made, [Symbol.asyncDispose]: () => made.close() }
}

const fields = {
  taskId: expect.any(String),
  createdAt: expect.stringMatching(/Z$/),
  lastUpdatedAt: expect.stringMatching(/Z$/),
  ttlMs: expect.any(Number),
  pollIntervalMs: 20,
}

test('E01 each request declares for itself', async () => {
  expect((await call('double', { n: 1 })).result.resultType).toBe('task')
  const { result } = await call('double', { n: 1 }, { knows: {} })
  expect(result).toMatchObject({ resultType: 'complete', structuredContent: { n: 2 } })
  expect(result).not.toHaveProperty('taskId')
})

test('E02 E03 what needs a task names the extension', async () => {
  const holdfast = server.holdfast
  const { durableTasks } = await import('holdfast/mcp/2026-07-28')
  const durable = durableTasks(holdfast, { access: 'local' }).tool(never, { taskSupport: 'required' })
  const client = await modernClient(durable, { capabilities: {} })
  expect((await client.call('never')).error).toMatchObject({
    code: -32_021,
    data: { requiredCapabilities: KNOWS_TASKS },
  })
  await client.close()
})

test('E04 E09 a new task is working, and says resultType task', async () => {
  const { result } = await call('never')
  expect(result).toMatchObject({ ...fields, resultType: 'task', status: 'working' })
  expect(await get(result.taskId)).toMatchObject({ ...fields, resultType: 'complete', status: 'working' })
})

test('E05 E14 E15 E16 E19 E23 get, update and cancel are complete, the latter two empty, also when it is over', async () => {
  const taskId = await begun('never')
  const { 'io.modelcontextprotocol/serverInfo': _, ...noMeta } = (await get(taskId))._meta
  expect(noMeta).toEqual({})
  for (const params of [{ taskId, inputResponses: {} }, { taskId }]) {
    const method = 'inputResponses' in params ? 'tasks/update' : 'tasks/cancel'
    for (let times = 0; times < 2; times++) {
      const { _meta, ...result } = (await server.request(method, params)).result
      expect(result).toEqual({ resultType: 'complete' })
    }
  }
  expect((await get(taskId)).resultType).toBe('complete')
})

test('E06 E11 a tool that says that it failed has completed', async () => {
  const task = await server.settled(await begun('failing', { how: 'bad luck' }))
  expect(task).toMatchObject({ ...fields, status: 'completed', result: { isError: true } })
  expect(task).not.toHaveProperty('error')
})

test('E07 what was answered is there after the death of the server, a hundred times', { timeout: 60_000 }, async () => {
  await using dying = await other({})
  const { made } = dying
  for (let deaths = 0; deaths < 100; deaths++) {
    const { taskId } = (await made.request('tools/call', { name: 'double', arguments: { n: deaths } })).result
    await made.die()
    await made.start()
    expect((await made.request('tasks/get', { taskId })).result).toMatchObject({ taskId, resultType: 'complete' })
    expect((await made.settled(taskId)).result.structuredContent).toEqual({ n: 2 * deaths })
  }
})

test('E12 E24 tasks/cancel cancels, and notifications/cancelled does not', async () => {
  const { durableTasks } = await import('holdfast/mcp/2026-07-28')
  const durable = durableTasks(server.holdfast, { access: 'local' }).tool(never, { onInterrupt: 'cancel' })
  const client = await modernClient(durable)
  const { taskId } = (await client.call('never', {}, {}, { id: 'the call' })).result
  await client.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'the call' } })
  await untilIdle(server.holdfast)
  expect((await client.get(taskId)).status).toBe('working')
  await client.request('tasks/cancel', { taskId })
  const { _meta, ...task } = await client.get(taskId)
  const statusMessage = 'The client cancelled the task'
  expect(task).toEqual({
    ...fields,
    taskId,
    pollIntervalMs: 1_000,
    resultType: 'complete',
    status: 'cancelled',
    statusMessage,
  })
  await client.close()
})

test('E13 E32 a failed task has its error, and says it in words', async () => {
  const error = { code: -32_077, message: 'Not today', data: { why: 'weekend' } }
  const task = await server.settled(await begun('failing', { how: 'protocol' }))
  expect(task).toMatchObject({ ...fields, status: 'failed', statusMessage: 'Not today', error })
  expect(task).not.toHaveProperty('result')
})

test('E20 E21 E29 E38 an unknown task is -32602 everywhere, and the message says which', async () => {
  for (const [method, more] of [
    ['tasks/get', {}],
    ['tasks/update', { inputResponses: {} }],
    ['tasks/cancel', {}],
  ] as const) {
    const { error } = await server.request(method, { taskId: UNKNOWN, ...more })
    expect(error).toMatchObject({ code: -32_602, message: `Task not found: ${UNKNOWN}` })
  }
})

test('E28 the header with the name is checked', async () => {
  const taskId = await begun('never')
  for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
    for (const name of ['task-other', '']) {
      const answer = await server.request(method, { taskId, inputResponses: {} }, { headers: { 'mcp-name': name } })
      expect(answer).toMatchObject({ status: 400, error: { code: -32_020 } })
    }
  }
  expect((await get(taskId)).status).toBe('working')
})

test('E30 an unexpected error is -32603, and tells nothing of its cause', async () => {
  await using broken = await other({
    durable: {
      authorize: ({ action }) => {
        if (action === 'read') throw new Error('the secret database is down')
        return 'allow'
      },
    },
  })
  const { taskId } = (await broken.made.request('tools/call', { name: 'never', arguments: {} })).result
  const { error } = await broken.made.request('tasks/get', { taskId })
  expect(error).toEqual({ code: -32_603, message: 'Internal error' })
})

test('E31 get, update and cancel need the extension', async () => {
  const taskId = await begun('never')
  for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
    const answer = await server.request(method, { taskId, inputResponses: {} }, { knows: { elicitation: {} } })
    expect(answer).toMatchObject({ status: 400, error: { code: -32_021, data: { requiredCapabilities: KNOWS_TASKS } } })
  }
})

test('E33 E39 the result of a task is that of the same call without one', async () => {
  for (const [name, args] of [
    ['double', { n: 21 }],
    ['failing', { how: 'bad luck' }],
  ] as const) {
    const { _meta, ...plain } = (await call(name, args, { knows: {} })).result
    expect((await server.settled(await begun(name, args))).result).toEqual(plain)
  }
  const plain = await call('failing', { how: 'protocol' }, { knows: {} })
  expect((await server.settled(await begun('failing', { how: 'protocol' }))).error).toEqual(plain.error)
})

test('E34 a task ID has 120 random bits', async () => {
  const ids = await Promise.all(Array.from({ length: 50 }, () => begun('double', { n: 1 })))
  const random = ids.map((taskId) => taskId.slice(-24))
  expect(new Set(random).size).toBe(50)
  expect(random.every((part) => /^[0-9A-HJKMNP-TV-Z]{24}$/.test(part))).toBe(true)
})

test('E35 another principal gets the answers of an unknown task, byte by byte, and nobody gets in without a token', async () => {
  await using guarded = await other({ durable: { access: 'principal' } })
  const { made } = guarded
  const ann = { sub: 'ann', id: 'same' }
  const { taskId } = (await made.request('tools/call', { name: 'ask', arguments: {} }, ann)).result
  for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
    const of = async (id: string, sub: string) =>
      (await (await made.send(method, { taskId: id, inputResponses: {} }, { sub, id: 'same' })).text()).replaceAll(
        id,
        'ID',
      )
    expect(await of(taskId, 'bob')).toBe(await of(UNKNOWN, 'bob'))
    expect((await made.send(method, { taskId })).status).toBe(401)
  }
  const task = (await made.request('tasks/get', { taskId }, ann)).result
  expect(['working', 'input_required']).toContain(task.status)
})

test('E36 nothing of 2025-11-25 is served, declared or understood', async () => {
  const discovered = (await server.request('server/discover')).result
  expect(discovered.capabilities).toMatchObject({ extensions: { 'io.modelcontextprotocol/tasks': {} } })
  expect(discovered.capabilities).not.toHaveProperty('tasks')
  for (const method of ['tasks/result', 'tasks/list']) {
    expect((await server.request(method, { taskId: UNKNOWN })).error).toMatchObject({ code: -32_601 })
  }
  const asked = { name: 'double', arguments: { n: 1 }, task: { ttl: 1 } }
  const legacyCapability = { tasks: { requests: { tools: { call: {} } } } }
  const { result } = await server.request('tools/call', asked, { knows: legacyCapability })
  expect(result).toMatchObject({ resultType: 'complete', structuredContent: { n: 2 } })
  expect((await server.request('tools/call', asked)).result.ttlMs).toBeGreaterThan(1)
})

test('E37 a client of 2025-11-25 gets results, and no tasks', async () => {
  const { durableTasks } = await import('holdfast/mcp/2026-07-28')
  const durable = durableTasks(server.holdfast, { access: 'local' })
    .tool(double)
    .tool(never, { taskSupport: 'required' })
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const handle = serveStdio(() => durable.attach(new McpServer(INFO, durable.serverOptions())), { transport: ours })
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
  const answers = new Map<unknown, (answer: any) => void>()
  theirs.onmessage = (message) => answers.get((message as { id?: unknown }).id)?.(message)
  await theirs.start()
  let id = 0
  const request = (method: string, params: Record<string, unknown>) => {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const answer = new Promise<any>((resolve) => answers.set(++id, resolve))
    void theirs.send({ jsonrpc: '2.0', id, method, params } as never)
    return answer
  }
  const capabilities = { ...KNOWS_TASKS }
  await request('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo: INFO })
  await theirs.send({ jsonrpc: '2.0', method: 'notifications/initialized' })
  const called = await request('tools/call', { name: 'double', arguments: { n: 3 } })
  expect(called).toMatchObject({ result: { structuredContent: { n: 6 } } })
  expect(await request('tools/call', { name: 'never', arguments: {} })).toMatchObject({ error: { code: -32_601 } })
  for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
    expect(await request(method, { taskId: UNKNOWN })).toMatchObject({ error: { code: -32_601 } })
  }
  await handle.close()
})
