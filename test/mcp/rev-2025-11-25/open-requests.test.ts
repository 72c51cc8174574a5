// Goal: requests that are not answered take little, in memory and on disk; a client has a limited number of them; one whose
// client is away is answered when it comes back within five minutes, over restarts too, and is dropped after that.
// Method: bare requests, which hang up when they are told to, against a real HTTP server on a disk in memory that dies and
// comes back; a clock that is moved by hand. What stays in memory is what is handed to the SDK, which holds on to it.
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { defineTask } from 'holdfast'
import { ManualClock, silentLogger, untilIdle } from 'holdfast/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { DurableTransport } from '../../../src/mcp/rev-2025-11-25/server/transport.js'
import type { Attachment } from '../../../src/mcp/rev-2025-11-25/server/types.js'
import { seal, unseal } from '../../../src/store/integrity/envelope.js'
import { HttpServer, type HttpServerOptions, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { double } from '../../helpers/mcp/tools.js'

let server: HttpServer
let clock: ManualClock
let handed: { method?: string }[]
afterEach(() => server?.close())

/** A task that ends when it is told to. */
const held = defineTask(
  { name: 'held', input: z.object({ n: z.number(), pad: z.string().optional() }) },
  async (task, { n }) => {
    task.progress({ done: 1, total: 2 })
    await task.receive('go')
    return `done ${n}`
  },
)

/** Notes what the SDK's server is handed, as it is handed it. */
function watchMessages({ server: inner }: McpServer): void {
  const connect = inner.connect.bind(inner)
  inner.connect = async (transport) => {
    await connect(transport)
    const ours = inner.transport
    const onmessage = ours?.onmessage?.bind(ours)
    if (!ours || !onmessage) throw new Error('It is not connected')
    ours.onmessage = (message, extra) => {
      handed.push(message as never)
      onmessage(message, extra)
    }
  }
}

async function start(options: Partial<HttpServerOptions> = {}): Promise<void> {
  clock = new ManualClock()
  handed = []
  const durable = { access: 'principal', progressInterval: 0, aliases: true, ...options.durable } as const
  server = await HttpServer.start({ tools: [held, double], clock, setUp: watchMessages, ...options, durable })
}

async function session(sub?: string, headers = {}, version = '2025-11-25'): Promise<string> {
  const { params, ...message } = initialize()
  const response = await server.send({ ...message, params: { ...params, protocolVersion: version } }, { sub, headers })
  await response.text()
  return response.headers.get('mcp-session-id') as string
}

let ids = 100
/** A request over a connection of its own: the response, what comes of it, and how to hang up. */
async function open(
  session: string,
  method: string,
  params: object,
  { sub = 'alice', id = ++ids as string | number, version = '' } = {},
) {
  const aborter = new AbortController()
  const response = await fetch(server.url, {
    method: 'POST',
    signal: aborter.signal,
    headers: {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'mcp-session-id': session,
      ...(version === '' ? {} : { 'mcp-protocol-version': version }),
      authorization: `Bearer ${sub}`,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id, method, params }),
  })
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  return { id, status: response.status, isStream, response, hangUp: () => aborter.abort() }
}
const resume = (session: string, lastEventId: string, sub = 'alice') =>
  server.send(undefined, { method: 'GET', session, sub, headers: { 'last-event-id': lastEventId } })

/** The first event's ID, and the reader to go on with. */
async function firstId(response: Response): Promise<{ id: string; rest: () => Promise<string> }> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  const more = async () => {
    const { done, value } = await reader.read()
    if (!done) text += Buffer.from(value).toString()
    return !done
  }
  while (!/^id: \S+$/m.test(text)) await more()
  const id = /^id: (\S+)$/m.exec(text)?.[1] as string
  const rest = async () => {
    while (await more());
    return text
  }
  return { id, rest }
}

