// Goal: who owns what: from a token to an owner, no two principals alike, and nobody without a subject; what is counted per
// session where nobody is told apart; and options that say what is wrong with them.
// Method: raw clients with tokens; bare fetch.
import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js'
import { type DurableOptions, durableTasks, type HttpOptions } from 'holdfast/mcp/2025-11-25'
import { openInMemory } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { KeptEvents } from '../../../src/mcp/rev-2025-11-25/http/kept-events.js'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double } from '../../helpers/mcp/tools.js'

const tokenWith = (clientId: unknown, extra?: Record<string, unknown>) =>
  ({ token: 'x', scopes: [], clientId, ...(extra ? { extra } : {}) }) as AuthInfo

async function ownerFor(authInfo: AuthInfo, options: Partial<DurableOptions> = {}) {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'principal', ...options }).tool(double)
  const { call } = await rawClient(durable, { authInfo })
  const { error } = await call('double', { n: 1 })
  const [task] = (await holdfast.list()).tasks
  expect(task === undefined).toBe(error !== undefined)
  return error ?? task?.owner
}

describe('an owner', () => {
  test('is issuer, client and subject: whoever differs in one is another', async () => {
    const tokens = [
      tokenWith('app', { sub: 'a' }),
      tokenWith('app', { sub: 'a', iss: 'https://one.example' }),
      tokenWith('app', { sub: 'a', iss: 'https://two.example' }),
      tokenWith('other', { sub: 'a', iss: 'https://one.example' }),
      tokenWith('app', { sub: 'b', iss: 'https://one.example' }),
      // Where a separator is would make one of two, or two of one.
      tokenWith('app a', { sub: 'b' }),
      tokenWith('app', { sub: 'a b' }),
      tokenWith('app%20a', { sub: 'b' }),
      tokenWith('app', { sub: 'x'.repeat(2_000) }),
      tokenWith('app', { sub: `${'x'.repeat(1_999)}y` }),
      tokenWith('app', { sub: 'ümläut\u202e\n' }),
    ]
    const owners = await Promise.all(tokens.map((token) => ownerFor(token)))
    expect(owners.filter((owner) => typeof owner !== 'string')).toEqual([])
    expect(new Set(owners).size).toBe(tokens.length)
    expect(await ownerFor(tokens[1] as AuthInfo)).toBe(owners[1])
  })

  test.each([
    [tokenWith('app')],
    [tokenWith('app', {})],
    [tokenWith('app', { sub: '' })],
    [tokenWith('app', { sub: 7 })],
    [tokenWith('app', { sub: { toString: () => 'alice' } })],
    [tokenWith('', { sub: 'alice' })],
    [tokenWith(undefined, { sub: 'alice' })],
  ])('is nobody without a subject or a client: %j is refused', async (token) => {
    expect(await ownerFor(token)).toMatchObject({ code: -32_600, message: 'The token names no subject' })
  })

  test('is what the author’s own function says, and nobody where it says nothing', async () => {
    const owner = async ({ extra }: { extra?: Record<string, unknown> | undefined }) => {
      if (extra?.['tenant'] === 'broken') throw new Error('postgres://user:password@db is down')
      return extra?.['tenant'] as string | undefined
    }
    expect(await ownerFor(tokenWith('app', { tenant: 'acme' }), { owner })).toBe('acme')
    expect(await ownerFor(tokenWith('app', { sub: 'alice' }), { owner })).toMatchObject({ code: -32_600 })
    expect(await ownerFor(tokenWith('app', { tenant: '' }), { owner })).toMatchObject({ code: -32_600 })
    expect(await ownerFor(tokenWith('app', { tenant: 'broken' }), { owner })).toEqual({
      code: -32_603,
      message: 'Internal error',
    })
  })

  test('is asked for with every request over HTTP: 401 without', async () => {
    const server = await HttpServer.start({ tools: [double], durable: { access: 'principal' } })
    const begun = await server.send(initialize(), { sub: 'alice' })
    const session = begun.headers.get('mcp-session-id') as string
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
    for (const method of ['POST', 'GET', 'DELETE']) {
      const refused = await server.send(ping, { session, method })
      expect([method, refused.status, refused.headers.get('www-authenticate')]).toEqual([method, 401, 'Bearer'])
      expect(await refused.json()).toMatchObject({ jsonrpc: '2.0', error: { code: -32_001 } })
    }
    await server.close()
  })
})

