// Goal: a server with `registerToolTask` and its own handlers gains durability by passing two options.
// Method: the SDK's own server code and client; the words that the SDK's tests look for in errors.
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CallToolResultSchema, ElicitRequestSchema, type Request } from '@modelcontextprotocol/sdk/types.js'
import { type DurableOptions, durableTasks } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connect, INFO, tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'

const REQUEST: Request = { method: 'tools/call', params: { name: 'research' } }

const stores = async (options: Partial<DurableOptions> = {}, disk = new MemoryDisk()) => {
  const holdfast = await openInMemory({ disk })
  const durable = durableTasks(holdfast, { access: 'local', ...options })
  return { disk, holdfast, durable, store: durable.taskStore, queue: durable.taskMessageQueue }
}

describe('taskStore', () => {
  test('keeps a task from its creation to its result', async () => {
    const { store } = await stores()
    const { taskId, status, ttl, pollInterval } = await store.createTask({ ttl: 60_000, pollInterval: 20 }, 1, REQUEST)
    expect({ status, ttl, pollInterval }).toEqual({ status: 'working', ttl: 3_600_000, pollInterval: 20 })
    await store.updateTaskStatus(taskId, 'input_required', 'Which one?')
    expect(await store.getTask(taskId)).toMatchObject({ status: 'input_required', statusMessage: 'Which one?' })
    await expect(store.getTaskResult(taskId)).rejects.toThrow('has no result stored')
    await store.storeTaskResult(taskId, 'completed', { content: [{ type: 'text', text: 'found' }] })
    expect(await store.getTask(taskId)).toMatchObject({ status: 'completed' })
    expect(await store.getTaskResult(taskId)).toEqual({ content: [{ type: 'text', text: 'found' }] })
    await expect(store.storeTaskResult(taskId, 'failed', {})).rejects.toThrow('Cannot store result for task')
    await expect(store.updateTaskStatus(taskId, 'working')).rejects.toThrow('Cannot update task')
    expect((await store.listTasks()).tasks).toHaveLength(1)
  })

  test('grants a ttl of null where the server has no limit, as the SDK’s own store does', async () => {
    const { store } = await stores({ ttl: { max: 'unlimited' } })
    const { taskId, ttl } = await store.createTask({ ttl: null }, 1, REQUEST)
    expect(ttl).toBeNull()
    expect(await store.getTask(taskId)).toMatchObject({ ttl: null })
  })

  test('a failed result is a failed task with that result', async () => {
    const { store } = await stores()
    const { taskId } = await store.createTask({}, 1, REQUEST)
    const result = { content: [{ type: 'text', text: 'no luck' }], isError: true }
    await store.storeTaskResult(taskId, 'failed', result)
    expect(await store.getTask(taskId)).toMatchObject({ status: 'failed', statusMessage: 'no luck' })
    expect(await store.getTaskResult(taskId)).toEqual(result)
  })

  test('knows what it doesn’t know', async () => {
    const { store } = await stores()
    expect(await store.getTask('none')).toBeNull()
    await expect(store.getTaskResult('none')).rejects.toThrow('Task with ID none not found')
    await expect(store.updateTaskStatus('none', 'cancelled')).rejects.toThrow('Task with ID none not found')
    await expect(store.listTasks('nonsense')).rejects.toThrow('Invalid cursor: nonsense')
  })

  test.each([['fail'], ['keep']] as const)(
    'after a crash its tasks are settled as failed, or left to the server: %s',
    async (orphans) => {
      const first = await stores({ orphans })
      const { taskId } = await first.store.createTask({}, 1, REQUEST)
      const done = await first.store.createTask({}, 2, REQUEST)
      await first.store.storeTaskResult(done.taskId, 'completed', { content: [] })
      first.disk.crash()
      const second = await stores({ orphans }, first.disk)
      expect(await second.store.getTask(done.taskId)).toMatchObject({ status: 'completed' })
      const task = await second.store.getTask(taskId)
      if (orphans === 'keep') {
        expect(task?.status).toBe('working')
        await second.store.storeTaskResult(taskId, 'completed', { content: [] })
      } else {
        expect(task).toMatchObject({ status: 'failed', statusMessage: expect.stringContaining('restarted') })
        await expect(second.store.getTaskResult(taskId)).rejects.toThrow('restarted')
      }
    },
  )

  test('carries the principal beside the call; in principal mode a call without one is refused', async () => {
    const { durable, store } = await stores({ access: 'principal' })
    await expect(store.createTask({}, 1, REQUEST)).rejects.toThrow('wrap the call in `durable.withAuth(')
    const as = <T>(sub: string, act: () => Promise<T>) => durable.withAuth(tokenOf(sub), act)
    const { taskId } = await as('alice', () => store.createTask({}, 1, REQUEST, 'session 1'))
    expect(await as('alice', () => store.getTask(taskId, 'session 2'))).toMatchObject({ taskId })
    expect(await as('bob', () => store.getTask(taskId, 'session 1'))).toBeNull()
    await expect(as('bob', () => store.storeTaskResult(taskId, 'completed', {}))).rejects.toThrow('not found')
    expect(await as('bob', () => store.listTasks())).toEqual({ tasks: [] })
    await expect(store.getTask(taskId)).rejects.toThrow('wrap the call in `durable.withAuth(')
    await expect(durable.withAuth(undefined, () => store.getTask(taskId))).rejects.toThrow('verified token')
  })

  test('without authentication lists nothing', async () => {
    const { store } = await stores({ access: 'open' })
    const { taskId } = await store.createTask({}, 1, REQUEST)
    expect(await store.listTasks()).toEqual({ tasks: [] })
    expect(await store.getTask(taskId)).toMatchObject({ taskId })
  })
})

