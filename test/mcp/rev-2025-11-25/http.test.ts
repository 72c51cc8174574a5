// Goal: a client over Streamable HTTP keeps its session, its open calls and its progress over the death of the server;
// nobody else gets at any of it.
// Method: the SDK's client and bare fetch against a real HTTP server on a disk in memory that dies and comes back.
import { setTimeout as delay } from 'node:timers/promises'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CallToolRequestSchema, CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { defineTask } from 'holdfast'
import { type DurableTasks, durableTasks } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { HttpServer, type HttpServerOptions, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { double, failing, slow } from '../../helpers/mcp/tools.js'

let server: HttpServer
afterEach(() => server?.close())
const start = async (options: HttpServerOptions) => {
  server = await HttpServer.start(options)
  return server
}

const steps: string[] = []
const counting = defineTask({ name: 'counting', input: z.object({ to: z.number() }) }, async (task, { to }) => {
  for (let n = 1; n <= to; n++) {
    await task.step('count', async () => {
      steps.push(`${task.taskId} ${n}`)
      await delay(5)
    })
    task.progress({ done: n, total: to })
  }
  return `counted to ${to}`
})

const asking = defineTask({ name: 'asking' }, async (task) => {
  const one = await task.input<{ content: { word: string } }>('one', { message: 'First?' })
  const two = await task.input<{ content: { word: string } }>('two', { message: 'Second?' })
  return `${one.content.word} ${two.content.word}`
})

const until = async (what: () => unknown) => {
  for (let tries = 0; tries < 4_000 && !what(); tries++) await delay(5)
  expect(what()).toBeTruthy()
}

describe('a pending call', () => {
  test('resolves after the server died, with all of its progress, under the same session', async () => {
    // The client tries twice: on a busy machine a restart takes longer than the helper's 2 × 50 ms.
    await start({ tools: [counting], http: { retryInterval: 500 } })
    const { client, transport } = await server.connect()
    const session = transport.sessionId
    const seen: number[] = []
    const pending = client.callTool({ name: 'counting', arguments: { to: 40 } }, undefined, {
      onprogress: ({ progress }) => seen.push(progress),
    })
    for (const at of [5, 18, 31]) {
      await until(() => seen.length >= at)
      await server.restart()
      // It dies again where its client is back and was told nothing yet.
      const gets = server.open.get('GET') ?? 0
      await until(() => (server.open.get('GET') ?? 0) >= gets + 1)
      await server.restart()
    }
    expect(await pending).toMatchObject({ content: [{ text: 'counted to 40' }] })
    expect(seen).toEqual(Array.from({ length: 40 }, (_, n) => n + 1))
    expect(transport.sessionId).toBe(session)
    expect((await server.holdfast.list()).tasks).toHaveLength(1)
    await client.close()
  })

  test('of a low-level server resolves after the server died', async () => {
    const lowLevel = (durable: DurableTasks) => {
      const server = durable.attach(new Server(INFO, { capabilities: { tools: {} } }))
      server.setRequestHandler(CallToolRequestSchema, ({ params }) => ({
        content: [{ type: 'text', text: `own ${params.name}` }],
      }))
      return server
    }
    await start({ tools: [counting], http: { retryInterval: 500 }, lowLevel })
    const { client } = await server.connect()
    let done = 0
    const onprogress = ({ progress }: { progress: number }) => {
      done = progress
    }
    const pending = client.callTool({ name: 'counting', arguments: { to: 40 } }, undefined, { onprogress })
    await until(() => done >= 5)
    await server.restart()
    expect(await pending).toMatchObject({ content: [{ text: 'counted to 40' }] })
    expect(await client.callTool({ name: 'own' })).toMatchObject({ content: [{ text: 'own own' }] })
    expect((await server.holdfast.list()).tasks).toHaveLength(1)
    await client.close()
  })

  test('whose server dies at any write resolves or says that it must be sent again, and leaves one task at most', async () => {
    for (let atWrite = 1; atWrite <= 16; atWrite++) {
      for (const applied of [false, true]) {
        await start({ tools: [double] })
        const { client } = await server.connect()
        let died = false
        server.disk.onDeath(() => {
          died = true
        })
        server.disk.dieAt({ atWrite, applied })
        const pending = client
          .callTool({ name: 'double', arguments: { n: 4 } }, undefined, { timeout: 3_000 })
          .catch((error: Error) => error)
        await Promise.race([pending, until(() => died)])
        await server.restart()
        const answer = await pending
        // Before the stream's first event there is nothing that a client could come back to.
        if (answer instanceof Error) expect(String(answer)).toMatch(/fetch failed|terminated/)
        else expect(answer.structuredContent).toEqual({ n: 8 })
        expect((await server.holdfast.list()).tasks.length).toBeLessThanOrEqual(1)
        await client.close()
        await server.close()
      }
    }
  })

  test('is tried again by its client until a restart of 15 s is over', async () => {
    const holdfast = await openInMemory({ disk: new MemoryDisk() })
    const durable = durableTasks(holdfast, { access: 'open' }).tool(double)
    const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
    const send = (message: object, headers = {}) =>
      handler.fetch(
        new Request('http://localhost/mcp', {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            ...headers,
          },
          body: JSON.stringify(message),
        }),
      )
    const begun = await send(initialize())
    await begun.text()
    const session = { 'mcp-session-id': begun.headers.get('mcp-session-id') }
    await send({ jsonrpc: '2.0', method: 'notifications/initialized' }, session)
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'double', arguments: { n: 2 } } }
    const stream = await (await send(call, session)).text()
    await handler.close()
    await holdfast.close()
    // Of every stream the first event says it, before anything can be lost.
    const [, interval] = /^id: .*\nretry: (\d+)\n/.exec(stream) ?? []
    const { _reconnectionOptions: client } = new StreamableHTTPClientTransport(
      new URL('http://localhost/mcp'),
    ) as never as {
      _reconnectionOptions: { maxRetries: number }
    }
    expect(Number(interval) * client.maxRetries).toBeGreaterThan(15_000)
  })

  test('of a tool that is not durable is answered at once after a restart: it has to be sent again', async () => {
    await start({
      tools: [double],
      setUp: (server) => {
        server.registerTool('plain', {}, async () => {
          await delay(60_000)
          return { content: [] }
        })
      },
    })
    const { client } = await server.connect()
    const onresumptiontoken = vi.fn()
    const pending = client
      .callTool({ name: 'plain' }, undefined, { onresumptiontoken })
      .catch((error: unknown) => error)
    await until(() => onresumptiontoken.mock.calls.length > 0)
    await server.restart()
    expect(await pending).toMatchObject({ code: -32_603, data: { code: 'SERVER_RESTARTED' } })
    await delay(200)
    await client.close()
  })

  test('tasks/result that waits is answered too', async () => {
    await start({ tools: [slow] })
    const { client } = await server.connect()
    const stream = client.experimental.tasks.callToolStream(
      { name: 'slow', arguments: { ms: 400 } },
      CallToolResultSchema,
      { task: {} },
    )
    const { value } = await stream.next()
    const { taskId } = (value as { task: { taskId: string } }).task
    const onresumptiontoken = vi.fn()
    const pending = client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema, { onresumptiontoken })
    await until(() => onresumptiontoken.mock.calls.length > 0)
    await server.restart()
    expect(await pending).toMatchObject({ content: [{ text: 'slept' }] })
    await client.close()
  })

  test('neither authorize nor toInput runs again when it is taken up', async () => {
    const authorize = vi.fn(() => 'allow' as const)
    const toInput = vi.fn(({ to }: { to: number }) => ({ to }))
    await start({ tools: [counting], durable: { authorize }, options: { toInput } })
    const { client } = await server.connect()
    const seen: number[] = []
    const pending = client.callTool({ name: 'counting', arguments: { to: 10 } }, undefined, {
      onprogress: ({ progress }) => seen.push(progress),
    })
    await until(() => seen.length >= 3)
    const asked = authorize.mock.calls.length
    await server.restart()
    await pending
    expect(authorize.mock.calls.length).toBe(asked)
    expect(toInput).toHaveBeenCalledTimes(1)
    await client.close()
  })

  test('is rejoined when its client gave up and asks again, over a restart', async () => {
    await start({ tools: [counting], durable: { access: 'principal' } })
    const first = await server.connect({ sub: 'alice' })
    const given = first.client.callTool({ name: 'counting', arguments: { to: 60 } }, undefined, { timeout: 60 })
    await expect(given).rejects.toMatchObject({ code: -32_001 })
    await until(() => [...server.disk.content.keys()].every((key) => !key.includes('http-open')))
    await server.restart()
    const second = await server.connect({ sub: 'alice' })
    expect(await second.client.callTool({ name: 'counting', arguments: { to: 60 } })).toMatchObject({
      content: [{ text: 'counted to 60' }],
    })
    expect((await server.holdfast.list()).tasks).toHaveLength(1)
    await Promise.all([first.client.close(), second.client.close()])
  })
})

