// Goal: `authorize` is asked for what a client is told unasked, as it is for a read: a task's status, and its progress.
// Method: sessions of two tokens of one owner, one of which may read nothing; bare requests to the handler.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { defineTask, type Holdfast } from 'holdfast'
import { type AccessRequest, type Decision, durableTasks, type HttpHandler } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { deferred } from '../../../src/base/promises.js'
import { INFO, tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'

let release = deferred<void>()
const works = defineTask({ name: 'works' }, async (task) => {
  await task.step('wait', () => release.promise)
  task.progress({ done: 1, message: 'half' })
  await task.step('go on', () => 1)
  throw new Error('SECRET of the customer')
})

type Authorize = (request: AccessRequest) => Decision | Promise<Decision>
const byRole: Authorize = ({ authInfo }) => (authInfo?.clientId === 'limited' ? 'deny' : 'allow')

class Server {
  readonly disk = new MemoryDisk()
  holdfast!: Holdfast
  handler!: HttpHandler

  constructor(private readonly authorize: Authorize) {}

  async start(): Promise<this> {
    this.disk.crash()
    this.holdfast = await openInMemory({ disk: this.disk })
    const { authorize } = this
    const durable = durableTasks(this.holdfast, {
      access: 'principal',
      owner: ({ extra }) => String(extra?.['sub']),
      progressInterval: 0,
      authorize,
    })
    durable.tool(works)
    this.handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
    await this.handler.ready
    return this
  }

  fetch(method: 'GET' | 'POST', role: string, session: string | undefined, message?: object): Promise<Response> {
    const headers = {
      accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
      ...(message ? { 'content-type': 'application/json' } : {}),
      ...(session === undefined ? {} : { 'mcp-session-id': session }),
    }
    const body = message ? { body: JSON.stringify(message) } : {}
    const request = new Request('http://localhost/mcp', { method, headers, ...body })
    return this.handler.fetch(request, { authInfo: tokenOf('alice', role) })
  }

  /** A session of a token. */
  async session(role: string): Promise<string> {
    const response = await this.fetch('POST', role, undefined, initialize())
    await response.text()
    return response.headers.get('mcp-session-id') as string
  }

  /** Listens to what the server says of its own accord. @returns what was heard */
  async listen(role: string, session: string): Promise<() => Promise<string>> {
    const reader = ((await this.fetch('GET', role, session)).body as ReadableStream<Uint8Array>).getReader()
    let text = ''
    const pump = async () => {
      for (let read = await reader.read(); !read.done; read = await reader.read()) text += Buffer.from(read.value)
    }
    void pump().catch(() => {})
    return async () => {
      await untilIdle(this.holdfast)
      return text
    }
  }

  /** Makes a task that reports progress to whoever made it. */
  async call(role: string, session: string): Promise<string> {
    const params = { name: 'works', arguments: {}, task: {}, _meta: { progressToken: 'token' } }
    await (await this.fetch('POST', role, session, { jsonrpc: '2.0', id: 1, method: 'tools/call', params })).text()
    const { taskId } = (await this.holdfast.list()).tasks[0] as { taskId: string }
    return taskId
  }
}

let server: Server
afterEach(async () => {
  release = deferred()
  await server.handler.close()
})

test('a session whose token may read nothing is told of no task, and another of the same owner is', async () => {
  server = await new Server(byRole).start()
  const [full, limited] = [await server.session('full'), await server.session('limited')]
  const heardByFull = await server.listen('full', full)
  const heardByLimited = await server.listen('limited', limited)
  await server.call('full', full)
  release.resolve()
  expect(await heardByFull()).toMatch(/notifications\/progress.*half/)
  expect(await heardByFull()).toMatch(/notifications\/tasks\/status.*SECRET/)
  expect(await heardByLimited()).not.toContain('notifications/')
})

test('in one session the token that listens counts, and not the one that made the task', async () => {
  server = await new Server(({ action, authInfo }) =>
    action === 'read' && authInfo?.clientId === 'limited' ? 'deny' : 'allow',
  ).start()
  const session = await server.session('full')
  const heard = await server.listen('limited', session)
  await server.call('full', session)
  release.resolve()
  expect(await heard()).not.toContain('notifications/')
})

test('it is asked for every push with the task and its reader, and what it says now counts', async () => {
  let decision: Decision = 'allow'
  const authorize = vi.fn<Authorize>(() => decision)
  server = await new Server(authorize).start()
  const session = await server.session('full')
  const heard = await server.listen('full', session)
  const taskId = await server.call('full', session)
  authorize.mockClear()
  decision = 'deny'
  release.resolve()
  expect(await heard()).not.toContain('notifications/')
  // Progress, and the end.
  expect(
    authorize.mock.calls.map(([{ action, taskId, owner, authInfo }]) => [action, taskId, owner, authInfo]),
  ).toEqual(Array(2).fill(['read', taskId, 'alice', tokenOf('alice', 'full')]))
})

test('after a restart nothing is told before it is known who reads, and one that throws tells nothing', async () => {
  const authorize = vi.fn<Authorize>(byRole)
  server = await new Server(authorize).start()
  const session = await server.session('full')
  // Kept in memory after the restart by a request that waits.
  const taskId = await server.call('full', session)
  await server.fetch('POST', 'full', session, { jsonrpc: '2.0', id: 2, method: 'tasks/result', params: { taskId } })
  await server.start()
  await untilIdle(server.holdfast)
  authorize.mockClear()
  release.resolve()
  await untilIdle(server.holdfast)
  expect(authorize).not.toHaveBeenCalled()
  expect([...server.disk.content].filter(([, text]) => text.includes('notifications/tasks/status'))).toEqual([])

  authorize.mockImplementation(() => {
    throw new Error('no database')
  })
  const heard = await server.listen('full', session)
  release = deferred()
  authorize.mockImplementationOnce(() => 'allow')
  await server.call('full', session)
  release.resolve()
  expect(await heard()).not.toContain('notifications/')
})
