// Goal: `operatorHandler` serves the routes in an author's server to the callers that its author lets in, and to no other.
// Method: requests to the fetch handler, and over HTTP to the Node handler, of a store on a disk in memory.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { expect, test } from 'vitest'
import type { Logger } from '../../../src/base/logger.js'
import { type AuthorizedOperator, type OperatorHandlerOptions, operatorHandler } from '../../../src/operator/index.js'
import { openInMemory, untilIdle } from '../../../src/testing/index.js'
import { afterTest, talk } from '../../helpers/operator.js'

const ann: AuthorizedOperator = { actor: 'web: ann' }

async function served(options: Partial<OperatorHandlerOptions> = {}, logger?: Logger) {
  const holdfast = await openInMemory({ tasks: [talk], ...(logger ? { logger } : {}) })
  afterTest(() => holdfast.close())
  const handler = operatorHandler(holdfast, { authorize: () => ann, ...options })
  const call = async (
    path: string,
    { headers = {}, ...init }: RequestInit & { headers?: Record<string, string> } = {},
  ) => {
    const all = { 'holdfast-protocol': '1', ...headers }
    const response = await handler.fetch(new Request(`http://localhost${path}`, { ...init, headers: all }))
    const body = (await response.json()) as { error?: { code: string; message: string } } & Record<string, unknown> & {
        taskId?: string
      }
    return { status: response.status, body }
  }
  const start = () =>
    call('/v1/tasks', { method: 'POST', body: JSON.stringify({ type: 'talk', input: 'input-value' }) })
  return { holdfast, handler, call, start }
}

test('without `authorize`, or with another option of the wrong type, there is no handler', async () => {
  const { holdfast } = await served()
  for (const options of [
    undefined,
    {},
    { authorize: undefined },
    { authorize: true },
    { authorize: () => ann, path: 'operator' },
    { authorize: () => ann, path: '/operator/' },
    { authorize: () => ann, allowedHosts: 'example.com' },
    { authorize: () => ann, allowedOrigins: [1] },
    { authorize: () => ann, readonly: true },
  ]) {
    expect(() => operatorHandler(holdfast, options as never), JSON.stringify(options)).toThrow(TypeError)
  }
  expect(() => operatorHandler({} as never, { authorize: () => ann })).toThrow(TypeError)
})

test('a caller that `authorize` refuses gets no route, and nothing is done', async () => {
  const { holdfast, call, start } = await served({ authorize: async () => undefined })
  expect(await start()).toMatchObject({ status: 403, body: { error: { code: 'OPERATOR_REFUSED' } } })
  for (const path of ['/v1/tasks', '/v1/stats', '/v1/events', '/v1/nothing']) {
    expect(await call(path)).toMatchObject({ status: 403, body: { error: { code: 'OPERATOR_REFUSED' } } })
  }
  expect((await holdfast.list()).tasks).toEqual([])
})

test.each([
  ['throws', () => Promise.reject(new Error('secret-of-the-author'))],
  ['returns true', () => true],
  ['returns no actor', () => ({ readOnly: true })],
  ['returns a text for a flag', () => ({ actor: 'ann', readOnly: 'yes' })],
])('an `authorize` that %s refuses the request, with one line', async (_, authorize) => {
  const lines: string[] = []
  const note = (line: string) => lines.push(line)
  const logger = { debug: () => {}, info: () => {}, warn: note, error: note } as unknown as Logger
  const { holdfast, start } = await served({ authorize: authorize as never }, logger)
  const answer = await start()
  expect(answer).toMatchObject({ status: 500, body: { error: { code: 'OPERATOR_REFUSED' } } })
  expect(JSON.stringify(answer)).not.toContain('secret-of-the-author')
  expect(lines).toEqual(['A request to the operator API failed unexpectedly'])
  expect((await holdfast.list()).tasks).toEqual([])
})