describe('answers to questions', () => {
  test('of a task, with an unmodified client, over a restart in between', async () => {
    await start({ tools: [asking], durable: { access: 'principal' } })
    const asked: string[] = []
    const { client } = await server.connect({
      sub: 'alice',
      capabilities: { elicitation: {} },
      setUp: (client) =>
        client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
          asked.push(params.message)
          if (params.message === 'Second?' && asked.filter((message) => message === 'Second?').length === 1)
            await server.restart()
          return { action: 'accept', content: { word: params.message } }
        }),
    })
    const result = await client.callTool({ name: 'asking' })
    expect(result).toMatchObject({ content: [{ text: 'First? Second?' }] })
    await client.close()
  })

  test('from before a restart answer their own question or none, never the next one', async () => {
    await start({ tools: [asking], durable: { access: 'principal' } })
    const init = await server.send(initialize({ elicitation: {} }), { sub: 'alice' })
    const session = init.headers.get('mcp-session-id') as string
    await init.text()
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'asking', arguments: {}, task: {} } }
    await (await server.send(call, { sub: 'alice', session })).text()
    const { taskId } = (await server.holdfast.list()).tasks[0] as { taskId: string }
    const ask = async (id: number) => {
      const response = await server.send(
        { jsonrpc: '2.0', id, method: 'tasks/result', params: { taskId } },
        { sub: 'alice', session },
      )
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      let text = ''
      while (!/"method":"elicitation/.test(text)) text += Buffer.from((await reader.read()).value ?? []).toString()
      return (
        /"id":"([^"]+)","?|"id":"([^"]+)"/.exec(text.slice(text.indexOf('"method":"elicitation')))?.[1] ??
        /"id":"(task-[^"]+)"/.exec(text)?.[1]
      )
    }
    const early = (await ask(2)) as string
    expect(early).toMatch(new RegExp(`^${taskId}:one\\.`))
    await server.restart()
    const answer = (id: unknown, word: string) =>
      server.send({ jsonrpc: '2.0', id, result: { action: 'accept', content: { word } } }, { sub: 'alice', session })
    for (const id of [
      0,
      1,
      '0',
      'request-0.x',
      `${taskId}:two.${early.split('.')[1]}`,
      `${taskId}:nothing.1`,
      'nonsense',
      '.',
    ]) {
      expect((await answer(id, 'wrong')).status).toBe(202)
    }
    await untilIdle(server.holdfast)
    expect(Object.keys((await server.holdfast.get(taskId)).inputRequests ?? {})).toEqual(['one'])
    await answer(early, 'late')
    await untilIdle(server.holdfast)
    expect(Object.keys((await server.holdfast.get(taskId)).inputRequests ?? {})).toEqual(['two'])
    await answer(early, 'again')
    await untilIdle(server.holdfast)
    expect(Object.keys((await server.holdfast.get(taskId)).inputRequests ?? {})).toEqual(['two'])
  })
})

