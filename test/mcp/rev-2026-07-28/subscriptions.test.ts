// Goal: who listens for a task is told what tasks/get would say, over HTTP and over a connection as stdio has it.
// Method: raw requests; both transports run the same table of tests.
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test, vi } from 'vitest'
import { ModernServer } from '../../helpers/mcp/rev-2026-07-28/http-client.js'
import { KNOWS_TASKS, modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double, never, slow } from '../../helpers/mcp/tools.js'

const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
const ask = defineTask({ name: 'ask' }, async (task) => task.input('name', { message: 'Who?' }))
const tools = [double, slow, never, ask]

const overHttp = async () => {
  const server = await ModernServer.start({ tools })
  return {
    holdfast: server.holdfast,
    request: server.request.bind(server),
    listen: async (notifications: Record<string, unknown>, sent = {}) => server.listen(notifications, sent),
    changeTools: () => server.handler.notify.toolsChanged(),
    close: () => server.close(),
  }
}

const overStdio = async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local', pollInterval: 20, progressInterval: 0 })
  for (const tool of tools) durable.tool(tool as never)
  let changeTools = () => {}
  const client = await modernClient(durable, {
    setUp: (server) => {
      changeTools = () => server.sendToolListChanged()
    },
  })
  const listen = async (
    notifications: Record<string, unknown>,
    { id = 'listening', ...sent }: { id?: string; knows?: Record<string, unknown> } = {},
  ) => {
    // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
    const messages: any[] = client.notifications
    void client
      .request('subscriptions/listen', { notifications }, { id, ...sent })
      .then((answer) => messages.push(answer))
    const next = async (fits: (message: (typeof messages)[number]) => boolean) => {
      for (;;) {
        const found = messages.find(fits)
        if (found) return found
        await delay(2)
      }
    }
    await next((message) => message.error !== undefined || message.params?._meta?.[SUBSCRIPTION] === id)
    const stop = () => client.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } })
    return { messages, next, stop, over: Promise.resolve() }
  }
  const { request, close } = client
  return { holdfast, request, listen, changeTools: () => changeTools(), close }
}

