// Goal: what comes over HTTP is refused in order, hung up and repeated, and what has no tasks is served all the same.
// Method: a real HTTP server over the real engine on a disk in memory; the SDKs' own clients where they know the words.
import { setTimeout as delay } from 'node:timers/promises'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/server'
import { defineTask, type Logger } from 'holdfast'
import { checkpointClient, durableTasks, hasCheckpoints } from 'holdfast/mcp/2026-07-28'
import { openInMemory } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { ModernServer, type ModernServerOptions } from '../../helpers/mcp/rev-2026-07-28/http-client.js'
import { INFO, KNOWS_TASKS, metaOf, serverOf, VERSION } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double, never, slow } from '../../helpers/mcp/tools.js'

const tools = [double, slow, never]
const start = (options: Partial<ModernServerOptions> = {}) => ModernServer.start({ tools, ...options })

test('the SDK’s own client calls durable tools, and keeps checkpoints', async () => {
  const server = await start({ durable: { access: 'principal' } })
  const connect = async (sub: string) => {
    const client = new Client(INFO, { versionNegotiation: { mode: { pin: VERSION } } })
    const headers = { authorization: `Bearer ${sub}` }
    await client.connect(new StreamableHTTPClientTransport(server.url, { requestInit: { headers } }))
    return client
  }
  const ann = await connect('ann')
  expect(await ann.callTool({ name: 'double', arguments: { n: 3 } })).toMatchObject({ structuredContent: { n: 6 } })
  expect(hasCheckpoints(ann)).toBe(true)
  const sessions = checkpointClient(ann)
  const { taskId } = await sessions.createTask({ type: 'support' })
  const { checkpointId } = await sessions.saveCheckpoint(taskId, { step: 'address' }, { label: 'before payment' })
  await server.die()
  await server.start()
  expect(await sessions.restoreCheckpoint(taskId)).toMatchObject({ checkpointId, state: { step: 'address' } })
  expect((await sessions.listCheckpoints(taskId)).checkpoints).toMatchObject([{ label: 'before payment' }])
  await expect(checkpointClient(await connect('bob')).restoreCheckpoint(taskId)).rejects.toMatchObject({
    code: -32_602,
  })
  const { task } = await sessions.completeTask(taskId, { kind: 'result', result: 'done' })
  expect(task).toMatchObject({ status: 'completed' })
  await server.close()
})

test('a call that is hung up goes on; its repeat joins it, and gets the result', async () => {
  const server = await start({ durable: { access: 'principal' } })
  const call = { name: 'slow', arguments: { ms: 200 } }
  const sent = { sub: 'ann', knows: {} }
  const aborter = new AbortController()
  const lost = server.send('tools/call', call, sent, aborter.signal).catch(() => 'lost')
  while ((await server.holdfast.list()).tasks.length === 0) await delay(5)
  await server.hangUp(() => aborter.abort())
  expect(await lost).toBe('lost')
  expect((await server.request('tools/call', call, sent)).result).toMatchObject({ content: [{ text: 'slept' }] })
  expect((await server.holdfast.list()).tasks).toHaveLength(1)
  await server.close()
})

test('a call that is open when the store is closed is answered at once; its repeat joins the task at the next start', async () => {
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const gated = defineTask({ name: 'gated' }, async (task) => {
    await task.step('wait', () => gate)
    return 'passed'
  })
  const server = await start({ tools: [gated, never], durable: { access: 'principal' } })
  const requestInit = { headers: { authorization: 'Bearer ann' } }
  const call = async (name: string) => {
    const client = new Client(INFO, { versionNegotiation: { mode: { pin: VERSION } } })
    await client.connect(new StreamableHTTPClientTransport(server.url, { requestInit }))
    // With `onprogress` the answer is a stream, and this client does not notice that one breaks.
    return client.callTool({ name }, { onprogress: () => {} })
  }
  const pending = [call('gated'), call('never')]
  while ((await server.holdfast.list()).tasks.length < 2) await delay(5)
  const { tasks } = await server.holdfast.list()
  await server.holdfast.close({ grace: 0 })
  const texts = (await Promise.all(pending)).map(({ isError, content }) => [
    isError,
    (content[0] as { text: string }).text,
  ])
  expect(texts.sort()).toEqual(
    tasks
      .map(({ taskId }) => [
        true,
        `The server was stopped before task ${taskId} ended. The task is not lost: it continues at the next start of the server.`,
      ])
      .sort(),
  )
  await server.die()
  await server.start()
  open()
  expect(await call('gated')).toMatchObject({ content: [{ text: 'passed' }] })
  expect((await server.holdfast.list()).tasks).toHaveLength(2)
  await server.close()
})

test('a client of an earlier revision gets results from the SDK’s own leg', async () => {
  const server = await start()
  const client = new LegacyClient(INFO)
  await client.connect(new LegacyTransport(server.url) as never)
  expect(await client.callTool({ name: 'double', arguments: { n: 3 } })).toMatchObject({ structuredContent: { n: 6 } })
  await client.close()
  await server.close()
})

