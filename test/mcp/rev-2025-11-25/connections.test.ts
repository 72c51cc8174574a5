// Goal: what depends on whether a client is there: which calls are given up, which answers are delivered, which sessions
// are in use.
// Method: bare fetch, which hangs up when it is told to, against a real HTTP server on a disk in memory.
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask } from 'holdfast'
import { ManualClock, untilIdle } from 'holdfast/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { HttpServer, type HttpServerOptions, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { double, failing } from '../../helpers/mcp/tools.js'

let server: HttpServer
afterEach(() => server?.close())
const start = async (options: Omit<HttpServerOptions, 'tools'> & { tools?: HttpServerOptions['tools'] } = {}) => {
  gates.clear()
  runs.mockClear()
  server = await HttpServer.start({ tools: [held], durable: { access: 'principal' }, ...options })
  return server
}

const gates = new Set<() => void>()
const runs = vi.fn()
const held = defineTask({ name: 'held', input: z.object({ n: z.number() }) }, (task, { n }) =>
  task.step('wait', async ({ signal }) => {
    runs()
    await new Promise<void>((resolve, reject) => {
      gates.add(resolve)
      signal.addEventListener('abort', reject)
    })
    return `done ${n}`
  }),
)

const until = async (what: () => unknown) => {
  for (let tries = 0; tries < 400 && !(await what()); tries++) await delay(5)
  expect(await what()).toBeTruthy()
}
/** Lets all of them end, once so many runs are there. */
const openGates = async (count = 1) => {
  await until(() => gates.size >= count)
  for (const open of gates) open()
  gates.clear()
}
const tasks = async () => (await server.holdfast.list()).tasks

async function session(sub?: string): Promise<string> {
  const response = await server.send(initialize(), { sub })
  await response.text()
  return response.headers.get('mcp-session-id') as string
}

let ids = 0
/** A call over a connection of its own: what came, and how to hang up. */
async function call(sessionId: string, n: number, { sub, tool = 'held' }: { sub?: string; tool?: string } = {}) {
  const aborter = new AbortController()
  const response = await fetch(server.url, {
    method: 'POST',
    signal: aborter.signal,
    headers: {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'mcp-session-id': sessionId,
      ...(sub === undefined ? {} : { authorization: `Bearer ${sub}` }),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: ++ids, method: 'tools/call', params: { name: tool, arguments: { n } } }),
  })
  return { ...read(response), hangUp: () => server.hangUp(() => aborter.abort()) }
}

function read(response: Response) {
  let came = ''
  const over = (async () => {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
      came += Buffer.from(chunk).toString()
  })().catch(() => {})
  return {
    status: response.status,
    text: async () => {
      await over
      return came
    },
    /** The first event's ID: where a client that lost the stream goes on. */
    lastEventId: async () => {
      await until(() => /^id: \S+$/m.test(came))
      return /^id: (\S+)$/m.exec(came)?.[1] as string
    },
  }
}

const resume = async (sessionId: string, lastEventId: string, sub = 'alice') =>
  read(
    await server.send(undefined, { method: 'GET', session: sessionId, sub, headers: { 'last-event-id': lastEventId } }),
  )

