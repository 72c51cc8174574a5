// Goal: what one client makes the server keep of its sessions is bounded, in memory, on disk and at a start; no client takes
// another one's room; nothing of a deleted session stays.
// Method: bare requests against a real HTTP server on a disk in memory that dies and comes back. The addresses of clients are
// in a header. What a start reads is what it asks the store for.
import type { Logger } from 'holdfast'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { deferred } from '../../../src/base/promises.js'
import { BindingRecords } from '../../../src/store/binding-records.js'
import { seal } from '../../../src/store/integrity/envelope.js'
import { ManualClock, untilIdle } from '../../../src/testing/index.js'
import { HttpServer, type HttpServerOptions, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { double, never } from '../../helpers/mcp/tools.js'

let server: HttpServer
afterEach(async () => {
  vi.restoreAllMocks()
  await server?.close()
})

const addressOf = (request: Request) => request.headers.get('x-address') ?? undefined
const start = async (options: Partial<HttpServerOptions> = {}) => {
  const http = { addressOf, ...options.http }
  server = await HttpServer.start({ tools: [double, never], ...options, http })
}

async function begin({ from, sub, message = initialize() }: { from?: string; sub?: string; message?: object } = {}) {
  const headers = from === undefined ? {} : { 'x-address': from }
  const response = await server.send(message, { sub, headers })
  await response.text()
  return { status: response.status, session: response.headers.get('mcp-session-id') as string }
}
const ping = async (session: string, sub?: string) =>
  (await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session, sub })).status
const kept = (kind: string) => [...server.disk.content].filter(([key]) => key.includes(`/${kind}/`))
const bytesOf = (records: [string, string][]) => records.reduce((sum, [, text]) => sum + text.length, 0)
const withJunk = (bytes: number) => {
  const message = initialize({ elicitation: {}, experimental: { junk: { junk: 'x'.repeat(bytes) } } })
  return { ...message, params: { ...message.params, _meta: { junk: 'x' } } }
}

describe('initialize', () => {
  test('is refused with 413 over 16 KiB, and counts as a request of its client', async () => {
    await start({ durable: { limits: { requestsPerMinute: 3 } } })
    expect((await begin({ from: 'a', message: withJunk(15 * 1024) })).status).toBe(200)
    const long = { ...withJunk(1024), id: 'x'.repeat(16 * 1024) }
    for (const message of [withJunk(16 * 1024), withJunk(1024 * 1024), long]) {
      expect((await begin({ from: 'a', message })).status).toBe(413)
    }
    expect((await begin({ from: 'a', message: withJunk(16 * 1024) })).status).toBe(429)
    expect((await begin({ from: 'b', message: withJunk(16 * 1024) })).status).toBe(413)
    expect(kept('http-session')).toHaveLength(1)
  })

  test('is kept as far as the SDK is given it again: the client’s capabilities count after a restart', async () => {
    const ask = vi.fn()
    await start({
      setUp: (mcp) => {
        mcp.registerTool('ask', {}, () => {
          ask(mcp.server.getClientCapabilities(), mcp.server.getClientVersion())
          return { content: [] }
        })
      },
    })
    const message = { ...initialize({ elicitation: {}, made: { up: 'junk' } }), id: 'a long request ID' }
    const params = { ...message.params, junk: 'junk', _meta: { junk: 'junk' } }
    const { session } = await begin({ message: { ...message, params } })
    expect(JSON.stringify([...server.disk.content])).not.toMatch(/junk|long request/)
    await server.restart()
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'ask', arguments: {} } }
    await (await server.send(call, { session })).text()
    expect(ask).toHaveBeenCalledWith({ elicitation: { form: {} } }, message.params.clientInfo)
  })

  test('is not read at a start, only when its client comes back', async () => {
    await start()
    const sessions = []
    for (let n = 0; n < 5; n++) sessions.push((await begin({ message: withJunk(10_000) })).session)
    await server.die()
    const read: string[] = []
    const { get, collect } = BindingRecords.prototype
    vi.spyOn(BindingRecords.prototype, 'get').mockImplementation(function (this: BindingRecords, key) {
      read.push(key)
      return get.call(this, key)
    })
    vi.spyOn(BindingRecords.prototype, 'collect').mockImplementation(function (
      this: BindingRecords,
      prefix,
      take,
      range,
    ) {
      return collect.call(
        this,
        prefix,
        (record) => {
          read.push(`${record.key} ${record.text.length}`)
          return take(record)
        },
        range,
      )
    } as typeof collect)
    await server.start()
    await server.handler.ready
    await untilIdle(server.holdfast)
    expect(read.map((record) => record.split('/')[0])).toEqual(Array.from({ length: 5 }, () => 'http-session'))
    expect(read.every((record) => Number(record.split(' ')[1]) < 200)).toBe(true)
    read.length = 0
    expect(await ping(sessions[2] as string)).toBe(200)
    expect(read.map((record) => record.split(' ')[0])).toContain(`http-initialize/${sessions[2]}`)
  })
})