test('`authorize` reads the head of a request, and the audit shows its actor', async () => {
  const tokens = new Map([['Bearer one', { actor: 'bob' }]])
  const { holdfast, call } = await served({
    authorize: ({ headers }) => tokens.get(headers.get('authorization') ?? ''),
  })
  const body = JSON.stringify({ type: 'talk' })
  expect(await call('/v1/tasks', { method: 'POST', body })).toMatchObject({ status: 403 })
  const authorization = 'Bearer one'
  // The name in a header is that of a client of the socket, and no caller of this handler can choose it.
  const headers = { authorization, 'holdfast-actor': 'admin' }
  const { body: started } = await call('/v1/tasks', { method: 'POST', body, headers })
  await call(`/v1/tasks/${started.taskId}/cancel`, { method: 'POST', headers })
  const entries = await holdfast.audit({ taskId: started.taskId as string })
  expect(entries.filter(({ to }) => to === 'cancelled').map(({ by }) => by)).toEqual(['operator: bob'])
})

test('a caller that may only read can change nothing', async () => {
  const { holdfast, call, start } = await served({ authorize: () => ({ ...ann, readOnly: true }) })
  const { taskId } = await holdfast.start(talk, undefined)
  expect(await start()).toMatchObject({ status: 403, body: { error: { code: 'OPERATOR_REFUSED' } } })
  for (const action of ['cancel', 'resume', 'fork', 'respond', 'send']) {
    const answer = await call(`/v1/tasks/${taskId}/${action}`, { method: 'POST' })
    expect(answer, action).toMatchObject({ status: 403, body: { error: { code: 'OPERATOR_REFUSED' } } })
  }
  expect(await call(`/v1/tasks/${taskId}`)).toMatchObject({ status: 200, body: { taskId } })
  expect((await holdfast.list()).tasks).toMatchObject([{ taskId, status: expect.not.stringMatching('cancelled') }])
})

test('values are hidden, unless `authorize` allows them and the request has `values: true`', async () => {
  let showValues: boolean | undefined
  const { holdfast, call, start } = await served({
    authorize: () => ({ ...ann, ...(showValues === undefined ? {} : { showValues }) }),
  })
  const { body: started } = await start()
  await untilIdle(holdfast)
  const read = async (query: string) => {
    const task = `/v1/tasks/${started.taskId}`
    const parts = [
      await call(`${task}${query}`),
      await call(`${task}/steps${query}`),
      await call(`${task}/questions${query}`),
    ]
    return JSON.stringify(parts)
  }
  for (const allowed of [undefined, false]) {
    showValues = allowed
    expect(await read('?values=true')).not.toMatch(/(input|result|question|state)-value/)
  }
  showValues = true
  expect(await read('')).not.toMatch(/(input|result|question|state)-value/)
  expect(await read('?values=true')).toMatch(/input-value.*result-value.*question-value/s)
})

test.each([
  ['another origin', { origin: 'https://example.com' }],
  ['another port of this machine', { origin: 'http://localhost:3000' }],
  ['a sandboxed page', { origin: 'null' }],
  ['an image of another site', { 'sec-fetch-site': 'cross-site' }],
  ['another subdomain', { 'sec-fetch-site': 'same-site' }],
  ['a name that an attacker made point here', { host: 'evil.example', origin: 'http://evil.example' }],
])('a request of %s is refused before `authorize`', async (_, headers) => {
  let calls = 0
  const authorize = () => {
    calls++
    return ann
  }
  const { call } = await served({ authorize })
  expect(await call('/v1/stats', { headers })).toMatchObject({
    status: 403,
    body: { error: { code: 'OPERATOR_REFUSED' } },
  })
  expect(calls).toBe(0)
})