describe('a call whose client hung up', () => {
  test('is joined by the same call under another session, and by nobody once somebody has the answer', async () => {
    await start()
    const first = await call(await session('alice'), 1, { sub: 'alice' })
    await first.lastEventId()
    await first.hangUp()
    const again = await call(await session('alice'), 1, { sub: 'alice' })
    await openGates()
    expect(await again.text()).toContain('done 1')
    expect(await tasks()).toHaveLength(1)
    expect(runs).toHaveBeenCalledTimes(1)
    const third = await call(await session('alice'), 1, { sub: 'alice' })
    await until(async () => (await tasks()).length === 2)
    await openGates()
    await third.text()
  })

  test('is joined also after its end: nobody has the answer yet', async () => {
    await start()
    const first = await call(await session('alice'), 1, { sub: 'alice' })
    await first.lastEventId()
    await first.hangUp()
    await openGates()
    await until(async () => (await tasks())[0]?.status === 'completed')
    await untilIdle(server.holdfast)
    expect(await (await call(await session('alice'), 1, { sub: 'alice' })).text()).toContain('done 1')
    expect(await tasks()).toHaveLength(1)
  })

  test.each([['the same process'], ['a process after it']])(
    'has its answer when it comes back for it, to %s; then the same call is another one',
    async (which) => {
      await start()
      const own = await session('alice')
      const first = await call(own, 1, { sub: 'alice' })
      const lastEventId = await first.lastEventId()
      await first.hangUp()
      await openGates()
      await until(async () => (await tasks())[0]?.status === 'completed')
      await untilIdle(server.holdfast)
      if (which === 'a process after it') await server.restart()
      expect(await (await resume(own, lastEventId)).text()).toContain('done 1')
      await untilIdle(server.holdfast)
      expect([...server.disk.content.keys()].filter((key) => key.includes('rejoin'))).toEqual([])
      const next = await call(own, 1, { sub: 'alice' })
      await until(async () => (await tasks()).length === 2)
      await openGates()
      expect(await next.text()).toContain('done 1')
    },
  )

  test('and comes back before its end, is there again: the same call is another one', async () => {
    await start()
    const own = await session('alice')
    const first = await call(own, 1, { sub: 'alice' })
    const lastEventId = await first.lastEventId()
    await first.hangUp()
    const resumed = await resume(own, lastEventId)
    const second = await call(own, 1, { sub: 'alice' })
    await until(async () => (await tasks()).length === 2)
    await server.holdfast.cancel((await tasks())[1]?.taskId as string)
    await second.text()
    await server.holdfast.cancel((await tasks())[0]?.taskId as string)
    expect(await resumed.text()).toContain('TASK_CANCELLED')
  })

  test('is joined after a restart, whether or not its client comes back', async () => {
    await start()
    const own = await session('alice')
    const first = await call(own, 1, { sub: 'alice' })
    const lastEventId = await first.lastEventId()
    await server.restart()
    const again = await call(await session('alice'), 1, { sub: 'alice' })
    const resumed = await resume(own, lastEventId)
    // The step that the crash interrupted runs again.
    await until(() => runs.mock.calls.length === 2)
    expect(await tasks()).toHaveLength(1)
    await openGates(2)
    expect(await again.text()).toContain('done 1')
    expect(await resumed.text()).toContain('done 1')
  })

  test('doesn’t answer for another one that has its ID', async () => {
    await start()
    const own = await session('alice')
    const first = await call(own, 1, { sub: 'alice' })
    await first.lastEventId()
    await first.hangUp()
    ids--
    const second = await call(own, 2, { sub: 'alice' })
    await second.lastEventId()
    ids--
    expect((await call(own, 3, { sub: 'alice' })).status).toBe(400)
    await openGates(2)
    expect(await second.text()).toContain('done 2')
    expect(await (await call(own, 1, { sub: 'alice' })).text()).toContain('done 1')
    expect(await tasks()).toHaveLength(2)
  })

  test('of another principal is another’s', async () => {
    await start()
    const first = await call(await session('alice'), 1, { sub: 'alice' })
    await first.lastEventId()
    await first.hangUp()
    const bobs = await call(await session('bob'), 1, { sub: 'bob' })
    await until(async () => (await tasks()).length === 2)
    await openGates(2)
    expect(await bobs.text()).toContain('done 1')
  })

  test('without authentication is joined within its session only', async () => {
    await start({ durable: { access: 'open' } })
    const own = await session()
    const first = await call(own, 1)
    await first.lastEventId()
    await first.hangUp()
    void call(await session(), 1)
    await until(async () => (await tasks()).length === 2)
    const again = await call(own, 1)
    await untilIdle(server.holdfast)
    expect(await tasks()).toHaveLength(2)
    for (const { taskId } of await tasks()) await server.holdfast.cancel(taskId)
    await again.text()
  })
})