test('taskMessageQueue is first in, first out, bounded, and on disk', async () => {
  const { queue, disk, store } = await stores()
  const { taskId } = await store.createTask({}, 1, REQUEST)
  const message = (id: number) => ({
    type: 'request' as const,
    timestamp: 1,
    message: { jsonrpc: '2.0' as const, id, method: 'ping' },
  })
  for (let id = 0; id < 5; id++) await queue.enqueue(taskId, message(id), undefined, 5)
  await expect(queue.enqueue(taskId, message(9), undefined, 5)).rejects.toThrow('Task message queue overflow')
  expect(await queue.dequeue(taskId)).toEqual(message(0))
  disk.crash()
  const again = await stores({ orphans: 'keep' }, disk)
  expect(await again.queue.dequeue(taskId)).toEqual(message(1))
  expect(await again.queue.dequeueAll(taskId)).toEqual([2, 3, 4].map(message))
  expect(await again.queue.dequeue(taskId)).toBeUndefined()
  expect(await again.queue.dequeue('../odd')).toBeUndefined()
})

test('a handler’s own question within a task reaches whoever waits for the task; not that of a process that is gone', async () => {
  const disk = new MemoryDisk()
  const open = async () => {
    const { durable, store: taskStore, queue: taskMessageQueue, holdfast } = await stores({ orphans: 'keep' }, disk)
    const answers: unknown[] = []
    const server = durable.attach(new McpServer(INFO, durable.serverOptions({ taskStore, taskMessageQueue })))
    server.experimental.tasks.registerToolTask(
      'order',
      { execution: { taskSupport: 'required' } },
      {
        createTask: async ({ taskStore }) => {
          const task = await taskStore.createTask({ ttl: 60_000, pollInterval: 10 })
          const params = {
            message: 'Which one?',
            requestedSchema: { type: 'object' as const, properties: { which: { type: 'string' as const } } },
          }
          void server.server.elicitInput(params, { relatedTask: { taskId: task.taskId } }).then(async ({ content }) => {
            answers.push(content)
            const text = `Ordered ${content?.['which']}`
            await taskStore.storeTaskResult(task.taskId, 'completed', { content: [{ type: 'text', text }] })
          })
          return { task }
        },
        getTask: ({ taskStore, taskId }) => taskStore.getTask(taskId),
        getTaskResult: async ({ taskStore, taskId }) =>
          CallToolResultSchema.parse(await taskStore.getTaskResult(taskId)),
      },
    )
    const asked: string[] = []
    const client = new Client(INFO, { capabilities: { elicitation: {} } })
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(params.message)
      return { action: 'accept', content: { which: 'terns' } }
    })
    const [ours, theirs] = InMemoryTransport.createLinkedPair()
    await Promise.all([server.connect(ours), client.connect(theirs)])
    const order = async () => {
      const stream = client.experimental.tasks.callToolStream({ name: 'order' }, CallToolResultSchema, { task: {} })
      return ((await stream.next()).value as { task: { taskId: string } }).task.taskId
    }
    const result = (taskId: string) => client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)
    return { asked, answers, order, result, holdfast }
  }
  const first = await open()
  expect(await first.result(await first.order())).toMatchObject({ content: [{ text: 'Ordered terns' }] })
  expect(first.asked).toEqual(['Which one?'])
  const left = await first.order()
  await untilIdle(first.holdfast)
  disk.crash()
  const second = await open()
  second.result(left).catch(() => {})
  await untilIdle(second.holdfast)
  expect([second.asked, second.answers]).toEqual([[], []])
  await second.holdfast.close()
})

