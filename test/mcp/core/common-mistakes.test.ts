// Goal: what authors used to an SDK get wrong first is done right, or answered with words that say what to do.
// Method: each mistake as it is written, against the bindings of both revisions, with the exact message.
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { Server as LegacyLowServer } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { McpServer, Server } from '@modelcontextprotocol/server'
import { defineTask, type Holdfast, type Logger } from 'holdfast'
import { durableTasks as legacyTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { parkedAnswerOf } from '../../../src/mcp/access/refusal.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { metaOf, modernClient, VERSION } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

const INFO = { name: 'test', version: '1.0.0' }

const until = async (isSo: () => Promise<boolean>) => {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve))
}

/** A logger that keeps what it is told. */
function keeping(): { logger: Logger; errors: string[] } {
  const errors: string[] = []
  const nothing = () => {}
  return { errors, logger: { debug: nothing, info: nothing, warn: nothing, error: (said) => errors.push(said) } }
}

describe('a body that returns a tool result', () => {
  const text = { type: 'text', text: 'Seats 12 and 13' }
  const image = { type: 'image', data: 'aGk=', mimeType: 'image/png' }
  const resource = { type: 'resource', resource: { uri: 'file:///a', text: 'A' } }
  const link = { type: 'resource_link', uri: 'file:///a', name: 'a' }
  const taken = [
    { content: [text] },
    { content: [text, image, resource, link], _meta: { a: 1 } },
    { content: [text], structuredContent: { seats: 2 } },
    { content: [text], isError: true },
    { content: [], structuredContent: { seats: 2 } },
  ]
  // The entries of a magazine, a text, and what has only some of the fields.
  const wrapped = [
    { content: [{ type: 'article', text: 'x' }] },
    { content: [text, { type: 'chapter' }] },
    { content: [{ type: 'text' }] },
    { content: [{ type: 'image', data: 'aGk=' }] },
    { content: [] },
    { content: 'text' },
    { content: [text], isError: 'no' },
    { content: [text], structuredContent: [1] },
  ]
  const returns = (output: unknown) => defineTask({ name: 'returns' }, () => output as never)

  test.each(taken)('is answered with that result, in both revisions: %j', async (output) => {
    const legacy = legacyTasks(await openInMemory(), { access: 'local' }).tool(returns(output))
    const { call } = await rawClient(legacy)
    expect((await call('returns')).result).toEqual(output)
    const modern = durableTasks(await openInMemory(), { access: 'local' }).tool(returns(output))
    const client = await modernClient(modern, { capabilities: {} })
    expect((await client.call('returns')).result).toMatchObject(output)
  })

  test.each(wrapped)('that is none of the protocol’s is an output like any other: %j', async (output) => {
    const durable = legacyTasks(await openInMemory(), { access: 'local' }).tool(returns(output))
    const { call } = await rawClient(durable)
    expect((await call('returns')).result).toEqual({
      content: [{ type: 'text', text: JSON.stringify(output) }],
      structuredContent: output,
    })
  })

  test('is an output like any other where the tool has an output schema', async () => {
    const entries = z.array(z.object({ type: z.string(), text: z.string() }))
    const page = defineTask({ name: 'page', output: z.object({ content: entries }) }, () => ({ content: [text] }))
    const durable = legacyTasks(await openInMemory(), { access: 'local' }).tool(page)
    const { call } = await rawClient(durable)
    expect((await call('page')).result.structuredContent).toEqual({ content: [text] })
  })
})

test.each([
  ['2025-11-25', legacyTasks],
  ['2026-07-28', durableTasks],
])('durableTasks without options names `access` (%s)', async (_, durableTasks) => {
  const holdfast = await openInMemory()
  expect(() => durableTasks(holdfast, undefined as never)).toThrow(
    new TypeError(
      "`durableTasks` needs the option `access`, the rule for which callers reach which tasks: durableTasks(holdfast, { access: 'local' }) for one user over stdio; 'principal' or 'open' over HTTP",
    ),
  )
})

