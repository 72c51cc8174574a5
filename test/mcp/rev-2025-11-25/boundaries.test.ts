// Goal: each boundary holds against another principal, and against one who guesses: what is another's answers like what
// was never there, in every byte, and nothing happens to it.
// Method: Alice has a task, a checkpoint, a session and a stream; Bob and a guesser try all of them by every way in.
import { defineTask } from 'holdfast'
import { untilIdle } from 'holdfast/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'

const SECRET = 'only for alice'

const secretive = defineTask({ name: 'secretive' }, async (task) => {
  task.progress({ done: 1, total: 2, message: SECRET })
  const answer = await task.input<{ content: { word: string } }>('word', { message: SECRET })
  return answer.content.word
})

let server: HttpServer
let alice: string
let taskId: string
let checkpointId: string
beforeEach(async () => {
  server = await HttpServer.start({
    tools: [secretive],
    durable: { access: 'principal', aliases: true },
    setUp: (mcp) => void server.durable.registerFallbackTools(mcp),
  })
  alice = await sessionOf('alice')
  const created = await ask('alice', alice, 'tools/call', { name: 'secretive', arguments: {}, task: {} })
  taskId = created.result.task.taskId
  const saved = await ask('alice', alice, 'sessions/saveCheckpoint', { taskId, state: SECRET, label: SECRET })
  checkpointId = saved.result.checkpointId
})
afterEach(() => server.close())

async function sessionOf(sub: string): Promise<string> {
  const response = await server.send(initialize({ elicitation: {} }), { sub })
  await response.text()
  return response.headers.get('mcp-session-id') as string
}

