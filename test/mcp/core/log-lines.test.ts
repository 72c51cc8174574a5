// Goal: the lines of the bindings are written as docs/operations/log.md lists them, and no client writes the log without limit.
// Method: handlers and transports in memory; a logger that keeps every line, or standard error where the store is not open yet.
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { InMemoryTransport, McpServer } from '@modelcontextprotocol/server'
import { Holdfast, HoldfastError, type Logger } from 'holdfast'
import { durableTasks as legacyTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { afterEach, expect, test, vi } from 'vitest'
import { refusalOf } from '../../../src/mcp/access/refusal.js'
import { mayPush } from '../../../src/mcp/rev-2025-11-25/server/status-notifications.js'
import { openInMemory } from '../../../src/testing/index.js'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { metaOf, serverOf, VERSION } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double } from '../../helpers/mcp/tools.js'

type Line = [level: string, message: string, fields?: Record<string, unknown>]
const SECRET = 'a secret'
const fails = () => {
  throw new Error(SECRET)
}

afterEach(() => vi.restoreAllMocks())

function keeping() {
  const lines: Line[] = []
  const at = (level: string) => (message: string, fields?: Record<string, unknown>) =>
    void lines.push(fields ? [level, message, fields] : [level, message])
  const logger: Logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') }
  return { lines, logger }
}

/** What is written to standard error from here on. */
function listenToStderr(): string[] {
  const written: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  return written
}

function post(body: object): Request {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': VERSION,
    'mcp-method': 'tools/list',
  }
  return new Request('http://localhost/mcp', { method: 'POST', headers, body: JSON.stringify(body) })
}
const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: metaOf() } }

test('requests that fail unexpectedly cause one line and a count, without the message (2025-11-25)', async () => {
  const { lines, logger } = keeping()
  const holdfast = await openInMemory({ logger })
  const durable = legacyTasks(holdfast, { access: 'open' })
  const make = () => durable.attach(new LegacyServer(INFO, durable.serverOptions()))
  const handler = durable.httpHandler(make, { addressOf: fails })
  for (let n = 0; n < 5; n++) expect((await handler.fetch(post(initialize()))).status).toBe(500)
  const said = 'An HTTP request failed unexpectedly'
  expect(lines).toEqual([['error', said, { error: expect.stringMatching(/^Error at .*fails /) }]])
  await handler.close()
  await holdfast.close()
  expect(lines[1]).toEqual(['error', said, { more: 4 }])
  expect(JSON.stringify(lines)).not.toContain(SECRET)
})

test('requests that fail unexpectedly cause one line and a count, without the message (2026-07-28)', async () => {
  const { lines, logger } = keeping()
  const holdfast = await openInMemory({ logger })
  const durable = durableTasks(holdfast, { access: 'open' })
  const handler = durable.httpHandler(() => serverOf(durable), { addressOf: fails })
  for (let n = 0; n < 5; n++) expect((await handler.fetch(post(LIST))).status).toBe(500)
  const said = 'An HTTP request failed unexpectedly'
  expect(lines).toEqual([['error', said, { error: expect.stringMatching(/^Error at .*fails /) }]])
  await handler.close()
  await holdfast.close()
  expect(lines[1]).toEqual(['error', said, { more: 4 }])
})

test('a server that cannot be made has a line without the message', async () => {
  const { lines, logger } = keeping()
  const durable = durableTasks(await openInMemory({ logger }), { access: 'open' })
  const handler = durable.httpHandler(fails, { addressOf: () => 'a' })
  for (let n = 0; n < 3; n++) await handler.fetch(post(LIST))
  expect(lines).toEqual([
    ['error', 'A server could not be made', { error: expect.stringMatching(/^Error at .*fails /) }],
  ])
})

test('a session that cannot be restored after a restart has a line', async () => {
  const { lines, logger } = keeping()
  let broken = false
  const setUp = () => {
    if (broken) fails()
  }
  const server = await HttpServer.start({ tools: [double], logger, setUp })
  const response = await server.send(initialize(), {})
  await response.text()
  const sessionId = response.headers.get('mcp-session-id') as string
  broken = true
  await server.restart()
  await (await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session: sessionId })).text()
  expect(lines).toContainEqual([
    'error',
    'A session could not be restored',
    { sessionId, error: expect.stringMatching(/^Error at .*fails /) },
  ])
  await server.close()
})