async function heldTask(session: string, sub = 'alice', args: object = {}): Promise<string> {
  const params = { name: 'held', arguments: { n: 1, ...args }, task: {} }
  const { response } = await open(session, 'tools/call', params, { sub })
  return /"taskId":"([^"]+)"/.exec(await response.text())?.[1] as string
}
const openRecords = () =>
  [...server.disk.content].flatMap(([key, text]) => (key.includes('/http-open/') ? [unseal(key, text).body] : []))
const finish = (taskId: string) => server.holdfast.send(taskId, 'go', null)
const minutes = async (count: number) => {
  for (let minute = 0; minute < count; minute++) {
    await clock.advance(60_000)
    await untilIdle(server.holdfast)
  }
}
/** Resolves once the server knows that a client hung up. */
const untilGone = async (hangUp: () => void) => {
  const before = server.open.get('POST') ?? 0
  hangUp()
  while ((server.open.get('POST') ?? 0) >= before) await new Promise((resolve) => setImmediate(resolve))
  await untilIdle(server.holdfast)
}

describe('of a request that is not answered', () => {
  test('less than 1 KiB is kept on disk, whatever it is made of; it is answered after a restart', async () => {
    await start()
    const own = await session('alice')
    const taskId = await heldTask(own)
    const junk = 'x'.repeat(500_000)
    const token = 't'.repeat(128)
    const _meta = { progressToken: token, junk }
    const id = 'i'.repeat(128)
    const waiting = await open(own, 'tasks/result', { taskId, junk, _meta }, { id })
    const call = await open(own, 'tools/call', { name: 'held', arguments: { n: 2, pad: junk }, _meta, junk })
    const { id: callAt } = await firstId(call.response)
    const { id: waitingAt } = await firstId(waiting.response)
    const sizes = openRecords().map(({ length }) => length)
    expect(sizes).toHaveLength(2)
    expect(Math.max(...sizes)).toBeLessThan(1024)
    await server.restart()
    for (const { taskId } of (await server.holdfast.list()).tasks) await finish(taskId)
    expect(await (await resume(own, waitingAt)).text()).toContain(`"id":"${id}"`)
    const told = await (await resume(own, callAt)).text()
    expect(told).toContain('done 2')
    expect(told).toContain(`"progressToken":"${token}"`)
    expect(openRecords()).toEqual([])
  })

  test('the SDK is handed only what is read, since it holds on to it for as long as somebody waits', async () => {
    await start()
    const own = await session('alice')
    const taskId = await heldTask(own)
    const junk = 'x'.repeat(100_000)
    handed = []
    const _meta = { progressToken: 5, junk }
    const waits = [
      await open(own, 'tasks/result', { taskId, junk, _meta }),
      await open(own, 'tasks/getResult', { taskId, junk, _meta }),
      await open(own, 'tools/call', { name: 'held', arguments: { n: 2, pad: junk }, _meta }),
      await open(own, 'tools/call', { name: 'held', arguments: { n: 2, pad: junk }, _meta, task: { junk } }),
    ]
    expect(handed.map(({ method }) => method)).toEqual(['tasks/result', 'tasks/getResult', 'tools/call', 'tools/call'])
    for (const message of handed) expect(JSON.stringify(message).length).toBeLessThan(400)
    expect(JSON.stringify(handed)).toContain('"progressToken":5')
    expect(JSON.stringify(await waits[3]?.response.text())).toContain('working')
  })

  test('a task ID that is none is refused like any other', async () => {
    await start()
    const own = await session('alice')
    const answer = async (taskId: unknown) => (await open(own, 'tasks/result', { taskId })).response.text()
    expect(await answer('t'.repeat(200_000))).toContain(`"message":"Task not found: ${'t'.repeat(80)}"`)
    expect(await answer({ junk: 'x'.repeat(200_000) })).toContain('"message":"Task not found: object"')
    expect(await answer(5)).toContain('"message":"Task not found: number"')
    expect(await answer(undefined)).toContain('"message":"Task not found: undefined"')
  })

  test('an ID or a progress token of more than 128 bytes is refused', async () => {
    await start()
    const own = await session('alice')
    const long = 'x'.repeat(129)
    expect((await open(own, 'ping', {}, { id: long })).status).toBe(400)
    const call = await open(own, 'tools/call', { name: 'double', arguments: { n: 1 }, _meta: { progressToken: long } })
    expect([call.status, await call.response.text()]).toEqual([400, expect.stringMatching(/progress token.*128 bytes/)])
  })

  test('one in the form of the first stores is taken up', async () => {
    await start()
    const own = await session('alice')
    const taskId = await heldTask(own)
    const waiting = await open(own, 'tasks/result', { taskId, _meta: { progressToken: 7 } })
    const { id } = await firstId(waiting.response)
    await server.die()
    const [key, text] = [...server.disk.content].find(([key]) => key.includes('/http-open/')) as [string, string]
    const { stream } = JSON.parse(unseal(key, text).body)
    const params = { taskId, junk: 'x'.repeat(300_000), _meta: { progressToken: 7 } }
    const request = { jsonrpc: '2.0', id: waiting.id, method: 'tasks/result', params }
    server.disk.damage(key, seal(key, 0, JSON.stringify({ stream, request })))
    handed = []
    await server.start()
    await server.handler.ready
    await untilIdle(server.holdfast)
    expect(handed.at(-1)).toMatchObject({ method: 'tasks/result', params: { taskId, _meta: { progressToken: 7 } } })
    expect(JSON.stringify(handed)).not.toContain('xxxx')
    await finish(taskId)
    expect(await (await resume(own, id)).text()).toContain('done 1')
  })

  test('nothing stays in the transport of the SDK once it is cancelled, or given up for another of its ID', async () => {
    await start()
    const own = await session('alice')
    const taskId = await heldTask(own)
    const [{ transport }] = [...server.durable.attachments] as [Attachment]
    type Inner = { _requestToStreamMapping: Map<unknown, unknown> }
    const inner = (transport as DurableTransport).inner as unknown as Inner
    const cancelled = await open(own, 'tasks/result', { taskId })
    const given = await open(own, 'tasks/result', { taskId })
    expect(inner._requestToStreamMapping.size).toBe(2)
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: cancelled.id } }
    await server.send(cancel, { session: own, sub: 'alice' })
    await cancelled.response.text()
    await untilIdle(server.holdfast)
    expect([...inner._requestToStreamMapping.keys()]).toEqual([given.id])
    await untilGone(given.hangUp)
    const again = await open(own, 'tasks/result', { taskId }, { id: given.id })
    expect([...inner._requestToStreamMapping.keys()]).toEqual([given.id])
    await finish(taskId)
    expect(await again.response.text()).toContain('done 1')
    await untilIdle(server.holdfast)
    expect(inner._requestToStreamMapping.size).toBe(0)
    expect(openRecords()).toEqual([])
  })

  test('a failure of the SDK to close the stream of a cancelled request is logged, and harms no other request', async () => {
    const lines: unknown[] = []
    const logger = { ...silentLogger, debug: (message: string, fields?: object) => lines.push([message, fields]) }
    await start({ logger })
    const own = await session('alice')
    const taskId = await heldTask(own)
    const [{ transport }] = [...server.durable.attachments] as [Attachment]
    const inner = (transport as DurableTransport).inner as unknown as { closeSSEStream(id: unknown): void }
    inner.closeSSEStream = () => {
      throw new TypeError('The stream cannot be closed')
    }
    const cancelled = await open(own, 'tasks/result', { taskId })
    const other = await open(own, 'tasks/result', { taskId })
    // A rejection without a handler would end a real server; here, it fails the run.
    const unhandled: unknown[] = []
    const listeners = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', (error) => unhandled.push(error))
    try {
      const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: cancelled.id } }
      expect((await server.send(cancel, { session: own, sub: 'alice' })).status).toBe(202)
      await untilIdle(server.holdfast)
    } finally {
      process.removeAllListeners('unhandledRejection')
      for (const listener of listeners) process.on('unhandledRejection', listener)
    }
    expect(unhandled).toEqual([])
    expect(lines).toContainEqual([
      'A cancelled request could not be forgotten',
      { error: expect.stringMatching(/^TypeError /) },
    ])
    await finish(taskId)
    expect(await other.response.text()).toContain('done 1')
    cancelled.hangUp()
  })
})