test('what is wrong with a request is said, whatever it is', async () => {
  const server = await start({ http: { path: '/mcp', bodyBytesMax: 20_000 } })
  const post = (body: string, headers = {}, path = '/mcp') =>
    fetch(new URL(path, server.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    })
  expect((await post('{}', {}, '/other')).status).toBe(404)
  expect((await post('{}', { origin: 'https://evil.example' })).status).toBe(403)
  expect((await post('{nonsense')).status).toBe(400)
  expect((await post(JSON.stringify('x'.repeat(30_000)))).status).toBe(413)
  expect((await post('{}', { 'content-type': 'text/plain' })).status).toBe(415)
  expect((await fetch(server.url)).status).toBe(405)
  let deep: unknown = 1
  for (let depth = 0; depth < 100; depth++) deep = [deep]
  const answer = await server.request('tools/call', { name: 'double', arguments: { n: deep } })
  expect(answer.error).toMatchObject({ code: -32_602, data: { limit: 'jsonDepthMax' } })
  await server.close()
})

test('limits name themselves, and nothing is stored', async () => {
  const server = await start({ durable: { access: 'principal', limits: { liveTasksPerOwnerMax: 2 } } })
  const call = () => server.request('tools/call', { name: 'never', arguments: {} }, { sub: 'ann' })
  await call()
  await call()
  expect((await call()).error).toMatchObject({ code: -32_602, data: { limit: 'liveTasksPerOwnerMax' } })
  expect((await server.holdfast.list()).tasks).toHaveLength(2)
  await server.close()
})

test('without authentication limits count for each address, tasks and the states of sessions alike', async () => {
  const addressOf = (request: Request) => request.headers.get('x-address') ?? undefined
  const limits = { liveTasksPerOwnerMax: 3, sessionTasksPerOwnerMax: 1, requestsPerMinute: 5 }
  const server = await start({ durable: { access: 'open', limits }, http: { addressOf } })
  const ask = async (from: string | undefined, method: string, params: Record<string, unknown>) =>
    server.request(method, params, from === undefined ? {} : { headers: { 'x-address': from } })
  const call = (from?: string) => ask(from, 'tools/call', { name: 'never', arguments: {} })
  const create = (from?: string) => ask(from, 'sessions/createTask', {})
  const { taskId } = (await create('a')).result
  expect((await create('a')).error).toMatchObject({ data: { limit: 'sessionTasksPerOwnerMax' } })
  await call('a')
  await call('a')
  expect((await call('a')).error).toMatchObject({ code: -32_602, data: { limit: 'liveTasksPerOwnerMax' } })
  expect((await create('b')).error).toBeUndefined()
  const save = (from?: string) => ask(from, 'sessions/saveCheckpoint', { taskId, state: { n: 1 } })
  await save('a')
  await save('a')
  expect((await save('a')).error).toMatchObject({ data: { limit: 'requestsPerMinute' } })
  expect((await save('b')).error).toBeUndefined()
  // Where there is no address, the limits of one client do not hold.
  for (let n = 0; n < 4; n++) expect([(await call()).error, (await create()).error]).toEqual([undefined, undefined])
  await server.close()
})

test.each([
  [{ subscriptionsMax: 0 }, /`subscriptionsMax` to be an integer >= 1, got 0/],
  [{ subscriptionsPerOwnerMax: '5' }, /`subscriptionsPerOwnerMax` to be an integer >= 1, got '5'/],
  [{ addressOf: 'x-real-ip' }, /`addressOf` to be a function, got 'x-real-ip'/],
  [{ legacy: {} }, /`legacy` to be a function/],
  [{ sessionsMax: 5 }, /Unknown option `sessionsMax`/],
  [{ subscriptionMax: 5 }, /Unknown option `subscriptionMax`.*there are path,.* subscriptionsPerOwnerMax/],
])('the options of httpHandler are checked: %j', async (options, message) => {
  const durable = durableTasks(await openInMemory(), { access: 'open' })
  const make = () => durable.httpHandler(() => serverOf(durable), options as never)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})

test('a server that nobody attached is no server, and the log says so', async () => {
  const said: string[] = []
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (message) => said.push(message),
  }
  const holdfast = await openInMemory({ logger })
  const durable = durableTasks(holdfast, { access: 'open' }).tool(double)
  const { fetch } = durable.httpHandler(() => new McpServer(INFO))
  const headers = {
    'content-type': 'application/json',
    'mcp-protocol-version': VERSION,
    'mcp-method': 'tools/list',
  }
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: metaOf() } })
  const answer = await fetch(new Request('http://localhost/mcp', { method: 'POST', headers, body }))
  expect(answer.status).toBe(500)
  expect(said.join()).toContain('return `durable.attach(server)`')
})

test('a body that somebody has parsed, and a token that somebody has verified, are taken', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'principal' }).tool(never)
  const { fetch } = durable.httpHandler(() => serverOf(durable))
  const headers = {
    'content-type': 'application/json',
    'mcp-protocol-version': VERSION,
    'mcp-method': 'tools/call',
    'mcp-name': 'never',
  }
  const params = { name: 'never', arguments: {}, _meta: metaOf(KNOWS_TASKS) }
  const parsedBody = { jsonrpc: '2.0', id: 1, method: 'tools/call', params }
  const request = () => new Request('http://localhost/mcp', { method: 'POST', headers })
  const { result } = (await (await fetch(request(), { authInfo: tokenOf('ann'), parsedBody })).json()) as {
    result: { taskId: string }
  }
  expect((await holdfast.get(result.taskId)).owner).toContain('ann')
  expect((await fetch(request(), { parsedBody })).status).toBe(401)
})
