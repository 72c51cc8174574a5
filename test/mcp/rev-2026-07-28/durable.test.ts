// Goal: what was answered is on disk, and nonsense is refused as what it is.
// Method: the process dies at every write of a call, an update and a cancel, before or after it reached the disk.
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { openInMemory } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { ModernServer } from '../../helpers/mcp/rev-2026-07-28/http-client.js'
import { KNOWS_TASKS, modernClient } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'
import { double } from '../../helpers/mcp/tools.js'

const ask = defineTask({ name: 'ask' }, async (task) => {
  const { action } = await task.input<{ action: string }>('sure', { message: 'Sure?' })
  return action
})

const WRITES = [1, 2, 3, 4, 5].flatMap((atWrite) => [
  { atWrite, applied: false },
  { atWrite, applied: true },
])

/** The answer, or nothing from a server that died over it. */
const answerOf = <T>(asked: Promise<T>) =>
  Promise.race([asked.catch(() => undefined), delay(150)]) as Promise<T | undefined>

async function questionOf(server: ModernServer, taskId: string): Promise<string> {
  for (;;) {
    const { inputRequests } = (await server.request('tasks/get', { taskId })).result
    if (inputRequests) return Object.keys(inputRequests)[0] as string
    await delay(2)
  }
}

test.each(WRITES)('a task that was answered is there: death at write $atWrite, applied: $applied', async (death) => {
  const server = await ModernServer.start({ tools: [ask] })
  server.disk.dieAt(death)
  const answer = await answerOf(server.request('tools/call', { name: 'ask', arguments: {} }))
  await server.die()
  await server.start()
  if (answer) {
    const { taskId } = answer.result
    expect((await server.request('tasks/get', { taskId })).result).toMatchObject({ taskId })
  }
  expect((await server.holdfast.list()).tasks.length).toBeLessThanOrEqual(1)
  await server.close()
})

test.each(WRITES)('an update that was answered counts: death at write $atWrite, applied: $applied', async (death) => {
  const server = await ModernServer.start({ tools: [ask] })
  const { taskId } = (await server.request('tools/call', { name: 'ask', arguments: {} })).result
  const key = await questionOf(server, taskId)
  server.disk.dieAt(death)
  const update = (action: string) => server.request('tasks/update', { taskId, inputResponses: { [key]: { action } } })
  const answer = await answerOf(update('accept'))
  await server.die()
  await server.start()
  // The first answer counts; a second one only where the first was never acknowledged.
  await update('decline')
  const { content } = (await server.settled(taskId)).result
  if (answer) expect(content).toMatchObject([{ text: 'accept' }])
  else expect(['accept', 'decline']).toContain(content[0].text)
  await server.close()
})

test.each(WRITES)('a cancel that was answered stands: death at write $atWrite, applied: $applied', async (death) => {
  const server = await ModernServer.start({ tools: [ask] })
  const { taskId } = (await server.request('tools/call', { name: 'ask', arguments: {} })).result
  await questionOf(server, taskId)
  server.disk.dieAt(death)
  const answer = await answerOf(server.request('tasks/cancel', { taskId }))
  await server.die()
  await server.start()
  const { status } = (await server.request('tasks/get', { taskId })).result
  if (answer) expect(status).toBe('cancelled')
  else expect(['cancelled', 'working', 'input_required']).toContain(status)
  await server.close()
})

test.each(WRITES)('a round that was answered goes on: death at write $atWrite, applied: $applied', async (death) => {
  const server = await ModernServer.start({ tools: [ask], durable: { access: 'principal' } })
  const sent = { sub: 'ann', knows: { elicitation: {} } }
  const call = { name: 'ask', arguments: {} }
  server.disk.dieAt(death)
  const answer = await answerOf(server.request('tools/call', call, sent))
  await server.die()
  await server.start()
  const { requestState, inputRequests } = (answer ?? (await server.request('tools/call', call, sent))).result
  const inputResponses = { [Object.keys(inputRequests)[0] as string]: { action: 'accept' } }
  const last = await server.request('tools/call', { ...call, requestState, inputResponses }, sent)
  expect(last.result).toMatchObject({ resultType: 'complete', content: [{ text: 'accept' }] })
  expect((await server.holdfast.list()).tasks).toHaveLength(1)
  await server.close()
})

test('whatever is sent, it is refused as what it is, and never as an internal error', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local', aliases: true }).tool(double).tool(ask)
  const { request } = await modernClient(durable, { capabilities: { ...KNOWS_TASKS, elicitation: {} } })
  const { taskId } = (await request('tools/call', { name: 'ask', arguments: {} })).result
  const methods = [
    'tasks/get',
    'tasks/update',
    'tasks/cancel',
    'tools/call',
    'sessions/saveCheckpoint',
    'sessions/restoreCheckpoint',
    'sessions/listCheckpoints',
    'sessions/createTask',
    'sessions/completeTask',
    'tasks/getStatus',
  ]
  const params = fc.record(
    {
      taskId: fc.oneof(fc.constant(taskId), fc.jsonValue()),
      name: fc.oneof(fc.constantFrom('double', 'ask', 'nothing'), fc.jsonValue()),
      arguments: fc.jsonValue(),
      inputResponses: fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue())),
      requestState: fc.oneof(fc.constant('hf1.a.b.c'), fc.string(), fc.jsonValue()),
      state: fc.jsonValue(),
      label: fc.jsonValue(),
      ttl: fc.jsonValue(),
      outcome: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...methods), params, async (method, given) => {
      const { error } = await request(method, given as Record<string, unknown>)
      if (error) expect(error).not.toMatchObject({ code: -32_603 })
    }),
    { numRuns: 400 },
  )
})