test('a server of the other revision’s SDK is a TypeError that names both', async () => {
  const holdfast = await openInMemory()
  const old = legacyTasks(holdfast, { access: 'local' })
  const modern = durableTasks(holdfast, { access: 'local' })
  const wantsOld = new TypeError(
    'Expected a server of @modelcontextprotocol/sdk, since durableTasks comes from holdfast/mcp/2025-11-25; got one of @modelcontextprotocol/server. Import durableTasks from holdfast/mcp/2026-07-28, or make the server with @modelcontextprotocol/sdk.',
  )
  expect(() => old.attach(new McpServer(INFO) as never)).toThrow(wantsOld)
  expect(() => old.attach(new Server(INFO) as never)).toThrow(wantsOld)
  const wantsModern = new TypeError(
    'Expected a server of @modelcontextprotocol/server, since durableTasks comes from holdfast/mcp/2026-07-28; got one of @modelcontextprotocol/sdk. Import durableTasks from holdfast/mcp/2025-11-25, or make the server with @modelcontextprotocol/server.',
  )
  expect(() => modern.attach(new LegacyServer(INFO) as never)).toThrow(wantsModern)
  expect(() => modern.attach(new LegacyLowServer(INFO) as never)).toThrow(wantsModern)
  for (const none of [undefined, null, {}, 'server', { server: {} }]) {
    expect(() => old.attach(none as never)).toThrow(/^Expected a server of @modelcontextprotocol\/sdk.*; got/)
    expect(() => modern.attach(none as never)).toThrow(/^Expected a server of @modelcontextprotocol\/server.*; got/)
  }
})

describe('attached too late', () => {
  const tooLate = 'durable.attach(server) comes too late: the server'
  const callFirst = `${tooLate} has a \`tools/call\` handler already.`
  const listFirst = `${tooLate} has a \`tools/list\` handler already.`
  const order =
    'Attach before the first tool is registered, and make the server with `durable.serverOptions(…)`, without `capabilities.tools`.'
  const lowOrder =
    'Call `durable.attach(server)` right after `new Server(…)`, and set your handlers of `tools/list` and `tools/call` after that.'
  const tools = { capabilities: { tools: {} } }

  test('a server names the handler that is there, and the order to use (2025-11-25)', async () => {
    const durable = legacyTasks(await openInMemory(), { access: 'local' })
    const high = new LegacyServer(INFO)
    high.registerTool('own', {}, () => ({ content: [] }))
    expect(() => durable.attach(high)).toThrow(new Error(`${callFirst} ${order}`))
    const calls = new LegacyLowServer(INFO, tools)
    calls.setRequestHandler(CallToolRequestSchema, () => ({ content: [] }))
    expect(() => durable.attach(calls)).toThrow(new Error(`${callFirst} ${lowOrder}`))
    const lists = new LegacyLowServer(INFO, tools)
    lists.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [] }))
    expect(() => durable.attach(lists)).toThrow(new Error(`${listFirst} ${lowOrder}`))
    const connected = new LegacyLowServer(INFO, tools)
    await connected.connect(InMemoryTransport.createLinkedPair()[0])
    expect(() => durable.attach(connected)).toThrow(new Error(`${tooLate} is connected already`))
    expect(() => durable.attach(new LegacyLowServer(INFO, tools))).not.toThrow()
  })

  test('a server names the handler that is there, and the order to use (2026-07-28)', async () => {
    const durable = durableTasks(await openInMemory(), { access: 'local' })
    const high = new McpServer(INFO)
    high.registerTool('own', {}, () => ({ content: [] }))
    expect(() => durable.attach(high)).toThrow(new Error(`${callFirst} ${order}`))
    const calls = new Server(INFO, tools)
    calls.setRequestHandler('tools/call', () => ({ content: [] }))
    expect(() => durable.attach(calls)).toThrow(new Error(`${callFirst} ${lowOrder}`))
    const lists = new Server(INFO, tools)
    lists.setRequestHandler('tools/list', () => ({ tools: [] }))
    expect(() => durable.attach(lists)).toThrow(new Error(`${listFirst} ${lowOrder}`))
    expect(() => durable.attach(new Server(INFO, tools))).not.toThrow()
  })
})