describe('a session', () => {
  test('that is only read is in use; one that nobody reads is dropped after its time', async () => {
    const clock = new ManualClock()
    await start({ clock, http: { sessionTtl: '1h' } })
    const own = await session('alice')
    const idle = await session('alice')
    const stream = await server.send(undefined, { method: 'GET', session: own, sub: 'alice' })
    const ping = async (session: string) =>
      (await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session, sub: 'alice' })).status
    for (let minute = 0; minute < 130; minute++) {
      await clock.advance(60_000)
      await untilIdle(server.holdfast)
    }
    expect(await ping(idle)).toBe(404)
    expect(await ping(own)).toBe(200)
    await server.hangUp(() => stream.body?.cancel())
    for (let minute = 0; minute < 130; minute++) {
      await clock.advance(60_000)
      await untilIdle(server.holdfast)
    }
    expect(await ping(own)).toBe(404)
  })

  test('that is idle is let go of, and made again for its client; with its events once they are old', async () => {
    const clock = new ManualClock()
    await start({ clock, tools: [double, held] })
    const own = await session('alice')
    const busy = await session('alice')
    const open = await call(busy, 1, { sub: 'alice' })
    await open.lastEventId()
    await (await call(own, 1, { sub: 'alice', tool: 'double' })).text()
    await untilIdle(server.holdfast)
    const inMemory = () => server.durable.attachments.size
    const events = (id: string) =>
      [...server.disk.content.keys()].filter((key) => key.includes(`http-event/${id}`)).length
    expect([inMemory(), events(own)]).toEqual([2, 2])
    const pass = async (minutes: number) => {
      for (let minute = 0; minute < minutes; minute++) {
        await clock.advance(60_000)
        await untilIdle(server.holdfast)
      }
    }
    await pass(15)
    expect([inMemory(), events(own)]).toEqual([1, 0])
    expect(await (await call(own, 2, { sub: 'alice', tool: 'double' })).text()).toContain('"n":4')
    await untilIdle(server.holdfast)
    expect([inMemory(), events(own)]).toEqual([2, 2])
    await server.restart()
    await pass(15)
    expect(events(own)).toBe(0)
    expect((await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session: own, sub: 'alice' })).status).toBe(
      200,
    )
    await openGates(2)
  })

  test('of a server whose disk is full answers what needs no disk', async () => {
    await start({
      tools: [double],
      setUp: (mcp) => {
        mcp.registerTool('plain', {}, () => ({ content: [{ type: 'text', text: 'no disk' }] }))
      },
    })
    const own = await session('alice')
    // Its second request is noted on the disk.
    await server.send({ jsonrpc: '2.0', id: 0, method: 'ping' }, { session: own, sub: 'alice' })
    await untilIdle(server.holdfast)
    server.disk.full = true
    const refused = await (await call(own, 1, { sub: 'alice', tool: 'double' })).text()
    // The write that met the full disk may have landed; after it, nothing is tried.
    expect(refused).toContain('"data":{"code":"START_UNKNOWN","taskId":"task-')
    const next = await (await call(own, 1, { sub: 'alice', tool: 'double' })).text()
    expect(next).toMatch(/"code":-32603,"message":"The disk refused a write[^"]*","data":{"code":"STORE_UNAVAILABLE"}/)
    expect(await (await call(own, 1, { sub: 'alice', tool: 'plain' })).text()).toContain('no disk')
    server.disk.full = false
    await until(async () => (await (await call(own, 1, { sub: 'alice', tool: 'double' })).text()).includes('"n":2'))
  })

  test('keeps where an open call stands, however much else is sent in it', async () => {
    await start({ tools: [held, double], http: { eventsMax: 5 } })
    const own = await session('alice')
    const open = await call(own, 1, { sub: 'alice' })
    const lastEventId = await open.lastEventId()
    for (let n = 0; n < 8; n++) await (await call(own, n, { sub: 'alice', tool: 'double' })).text()
    await server.restart()
    const resumed = await resume(own, lastEventId)
    expect(resumed.status).toBe(200)
    await until(() => runs.mock.calls.length === 2)
    await openGates(2)
    expect(await resumed.text()).toContain('done 1')
  })

  test('answers what was quickly asked when it ends meanwhile, or when its client cancels it', async () => {
    let asked = 0
    await start({
      durable: {
        access: 'principal',
        authorize: async ({ action }) => {
          if (action === 'read') {
            asked++
            await delay(60_000)
          }
          return 'allow' as const
        },
      },
    })
    const own = await session('alice')
    const get = (id: number) =>
      server.send({ jsonrpc: '2.0', id, method: 'tasks/get', params: { taskId: 'x' } }, { session: own, sub: 'alice' })
    const [cancelled, dropped] = [get(1), get(2)]
    await until(() => asked === 2)
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }
    await server.send(cancel, { session: own, sub: 'alice' })
    expect(await (await cancelled).json()).toMatchObject({ id: 1, error: { code: -32_000 } })
    await server.send(undefined, { method: 'DELETE', session: own, sub: 'alice' })
    expect(await (await dropped).json()).toMatchObject({ id: 2, error: { code: -32_000 } })
  })

  test('is asked by no two handlers', async () => {
    await start()
    const { durable, handler } = server
    expect(() => durable.httpHandler(() => ({}) as never)).toThrow(/has an httpHandler already/)
    await handler.close()
    await durable.httpHandler(() => ({}) as never).close()
  })
})

