// Goal: what a client asked to be told of a task ends with its connection, so a deleted session leaves nothing in memory.
// Method: the watchers of the engine's events are counted while sessions begin tasks that never end, and are deleted.
import { afterEach, expect, test, vi } from 'vitest'
import { untilIdle } from '../../../src/testing/index.js'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { never } from '../../helpers/mcp/tools.js'

let server: HttpServer
afterEach(() => server.close())

/** Counts what is watched from now on, and not given up again. */
function countWatchers() {
  const { hub } = server.durable.core
  const watch = hub.watch.bind(hub)
  let count = 0
  vi.spyOn(hub, 'watch').mockImplementation((taskId, watcher) => {
    count++
    const stop = watch(taskId, watcher)
    let isOver = false
    return () => {
      if (!isOver) count--
      isOver = true
      stop()
    }
  })
  return () => count
}

async function session(): Promise<string> {
  const response = await server.send(initialize())
  await response.text()
  return response.headers.get('mcp-session-id') as string
}

const begin = (session: string, progressToken: string, more = {}) => {
  const params = { name: 'never', arguments: {}, task: {}, _meta: { progressToken, ...more } }
  return server
    .send({ jsonrpc: '2.0', id: progressToken, method: 'tools/call', params }, { session })
    .then((response) => response.text())
}

test('a deleted session watches no task any more, although its progress tokens are valid until the tasks end', async () => {
  server = await HttpServer.start({ tools: [never] })
  const watchers = countWatchers()
  for (let round = 0; round < 5; round++) {
    const own = await session()
    await begin(own, 'a')
    await begin(own, 'b')
    expect(watchers()).toBe(2)
    await server.send(undefined, { method: 'DELETE', session: own })
    await untilIdle(server.holdfast)
    expect(watchers()).toBe(0)
  }
  expect((await server.holdfast.list()).tasks).toHaveLength(10)
})

test('many progress tokens for one task on one connection are one watcher', async () => {
  server = await HttpServer.start({ tools: [never] })
  const watchers = countWatchers()
  const own = await session()
  for (const token of ['a', 'b', 'c']) await begin(own, token, { 'holdfast/idempotencyKey': 'the same' })
  expect((await server.holdfast.list()).tasks).toHaveLength(1)
  expect(watchers()).toBe(1)
})