describe('at a limit of sessions', () => {
  test('one client takes no session of another address, and closes its own that it never used', async () => {
    await start({ http: { addressOf, sessionsPerAddressMax: 3, sessionsMax: 5 } })
    const honest = await begin({ from: 'honest' })
    expect(await ping(honest.session)).toBe(200)
    const hostile = []
    for (let n = 0; n < 6; n++) hostile.push(await begin({ from: 'hostile' }))
    expect(hostile.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200])
    expect(kept('http-session')).toHaveLength(4)
    expect(await Promise.all(hostile.map(({ session }) => ping(session)))).toEqual([404, 404, 404, 200, 200, 200])
    expect(await ping(honest.session)).toBe(200)
    expect((await begin({ from: 'other' })).status).toBe(200)
  })

  test('in all, those that were never used go first, then the one that is idle for longest', async () => {
    const clock = new ManualClock()
    await start({ clock, http: { addressOf, sessionsMax: 3 } })
    const [first, unused, second] = [await begin({ from: '1' }), await begin({ from: '2' }), await begin({ from: '3' })]
    await ping(second.session)
    await clock.advance(1_000)
    await ping(first.session)
    const fourth = await begin({ from: '4' })
    await ping(fourth.session)
    expect(await ping(unused.session)).toBe(404)
    await clock.advance(1_000)
    await ping(fourth.session)
    const fifth = await begin({ from: '5' })
    expect(await ping(second.session)).toBe(404)
    for (const { session } of [first, fourth, fifth]) expect(await ping(session)).toBe(200)
  })

  test('the order holds after a restart too', async () => {
    await start({ http: { addressOf, sessionsMax: 2 } })
    const used = await begin({ from: '1' })
    await ping(used.session)
    const unused = await begin({ from: '2' })
    await untilIdle(server.holdfast)
    await server.restart()
    await begin({ from: '3' })
    expect([await ping(used.session), await ping(unused.session)]).toEqual([200, 404])
  })

  test('one that somebody reads is never closed: where all are in use, the answer is 429 and names the limit', async () => {
    await start({ durable: { access: 'principal' }, http: { sessionsPerOwnerMax: 2, sessionsMax: 3 } })
    const read = async (sub: string) => {
      const { session } = await begin({ sub })
      await server.send(undefined, { method: 'GET', session, sub })
      return session
    }
    const sessions = [await read('alice'), await read('alice')]
    const refused = await server.send(initialize(), { sub: 'alice' })
    expect([refused.status, await refused.text()]).toEqual([429, expect.stringContaining('sessionsPerOwnerMax')])
    await read('bob')
    const all = await server.send(initialize(), { sub: 'carol' })
    expect([all.status, await all.text()]).toEqual([429, expect.stringContaining('(limit `sessionsMax`)')])
    for (const session of sessions) expect(await ping(session, 'alice')).toBe(200)
  })

  test('in bytes, what is kept of all sessions together stays under it, over a restart with a lower one too', async () => {
    await start({ http: { addressOf, sessionBytesMax: 50_000 } })
    for (let n = 0; n < 20; n++) await begin({ from: `${n}`, message: withJunk(8_000) })
    await untilIdle(server.holdfast)
    const bytes = () => bytesOf([...kept('http-session'), ...kept('http-initialize')])
    expect(bytes()).toBeGreaterThan(40_000)
    expect(bytes()).toBeLessThan(51_000)
    expect(kept('http-session')).toHaveLength(6)
    await server.die()
    Object.assign(server, { options: { ...server['options'], http: { addressOf, sessionBytesMax: 20_000 } } })
    await server.start()
    await server.handler.ready
    expect(bytes()).toBeLessThan(20_500)
    expect(kept('http-session')).toHaveLength(2)
  })

  test('the log says so, at most once a minute', async () => {
    const clock = new ManualClock()
    const warn = vi.fn()
    const logger: Logger = { debug() {}, info() {}, warn, error() {} }
    await start({ clock, logger, http: { addressOf, sessionsPerAddressMax: 1 } })
    for (let n = 0; n < 5; n++) await begin({ from: 'a' })
    expect(warn.mock.calls).toEqual([
      [expect.stringMatching(/^Sessions were closed to make room/), { sessions: 1, limits: ['sessionsPerAddressMax'] }],
    ])
    await clock.advance(60_000)
    await begin({ from: 'a' })
    expect(warn.mock.calls[1]?.[1]).toEqual({ sessions: 4, limits: ['sessionsPerAddressMax'] })
  })
})