describe('a stream that is taken up again', () => {
  const primed = async (stream: ReturnType<typeof read>) => stream.lastEventId()

  test('says at once where the client stands: one that loses it again comes back to the same place', async () => {
    await start()
    const own = await session('alice')
    const first = await call(own, 1, { sub: 'alice' })
    const lastEventId = await first.lastEventId()
    await first.hangUp()
    for (let round = 0; round < 3; round++) {
      const resumed = await resume(own, lastEventId)
      expect(await primed(resumed)).toBe(lastEventId)
      if (round === 1) await server.restart()
    }
    await openGates()
  })

  test('of what is sent on no request: what was missed is sent', async () => {
    await start()
    const own = await session('alice')
    const listening = read(await server.send(undefined, { method: 'GET', session: own, sub: 'alice' }))
    const at = await primed(listening)
    await server.restart()
    const task = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'held', arguments: { n: 1 }, task: {} },
    }
    await (await server.send(task, { session: own, sub: 'alice' })).text()
    await openGates()
    await until(async () => (await tasks())[0]?.status === 'completed')
    const again = await resume(own, at)
    await untilIdle(server.holdfast)
    await server.send(undefined, { method: 'DELETE', session: own, sub: 'alice' })
    expect(await again.text()).toContain('"method":"notifications/tasks/status"')
  })

  test.each([
    ['to every session of its owner, and to no other’s', 'principal', [true, true, false]],
    ['without authentication to the session that made the task', 'open', [true, false, false]],
  ] as const)('of a task’s status: it is sent %s', async (_, access, expected) => {
    await start({ durable: { access } })
    const subs = access === 'open' ? [undefined, undefined, undefined] : ['alice', 'alice', 'bob']
    const sessions = await Promise.all(subs.map(session))
    const streams = await Promise.all(
      sessions.map(async (session, n) => read(await server.send(undefined, { method: 'GET', session, sub: subs[n] }))),
    )
    const task = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'held', arguments: { n: 1 }, task: {} },
    }
    await (await server.send(task, { session: sessions[0], sub: subs[0] })).text()
    await openGates()
    await until(async () => (await tasks())[0]?.status === 'completed')
    await untilIdle(server.holdfast)
    for (const [n, session] of sessions.entries()) {
      await server.send(undefined, { method: 'DELETE', session, sub: subs[n] })
    }
    const told = await Promise.all(
      streams.map(async ({ text }) => (await text()).includes('notifications/tasks/status')),
    )
    expect(told).toEqual(expected)
  })

  test('whose end its client has gets 204; one that is to be sent still is sent, and closed', async () => {
    await start({ tools: [double, failing] })
    const own = await session('alice')
    const done = await (await call(own, 1, { sub: 'alice', tool: 'double' })).text()
    const [first, last] = [...done.matchAll(/^id: (\S+)$/gm)].map(([, id]) => id as string) as [string, string]
    expect((await resume(own, last)).status).toBe(204)
    const rest = await resume(own, first)
    expect([rest.status, await rest.text()]).toEqual([200, expect.stringContaining('"n":2')])
    await server.restart()
    expect((await resume(own, last)).status).toBe(204)
    expect(await (await resume(own, first)).text()).toContain('"n":2')
  })

  test('is told nothing that an older client can’t take', async () => {
    await start()
    const response = await server.send(
      { ...initialize(), params: { ...initialize().params, protocolVersion: '2025-06-18' } },
      { sub: 'alice' },
    )
    await response.text()
    const own = response.headers.get('mcp-session-id') as string
    const listening = read(await server.send(undefined, { method: 'GET', session: own, sub: 'alice' }))
    await server.send(undefined, { method: 'DELETE', session: own, sub: 'alice' })
    expect(await listening.text()).toBe('')
  })
})

test('a call that is refused leaves nothing, and nothing to come back for', async () => {
  await start()
  const own = await session('alice')
  const writes = () => [...server.disk.content.keys()].filter((key) => key.includes('http-event')).length
  const before = writes()
  const refused = await server.send(
    { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'held', arguments: { n: 'x' } } },
    { session: own, sub: 'alice' },
  )
  const text = await refused.text()
  expect(text).toContain('"isError":true')
  expect(writes()).toBe(before)
  const lastEventId = /^id: (\S+)$/m.exec(text)?.[1] as string
  expect((await resume(own, lastEventId)).status).toBe(204)
})
