// Goal: after everything has expired or been deleted, the store holds what belongs to the store itself and nothing else.
// Method: clients of both revisions do all that leaves records, over HTTP on a disk in memory, with hang-ups and deaths of the
// process in between; then the clock moves on past every retention, and the raw keys are looked at.
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { ManualClock, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double, failing } from '../../helpers/mcp/tools.js'

const DAY_MS = 86_400_000
const anything = z.object({}).loose()

const child = defineTask({ name: 'child', input: anything }, (task) => task.step('work', () => 'done'))
const family = defineTask({ name: 'family', input: anything }, async (task) => {
  await task.saveCheckpoint({ at: 'the beginning' })
  await task.patched('new-way')
  await task.child(child, {})
  await task.race({ message: (branch) => branch.receive('never'), sleep: (branch) => branch.sleep('short', '1s') })
  return 'home'
})
const ask = defineTask({ name: 'ask', input: anything }, (task) => task.input('sure', { message: 'Sure?' }))
const waits = defineTask({ name: 'waits', input: anything, undo: { book: () => {} } }, async (task) => {
  await task.step('book', () => 'booked')
  return task.receive('news')
})
const tools = [double, failing, child, family, ask, waits]

/** The kinds of keys in the store, without those that end each kind (`<kind>/~`). */
function kindsIn(server: HttpServer): string[] {
  const keys = [...server.disk.content.keys()].filter((key) => !key.endsWith('/~'))
  const kinds = keys.map((key) =>
    /^(binding|meta)\//.test(key) ? key.split('/').slice(0, 3).join('/') : key.split('/')[0],
  )
  return [...new Set(kinds as string[])].sort()
}

test('only the records of the store itself are left, in every kind of use', async () => {
  const clock = new ManualClock()
  const server = await HttpServer.start({
    tools,
    clock,
    options: { onInterrupt: 'cancel' },
    durable: { access: 'principal', ttl: { max: '20d' } },
  })
  let ids = 0
  const begin = async (sub: string) => {
    const begun = await server.send(initialize({ elicitation: {} }), { sub })
    const session = begun.headers.get('mcp-session-id') as string
    await server.send({ jsonrpc: '2.0', method: 'notifications/initialized' }, { sub, session })
    const send = async (method: string, params: object) => {
      const answer = await server.send({ jsonrpc: '2.0', id: ++ids, method, params }, { sub, session })
      return (await answer.text().catch(() => '')) as string
    }
    const call = (name: string, args: object, more: object = {}) =>
      send('tools/call', { name, arguments: args, ...more })
    /** Calls, and leaves when the answer's stream has begun. */
    const hangUp = async (name: string, args: object) => {
      const message = { jsonrpc: '2.0', id: ++ids, method: 'tools/call' }
      const params = { name, arguments: args, _meta: { progressToken: ids } }
      await (await server.send({ ...message, params }, { sub, session })).body?.cancel()
    }
    return { session, send, call, hangUp }
  }
  const idOf = (text: string) => /"taskId":"(task-\w+)"/.exec(text)?.[1] as string

  for (const sub of ['ann', 'bob']) {
    const { session, send, call, hangUp } = await begin(sub)
    await call('double', { n: 1 }, { _meta: { 'holdfast/idempotencyKey': 'a key', progressToken: 5 } })
    await call('failing', { how: 'badly' })
    await call('double', { n: 'no number' })
    const working = idOf(await call('waits', {}, { task: { ttl: 3_600_000 } }))
    const cancelled = idOf(await call('waits', {}, { task: {} }))
    await untilIdle(server.holdfast)
    await send('tasks/cancel', { taskId: cancelled })
    for (let n = 0; n < 3; n++) await server.holdfast.send(working, 'other', n, { idempotencyKey: `message ${n}` })
    const asking = idOf(await call('ask', {}, { task: {} }))
    await untilIdle(server.holdfast)
    const sessionTask = idOf(await send('sessions/createTask', {}))
    await send('sessions/saveCheckpoint', { taskId: sessionTask, state: { at: 1 } })
    await send('sessions/restoreCheckpoint', { taskId: sessionTask })
    await hangUp('waits', {})
    await hangUp('family', {})
    const forked = idOf(await call('family', {}, { task: {} }))
    await clock.advance(2_000)
    await untilIdle(server.holdfast)
    const [first] = await server.holdfast.listCheckpoints(forked)
    await server.holdfast.fork(forked as never, { checkpointId: first?.checkpointId as string }, { ttl: '1d' })
    await server.restart()
    await untilIdle(server.holdfast)
    await send('tasks/get', { taskId: asking })
    await hangUp('ask', {})
    if (sub === 'bob') await server.send(undefined, { sub, session, method: 'DELETE' })

    const modern = durableTasks(server.holdfast, { access: 'local', ttl: { max: '20d' } })
    for (const tool of tools) modern.tool(tool as never)
    const client = await modernClient(modern)
    const called = (name: string) => client.request('tools/call', { name, arguments: {} })
    const { taskId } = (await called('ask')).result
    await called('family')
    await untilIdle(server.holdfast)
    const [key] = Object.keys((await client.request('tasks/get', { taskId })).result.inputRequests)
    const inputResponses = { [key as string]: { action: 'accept', content: { answer: 'yes' } } }
    await client.request('tasks/update', { taskId, inputResponses })
  }
  await untilIdle(server.holdfast)
  // Everything that there may be is there now.
  const used = kindsIn(server)
  for (const kind of [
    'audit',
    'beside',
    'checkpoint',
    'done',
    'intent',
    'key',
    'live',
    'log',
    'message',
    'message-key',
    'note',
    'task',
    'trail',
  ]) {
    expect(used).toContain(kind)
  }
  expect(used.filter((kind) => kind.startsWith('binding/mcp/')).length).toBeGreaterThan(2)

  // Past every ttl, and past the retention of idempotency keys behind that. The audit outlives its tasks.
  for (let day = 0; day < 45; day++) {
    await clock.advance(DAY_MS)
    if (day % 15 === 7) await server.restart()
    await untilIdle(server.holdfast)
  }
  expect(kindsIn(server)).toEqual(['audit', 'chain', 'meta/life', 'meta/recovery', 'meta/totals', 'trail'])
  await clock.advance(90 * DAY_MS)
  await untilIdle(server.holdfast)
  // A store in a directory has `meta/format` too.
  expect(kindsIn(server)).toEqual(['chain', 'meta/audit', 'meta/life', 'meta/recovery', 'meta/totals'])
  await server.close()
}, 120_000)