test.each([
  ['2025-06-18', false],
  ['2025-11-25', true],
])('a client of %s is told of capabilities.tasks: %s', async (protocolVersion, isTold) => {
  const durable = legacyTasks(await openInMemory(), { access: 'local' }).tool(defineTask({ name: 'a' }, () => 1))
  const server = durable.attach(new LegacyServer(INFO, durable.serverOptions()))
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const answered = new Promise<unknown>((resolve) => {
    theirs.onmessage = resolve
  })
  await server.connect(ours)
  await theirs.start()
  const params = { protocolVersion, capabilities: {}, clientInfo: INFO }
  await theirs.send({ jsonrpc: '2.0', id: 1, method: 'initialize', params })
  const { result } = (await answered) as { result: { protocolVersion: string; capabilities: object } }
  expect(result.protocolVersion).toBe(protocolVersion)
  expect('tasks' in result.capabilities).toBe(isTold)
  expect(result.capabilities).toMatchObject({ tools: {}, experimental: { 'holdfast/checkpoints': {} } })
})

test('a reason that names its task is not given the name of the task again', () => {
  const reason = 'Step 2 of task task-1 is another one'
  expect(parkedAnswerOf('task-1', { code: 'CODE_CHANGED', reason })).toBe(
    `The task is parked: CODE_CHANGED: ${reason}. It is kept, and continues once the cause is fixed.`,
  )
})

test.each(['2025-11-25', '2026-07-28'])(
  'the answer to a call whose task is parked names it once (%s)',
  async (revision) => {
    const disk = new MemoryDisk()
    const asks = (step: string) =>
      defineTask({ name: 'changes' }, async (task) => {
        await task.step(step, () => 1)
        await task.sleep('nap', '1h')
      })
    const connected = async (holdfast: Holdfast, step: string) =>
      revision === '2025-11-25'
        ? rawClient(legacyTasks(holdfast, { access: 'local' }).tool(asks(step)))
        : modernClient(durableTasks(holdfast, { access: 'local' }).tool(asks(step)), { capabilities: {} })
    const first = await openInMemory({ disk })
    void (await connected(first, 'one')).call('changes')
    await until(async () => (await first.list()).tasks[0]?.completedSteps === 1)
    const [task] = (await first.list()).tasks
    disk.crash()
    // The repeat of a call whose process died joins its task.
    const { result } = await (await connected(await openInMemory({ disk }), 'other')).call('changes')
    const [{ text }] = result.content
    expect(text).toMatch(/is parked: CODE_CHANGED/)
    expect(text.split(task?.taskId)).toHaveLength(2)
  },
)

describe('httpHandler with a server that was never attached', () => {
  const said = '`createServer` returned a server without durable tasks: return `durable.attach(server)`'
  const post = (body: object, headers: Record<string, string> = {}) =>
    new Request('http://localhost/mcp', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
      body: JSON.stringify(body),
    })

  test('answers 500 with an error that says so, and logs it once (2025-11-25)', async () => {
    const { logger, errors } = keeping()
    const durable = legacyTasks(await openInMemory({ logger }), { access: 'open' })
    const handler = durable.httpHandler(() => new LegacyServer(INFO))
    for (let n = 0; n < 3; n++) {
      const response = await handler.fetch(post(initialize()))
      expect([response.status, await response.json()]).toMatchObject([500, { error: { code: -32_603, message: said } }])
    }
    expect(errors).toEqual([said])
    await handler.close()
  })

  test('answers 500 with an error that says so, and logs it once (2026-07-28)', async () => {
    const { logger, errors } = keeping()
    const durable = durableTasks(await openInMemory({ logger }), { access: 'open' })
    const handler = durable.httpHandler(() => new McpServer(INFO))
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: metaOf() } }
    for (let n = 0; n < 3; n++) {
      const response = await handler.fetch(post(list, { 'mcp-protocol-version': VERSION, 'mcp-method': 'tools/list' }))
      expect([response.status, await response.json()]).toMatchObject([500, { error: { code: -32_603, message: said } }])
    }
    expect(errors).toEqual([said])
    await handler.close()
  })
})
