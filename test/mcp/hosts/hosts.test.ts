// Goal: each recipe of docs/mcp/hosts serves, and keeps over kill -9 what the page says.
// Method: the files that the page shows run as processes; clients of both SDKs call them. The pages that a task imports come
// from a server of the test, which keeps one back until the kill, and counts what is fetched twice.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { copyRecipes, FlightSource, HostProcess, RECIPES, ROOT } from '../../helpers/mcp/host-process.js'
import { connect, connectModern, listen, request } from './clients.js'

const page = readFileSync(join(ROOT, 'docs/mcp/hosts.md'), 'utf8')
const folders = { '2025-11-25': copyRecipes('2025-11-25'), '2026-07-28': copyRecipes('2026-07-28') }
afterAll(() => {
  for (const folder of Object.values(folders)) rmSync(folder, { recursive: true, force: true })
})

test('each program of the page is a file of docs/mcp/hosts, and each file is on the page', () => {
  const blocks = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code)
  const files = readdirSync(RECIPES).map((name) => readFileSync(join(RECIPES, name), 'utf8'))
  expect(files).toHaveLength(10)
  expect(blocks.sort()).toEqual(files.sort())
})

test('each link of the page leads to a file or a heading', () => {
  const anchorOf = (title: string) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replace(/ /g, '-')
  const anchorsOf = (text: string) => [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => anchorOf(title))
  const links = [...page.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, link = '']) => link)
  expect(links.length).toBeGreaterThan(8)
  for (const link of links) {
    const [path = '', anchor] = link.split('#')
    const target = join(ROOT, 'docs/mcp', path || 'hosts.md')
    expect(existsSync(target), link).toBe(true)
    if (anchor) expect(anchorsOf(readFileSync(target, 'utf8')), link).toContain(anchor)
  }
})

describe('the recipe for', () => {
  let source: FlightSource
  let host: HostProcess
  beforeEach(async () => {
    source = await new FlightSource().start()
  })
  afterEach(async () => {
    // Each recipe closes in order. A host that hangs would fail here.
    expect(await host.stop()).toBe(0)
    await source.close()
  })

  const call = (pages: number) => ({ name: 'import_flights', arguments: { pages } })

  describe.each(['node-http', 'express', 'hono', 'fastify'])('%s', (name) => {
    test('2025-11-25: a call that waits at a kill -9 is answered after the restart', async () => {
      host = await HostProcess.start(folders['2025-11-25'], name, source)
      expect((await fetch(host.url, { method: 'POST', body: '{}' })).status).toBe(401)
      const { client, transport } = await connect(host.url)
      expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['import_flights'])
      expect((await client.callTool(call(2))).structuredContent).toEqual({ flights: 3 })
      const { sessionId } = transport

      source.fetched.length = 0
      const held = source.hold(3)
      const pending = client.callTool(call(4))
      await held
      expect(source.fetched).toEqual([1, 2])
      await host.kill()
      source.release()
      await host.start()
      expect((await pending).structuredContent).toEqual({ flights: 10 })
      expect(source.fetched).toEqual([3, 4])
      expect(transport.sessionId).toBe(sessionId)
      await client.close()
    }, 60_000)

    test('2026-07-28: a task goes on after a kill -9, and a lost call that is made again joins it', async () => {
      host = await HostProcess.start(folders['2026-07-28'], name, source)
      const client = await connectModern(host.url)
      expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['import_flights'])
      expect((await client.callTool(call(2))).structuredContent).toEqual({ flights: 3 })
      const taskId = await taskAndCallSurvive(client)
      expect(await listen(host.url, taskId)).toEqual({ taskIds: [taskId] })
    }, 60_000)
  })

  test('@hono/mcp: a kill -9 ends the sessions and their calls. The task goes on, and the same call joins it', async () => {
    host = await HostProcess.start(folders['2025-11-25'], 'hono-mcp', source)
    expect((await fetch(host.url, { method: 'POST', body: '{}' })).status).toBe(401)
    const first = await connect(host.url)
    expect((await first.client.listTools()).tools.map((tool) => tool.name)).toEqual(['import_flights'])
    expect((await first.client.callTool(call(2))).structuredContent).toEqual({ flights: 3 })
    const bob = await connect(host.url, 'token-of-bob')
    const headers = { authorization: 'Bearer token-of-bob', 'mcp-session-id': first.transport.sessionId as string }
    expect((await fetch(host.url, { headers })).status).toBe(404)
    await bob.client.close()

    const held = source.hold(3, 2)
    const { tasks } = first.client.experimental
    const stream = tasks.callToolStream(call(5), CallToolResultSchema, { task: {} })
    const { value: created } = await stream.next()
    const taskId = created?.type === 'taskCreated' ? created.task.taskId : ''
    let end: unknown = 'waits'
    const lost = first.client.callTool(call(4)).then(
      () => {
        end = 'answered'
      },
      (error) => {
        end = error
      },
    )
    await held
    await host.kill()
    source.release()
    await host.start()
    await expect(first.client.listTools()).rejects.toThrow('Session not found')
    const { client } = await connect(host.url)
    expect((await client.callTool(call(4))).structuredContent).toEqual({ flights: 10 })
    expect(source.fetched.filter((number) => number === 1)).toEqual([])
    expect(await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema)).toMatchObject({
      structuredContent: { flights: 15 },
    })
    expect(end).toBe('waits')
    await Promise.all([first.client.close(), client.close(), lost])
  }, 60_000)

  test('mcp-handler: a task goes on after a kill -9, and a lost call that is made again joins it', async () => {
    host = await HostProcess.start(folders['2026-07-28'], 'mcp-handler', source)
    expect((await fetch(host.url, { method: 'POST', body: '{}' })).status).toBe(401)
    const client = await connectModern(host.url)
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['import_flights'])
    expect((await client.callTool(call(2))).structuredContent).toEqual({ flights: 3 })
    expect(await listen(host.url, await taskAndCallSurvive(client))).toEqual({})

    // Earlier clients get plain results, as from any server of this SDK that has no `legacy`.
    const earlier = await connect(host.url)
    expect((await earlier.client.callTool(call(3))).structuredContent).toEqual({ flights: 6 })
    await earlier.client.close()
  }, 60_000)

  /** A task and a call without one, over a kill -9. Each is at its third page when the server is killed. Returns the task's ID. */
  async function taskAndCallSurvive(client: Awaited<ReturnType<typeof connectModern>>): Promise<string> {
    const held = source.hold(3, 2)
    const created = await request(host.url, 'tools/call', call(5))
    expect(created.result).toMatchObject({ resultType: 'task', status: 'working' })
    const { taskId } = created.result
    const lost = client.callTool(call(4)).then(
      () => 'answered',
      () => 'lost',
    )
    await held
    await host.kill()
    source.release()
    expect(await lost).toBe('lost')
    await host.start()

    const again = await connectModern(host.url)
    expect((await again.callTool(call(4))).structuredContent).toEqual({ flights: 10 })
    let task = (await request(host.url, 'tasks/get', { taskId })).result
    while (task.status === 'working') {
      await delay(20)
      task = (await request(host.url, 'tasks/get', { taskId })).result
    }
    expect(task).toMatchObject({ status: 'completed', result: { structuredContent: { flights: 15 } } })
    expect(source.fetched.filter((number) => number === 1)).toEqual([])
    expect((await request(host.url, 'tasks/get', { taskId }, 'token-of-bob')).error.code).toBe(-32_602)
    await Promise.all([client.close(), again.close()])
    return taskId
  }
})