test('a page of the same host, and of an allowed origin, is served', async () => {
  const { call } = await served({ allowedHosts: ['ops.example'], allowedOrigins: ['https://admin.example'] })
  const host = 'ops.example'
  for (const headers of [
    { host },
    { host, origin: 'https://ops.example', 'sec-fetch-site': 'same-origin' },
    { host, origin: 'https://admin.example', 'sec-fetch-site': 'cross-site' },
  ]) {
    expect(await call('/v1/stats', { headers })).toMatchObject({ status: 200 })
  }
  expect(await call('/v1/stats')).toMatchObject({ status: 403 })
})

test('another version, path or method has the answer of the socket', async () => {
  const { call } = await served({ path: '/operator' })
  expect(await call('/operator/v1/stats')).toMatchObject({ status: 200 })
  expect(await call('/operator/v2/stats')).toMatchObject({
    status: 400,
    body: { error: { code: 'OPERATOR_MISMATCH' } },
  })
  const headers = { 'holdfast-protocol': '2' }
  expect(await call('/operator/v1/stats', { headers })).toMatchObject({
    body: { error: { code: 'OPERATOR_MISMATCH' } },
  })
  for (const path of ['/v1/stats', '/operator', '/operatorv1/stats', '/operator/v1/nothing']) {
    expect(await call(path), path).toMatchObject({ status: 404, body: { error: { code: 'INVALID_REQUEST' } } })
  }
})

test('a body over the limit is refused, and so is one feed too many', async () => {
  const { handler, call } = await served()
  const body = JSON.stringify({ type: 'talk', input: 'x'.repeat(6 * 1024 * 1024) })
  expect(await call('/v1/tasks', { method: 'POST', body })).toMatchObject({
    status: 413,
    body: { error: { code: 'TOO_LARGE' } },
  })
  const request = () => new Request('http://localhost/v1/events', { headers: { 'holdfast-protocol': '1' } })
  const feeds = await Promise.all(Array.from({ length: 32 }, () => handler.fetch(request())))
  expect(new Set(feeds.map(({ status }) => status))).toEqual(new Set([200]))
  expect(await call('/v1/events')).toMatchObject({ status: 403, body: { error: { code: 'OPERATOR_REFUSED' } } })
  handler.close()
  expect(await feeds[0]?.text()).toContain('event: closed')
  const again = await handler.fetch(request())
  expect(again.status).toBe(200)
  await again.body?.cancel()
})

test('a feed ends when the store is closed, and later requests get `CLOSED`', async () => {
  const { holdfast, handler, call } = await served()
  const headers = { 'holdfast-protocol': '1' }
  const feed = await handler.fetch(new Request('http://localhost/v1/events', { headers }))
  await holdfast.close()
  expect(await feed.text()).toMatch(/event: snapshot[\s\S]*event: closed/)
  expect(await call('/v1/stats')).toMatchObject({ status: 503, body: { error: { code: 'CLOSED' } } })
})

test('the Node handler serves Express, whose parser has read the body', async () => {
  const { holdfast, handler } = await served({ path: '/operator', authorize: (_, { authInfo }) => authInfo && ann })
  const app = express()
  app.use((req, _, next) => {
    if (req.headers.authorization === 'Bearer one')
      (req as { auth?: unknown }).auth = { token: 'one', clientId: 'ann', scopes: [] }
    next()
  })
  app.use('/operator', express.json(), (req, res) => handler.node(req, res))
  const server = createServer(app).listen(0, '127.0.0.1')
  afterTest(() => server.closeAllConnections())
  afterTest(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/operator/v1/tasks`
  const body = JSON.stringify({ type: 'talk', input: 'ü' })
  const send = (authorization: string) =>
    fetch(url, {
      method: 'POST',
      body,
      headers: { authorization, 'content-type': 'application/json', 'holdfast-protocol': '1' },
    })
  expect((await send('Bearer two')).status).toBe(403)
  expect((await holdfast.list()).tasks).toEqual([])
  const response = await send('Bearer one')
  expect(response.status).toBe(200)
  const { taskId } = (await response.json()) as { taskId: string }
  expect((await holdfast.list()).tasks.map((task) => task.taskId)).toEqual([taskId])
})
