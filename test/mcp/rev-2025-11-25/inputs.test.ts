// Goal: what a task asks for reaches its client and comes back, with and without `task`, also over a crash.
// Method: a raw client that answers when it is told to; the process dies by pulling the plug of a disk in memory.
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { type RawOptions, rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'

const ELICITS: RawOptions = { capabilities: { elicitation: {} } }

const booking = defineTask({ name: 'booking' }, async (task) => {
  try {
    const date = await task.input<{ content: { day: string } }>('date', { message: 'Which day?' })
    const seat = await task.input<{ content: { row: number } }>('seat', { message: 'Which row?' })
    return `${date.content.day}, row ${seat.content.row}`
  } catch (error) {
    return (error as { code: string }).code
  }
})

const server = async (disk = new MemoryDisk()) => {
  const holdfast = await openInMemory({ disk })
  return { disk, holdfast, durable: durableTasks(holdfast, { access: 'local' }).tool(booking) }
}

type Raw = Awaited<ReturnType<typeof rawClient>>

const until = async (what: () => unknown) => {
  for (let tries = 0; tries < 1_000 && !(await what()); tries++) await delay(5)
  expect(await what()).toBeTruthy()
}

const accept = (id: unknown, content: object) =>
  ({ jsonrpc: '2.0', id, result: { action: 'accept', content } }) as never

test('without task the client is asked within the call', async () => {
  const { durable } = await server()
  const { call, requests, send } = await rawClient(durable, ELICITS)
  const answer = call('booking')
  await until(() => requests.length === 1)
  expect(requests).toMatchObject([{ params: { message: 'Which day?' } }])
  expect(requests[0]?.params['_meta']).toEqual({})
  await send(accept(requests[0]?.id, { day: 'Friday' }))
  await until(() => requests.length === 2)
  await send(accept(requests[1]?.id, { row: 3 }))
  expect((await answer).result.content).toEqual([{ type: 'text', text: 'Friday, row 3' }])
})

test('without task, a client that can’t answer makes the input reject with INPUT_UNAVAILABLE', async () => {
  const { durable } = await server()
  const { call } = await rawClient(durable)
  expect((await call('booking')).result.content).toEqual([{ type: 'text', text: 'INPUT_UNAVAILABLE' }])
})

test('with task, a client that can’t answer leaves the question to another of the owner’s', async () => {
  const { durable, holdfast } = await server()
  const unable = await rawClient(durable)
  const { taskId } = (await unable.call('booking', {}, { task: {} })).result.task
  const waiting = unable.request('tasks/result', { taskId })
  await until(async () => (await holdfast.get(taskId)).status === 'input_required')
  const able = await rawClient(durable, ELICITS)
  const also = able.request('tasks/result', { taskId })
  await until(() => able.requests.length === 1)
  await able.send(accept(able.requests[0]?.id, { day: 'Friday' }))
  await until(() => able.requests.length === 2)
  await able.send(accept(able.requests[1]?.id, { row: 3 }))
  expect((await waiting).result.content).toEqual((await also).result.content)
})

test('a question that was answered elsewhere is taken back', async () => {
  const { durable } = await server()
  const one = await rawClient(durable, ELICITS)
  const { taskId } = (await one.call('booking', {}, { task: {} })).result.task
  const other = await rawClient(durable, ELICITS)
  void one.request('tasks/result', { taskId })
  void other.request('tasks/result', { taskId })
  await until(() => one.requests.length === 1 && other.requests.length === 1)
  await one.send(accept(one.requests[0]?.id, { day: 'Friday' }))
  await until(() => other.notifications.some(({ method }) => method === 'notifications/cancelled'))
})

test('a question that was delivered and not answered when the process died is asked again, an answered one is not', async () => {
  const first = await server()
  const before = await rawClient(first.durable, ELICITS)
  const { taskId } = (await before.call('booking', {}, { task: {} })).result.task
  void before.request('tasks/result', { taskId })
  await until(() => before.requests.length === 1)
  await before.send(accept(before.requests[0]?.id, { day: 'Friday' }))
  await until(() => before.requests.length === 2)
  const { inputRequests } = await first.holdfast.get(taskId)
  first.disk.crash()
  const second = await server(first.disk)
  const after = await rawClient(second.durable, ELICITS)
  const result = after.request('tasks/result', { taskId })
  await until(() => after.requests.length === 1)
  expect(after.requests).toMatchObject([{ params: { message: 'Which row?' } }])
  expect((await second.holdfast.get(taskId)).inputRequests).toEqual(inputRequests)
  await after.send(accept(after.requests[0]?.id, { row: 7 }))
  expect((await result).result.content).toEqual([{ type: 'text', text: 'Friday, row 7' }])
})

test.each([
  ['the server closes', (client: Raw) => client.server.close()],
  ['the connection drops', (client: Raw) => client.transport.close()],
])('a question of a call is open still when %s: that is no answer', async (_, end) => {
  const { durable, holdfast } = await server()
  const first = await rawClient(durable, ELICITS)
  void first.call('booking')
  await until(() => first.requests.length === 1)
  await end(first)
  await untilIdle(holdfast)
  expect((await holdfast.list()).tasks).toMatchObject([{ status: 'input_required' }])
  const second = await rawClient(durable, ELICITS)
  const answer = second.call('booking')
  await until(() => second.requests.length === 1)
  await second.send(accept(second.requests[0]?.id, { day: 'Friday' }))
  await until(() => second.requests.length === 2)
  await second.send(accept(second.requests[1]?.id, { row: 7 }))
  expect((await answer).result.content).toEqual([{ type: 'text', text: 'Friday, row 7' }])
  expect((await holdfast.list()).tasks).toHaveLength(1)
})

test('an answer that comes while the disk is full counts once it isn’t', async () => {
  const { durable, holdfast, disk } = await server()
  const { call, requests, send } = await rawClient(durable, ELICITS)
  const answer = call('booking')
  await until(() => requests.length === 1)
  disk.failAt({ atWrite: 1, applied: false })
  await send(accept(requests[0]?.id, { day: 'Friday' }))
  await until(() => requests.length === 2)
  await send(accept(requests[1]?.id, { row: 7 }))
  expect((await answer).result.content).toEqual([{ type: 'text', text: 'Friday, row 7' }])
  expect((await holdfast.list()).tasks).toHaveLength(1)
})

test('sampling is asked for as such', async () => {
  const writing = defineTask({ name: 'writing' }, async (task) => {
    const messages = [{ role: 'user', content: { type: 'text', text: 'A word?' } }]
    const { content } = await task.input<{ content: { text: string } }>('write', { messages, maxTokens: 10 })
    return content.text
  })
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local' }).tool(writing)
  const { call, requests, send } = await rawClient(durable, { capabilities: { sampling: {} } })
  const answer = call('writing')
  await until(() => requests.length === 1)
  expect(requests).toMatchObject([{ method: 'sampling/createMessage', params: { maxTokens: 10 } }])
  const result = { model: 'm', role: 'assistant', content: { type: 'text', text: 'tern' } }
  await send({ jsonrpc: '2.0', id: requests[0]?.id as number, result })
  expect((await answer).result.content).toEqual([{ type: 'text', text: 'tern' }])
})

test('the roots of the client are asked for as such', async () => {
  const holdfast = await openInMemory()
  const where = defineTask({ name: 'where' }, async (task) => task.input('roots', { method: 'roots/list' }))
  const durable = durableTasks(holdfast, { access: 'local' }).tool(where)
  const { call, requests, send } = await rawClient(durable, { capabilities: { roots: {} } })
  const answer = call('where')
  await until(() => requests.length === 1)
  expect(requests[0]).toMatchObject({ method: 'roots/list' })
  const roots = [{ uri: 'file:///here' }]
  await send({ jsonrpc: '2.0', id: requests[0]?.id, result: { roots } } as never)
  expect(JSON.parse((await answer).result.content[0].text)).toEqual({ roots })
})