test('a server of the SDK’s with registerToolTask, with the two options and nothing else', async () => {
  const { store: taskStore, queue: taskMessageQueue } = await stores()
  const capabilities = { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
  const server = new McpServer(INFO, { capabilities, taskStore, taskMessageQueue })
  server.experimental.tasks.registerToolTask(
    'research',
    { inputSchema: { topic: z.string() }, execution: { taskSupport: 'required' } },
    {
      createTask: async ({ topic }, { taskStore }) => {
        const task = await taskStore.createTask({ ttl: 60_000, pollInterval: 10 })
        void delay(30).then(() =>
          taskStore.storeTaskResult(task.taskId, 'completed', {
            content: [{ type: 'text', text: `all about ${topic}` }],
          }),
        )
        return { task }
      },
      getTask: (_, { taskStore, taskId }) => taskStore.getTask(taskId),
      getTaskResult: async (_, { taskStore, taskId }) =>
        CallToolResultSchema.parse(await taskStore.getTaskResult(taskId)),
    },
  )
  const client = new Client(INFO)
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  await Promise.all([server.connect(ours), client.connect(theirs)])
  const seen: string[] = []
  for await (const message of client.experimental.tasks.callToolStream(
    { name: 'research', arguments: { topic: 'terns' } },
    CallToolResultSchema,
    { task: {} },
  )) {
    seen.push(message.type)
    if (message.type === 'result') expect(message.result.content).toEqual([{ type: 'text', text: 'all about terns' }])
  }
  expect(seen[0]).toBe('taskCreated')
  expect(seen.at(-1)).toBe('result')
})

describe('a task that the server drives through `taskStore`', () => {
  const connected = async (options: Partial<DurableOptions> = {}) => {
    const { durable, store, holdfast } = await stores({ aliases: true, ...options })
    const { client } = await connect(durable)
    const ask = (method: string, params: object) =>
      client.request({ method, params } as never, z.looseObject({})).then(
        () => 'done',
        ({ code, message }: { code: number; message: string }) => ({ code, message }),
      )
    return { store, holdfast, ask }
  }
  const refused = { code: -32_600, message: expect.stringContaining('driven by the server alone') }

  test('is settled by no client, and what the server stores counts', async () => {
    const { store, ask, holdfast } = await connected()
    const { taskId } = await store.createTask({}, 1, REQUEST)
    for (const outcome of [{ kind: 'result', result: { approved: true } }, { kind: 'cancelled' }, undefined]) {
      expect(await ask('sessions/completeTask', { taskId, outcome })).toEqual(refused)
    }
    await store.storeTaskResult(taskId, 'failed', { content: [{ type: 'text', text: 'rejected' }], isError: true })
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed' })
  })

  test('keeps no checkpoint of a client, and can be read and cancelled by it', async () => {
    const { store, ask, holdfast } = await connected()
    const { taskId } = await store.createTask({}, 1, REQUEST)
    expect(await ask('sessions/saveCheckpoint', { taskId, state: { round: 1 } })).toEqual(refused)
    expect(await holdfast.listCheckpoints(taskId)).toEqual([])
    expect(await ask('sessions/listCheckpoints', { taskId })).toBe('done')
    expect(await ask('tasks/cancel', { taskId })).toBe('done')
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled' })
  })

  test('a client’s own session task is still its to settle', async () => {
    const { ask, holdfast } = await connected()
    expect(await ask('sessions/createTask', { type: 'mcp research' })).toBe('done')
    const { taskId } = (await holdfast.list()).tasks[0] as { taskId: string }
    expect(await ask('sessions/saveCheckpoint', { taskId, state: 1 })).toBe('done')
    expect(await ask('sessions/completeTask', { taskId })).toBe('done')
  })
})
