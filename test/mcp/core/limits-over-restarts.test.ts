// Goal: what an owner may start and keep unfinished is counted by the engine, over restarts, for every revision together.
// Method: a server over HTTP on a disk in memory that dies and comes back, and a manual clock.
import { defineTask } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { durableTasks } from '../../../src/mcp/rev-2025-11-25/index.js'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double, never } from '../../helpers/mcp/tools.js'

const MINUTE_MS = 60_000

test('an owner starts no more tasks in a minute when the server is restarted', async () => {
  const clock = new ManualClock()
  const server = await HttpServer.start({
    tools: [double],
    clock,
    durable: { access: 'principal', ratePerOwner: { starts: 3, per: '1m' } },
  })
  const begun = await server.send(initialize(), { sub: 'ann' })
  const session = begun.headers.get('mcp-session-id') as string
  const call = async (n: number) => {
    const request = { jsonrpc: '2.0', id: `call ${clock.now()} ${n}`, method: 'tools/call' }
    const sent = { ...request, params: { name: 'double', arguments: { n } } }
    return (await (await server.send(sent, { sub: 'ann', session })).text()).includes('ratePerOwner')
  }
  expect([await call(1), await call(2)]).toEqual([false, false])
  await server.restart()
  expect([await call(3), await call(4)]).toEqual([false, true])
  await clock.advance(MINUTE_MS)
  expect(await call(5)).toBe(false)
  await server.close()
})

test('unfinished tasks of an owner are counted together, whichever way they were started, also after a restart', async () => {
  const disk = new MemoryDisk()
  const open = async () => {
    const holdfast = await openInMemory({ disk, tasks: [never] })
    const limits = { liveTasksPerOwnerMax: 3, sessionTasksPerOwnerMax: 1 }
    const durable = durableTasks(holdfast, { access: 'local', limits })
    durable.tool(never)
    return { holdfast, client: await rawClient(durable) }
  }
  const first = await open()
  await first.holdfast.start(never, undefined as never, { owner: 'local' })
  expect((await first.client.request('sessions/createTask', {})).error).toBeUndefined()
  expect((await first.client.request('sessions/createTask', {})).error).toMatchObject({
    code: -32_602,
    data: { limit: 'sessionTasksPerOwnerMax', max: 1 },
  })
  disk.crash()
  const second = await open()
  await second.holdfast.recovery.done
  const call = () => second.client.call('never', {}, { task: {} })
  expect((await call()).error).toBeUndefined()
  expect((await call()).error).toMatchObject({ code: -32_602, data: { limit: 'liveTasksPerOwnerMax', max: 3 } })
  await second.holdfast.close()
})

test('a start of an owner that is long idle reads nothing to count its rate', async () => {
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock })
  const durable = durableTasks(holdfast, { access: 'local' })
  const task = defineTask({ name: 'quick' }, async () => 1)
  durable.tool(task)
  const { call } = await rawClient(durable)
  await call('quick')
  await clock.advance(2 * MINUTE_MS)
  const { store } = durable.core.binding.records('test') as unknown as { store: { read: (act: unknown) => unknown } }
  const reads: string[] = []
  const original = store.read.bind(store)
  store.read = (act) => {
    reads.push(String(act))
    return original(act)
  }
  await call('quick')
  expect(reads).toEqual([])
  await holdfast.list()
  expect(reads.length).toBeGreaterThan(0)
  await holdfast.close()
})