describe('the address of a client', () => {
  test('is by default that of the socket, which the node handler passes on; it is stored as a hash only', async () => {
    await start({ http: { addressOf: undefined, sessionsPerAddressMax: 1 } as never })
    const first = await begin()
    await begin()
    expect(await ping(first.session)).toBe(404)
    const [[, text] = ['', '']] = kept('http-session')
    expect(text).toMatch(/"address":"[0-9a-f]{16}"/)
    expect(text).not.toContain('127.0.0.1')
  })

  test('that is not known counts for the limits of all clients only, and the log says so once', async () => {
    const warn = vi.fn()
    await start({ logger: { debug() {}, info() {}, warn, error() {} }, http: { addressOf, sessionsPerAddressMax: 1 } })
    const sessions = [await begin(), await begin(), await begin()]
    for (const { session } of sessions) expect(await ping(session)).toBe(200)
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/^A request has no address.*`addressOf`/), undefined]])
  })

  test('is asked for where nobody is told apart by name, and nowhere else', async () => {
    const addressOf = vi.fn(() => undefined)
    const warn = vi.fn()
    const logger = { debug() {}, info() {}, warn, error() {} }
    await start({ durable: { access: 'principal' }, logger, http: { addressOf } })
    expect((await begin({ sub: 'alice' })).status).toBe(200)
    expect([addressOf.mock.calls, warn.mock.calls]).toEqual([[], []])
  })
})

describe('what is left of a session', () => {
  test('that was being deleted when the process died is deleted at the next start, whatever had been written', async () => {
    for (let atWrite = 1; atWrite <= 4; atWrite++) {
      for (const applied of [false, true]) {
        await start()
        const { session } = await begin()
        const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'double', arguments: { n: 2 } } }
        await (await server.send(call, { session })).text()
        await untilIdle(server.holdfast)
        expect(kept('http-event').length).toBeGreaterThan(0)
        server.disk.dieAt({ atWrite, applied })
        const died = new Promise<void>((resolve) => server.disk.onDeath(resolve))
        const gone = server.send(undefined, { method: 'DELETE', session }).then(() => {})
        await Promise.race([died, gone])
        await server.restart()
        await server.handler.ready
        await untilIdle(server.holdfast)
        const isThere = kept('http-session').length > 0
        const left = ['http-initialize', 'http-seen', 'http-open', 'http-event'].flatMap(kept)
        if (!isThere) expect([atWrite, applied, left]).toEqual([atWrite, applied, []])
        else expect(await ping(session)).toBe(200)
        await server.close()
      }
    }
  })

  test('is nothing after it was deleted while an event of it was being written', async () => {
    await start()
    const { session } = await begin()
    const held = deferred<void>()
    const { write } = BindingRecords.prototype
    vi.spyOn(BindingRecords.prototype, 'write').mockImplementation(async function (
      this: BindingRecords,
      records,
      options,
    ) {
      if (records.some(({ key, text }) => key.includes('/http-event/') && text?.includes('"result"')))
        await held.promise
      return write.call(this, records, options)
    })
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'double', arguments: { n: 2 } } }
    const answering = server.send(call, { session }).then((response) => response.text())
    await vi.waitFor(async () => expect((await server.holdfast.list()).tasks).toMatchObject([{ status: 'completed' }]))
    await untilIdle(server.holdfast)
    const deleting = server.send(undefined, { method: 'DELETE', session })
    await vi.waitFor(async () => expect(await ping(session)).toBe(404))
    await untilIdle(server.holdfast)
    held.resolve()
    await Promise.all([answering, deleting])
    await untilIdle(server.holdfast)
    expect([...server.disk.content.keys()].filter((key) => key.includes('/http-'))).toEqual([])
  })
})

test('sessions in the form of the first stores are taken over, apart from those that are too long', async () => {
  await start()
  await server.die()
  const put = (key: string, text: string) =>
    server.disk.damage(`binding/mcp/${key}`, seal(`binding/mcp/${key}`, 0, text))
  const old = (sessionId: string, message: object) =>
    put(
      `http-session/${sessionId}`,
      JSON.stringify({ sessionId, owner: 'open', initialize: message, createdAt: Date.now() }),
    )
  old('one', initialize({ elicitation: {} }))
  put('http-seen/one', String(Date.now()))
  old('never-noted', withJunk(100))
  old('long', withJunk(100_000))
  put('http-seen/long', String(Date.now()))
  put('http-event/long/stream/00000000', JSON.stringify({ at: Date.now() }))
  for (let starts = 0; starts < 2; starts++) {
    await server.start()
    await server.handler.ready
    await untilIdle(server.holdfast)
    expect(
      kept('http-session')
        .map(([key]) => key.split('/')[3])
        .sort(),
    ).toEqual(['never-noted', 'one'])
    expect(bytesOf(kept('http-session'))).toBeLessThan(400)
    expect(kept('http-event')).toEqual([])
    if (starts === 0) await server.die()
  }
  expect([await ping('one'), await ping('never-noted'), await ping('long')]).toEqual([200, 200, 404])
})
