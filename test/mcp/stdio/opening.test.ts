/**
 * Goal: a function in place of an open `Holdfast` works for every way to serve; it is called once, and again only after it
 * failed.
 * Method: the function opens a disk in memory and counts its calls; clients are the SDKs' own, in memory or over `fetch`.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as ModernServer } from '@modelcontextprotocol/server'
import { defineTask, type Holdfast, HoldfastError } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import * as modernEra from 'holdfast/mcp/2026-07-28'
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { connect, INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { metaOf, modernClient, serverOf, talk } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

const quick = defineTask({ name: 'quick' }, (task) => task.step('work', () => 'done'))
const opened: Holdfast[] = []
const rejections: unknown[] = []
const note = (error: unknown) => void rejections.push(error)
process.on('unhandledRejection', note)

/** A function for `durableTasks`, that fails with each of `failures` first. */
function opener(...failures: Error[]) {
  const disk = new MemoryDisk()
  return vi.fn(async ({ tasks }: legacyEra.GivenOptions) => {
    const failure = failures.shift()
    if (failure) throw failure
    const holdfast = await openInMemory({ disk, tasks, logLevel: 'silent' })
    opened.push(holdfast)
    return holdfast
  })
}

afterEach(async () => {
  for (const holdfast of opened.splice(0)) await holdfast.close({ grace: 0 })
  // Rejections are reported after the microtasks of the turn they are in.
  await new Promise((resolve) => setImmediate(resolve))
  expect(rejections.splice(0)).toEqual([])
  vi.restoreAllMocks()
})

const textOf = (answer: unknown) => (answer as { content: [{ text: string }] }).content[0].text

describe('a function in place of an open Holdfast', () => {
  test('is not called before it is needed, and is given the definitions of `durable.tool`', async () => {
    const open = opener()
    const durable = legacyEra.durableTasks(open, { access: 'local' }).tool(quick)
    const { client } = await connect(durable)
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['quick'])
    expect(open).not.toHaveBeenCalled()
    expect(textOf(await client.callTool({ name: 'quick' }))).toBe('done')
    expect(open).toHaveBeenCalledTimes(1)
    expect(open.mock.calls[0]?.[0].tasks).toEqual([quick])
    expect(await durable.opened).toBe(opened[0])
    await client.close()
  })

  test('is called by the first read of `opened`', async () => {
    const open = opener()
    const durable = modernEra.durableTasks(open, { access: 'local' }).tool(quick)
    const first = durable.opened
    expect(await first).toBe(opened[0])
    expect(durable.opened).toBe(first)
    expect(open).toHaveBeenCalledTimes(1)
  })

  test('is called once where both bindings are given the same one', async () => {
    const open = opener()
    const legacy = legacyEra.durableTasks(open, { access: 'local' }).tool(quick)
    const modern = modernEra.durableTasks(open, { access: 'local' }).tool(quick)
    const { client } = await connect(legacy)
    const other = await modernClient(modern, { capabilities: {} })
    const [one, { result: two }] = await Promise.all([client.callTool({ name: 'quick' }), other.call('quick', {})])
    expect([textOf(one), textOf(two)]).toEqual(['done', 'done'])
    expect(open).toHaveBeenCalledTimes(1)
    expect(await legacy.opened).toBe(await modern.opened)
    await client.close()
    await other.close()
  })

  test('that fails is called again by the next durable call, and `opened` is the promise of that open', async () => {
    vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    const open = opener(new HoldfastError('STORE_UNUSABLE', 'no such disk'))
    const durable = legacyEra.durableTasks(open, { access: 'local' }).tool(quick)
    const { client } = await connect(durable)
    const refused = await client.callTool({ name: 'quick' }).catch((error: Error) => error.message)
    expect(JSON.stringify(refused)).not.toContain('no such disk')
    const failed = durable.opened
    expect(open).toHaveBeenCalledTimes(1)
    expect(textOf(await client.callTool({ name: 'quick' }))).toBe('done')
    expect(open).toHaveBeenCalledTimes(2)
    await expect(failed).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
    expect(durable.opened).not.toBe(failed)
    expect(await durable.opened).toBe(opened[0])
    await client.close()
  })

  test('that throws something else fails the call without its words', async () => {
    vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    const durable = modernEra
      .durableTasks(opener(...Array.from({ length: 3 }, () => new Error('secret path'))), { access: 'local' })
      .tool(quick)
    const client = await modernClient(durable, { capabilities: {} })
    const refused = JSON.stringify(await client.call('quick', {}))
    expect(refused).toContain('could not be opened')
    expect(refused).not.toContain('secret path')
    await client.close()
  })

  test('serves a task store of the SDK’s', async () => {
    const open = opener()
    const durable = legacyEra.durableTasks(open, { access: 'local' })
    const store = durable.taskStore
    expect(open).not.toHaveBeenCalled()
    const request = { method: 'tools/call', params: { name: 'own' } }
    const { taskId } = await store.createTask({ ttl: 60_000 }, 1, request)
    await store.storeTaskResult(taskId, 'completed', { content: [] })
    expect(await store.getTask(taskId)).toMatchObject({ status: 'completed' })
    expect(open).toHaveBeenCalledTimes(1)
  })

  test('is called by `httpHandler` at once, whose requests wait for it', async () => {
    const open = opener()
    const durable = legacyEra.durableTasks(open, { access: 'open' }).tool(quick)
    const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
    const answered = handler.fetch(post(initialize()), { remoteAddress: '192.0.2.1' })
    expect((await answered).status).toBe(200)
    await handler.ready
    expect(open).toHaveBeenCalledTimes(1)
    await handler.close()
  })

  test('that fails under `httpHandler` is answered with 503, and called again by the next request', async () => {
    vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    const open = opener(new HoldfastError('STORE_UNAVAILABLE', 'full'))
    const durable = legacyEra.durableTasks(open, { access: 'open' }).tool(quick)
    const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
    await expect(handler.ready).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    const again = await handler.fetch(post(initialize()), { remoteAddress: '192.0.2.1' })
    expect(again.status).toBe(200)
    expect(open).toHaveBeenCalledTimes(2)
    await handler.close()
  })

  test('is called by `httpHandler` of 2026-07-28 at once', async () => {
    const open = opener()
    const durable = modernEra.durableTasks(open, { access: 'open' }).tool(quick)
    const handler = durable.httpHandler(() => serverOf(durable))
    await durable.opened
    expect(open).toHaveBeenCalledTimes(1)
    const call = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'quick', arguments: {}, _meta: metaOf() },
    }
    const request = post(call, {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': 'quick',
    })
    const response = await handler.fetch(request, { remoteAddress: '192.0.2.1' })
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('done')])
    await handler.close()
  })
})