test('an error of `authorize` before an unasked message has a line', async () => {
  const { lines, logger } = keeping()
  const core = { options: { authorize: fails }, logger }
  const caller = { owner: 'ann' }
  expect(await mayPush({ core } as never, { reader: caller } as never, 'task-1', undefined)).toBe(false)
  expect(lines).toEqual([
    [
      'warn',
      '`authorize` threw for a notification about a task. The notification was not sent.',
      { taskId: 'task-1', error: expect.stringMatching(/^Error at .*fails /) },
    ],
  ])
})

test('a request that fails for an unknown reason, or for the store, has a line', () => {
  const { lines, logger } = keeping()
  refusalOf(new Error(SECRET), logger)
  refusalOf(new HoldfastError('STORE_UNAVAILABLE', 'The disk is full'), logger)
  expect(lines).toEqual([
    ['error', 'A request failed unexpectedly', { error: expect.stringMatching(/^Error at /) }],
    ['warn', 'A request was refused', { code: 'STORE_UNAVAILABLE', error: 'The disk is full' }],
  ])
  expect(JSON.stringify(lines)).not.toContain(SECRET)
})

test('errors of a connection over stdio cause one line', async () => {
  const { lines, logger } = keeping()
  const holdfast = await openInMemory({ logger })
  const durable = durableTasks(holdfast, { access: 'local' })
  const [ours] = InMemoryTransport.createLinkedPair()
  durable.serveStdio(() => serverOf(durable), { transport: ours })
  for (let n = 0; n < 3; n++) ours.onerror?.(new Error(SECRET))
  expect(lines).toEqual([['warn', 'A stdio connection had an error', { error: expect.stringMatching(/^Error at /) }]])
  await holdfast.close()
})

test('a store that is opened without the definitions of tools has a line', async () => {
  const { lines, logger } = keeping()
  const durable = durableTasks(() => openInMemory({ logger }), { access: 'open' })
  durable.tool(double)
  await durable.opened
  expect(lines).toEqual([
    [
      'warn',
      'The store was opened without the definitions of some tools, so their tasks were parked first. Pass what the function is given on: `(given) => Holdfast.open({ dir, ...given })`.',
      { tools: ['double'] },
    ],
  ])
})

test('a store that is held or cannot be opened has one line each in a minute, by the default logger', async () => {
  const written = listenToStderr()
  const errors = [new HoldfastError('STORE_LOCKED', 'It is held'), new TypeError('Expected `dir` to be a text')]
  for (const error of errors) {
    for (let n = 0; n < 3; n++) {
      const durable = durableTasks(() => Promise.reject(error), { access: 'open' })
      await durable.opened.catch(() => {})
    }
  }
  expect(written).toEqual([
    'holdfast warning: The store is held by another process. The next durable call tries again. {"error":"HoldfastError: It is held"}\n',
    'holdfast error: The store could not be opened. The next durable call tries again. {"error":"TypeError: Expected `dir` to be a text"}\n',
  ])
})

test('a server over stdio that cannot be made, and a store that cannot be closed, have a line', async () => {
  const { lines, logger } = keeping()
  const holdfast = await openInMemory({ logger })
  vi.spyOn(Holdfast.prototype, 'close').mockRejectedValue(new Error(SECRET))
  const durable = durableTasks(holdfast, { access: 'local' })
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const legacy = () => Promise.reject(new TypeError('Expected `name`'))
  const handle = durable.serveStdio(() => new McpServer(INFO), { transport: ours, legacy })
  await theirs.start()
  await theirs.send(initialize() as never)
  await handle.ended
  expect(lines).toEqual([
    ['error', 'The server could not be made. The process ends.', { error: 'TypeError: Expected `name`' }],
    ['error', 'The store could not be closed cleanly', { error: expect.stringMatching(/^Error at /) }],
  ])
})