describe('open requests', () => {
  test('of one session are limited; those of clients that hung up count, those that are answered at once do not', async () => {
    await start({ http: { openRequestsPerSessionMax: 3 } })
    const own = await session('alice')
    const taskId = await heldTask(own)
    const waits = []
    for (let n = 0; n < 3; n++) waits.push(await open(own, 'tasks/result', { taskId }))
    await untilGone(waits[0]?.hangUp ?? (() => {}))
    const over = await open(own, 'tasks/result', { taskId })
    expect([over.isStream, await over.response.json()]).toEqual([
      false,
      {
        jsonrpc: '2.0',
        id: over.id,
        error: {
          code: -32_602,
          message:
            'Over the limit of 3 open requests (limit `openRequestsPerSessionMax`). Try again once some are answered.',
          data: { code: 'LIMIT_EXCEEDED', limit: 'openRequestsPerSessionMax', max: 3 },
        },
      },
    ])
    expect((await open(own, 'tools/call', { name: 'double', arguments: { n: 1 } })).isStream).toBe(false)
    expect((await open(own, 'tasks/get', { taskId })).status).toBe(200)
    expect(openRecords()).toHaveLength(3)
    expect((await open(await session('alice'), 'tasks/result', { taskId })).isStream).toBe(true)
    await finish(taskId)
    await untilIdle(server.holdfast)
    const call = await open(own, 'tools/call', { name: 'double', arguments: { n: 2 } })
    expect(await call.response.text()).toContain('"n":4')
  })

  test('of one owner are limited, in all sessions together and after a restart too; another owner has its own', async () => {
    await start({ http: { openRequestsPerOwnerMax: 3 } })
    const [one, two] = [await session('alice'), await session('alice')]
    const taskId = await heldTask(one)
    for (const own of [one, two, two]) await open(own, 'tasks/result', { taskId })
    const over = async () => (await open(one, 'tasks/result', { taskId })).response.text()
    expect(await over()).toContain('"limit":"openRequestsPerOwnerMax"')
    const bob = await session('bob')
    const bobs = await heldTask(bob, 'bob')
    expect((await open(bob, 'tasks/result', { taskId: bobs }, { sub: 'bob' })).isStream).toBe(true)
    await server.restart()
    await server.handler.ready
    await untilIdle(server.holdfast)
    expect(await over()).toContain('"limit":"openRequestsPerOwnerMax"')
    await server.send(undefined, { method: 'DELETE', session: two, sub: 'alice' })
    expect((await open(one, 'tasks/result', { taskId })).isStream).toBe(true)
  })

  test('without authentication are limited for each address', async () => {
    const addressOf = (request: Request) => request.headers.get('x-address') ?? undefined
    await start({ durable: { access: 'open' }, http: { addressOf, openRequestsPerOwnerMax: 2 } })
    const sessionOf = (from: string) => session(undefined, { 'x-address': from })
    const [one, two, other] = [await sessionOf('a'), await sessionOf('a'), await sessionOf('b')]
    const taskId = await heldTask(one)
    for (const own of [one, two]) await open(own, 'tasks/result', { taskId })
    expect((await open(two, 'tasks/result', { taskId })).isStream).toBe(false)
    expect((await open(other, 'tasks/result', { taskId })).isStream).toBe(true)
  })

  test('no other request of the same ID makes room for one more', async () => {
    await start({ http: { openRequestsPerSessionMax: 1 } })
    const own = await session('alice')
    const taskId = await heldTask(own)
    const { id } = await open(own, 'tasks/result', { taskId })
    expect((await open(own, 'ping', {}, { id })).status).toBe(400)
    expect((await open(own, 'tasks/result', { taskId })).isStream).toBe(false)
  })

  test('of a client of an earlier revision count too, and end when it hangs up: it can’t come back for them', async () => {
    await start({ http: { openRequestsPerSessionMax: 1 } })
    const version = '2025-06-18'
    const own = await session('alice', {}, version)
    const taskId = await heldTask(own)
    const waiting = open(own, 'tasks/result', { taskId }, { version })
    const { isStream, hangUp } = await waiting
    expect(isStream).toBe(true)
    expect((await open(own, 'tasks/result', { taskId }, { version })).isStream).toBe(false)
    await untilGone(hangUp)
    expect((await open(own, 'tasks/result', { taskId }, { version })).isStream).toBe(true)
  })
})