test('L14 tasks/get is answered with JSON, not with an event stream', async () => {
  await start({ tools: [double] })
  const init = await server.send(initialize())
  const session = init.headers.get('mcp-session-id') as string
  const answer = await server.send({ jsonrpc: '2.0', id: 7, method: 'tasks/get', params: { taskId: 'x' } }, { session })
  expect(answer.headers.get('content-type')).toBe('application/json')
  expect(await answer.json()).toMatchObject({ id: 7, error: { code: -32_602 } })
})

test('100 JSON-RPC errors leave no GET open but the one that listens', async () => {
  await start({ tools: [failing] })
  const { client } = await server.connect()
  await until(() => server.open.get('GET') === 1)
  for (let n = 0; n < 100; n++) {
    await expect(client.callTool({ name: 'failing', arguments: { how: 'protocol' } })).rejects.toMatchObject({
      code: -32_077,
    })
  }
  await until(() => server.seen.filter(({ method, status }) => method === 'GET' && status === 204).length === 100)
  expect(server.open.get('GET')).toBe(1)
  await client.close()
})

describe('a session', () => {
  test('of one principal answers another like one that never was: POST, GET, DELETE; live and after a restart', async () => {
    await start({ tools: [asking, slow], durable: { access: 'principal' } })
    const init = await server.send(initialize({ elicitation: {} }), { sub: 'alice' })
    const session = init.headers.get('mcp-session-id') as string
    await init.text()
    for (const round of ['live', 'after a restart']) {
      const unknown = await (
        await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { sub: 'bob', session: 'none' })
      ).text()
      const tries: [string, unknown][] = [
        ['POST', { jsonrpc: '2.0', id: 1, method: 'ping' }],
        ['POST', { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'slow', arguments: { ms: 1 } } }],
        ['POST', { jsonrpc: '2.0', id: 0, result: { action: 'accept', content: { word: 'mine' } } }],
        ['POST', { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }],
        ['GET', undefined],
        ['DELETE', undefined],
      ]
      for (const [method, message] of tries) {
        const response = await server.send(message, { sub: 'bob', session, method })
        expect([round, method, response.status, await response.text()]).toEqual([round, method, 404, unknown])
      }
      const replay = await server.send(undefined, {
        sub: 'bob',
        session,
        method: 'GET',
        headers: { 'last-event-id': 'get_0' },
      })
      expect(replay.status).toBe(404)
      expect((await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { sub: 'alice', session })).status).toBe(200)
      await server.restart()
    }
  })

  test('is gone after DELETE, with everything of it', async () => {
    await start({ tools: [double] })
    const { client, transport } = await server.connect()
    await client.callTool({ name: 'double', arguments: { n: 1 } })
    const session = transport.sessionId
    await transport.terminateSession()
    expect((await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session })).status).toBe(404)
    await until(() => [...server.disk.content.keys()].every((key) => !key.includes('/http-')))
    await server.restart()
    expect((await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session })).status).toBe(404)
    await client.close()
  })

  test('needs a principal', async () => {
    await start({ tools: [double], durable: { access: 'principal' } })
    expect((await server.send(initialize())).status).toBe(401)
    expect((await server.send(initialize(), { sub: 'alice' })).status).toBe(200)
  })

  test('keeps no token, and what it keeps of events is limited', async () => {
    await start({ tools: [counting], durable: { access: 'principal' }, http: { eventsMax: 10 } })
    const { client } = await server.connect({ sub: 'alice' })
    await client.callTool({ name: 'counting', arguments: { to: 50 } }, undefined, { onprogress: () => {} })
    const kept = [...server.disk.content]
    expect(kept.some(([, text]) => text.includes('secret-alice'))).toBe(false)
    expect(kept.filter(([key]) => key.includes('http-event')).length).toBeLessThanOrEqual(10)
    await client.close()
  })
})