test('without authentication rates and limits count per session', async () => {
  const server = await HttpServer.start({ tools: [double], durable: { ratePerOwner: { starts: 2, per: '1m' } } })
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'double', arguments: { n: 1 } } }
  const begin = async () => (await server.send(initialize())).headers.get('mcp-session-id') as string
  const tries = async (session: string) => {
    const said: boolean[] = []
    for (let n = 0; n < 3; n++)
      said.push((await (await server.send(call, { session })).text()).includes('ratePerOwner'))
    return said
  }
  expect(await tries(await begin())).toEqual([false, false, true])
  expect(await tries(await begin())).toEqual([false, false, true])
  await server.close()
})

describe('options', () => {
  test.each([
    [{}, /`access` to be 'principal' or 'open' or 'local', got undefined/],
    [{ access: 'everybody' }, /`access`.*'everybody'/],
    [{ acces: 'local' }, /Unknown option `acces` of `durableTasks`; there are access, owner/],
    [undefined, /`durableTasks` needs the option `access`/],
    [null, /the options of `durableTasks` to be an object/],
    [{ access: 'local', ttl: { maximum: '1d' } }, /Unknown option `ttl.maximum`; there are min, max/],
    [{ access: 'local', aliases: 'no' }, /`aliases` to be true or false, got 'no'/],
    [{ access: 'principal', owner: 'alice' }, /`owner` to be a function/],
    [{ access: 'open', owner: () => 'x' }, /`owner` only with `access: 'principal'`/],
    [{ access: 'local', authorize: true }, /`authorize` to be a function/],
    [{ access: 'local', pollInterval: 'soon' }, /`pollInterval`.*"?soon/],
    [{ access: 'local', progressInterval: -1 }, /`progressInterval`/],
    [{ access: 'local', ttl: { min: '2d', max: '1d' } }, /`ttl.min` to be at most `ttl.max`/],
    [{ access: 'local', ttl: { min: 'unlimited' } }, /`ttl.min`/],
    [{ access: 'local', ttl: { default: 'unlimited' } }, /`ttl.max` to be 'unlimited' where `ttl.default` is/],
    [{ access: 'local', orphans: 'forget' }, /`orphans`.*'forget'/],
    [{ access: 'local', limits: { tasks: 5 } }, /Unknown option `limits.tasks`; there are liveTasksPerOwnerMax/],
    [{ access: 'local', limits: { requestsPerMinute: 0 } }, /`limits.requestsPerMinute` to be an integer >= 1, got 0/],
    [{ access: 'local', ratePerOwner: { starts: 0, per: '1m' } }, /`ratePerOwner.starts` to be an integer >= 1, got 0/],
    [{ access: 'local', ratePerOwner: { starts: 5, per: 'soon' } }, /`ratePerOwner.per`/],
  ])('of durableTasks are checked: %j', async (options, message) => {
    const holdfast = await openInMemory()
    expect(() => durableTasks(holdfast, options as never)).toThrow(TypeError)
    expect(() => durableTasks(holdfast, options as never)).toThrow(message)
  })

  test.each([
    [{ path: 'mcp' }, /`path` to be a path that begins with \//],
    [{ sessionMax: 5 }, /Unknown option `sessionMax` of `durable.httpHandler`; there are path/],
    [{ retryInterval: 'soon' }, /`retryInterval`/],
    [{ allowedHosts: 'localhost' }, /`allowedHosts` to be an array of strings/],
    [{ allowedOrigins: [5] }, /`allowedOrigins` to be an array of strings/],
    [{ sessionsMax: 0 }, /`sessionsMax` to be an integer >= 1/],
    [{ sessionsPerOwnerMax: 1.5 }, /`sessionsPerOwnerMax`/],
    [{ sessionsPerAddressMax: '100' }, /`sessionsPerAddressMax` to be an integer >= 1, got '100'/],
    [{ sessionBytesMax: 0 }, /`sessionBytesMax` to be an integer >= 1, got 0/],
    [{ openRequestsPerSessionMax: -1 }, /`openRequestsPerSessionMax` to be an integer >= 1, got -1/],
    [{ openRequestsPerOwnerMax: 0 }, /`openRequestsPerOwnerMax` to be an integer >= 1, got 0/],
    [{ addressOf: 'x-forwarded-for' }, /`addressOf` to be a function, got 'x-forwarded-for'/],
    [{ sessionTtl: -1 }, /`sessionTtl`/],
    [{ bodyBytesMax: 'big' }, /`bodyBytesMax`/],
    [{ eventsMax: 0 }, /`eventsMax`/],
    [{ eventBytesMax: 0 }, /`eventBytesMax`/],
    [{ eventTtl: 'never' }, /`eventTtl`/],
  ])('of httpHandler are checked: %j', async (options, message) => {
    const durable = durableTasks(await openInMemory(), { access: 'open' })
    const make = () => durable.httpHandler(() => ({}) as never, options as HttpOptions)
    expect(make).toThrow(TypeError)
    expect(make).toThrow(message)
    await durable.httpHandler(() => ({}) as never).close()
  })

  test.each([
    [{ name: '' }, /`name`/],
    [{ taskSupport: 'sometimes' }, /`taskSupport`/],
    [{ onInterrupt: 'stop' }, /`onInterrupt`/],
    [{ inlineBudget: 'soon' }, /`inlineBudget`/],
    [{ toInput: 5 }, /`toInput` to be a function/],
    [{ toResult: {} }, /`toResult` to be a function/],
  ])('of durable.tool are checked: %j', async (options, message) => {
    const durable = durableTasks(await openInMemory(), { access: 'local' })
    expect(() => durable.tool(double, options as never)).toThrow(TypeError)
    expect(() => durable.tool(double, options as never)).toThrow(message)
  })
})

describe('what is kept of a session’s events', () => {
  const event = (number: number, bytes = 10, at = 0) => ({ stream: 's', number, at, bytes })
  const numbers = (events: readonly { number: number }[]) => events.map(({ number }) => number)

  test('is bounded by count and by bytes; the newest stays, and what its stream goes on from', () => {
    const kept = new KeptEvents({ eventsMax: 3, eventBytesMax: 100, eventTtlMs: 1_000 }, ({ number }) => number === 1)
    for (const number of [0, 1, 2]) expect(kept.add(event(number))).toEqual([])
    expect(numbers(kept.add(event(3)))).toEqual([0])
    expect(numbers(kept.add(event(4)))).toEqual([2])
    expect(numbers(kept.add(event(5, 95)))).toEqual([3, 4])
    expect(numbers(kept.add(event(6, 1_000)))).toEqual([5])
  })

  test('and by age, once a stream is over', () => {
    const kept = new KeptEvents({ eventsMax: 9, eventBytesMax: 100, eventTtlMs: 1_000 }, () => false)
    kept.load([event(2, 10, 900), event(1, 10, 400), event(0, 10, 100)])
    expect(kept.age(1_500, () => false)).toEqual([])
    expect(numbers(kept.age(1_500, () => true))).toEqual([0, 1])
    expect(kept.canAge).toBe(true)
    kept.age(9_000, () => true)
    expect(kept.canAge).toBe(false)
  })
})