describe.each([
  ['HTTP', overHttp],
  ['stdio', overStdio],
])('over %s', (_name, setUp) => {
  test('E40 the acknowledgement comes first, with the tasks that there are', async () => {
    const { request, listen, close } = await setUp()
    const { taskId } = (await request('tools/call', { name: 'never', arguments: {} })).result
    const { messages } = await listen({ taskIds: [taskId, 'task-that-is-not'] }, { id: 'mine' })
    expect(messages[0]).toMatchObject({
      method: 'notifications/subscriptions/acknowledged',
      params: { notifications: { taskIds: [taskId] }, _meta: { [SUBSCRIPTION]: 'mine' } },
    })
    await close()
  })

  test('E26 each notification is what tasks/get says, from the first state to the last', async () => {
    const { request, listen, close } = await setUp()
    const { taskId } = (await request('tools/call', { name: 'slow', arguments: { ms: 80 } })).result
    const { messages, next } = await listen({ taskIds: [taskId] })
    const last = await next(({ params }) => params?.status === 'completed')
    const { resultType, _meta, ...told } = (await request('tasks/get', { taskId })).result
    expect(resultType).toBe('complete')
    const { _meta: about, ...params } = last.params
    expect(params).toEqual(told)
    expect(about).toEqual({ [SUBSCRIPTION]: expect.anything() })
    const statuses = messages.filter(({ method }) => method === 'notifications/tasks')
    expect(statuses.map(({ params }) => params.statusMessage)).toContain('2 of 4')
    await close()
  })

  test('E27 neither progress nor log messages come on the stream', async () => {
    const { request, listen, close } = await setUp()
    const call = { name: 'slow', arguments: { ms: 40 }, _meta: { progressToken: 'p' } }
    const { taskId } = (await request('tools/call', call)).result
    const { messages, next } = await listen({ taskIds: [taskId] })
    await next(({ params }) => params?.status === 'completed')
    const methods = new Set(messages.map(({ method }) => method))
    expect(methods).toEqual(new Set(['notifications/subscriptions/acknowledged', 'notifications/tasks']))
    await close()
  })

  test('E25 a client that does not declare the extension is told so', async () => {
    const { listen, close } = await setUp()
    const { messages } = await listen({ taskIds: ['any'] }, { knows: {} })
    expect(messages[0]).toMatchObject({ error: { code: -32_021, data: { requiredCapabilities: KNOWS_TASKS } } })
    await close()
  })

  test('a question and its answer are told', async () => {
    const { request, listen, close } = await setUp()
    const { taskId } = (await request('tools/call', { name: 'ask', arguments: {} })).result
    const { next } = await listen({ taskIds: [taskId] })
    const { params } = await next(({ params }) => params?.status === 'input_required')
    const [key] = Object.keys(params.inputRequests)
    const inputResponses = { [key as string]: { action: 'accept', content: { answer: 'Ada' } } }
    await request('tasks/update', { taskId, inputResponses })
    const last = await next(({ params }) => params?.status === 'completed')
    expect(last.params.result.structuredContent).toMatchObject({ action: 'accept' })
    await close()
  })

  test('tasks and the lists of the server share a subscription', async () => {
    const { request, listen, changeTools, close } = await setUp()
    const { taskId } = (await request('tools/call', { name: 'slow', arguments: { ms: 60 } })).result
    const { messages, next } = await listen({ taskIds: [taskId], toolsListChanged: true })
    expect(messages[0].params.notifications).toEqual({ taskIds: [taskId], toolsListChanged: true })
    changeTools()
    await next(({ method }) => method === 'notifications/tools/list_changed')
    await next(({ params }) => params?.status === 'completed')
    await close()
  })

  test('a client that stops listening is told nothing more; one that listens again is told what it missed', async () => {
    const { holdfast, request, listen, close } = await setUp()
    const { taskId } = (await request('tools/call', { name: 'never', arguments: {} })).result
    const first = await listen({ taskIds: [taskId] }, { id: 'first' })
    await first.next(({ params }) => params?.status === 'working')
    await first.stop()
    await first.over
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    const second = await listen({ taskIds: [taskId] }, { id: 'second' })
    const told = await second.next(({ params }) => params?.status === 'cancelled')
    expect(told.params._meta[SUBSCRIPTION]).toBe('second')
    await close()
  })

  test('what is no list of IDs is refused', async () => {
    const { listen, close } = await setUp()
    const { messages } = await listen({ taskIds: [7] })
    expect(messages[0]).toMatchObject({ error: { code: -32_602 } })
    await close()
  })
})

test('a server that closes says so on its streams', async () => {
  const server = await ModernServer.start({ tools })
  const { taskId } = (await server.request('tools/call', { name: 'never', arguments: {} })).result
  const { next, over } = await server.listen({ taskIds: [taskId] }, { id: 'mine' })
  await next(({ params }) => params?.status === 'working')
  await server.handler.close()
  await over
  expect(await next(({ result }) => result)).toMatchObject({ id: 'mine', result: { resultType: 'complete' } })
  await server.close()
})

test('another principal is told of no task that is not his', async () => {
  const server = await ModernServer.start({ tools, durable: { access: 'principal' } })
  const call = { name: 'never', arguments: {} }
  const { taskId } = (await server.request('tools/call', call, { sub: 'ann' })).result
  const { messages, next } = await server.listen({ taskIds: [taskId] }, { sub: 'bob' })
  await next(({ method }) => method === 'notifications/subscriptions/acknowledged')
  await server.holdfast.cancel(taskId)
  expect((await server.send('tasks/get', { taskId })).status).toBe(401)
  // The end of the stream comes after everything that was sent.
  await server.handler.close()
  await next(({ result }) => result)
  expect(messages).toHaveLength(2)
  expect(messages[0].params.notifications).toEqual({ taskIds: [] })
  await server.close()
})