let ids = 0
// biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
async function ask(sub: string, session: string, method: string, params: object): Promise<any> {
  const response = await server.send({ jsonrpc: '2.0', id: ++ids, method, params }, { sub, session })
  const text = await response.text()
  expect(sub === 'alice' || !text.includes(SECRET)).toBe(true)
  const data = response.headers.get('content-type') === 'text/event-stream' ? /^data: (\{.*)$/m.exec(text)?.[1] : text
  const { id: _, ...answer } = JSON.parse(data as string)
  return answer
}

/** IDs near one that exists, and one that never was. */
const near = (id: string) => [
  id,
  `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`,
  id.toLowerCase(),
  id.slice(0, -1),
  `${id}0`,
  ` ${id}`,
  `${id}/`,
  `../${id}`,
  `${id}\u0000`,
]

const METHODS: [string, object?][] = [
  ['tasks/get'],
  ['tasks/result'],
  ['tasks/cancel'],
  ['tasks/getStatus'],
  ['tasks/getResult'],
  ['sessions/saveCheckpoint', { state: 1 }],
  ['sessions/restoreCheckpoint'],
  ['sessions/listCheckpoints'],
  ['sessions/completeTask'],
]
const TOOLS: [string, object?][] = [
  ['get_task_status'],
  ['wait_for_task', { seconds: 1 }],
  ['get_task_result'],
  ['cancel_task'],
  ['complete_session'],
  ['save_checkpoint', { state: {} }],
  ['restore_checkpoint'],
]

describe.each([['bob'], ['guesser']])('%s', (who) => {
  // Bob has the ID from a log; the guesser has ones that are nearly right.
  const tried = () => (who === 'bob' ? [taskId] : near(taskId).slice(1))
  const plain = (answer: unknown, id: string) => {
    const shown = id.replace(/\p{Cc}/gu, ' ')
    return JSON.stringify(answer).replaceAll(JSON.stringify(shown).slice(1, -1), '<id>')
  }

  test('is told of a task of hers what is told of none, by every method and every tool', async () => {
    const own = await sessionOf(who)
    for (const [method, more] of METHODS) {
      const unknown = plain(await ask(who, own, method, { taskId: 'task-none', ...more }), 'task-none')
      expect([method, JSON.parse(unknown)]).toEqual([
        method,
        { jsonrpc: '2.0', error: { code: -32_602, message: 'Task not found: <id>' } },
      ])
      for (const id of tried()) {
        expect([method, plain(await ask(who, own, method, { taskId: id, ...more }), id)]).toEqual([method, unknown])
      }
    }
    for (const [name, more] of TOOLS) {
      const call = (id: string) => ask(who, own, 'tools/call', { name, arguments: { taskId: id, ...more } })
      const unknown = plain(await call('task-none'), 'task-none')
      expect(unknown).toContain('Task not found: <id>')
      for (const id of tried()) expect([name, plain(await call(id), id)]).toEqual([name, unknown])
    }
    expect((await ask(who, own, 'tasks/list', {})).result).toEqual({ tasks: [] })
    const listed = await ask(who, own, 'tools/call', { name: 'list_my_tasks', arguments: { include: 'all' } })
    expect(listed.result.structuredContent).toEqual({ tasks: [] })
    // Nothing happened to it, and nobody but Alice did anything to it.
    expect(await server.holdfast.get(taskId)).toMatchObject({ status: 'input_required' })
    expect(new Set((await server.holdfast.audit({ taskId })).map(({ by }) => by))).toEqual(
      new Set([' app alice', 'body']),
    )
  })

  test('is told of her checkpoint, at a task of his own, what is told of none', async () => {
    const own = await sessionOf(who)
    const mine = (await ask(who, own, 'sessions/createTask', {})).result.taskId
    const unknown = await ask(who, own, 'sessions/restoreCheckpoint', { taskId: mine, checkpointId: 'cp-none' })
    expect(unknown.error.code).toBe(-32_602)
    for (const id of who === 'bob' ? [checkpointId] : near(checkpointId).slice(1)) {
      const answer = await ask(who, own, 'sessions/restoreCheckpoint', { taskId: mine, checkpointId: id })
      expect(answer.error?.code).toBe(-32_602)
      expect(JSON.stringify(answer)).not.toContain(SECRET)
    }
  })

  test('is told of her session what is told of none', async () => {
    const sessions =
      who === 'bob'
        ? [alice]
        : near(alice)
            .slice(1)
            .filter((id) => !/[\s\p{Cc}]/u.test(id))
    const unknown = await (
      await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { sub: who, session: 'none' })
    ).text()
    for (const session of sessions) {
      for (const [method, message] of [
        ['POST', { jsonrpc: '2.0', id: 1, method: 'tasks/list' }],
        ['POST', { jsonrpc: '2.0', id: 1, method: 'tasks/result', params: { taskId } }],
        ['POST', { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: ids } }],
        ['GET', undefined],
        ['DELETE', undefined],
      ] as const) {
        const response = await server.send(message, { sub: who, session, method })
        expect([response.status, await response.text()]).toEqual([404, unknown])
      }
    }
    expect(
      (await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { sub: 'alice', session: alice })).status,
    ).toBe(200)
  })

  test('gets nothing of her stream in a session of his own', async () => {
    const waiting = await server.send(
      { jsonrpc: '2.0', id: 'wait', method: 'tasks/result', params: { taskId } },
      { sub: 'alice', session: alice },
    )
    const reader = (waiting.body as ReadableStream<Uint8Array>).getReader()
    let text = ''
    while (!text.includes('elicitation/create')) text += Buffer.from((await reader.read()).value ?? []).toString()
    const [first] = /(?<=^id: )\S+/m.exec(text) as unknown as [string]
    const own = await sessionOf(who)
    const get = async (lastEventId: string) => {
      const headers = { 'last-event-id': lastEventId }
      const response = await server.send(undefined, { sub: who, session: own, method: 'GET', headers })
      return [response.status, response.status === 200 ? 'a stream' : await response.text()]
    }
    const unknown = await get('11111111-1111-1111-1111-111111111111_0')
    expect(unknown[0]).toBe(404)
    const tried =
      who === 'bob'
        ? [first, first.replace(/_\d+$/, '_1')]
        : [first.replace(/_\d+$/, '_999'), `${first}0`, '_', '_0', 'x']
    for (const id of tried) expect([id, ...(await get(id))]).toEqual([id, ...unknown])

    // Nor does an answer of his count for the question that it asked.
    const question = /"id":"(task-[^"]+)"/.exec(text)?.[1] as string
    const result = { action: 'accept', content: { word: 'his' } }
    await server.send({ jsonrpc: '2.0', id: question, result }, { sub: who, session: own })
    await untilIdle(server.holdfast)
    expect(await server.holdfast.get(taskId)).toMatchObject({ status: 'input_required' })
    await server.send(
      { jsonrpc: '2.0', id: question, result: { action: 'accept', content: { word: 'hers' } } },
      { sub: 'alice', session: alice },
    )
    while (!text.includes('hers')) text += Buffer.from((await reader.read()).value ?? []).toString()
  })

  test('does not join her call, nor her idempotency key', async () => {
    const own = await sessionOf(who)
    const _meta = { 'holdfast/idempotencyKey': 'k' }
    const call = async (sub: string, session: string) =>
      (await ask(sub, session, 'tools/call', { name: 'secretive', arguments: {}, task: {}, _meta })).result.task.taskId
    expect(await call('alice', alice)).toBe(await call('alice', alice))
    expect(await call(who, own)).not.toBe(await call('alice', alice))
  })
})
