// Goal: a call of a durable tool gives its arguments and its result as the SDK does, survives a client that gives up, and
// reports its progress.
// Method: the SDK's own client, or a raw one, on a real server in memory.
import { setTimeout as delay } from 'node:timers/promises'
import { McpError } from '@modelcontextprotocol/sdk/types.js'
import { defineTask, ProtocolError } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { connect, tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { gate, local } from '../../helpers/mcp/rev-2025-11-25/local.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double, failing, never } from '../../helpers/mcp/tools.js'

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
    await untilIdle(holdfast)
    const again = call('held', { n: 1 })
    await untilIdle(holdfast)
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
    await untilIdle(holdfast)
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
    await untilIdle(holdfast)
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