describe('tasks/result whose client is away', () => {
  const away = async () => {
    await start()
    const own = await session('alice')
    const taskId = await heldTask(own)
    const { response, hangUp } = await open(own, 'tasks/result', { taskId })
    const { id } = await firstId(response)
    await untilGone(hangUp)
    return { own, taskId, id }
  }

  test('is answered when it comes back within five minutes', async () => {
    const { own, taskId, id } = await away()
    await minutes(4)
    expect(openRecords()).toHaveLength(1)
    const { rest } = await firstId(await resume(own, id))
    await minutes(20)
    expect(openRecords()).toHaveLength(1)
    await finish(taskId)
    expect(await rest()).toContain('done 1')
  })

  test('is dropped after five minutes, and leaves nothing but the word that it was, for as long as events are kept', async () => {
    const { own, id } = await away()
    await minutes(6)
    expect(openRecords()).toEqual([])
    const back = await resume(own, id)
    expect([back.status, await back.text()]).toEqual([
      200,
      expect.stringMatching(/"code":-32603.*"data":\{"code":"CLIENT_AWAY"\}/),
    ])
    await minutes(12)
    expect([...server.disk.content.keys()].filter((key) => key.includes('/http-event/'))).toEqual([])
    expect(server.durable.attachments.size).toBe(0)
  })

  test('has its five minutes again after a restart, and again when it was there', async () => {
    const { own, taskId, id } = await away()
    await minutes(4)
    await server.restart()
    await server.handler.ready
    await untilIdle(server.holdfast)
    await minutes(4)
    const { response, hangUp } = await (async () => {
      const aborter = new AbortController()
      const headers = {
        accept: 'text/event-stream',
        'mcp-session-id': own,
        'last-event-id': id,
        authorization: 'Bearer alice',
      }
      return { response: await fetch(server.url, { headers, signal: aborter.signal }), hangUp: () => aborter.abort() }
    })()
    await firstId(response)
    hangUp()
    while ((server.open.get('GET') ?? 0) > 0) await new Promise((resolve) => setImmediate(resolve))
    await minutes(4)
    expect(openRecords()).toHaveLength(1)
    await finish(taskId)
    await untilIdle(server.holdfast)
    expect(await (await resume(own, id)).text()).toContain('done 1')
  })

  test('dropped or not, its task goes on; a call that makes one is not dropped', async () => {
    await start()
    const own = await session('alice')
    const { response, hangUp } = await open(own, 'tools/call', { name: 'held', arguments: { n: 3 } })
    const { id } = await firstId(response)
    await untilGone(hangUp)
    await minutes(20)
    expect(openRecords()).toHaveLength(1)
    for (const { taskId } of (await server.holdfast.list()).tasks) await finish(taskId)
    await untilIdle(server.holdfast)
    expect(await (await resume(own, id)).text()).toContain('done 3')
  })
})