describe('serveStdio over a transport of the author’s', () => {
  test('`handle.close()` ends the connection and closes the Holdfast; `ended` says so, and nothing exits', async () => {
    const exit = vi.spyOn(process, 'exit')
    const signals = process.listenerCount('SIGTERM')
    const durable = modernEra.durableTasks(opener(), { access: 'local' }).tool(quick)
    const [ours, theirs] = InMemoryTransport.createLinkedPair()
    const handle = durable.serveStdio(() => serverOf(durable), { transport: ours as never })
    const client = await talk(theirs as never, {}, () => theirs.close())
    const holdfast = await durable.opened
    let isConnected = true
    const onclose = theirs.onclose
    theirs.onclose = () => {
      isConnected = false
      onclose?.()
    }
    await Promise.all([handle.close(), handle.close()])
    expect([await handle.ended, isConnected]).toEqual(['close', false])
    await expect(holdfast.start(quick, {})).rejects.toMatchObject({ code: 'CLOSED' })
    expect(process.listenerCount('SIGTERM')).toBe(signals)
    expect(exit).not.toHaveBeenCalled()
    await client.close()
  })

  test('the end of the connection does not close the Holdfast, which may serve others', async () => {
    const durable = modernEra.durableTasks(opener(), { access: 'local' }).tool(quick)
    const client = await modernClient(durable, { capabilities: {} })
    await client.call('quick', {})
    await client.close()
    await expect((await durable.opened).start(quick, {})).resolves.toBeDefined()
  })

  test('a close before the store is open opens nothing, then or later', async () => {
    const open = opener()
    const durable = modernEra.durableTasks(open, { access: 'local' }).tool(quick)
    const [ours] = InMemoryTransport.createLinkedPair()
    const make = () => durable.attach(new ModernServer(INFO, durable.serverOptions()))
    const handle = durable.serveStdio(make, { transport: ours as never })
    await handle.close()
    await expect(durable.opened).rejects.toMatchObject({ code: 'CLOSED' })
    expect(open).not.toHaveBeenCalled()
  })
})

test('a server of the SDK’s client over `Client.connect` lists its tools while the open hangs', async () => {
  const durable = legacyEra.durableTasks(() => new Promise<Holdfast>(() => {}), { access: 'local' }).tool(quick)
  const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const client = new Client(INFO)
  await server.connect(ours)
  await client.connect(theirs)
  void durable.opened
  expect((await client.listTools()).tools).toHaveLength(1)
  await client.close()
})

function post(message: object, headers: Record<string, string> = {}): Request {
  return new Request('http://localhost/mcp', {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify(message),
  })
}
