// Goal: one URL, one process on stdio and one store serve the clients of both eras, each in its own words.
// Method: the SDKs' own clients and raw requests on a child process that is killed with `kill -9`.

import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { openInMemory } from 'holdfast/testing'
import { afterEach, expect, test } from 'vitest'
import { INFO } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double } from '../../helpers/mcp/tools.js'
import { ErasProcess } from './eras-process.js'

const KILLS = Number(process.env['HOLDFAST_KILLS'] ?? 3)

let server: ErasProcess
afterEach(() => server?.kill())

async function legacyClient(url: URL, capabilities = {}) {
  const client = new LegacyClient(INFO, { capabilities })
  await client.connect(new StreamableHTTPClientTransport(url) as never)
  return client
}

test('one URL: the same work of both eras goes on after kill -9, and each is told of it in its own words', async () => {
  server = await ErasProcess.start()
  const legacy = await legacyClient(server.url)
  const call = { name: 'count', arguments: { to: 6, ms: 250 } }
  const pending = legacy.callTool(call)
  const { taskId } = (await server.request('tools/call', call)).result
  // A call that dies before its client has heard of its stream can't be answered.
  while (server.steps(taskId).length < 2 || server.tasks.size < 2)
    await new Promise((resolve) => setTimeout(resolve, 20))
  await server.kill()
  await server.start()
  expect(await server.settled(taskId)).toMatchObject({
    status: 'completed',
    result: { resultType: 'complete', structuredContent: { counted: 6 } },
  })
  expect(await pending).toMatchObject({ structuredContent: { counted: 6 } })
  const steps = server.steps(taskId)
  expect(new Set(steps).size).toBe(6)
  // The one that was at work at the kill began once more.
  expect(steps.length).toBeLessThanOrEqual(7)
  await legacy.close()
})

test('a tool that fails is completed to one era and failed to the other; an error of the protocol is one to both', async () => {
  server = await ErasProcess.start()
  const legacy = await legacyClient(server.url)
  for (const how of ['tool', 'protocol']) {
    const { taskId } = (await server.request('tools/call', { name: 'fail', arguments: { how } })).result
    const modern = await server.settled(taskId)
    const { status } = await legacy.experimental.tasks.getTask(taskId)
    expect(status).toBe('failed')
    const result = legacy.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)
    if (how === 'tool') {
      expect(modern).toMatchObject({ status: 'completed', result: { isError: true, content: [{ text: 'No luck' }] } })
      expect(await result).toMatchObject({ isError: true, content: [{ text: 'No luck' }] })
    } else {
      const error = { code: -32_077, message: 'Not today', data: { why: 'weekend' } }
      expect(modern).toMatchObject({ status: 'failed', statusMessage: 'Not today', error })
      await expect(result).rejects.toMatchObject({ code: -32_077, data: { why: 'weekend' } })
    }
  }
  await legacy.close()
})

test('a question of a task that one era began is answered by a client of the other', async () => {
  server = await ErasProcess.start()
  const legacy = await legacyClient(server.url, { elicitation: {} })
  legacy.setRequestHandler(ElicitRequestSchema, () => new Promise(() => {}))
  const pending = legacy.callTool({ name: 'confirm', arguments: {} })
  let asked: { taskId: string; keys: string[] } | undefined
  const { taskId } = (await server.request('tools/call', { name: 'confirm', arguments: {} })).result
  while (!asked) {
    const { inputRequests } = (await server.request('tasks/get', { taskId })).result
    if (inputRequests) asked = { taskId, keys: Object.keys(inputRequests) }
  }
  const inputResponses = { [asked.keys[0] as string]: { action: 'accept', content: { sure: true } } }
  await server.request('tasks/update', { taskId, inputResponses })
  const result = await legacy.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)
  expect(result).toMatchObject({ structuredContent: { action: 'accept', content: { sure: true } } })
  pending.catch(() => {})
  await legacy.close()
})

test('stdio: the first message says of which era a client is', async () => {
  server = await ErasProcess.start()
  await server.kill()
  const [command, ...args] = server.command()
  const legacy = new LegacyClient(INFO)
  await legacy.connect(new StdioClientTransport({ command, args }) as never)
  const call = { name: 'count', arguments: { to: 1, ms: 1 } }
  expect(await legacy.callTool(call)).toMatchObject({ structuredContent: { counted: 1 } })
  expect(legacy.getServerCapabilities()?.tasks).toBeDefined()
  await legacy.close()
  const modern = new Client(INFO, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
  await modern.connect(new ModernStdio({ command, args }))
  expect(await modern.callTool(call)).toMatchObject({ structuredContent: { counted: 1 } })
  expect(modern.getServerCapabilities()).toMatchObject({ extensions: { 'io.modelcontextprotocol/tasks': {} } })
  expect(modern.getServerCapabilities()).not.toHaveProperty('tasks')
  await modern.close()
})

test('E07 a task that was answered is there after kill -9', {
  timeout: 20_000 + KILLS * 6_000,
}, async () => {
  server = await ErasProcess.start()
  for (let kill = 0; kill < KILLS; kill++) {
    const { taskId } = (await server.request('tools/call', { name: 'confirm', arguments: {} })).result
    await server.kill()
    await server.start()
    expect((await server.request('tasks/get', { taskId })).result).toMatchObject({ taskId, resultType: 'complete' })
  }
})

test('what each way of serving cannot do, it refuses at once', async () => {
  const holdfast = await openInMemory()
  const none = () => {
    throw new Error('never called')
  }
  const principal = durableTasks(holdfast, { access: 'principal' }).tool(double)
  expect(() => principal.serveStdio(none)).toThrow(/'principal'/)
  const local = durableTasks(holdfast, { access: 'local' })
  expect(() => local.httpHandler(none)).toThrow(/'local'/)
  expect(() => local.serveStdio('server' as never)).toThrow(/`createServer`/)
  expect(() => principal.httpHandler(none, { legacy: 'stateless' as never })).toThrow(/`legacy`/)
})
