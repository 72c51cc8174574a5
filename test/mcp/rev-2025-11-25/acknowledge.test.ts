// Goal: over HTTP, 202 says that what a client sent is on disk: an answer to a task's question, a cancel that ends its task.
// Method: bare requests to the handler, over a disk whose writes the test holds back, refuses, or lets be the last ones.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { defineTask, type Holdfast } from 'holdfast'
import { type DurableTasks, durableTasks, type HttpHandler } from 'holdfast/mcp/2025-11-25'
import { ManualClock, openInMemory, untilIdle } from 'holdfast/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { deferred } from '../../../src/base/promises.js'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { SlowDisk } from '../../helpers/waiting.js'

const asks = defineTask({ name: 'asks' }, async (task) => {
  const { content } = await task.input<{ content: { word: string } }>('word', { message: 'Which word?' })
  return content.word
})
const works = defineTask({ name: 'works' }, (task) => task.step('work', () => deferred<void>().promise))

/** A server that can be killed and started again, and one session of it. */
class Server {
  readonly disk = new SlowDisk()
  readonly clock = new ManualClock()
  holdfast!: Holdfast
  handler!: HttpHandler
  session = ''

  static async start(): Promise<Server> {
    const server = new Server()
    await server.restart()
    const response = await server.post(initialize({ elicitation: {} }))
    server.session = response.headers.get('mcp-session-id') as string
    await response.text()
    await server.post({ jsonrpc: '2.0', method: 'notifications/initialized' })
    return server
  }

  /** kill -9, and a new process. */
  async restart(): Promise<void> {
    this.disk.crash()
    this.holdfast = await openInMemory({ disk: this.disk, clock: this.clock })
    const durable: DurableTasks = durableTasks(this.holdfast, { access: 'open' })
    durable.tool(asks).tool(works, { onInterrupt: 'cancel' })
    this.handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
    await this.handler.ready
    await untilIdle(this.holdfast)
  }

  post(message: object): Promise<Response> {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(this.session === '' ? {} : { 'mcp-session-id': this.session }),
    }
    return this.handler.fetch(
      new Request('http://localhost/mcp', { method: 'POST', headers, body: JSON.stringify(message) }),
    )
  }

  /** What a request was answered with, if it was. */
  posted(message: object): { status: number | undefined } {
    const seen: { status: number | undefined } = { status: undefined }
    void this.post(message).then(({ status }) => {
      seen.status = status
    })
    return seen
  }

  /** Calls a tool and waits until its task is at rest. @returns the task, and what the client was sent */
  async call(name: string): Promise<{ taskId: string; read: () => Promise<string> }> {
    const response = await this.post({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name, arguments: {}, _meta: { progressToken: 1 } },
    })
    await untilIdle(this.holdfast)
    const { taskId } = (await this.holdfast.list()).tasks[0] as { taskId: string }
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    let text = ''
    const pump = async () => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        text += Buffer.from(value).toString()
      }
    }
    void pump().catch(() => {})
    return {
      taskId,
      read: async () => {
        await untilIdle(this.holdfast)
        return text
      },
    }
  }

  /** Calls the tool that asks. @returns the task, and the answer to its question */
  async asked(): Promise<{ taskId: string; answer: object }> {
    const { taskId, read } = await this.call('asks')
    const id = new RegExp(`"id":"(${taskId}:[^"]+)"`).exec(await read())?.[1]
    expect(id).toBeDefined()
    return { taskId, answer: { jsonrpc: '2.0', id, result: { action: 'accept', content: { word: 'yes' } } } }
  }

  async statusOf(taskId: string): Promise<string> {
    await untilIdle(this.holdfast)
    return (await this.holdfast.get(taskId)).status
  }
}

let server: Server
afterEach(() => server.handler.close())
const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }

const KINDS: [string, string, (server: Server) => Promise<{ taskId: string; message: object }>][] = [
  [
    'an answer to a question',
    'completed',
    async (server) => {
      const { taskId, answer } = await server.asked()
      return { taskId, message: answer }
    },
  ],
  [
    'an answer to a question of an earlier process',
    'completed',
    async (server) => {
      const { taskId, answer } = await server.asked()
      await server.restart()
      return { taskId, message: answer }
    },
  ],
  [
    'a cancel of a call with `onInterrupt: cancel`',
    'cancelled',
    async (server) => {
      const { taskId } = await server.call('works')
      return { taskId, message: cancel }
    },
  ],
  [
    'a cancel of such a call that an earlier process began',
    'cancelled',
    async (server) => {
      const { taskId } = await server.call('works')
      await server.restart()
      return { taskId, message: cancel }
    },
  ],
]

describe.each(KINDS)('%s', (_, status, prepare) => {
  test('is acknowledged once it is on disk, and not before', async () => {
    server = await Server.start()
    const { taskId, message } = await prepare(server)
    server.disk.hold()
    const posted = server.posted(message)
    await untilIdle(server.holdfast)
    expect(posted.status).toBeUndefined()
    server.disk.resume()
    await untilIdle(server.holdfast)
    expect(posted.status).toBe(202)
    expect(await server.statusOf(taskId)).toBe(status)
  })

  test('counts when the server is killed right after the 202', async () => {
    server = await Server.start()
    const { taskId, message } = await prepare(server)
    expect((await server.post(message)).status).toBe(202)
    await server.restart()
    expect(await server.statusOf(taskId)).toBe(status)
  })

  test('is not acknowledged by a server that is killed before the write', async () => {
    server = await Server.start()
    const { message } = await prepare(server)
    server.disk.dieAt({ atWrite: 1, applied: false })
    const posted = server.posted(message)
    await untilIdle(server.holdfast)
    expect(posted.status).toBeUndefined()
    await server.restart()
  })

  test('is refused with 503 while the store is down, and counts when it is sent again', async () => {
    server = await Server.start()
    const { taskId, message } = await prepare(server)
    server.disk.full = true
    const refused = await server.post(message)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    server.disk.full = false
    await server.clock.advance(5_000)
    expect((await server.post(message)).status).toBe(202)
    expect(await server.statusOf(taskId)).toBe(status)
  })
})

test('an answer that was refused with 503 counts by itself once the store is up, if its question was asked on an open call', async () => {
  server = await Server.start()
  const { taskId, answer } = await server.asked()
  server.disk.full = true
  expect((await server.post(answer)).status).toBe(503)
  server.disk.full = false
  await server.clock.advance(5_000)
  expect(await server.statusOf(taskId)).toBe('completed')
})

test('the cancelled call is answered with nothing', async () => {
  server = await Server.start()
  const { read } = await server.call('works')
  await server.post(cancel)
  expect(await read()).not.toContain('"id":1')
})

test('an answer that the end of the server overtakes is refused with 503', async () => {
  server = await Server.start()
  const { answer } = await server.asked()
  server.disk.hold()
  const posted = server.posted(answer)
  await untilIdle(server.holdfast)
  const closing = server.handler.close()
  await untilIdle(server.holdfast)
  expect(posted.status).toBe(503)
  server.disk.resume()
  await closing
})