test('subscribers do not hear of each other', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local' }).tool(never)
  const { request, send, notifications, notified, close } = await modernClient(durable)
  const taskIds: string[] = []
  for (let n = 0; n < 20; n++)
    taskIds.push((await request('tools/call', { name: 'never', arguments: {} })).result.taskId)
  for (const [n, taskId] of taskIds.entries()) {
    void request('subscriptions/listen', { notifications: { taskIds: [taskId] } }, { id: `s${n}` })
    await notified(({ params }) => (params['_meta'] as Record<string, unknown>)[SUBSCRIPTION] === `s${n}`)
  }
  await holdfast.cancel(taskIds[7] as string)
  await notified(({ params }) => params['status'] === 'cancelled')
  await untilIdle(holdfast)
  expect(notifications.filter(({ params }) => params['status'] === 'cancelled')).toHaveLength(1)
  await send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 's1' } })
  await close()
})

test('authorize is asked for every notification, and ends what may not be read any more', async () => {
  const asked: unknown[] = []
  let decision: 'allow' | 'deny' = 'allow'
  const server = await ModernServer.start({
    tools: [ask],
    durable: {
      access: 'principal',
      authorize: ({ action, taskId }) => {
        asked.push([action, taskId])
        return decision
      },
    },
  })
  const sub = { sub: 'alice' }
  const { taskId } = (await server.request('tools/call', { name: 'ask', arguments: {} }, sub)).result
  const { messages, next } = await server.listen({ taskIds: [taskId] }, sub)
  await next(({ params }) => params?.status === 'input_required')
  await untilIdle(server.holdfast)
  const before = messages.length
  asked.length = 0
  decision = 'deny'
  await server.holdfast.cancel(taskId)
  await untilIdle(server.holdfast)
  expect(asked).toEqual([['read', taskId]])
  // It follows the task no further: a right that comes back later brings nothing back.
  decision = 'allow'
  await server.handler.close()
  expect(messages.slice(before).filter(({ method }) => method === 'notifications/tasks')).toEqual([])
  await server.close()
})

describe('the subscriptions of one owner', () => {
  const over = { error: { code: -32_602, data: { code: 'LIMIT_EXCEEDED', limit: 'subscriptionsPerOwnerMax', max: 2 } } }

  test.each([
    ['for tasks', (taskId: string) => ({ taskIds: [taskId] })],
    ['for the lists of the server', () => ({ toolsListChanged: true })],
  ])('%s are limited, and leave those of others alone; one that ends makes room', async (_, asked) => {
    const http = { subscriptionsPerOwnerMax: 2 }
    const server = await ModernServer.start({ tools, durable: { access: 'principal' }, http })
    const { taskId } = (await server.request('tools/call', { name: 'never', arguments: {} }, { sub: 'ann' })).result
    const listen = async (sub: string) => server.listen(asked(taskId), { sub })
    const [first] = [await listen('ann'), await listen('ann')]
    for (let n = 0; n < 3; n++) expect((await listen('ann')).messages[0]).toMatchObject(over)
    expect((await listen('bob')).messages[0].error).toBeUndefined()
    first.stop()
    await first.over
    await vi.waitFor(async () => expect((await listen('ann')).messages[0].error).toBeUndefined())
    expect((await listen('ann')).messages[0]).toMatchObject(over)
    await server.close()
  })

  test('are those of one address without authentication', async () => {
    const addressOf = (request: Request) => request.headers.get('x-address') ?? undefined
    const server = await ModernServer.start({ tools, http: { subscriptionsPerOwnerMax: 2, addressOf } })
    const listen = async (from: string) =>
      (await server.listen({ toolsListChanged: true }, { headers: { 'x-address': from } })).messages[0]
    for (const from of ['a', 'a', 'b']) expect((await listen(from)).error).toBeUndefined()
    expect(await listen('a')).toMatchObject(over)
    expect((await listen('b')).error).toBeUndefined()
    await server.close()
  })

  test('take a request ID of 128 bytes at most, since every notification repeats it', async () => {
    const server = await ModernServer.start({ tools })
    const { messages } = await server.listen({ toolsListChanged: true }, { id: 'x'.repeat(129) })
    expect(messages[0]).toMatchObject({ error: { code: -32_600, message: expect.stringContaining('128 bytes') } })
    await server.close()
  })
})
