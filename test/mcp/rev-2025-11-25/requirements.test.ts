// Goal: what the protocol demands of a server with tasks, one test each (test/mcp/conformance/requirements.ts).
// Method: a raw client on a real server, over the real engine on a disk in memory.

import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, type Logger } from 'holdfast'
import { type DurableOptions, durableTasks } from 'holdfast/mcp/2025-11-25'
import { openInMemory } from 'holdfast/testing'
import { beforeEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { type RawOptions, rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double, failing, never, slow } from '../../helpers/mcp/tools.js'

const RELATED = 'io.modelcontextprotocol/related-task'
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const said: [string, Record<string, unknown> | undefined][] = []
beforeEach(() => said.splice(0))
const logger: Logger = {
  debug: (message, fields) => said.push([message, fields]),
  info: (message, fields) => said.push([message, fields]),
  warn() {},
  error: (message, fields) => said.push([message, fields]),
}

const broken = defineTask({ name: 'broken' }, () => 'fine')

async function setUp(options: Partial<DurableOptions> = {}) {
  const holdfast = await openInMemory({ logger })
  const durable = durableTasks(holdfast, { access: 'local', ...options })
    .tool(double, { description: 'Doubles' })
    .tool(slow)
    .tool(failing)
    .tool(never, { taskSupport: 'required' })
    .tool(broken, {
      taskSupport: 'optional',
      toResult: () => ({ content: [{ type: 'text', text: 'no luck' }], isError: true }),
    })
    .tool(
      defineTask({ name: 'plainly' }, () => 'ok'),
      { taskSupport: 'forbidden' },
    )
  return { holdfast, durable }
}

async function client(options: Partial<DurableOptions> = {}, raw: RawOptions = {}) {
  const { durable, holdfast } = await setUp(options)
  return { holdfast, durable, ...(await rawClient(durable, raw)) }
}

const withPlain: RawOptions = {
  setUp: (server) => {
    server.registerTool('plain', { inputSchema: { x: z.number().optional() } }, async () => ({
      content: [{ type: 'text', text: 'plain' }],
    }))
    server.registerResource('note', 'note://1', {}, async () => ({ contents: [{ uri: 'note://1', text: 'noted' }] }))
  },
}

const isTask = {
  taskId: expect.any(String),
  createdAt: expect.stringMatching(ISO),
  lastUpdatedAt: expect.stringMatching(ISO),
}

test('L01 the capability is declared', async () => {
  const { initialized } = await client()
  const tasks = { list: {}, cancel: {}, requests: { tools: { call: {} } } }
  expect(initialized.result.capabilities).toMatchObject({ tasks, tools: {} })
})

test('L02 task on a tool that forbids it, or says nothing of tasks, is -32601', async () => {
  const { call } = await client({}, withPlain)
  for (const name of ['plainly', 'plain']) {
    expect(await call(name, {}, { task: {} })).toMatchObject({ error: { code: -32_601 } })
    expect(await call(name)).toMatchObject({ result: { content: [{}] } })
  }
})

test('L03 a tool that requires a task, called without, is -32601', async () => {
  const { call } = await client()
  expect(await call('never')).toMatchObject({ error: { code: -32_601, message: expect.stringContaining('never') } })
})

test('L04 task metadata on another type of request is ignored', async () => {
  const { request } = await client({}, withPlain)
  expect(await request('resources/read', { uri: 'note://1', task: { ttl: 1 } })).toMatchObject({
    result: { contents: [{ text: 'noted' }] },
  })
})

test('L05 L06 L07 L41 task IDs are strings of the server’s, unique, with 120 random bits', async () => {
  const { call } = await client()
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) => call('double', { n }, { task: { taskId: 'mine' } })),
  )
  const ids = answers.map(({ result }) => result.task.taskId)
  expect(new Set(ids).size).toBe(50)
  for (const id of ids) expect(id).toMatch(/^task-[0-9A-Z]{10}[0-9A-HJKMNP-TV-Z]{26}$/)
  expect(new Set(ids.map((id) => id.slice(-24))).size).toBe(50)
})

test('L08 a task begins as working, however quick it is', async () => {
  const { call } = await client()
  for (let n = 0; n < 20; n++) {
    expect(await call('double', { n }, { task: {} })).toMatchObject({ result: { task: { status: 'working' } } })
  }
})

test('L09 L10 L30 a terminal status is never left', async () => {
  const { call, request, holdfast } = await client()
  const { taskId } = (await call('slow', { ms: 40 }, { task: {} })).result.task
  expect(await request('tasks/cancel', { taskId })).toMatchObject({ result: { status: 'cancelled' } })
  await delay(80)
  expect(await request('tasks/get', { taskId })).toMatchObject({ result: { status: 'cancelled' } })
  const seen = (await holdfast.audit({ taskId })).map(({ to }) => to).filter(Boolean)
  expect(seen).toEqual(['running', 'cancelled'])
})

const confirming = defineTask({ name: 'confirming' }, async (task) => {
  const requestedSchema = { type: 'object', properties: { sure: { type: 'boolean' } } }
  const answer = await task.input<{ action: string; content?: { sure: boolean } }>('confirm', {
    message: 'Sure?',
    requestedSchema,
  })
  await task.step('after', () => delay(30))
  return answer.content?.sure ? 'did it' : 'left it'
})

test('L11 L12 L13 a task that needs an answer is input_required until it has it; the question names the task', async () => {
  const { durable } = await setUp()
  durable.tool(confirming)
  const { call, request, requests, send, notifications } = await rawClient(durable, {
    capabilities: { elicitation: {} },
  })
  const { taskId } = (await call('confirming', {}, { task: {} })).result.task
  const status = async () => (await request('tasks/get', { taskId })).result.status
  await vi.waitFor(async () => expect(await status()).toBe('input_required'), 5_000)
  const result = request('tasks/result', { taskId })
  await vi.waitFor(() => expect(requests).toHaveLength(1), 5_000)
  expect(requests).toMatchObject([
    { method: 'elicitation/create', params: { message: 'Sure?', _meta: { [RELATED]: { taskId } } } },
  ])
  expect(Object.keys(requests[0]?.params['_meta'] as object)).toEqual([RELATED])
  await send({ jsonrpc: '2.0', id: requests[0]?.id as number, result: { action: 'accept', content: { sure: true } } })
  await vi.waitFor(async () => expect(await status()).not.toBe('input_required'), 5_000)
  expect((await result).result.content).toEqual([{ type: 'text', text: 'did it' }])
  const told = () => notifications.filter(({ method }) => method === 'notifications/tasks/status')
  await vi.waitFor(
    () => expect(told().map(({ params }) => params['status'])).toEqual(['input_required', 'completed']),
    5_000,
  )
})

test('L15 L16 L17 every task says when it was made and changed, and its actual ttl', async () => {
  const { call, request } = await client({ ttl: { min: '2h', max: '3h' } })
  const created = (await call('double', { n: 1 }, { task: { ttl: 60_000 } })).result.task
  expect(created).toMatchObject({ ...isTask, ttl: 7_200_000 })
  const { taskId } = created
  expect((await request('tasks/get', { taskId })).result).toMatchObject({ ...isTask, ttl: 7_200_000 })
  expect((await request('tasks/list')).result.tasks).toMatchObject([{ ...isTask, ttl: 7_200_000 }])
  const long = (await call('never', {}, { task: { ttl: 9e9 } })).result.task
  expect(long.ttl).toBe(10_800_000)
  expect((await request('tasks/cancel', { taskId: long.taskId })).result).toMatchObject({ ...isTask, ttl: 10_800_000 })
})

test('L17 a ttl of null is granted where the server has no limit, and is the longest ttl where it has one', async () => {
  const granted = async (ttl: DurableOptions['ttl'], wish: object) => {
    const { call, request } = await client({ ttl: ttl ?? {} })
    const created = (await call('double', { n: 1 }, { task: wish })).result.task
    expect((await request('tasks/get', { taskId: created.taskId })).result.ttl).toBe(created.ttl)
    return created.ttl
  }
  const day = 24 * 60 * 60_000
  expect(await granted({ max: 'unlimited' }, { ttl: null })).toBeNull()
  expect(await granted({ max: 'unlimited' }, { ttl: 100 * day })).toBe(100 * day)
  expect(await granted({ max: 'unlimited' }, {})).toBe(7 * day)
  expect(await granted({ max: 'unlimited', default: 'unlimited' }, {})).toBeNull()
  expect(await granted({ max: 'unlimited', default: 'unlimited' }, { ttl: 2 * day })).toBe(2 * day)
  expect(await granted({ max: '3d' }, { ttl: null })).toBe(3 * day)
})

test('L17 L44 a task that may take long is not deleted under its own feet: the ttl is more than its timeout', async () => {
  const holdfast = await openInMemory()
  const half = defineTask({ name: 'half', timeout: '30m' }, (task) => task.sleep('for long', '20m'))
  const long = defineTask({ name: 'long', timeout: '10d' }, (task) => task.sleep('for long', '20m'))
  const durable = durableTasks(holdfast, { access: 'local', ttl: { retention: '10m', max: '2d' } })
    .tool(half)
    .tool(long)
  const { call } = await rawClient(durable)
  const granted = async (name: string, ttl: number) => (await call(name, {}, { task: { ttl } })).result.task.ttl
  const minutes = 60_000
  expect(await granted('half', 60_000)).toBe(40 * minutes)
  expect(await granted('half', 50 * minutes)).toBe(50 * minutes)
  expect(await granted('long', 60_000)).toBe(2 * 24 * 60 * minutes)
})

test('L18 an accepted task request is answered with the task before it ends', async () => {
  const { call } = await client()
  const before = Date.now()
  const { result } = await call('slow', { ms: 2_000 }, { task: {} })
  expect(Date.now() - before).toBeLessThan(500)
  expect(result).toMatchObject({ task: { status: 'working', pollInterval: 1_000 } })
})

test('L19 L20 tasks/result waits for the end, and is the result then', async () => {
  const { call, request } = await client()
  const { taskId } = (await call('slow', { ms: 80 }, { task: {} })).result.task
  expect((await request('tasks/get', { taskId })).result.status).toBe('working')
  for (let times = 0; times < 2; times++) {
    expect((await request('tasks/result', { taskId })).result).toMatchObject({ content: [{ text: 'slept' }] })
  }
})

test.each([
  ['double', { n: 4 }],
  ['failing', { how: 'badly' }],
  ['failing', { how: 'protocol' }],
  ['failing', { how: 'sdk' }],
  ['broken', {}],
  ['slow', { ms: 4 }],
])('L21 tasks/result is what the call would have answered: %s %j', async (name, args) => {
  const { call, request } = await client()
  const direct = await call(name, args)
  const { taskId } = (await call(name, args, { task: {} })).result.task
  const later = await request('tasks/result', { taskId })
  const { _meta, ...rest } = later.result ?? {}
  if (direct.error) expect(later.error).toEqual(direct.error)
  else expect(rest).toEqual(direct.result)
})

test('L22 L24 the related-task hint is in results of tasks, and nowhere that names its task itself', async () => {
  const { call, request, notifications } = await client()
  const created = (await call('slow', { ms: 20 }, { task: {} })).result
  const { taskId } = created.task
  expect(created._meta).toEqual({ [RELATED]: { taskId } })
  expect((await request('tasks/result', { taskId })).result._meta).toEqual({ [RELATED]: { taskId } })
  const ofStatus = () => notifications.filter(({ method }) => method === 'notifications/tasks/status')
  await vi.waitFor(() => expect(ofStatus()).toHaveLength(1), 5_000)
  const status = ofStatus()
  expect(status.at(-1)?.params).toMatchObject({ taskId, status: 'completed' })
  const other = (await call('never', {}, { task: {} })).result.task.taskId
  const answers = [
    await request('tasks/get', { taskId }),
    await request('tasks/list'),
    await request('tasks/cancel', { taskId: other }),
  ]
  for (const { result } of answers) expect(result._meta?.[RELATED]).toBeUndefined()
  for (const { params } of status) expect(params['_meta']).toBeUndefined()
})

test('L23 params.taskId is the truth', async () => {
  const { call, request } = await client()
  const one = (await call('double', { n: 1 }, { task: {} })).result.task.taskId
  const other = (await call('never', {}, { task: {} })).result.task.taskId
  const _meta = { [RELATED]: { taskId: other } }
  expect((await request('tasks/get', { taskId: one, _meta })).result.taskId).toBe(one)
  expect((await request('tasks/result', { taskId: one, _meta })).result.structuredContent).toEqual({ n: 2 })
  expect(
    (await request('tasks/cancel', { taskId: other, _meta: { [RELATED]: { taskId: one } } })).result,
  ).toMatchObject({
    taskId: other,
    status: 'cancelled',
  })
})

test('L23 L12 also with a message queue of the SDK’s, which would queue the answers', async () => {
  const { durable } = await setUp()
  const serverOptions = durable.serverOptions.bind(durable)
  const { taskStore, taskMessageQueue } = durable
  Object.assign(durable, { serverOptions: () => ({ ...serverOptions(), taskStore, taskMessageQueue }) })
  const { call, request } = await rawClient(durable)
  const { taskId } = (await call('double', { n: 1 }, { task: {} })).result.task
  expect((await request('tasks/get', { taskId, _meta: { [RELATED]: { taskId } } })).result.taskId).toBe(taskId)
})

test('L25 L26 L27 a list has pages, and what get finds is in them', async () => {
  const { call, request } = await client()
  const made: string[] = []
  for (let n = 0; n < 120; n++) made.push((await call('double', { n }, { task: {} })).result.task.taskId)
  const listed: string[] = []
  let cursor: string | undefined
  let pages = 0
  do {
    const { result } = await request('tasks/list', cursor === undefined ? {} : { cursor })
    listed.push(...result.tasks.map(({ taskId }: { taskId: string }) => taskId))
    cursor = result.nextCursor
    pages++
  } while (cursor !== undefined)
  expect(pages).toBe(3)
  expect(listed.sort()).toEqual(made.sort())
})

test('L28 cancelling a terminal task is -32602', async () => {
  const { call, request } = await client()
  const { taskId } = (await call('double', { n: 1 }, { task: {} })).result.task
  await request('tasks/result', { taskId })
  expect((await request('tasks/cancel', { taskId })).error).toMatchObject({
    code: -32_602,
    message: expect.stringContaining('completed'),
  })
})

test('L29 a task is cancelled before the cancel is answered, and its body is told to stop', async () => {
  const { call, request, holdfast } = await client()
  const { taskId } = (await call('slow', { ms: 5_000 }, { task: {} })).result.task
  expect((await request('tasks/cancel', { taskId })).result.status).toBe('cancelled')
  expect((await holdfast.get(taskId)).status).toBe('cancelled')
  expect((await request('tasks/result', { taskId })).error).toMatchObject({
    code: -32_603,
    data: { code: 'TASK_CANCELLED', taskId },
  })
})

test.each([
  ['task-unknown'],
  [''],
  ['task-01M7YZZM9SVJAQYX60DZD433PHZV0YHPV7M1'],
  ['../../db'],
  [17],
  [null],
  [undefined],
  [{}],
])('L31 L34 an unknown or invalid task ID is -32602: %j', async (taskId) => {
  const { request } = await client()
  for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
    expect((await request(method, { taskId })).error).toMatchObject({
      code: -32_602,
      message: expect.stringContaining('Task not found'),
    })
  }
})

test.each([['nonsense'], [17], ['']])('L32 an invalid cursor is -32602: %j', async (cursor) => {
  const { request } = await client()
  expect((await request('tasks/list', { cursor })).error).toMatchObject({ code: -32_602, message: 'Invalid cursor' })
})

test('L33 an internal error is -32603, and says nothing of the inside', async () => {
  const { request, durable } = await client({
    authorize: () => {
      throw new Error('the password is hunter2')
    },
  })
  void durable
  const { error } = await request('tasks/get', { taskId: 'task-x' })
  expect(error).toEqual({ code: -32_603, message: 'Internal error' })
})

test('L35 a failed task says why', async () => {
  const { call, request } = await client()
  const { taskId } = (await call('failing', { how: 'the disk is on fire' }, { task: {} })).result.task
  await request('tasks/result', { taskId })
  expect((await request('tasks/get', { taskId })).result).toMatchObject({
    status: 'failed',
    statusMessage: expect.stringContaining('the disk is on fire'),
  })
})

test('L36 a tool result with isError makes the task failed, in get and in the list', async () => {
  const { call, request, holdfast } = await client()
  const { taskId } = (await call('broken', {}, { task: {} })).result.task
  expect((await request('tasks/result', { taskId })).result).toMatchObject({ isError: true })
  expect((await request('tasks/get', { taskId })).result.status).toBe('failed')
  expect((await request('tasks/list')).result.tasks[0].status).toBe('failed')
  expect((await holdfast.get(taskId)).status).toBe('completed')
})

test('L37 L38 L39 a task belongs to its principal, and another’s answers like none at all', async () => {
  const { durable } = await setUp({ access: 'principal' })
  const alice = await rawClient(durable, { authInfo: tokenOf('alice') })
  const bob = await rawClient(durable, { authInfo: tokenOf('bob') })
  const again = await rawClient(durable, { authInfo: tokenOf('alice') })
  const otherApp = await rawClient(durable, { authInfo: tokenOf('alice', 'other app') })
  const { taskId } = (await alice.call('never', {}, { task: {} })).result.task
  const unknown = 'task-01M7YZZM9SVJAQYX60DZD433PHZV0YHPV7M1'
  for (const guesser of [bob, otherApp]) {
    for (const method of [
      'tasks/get',
      'tasks/result',
      'tasks/cancel',
      'sessions/listCheckpoints',
      'sessions/completeTask',
    ]) {
      const [theirs, nobodys] = [
        await guesser.request(method, { taskId }),
        await guesser.request(method, { taskId: unknown }),
      ]
      expect(theirs.error?.code).toBe(-32_602)
      expect(JSON.stringify(theirs.error).replaceAll(taskId, unknown)).toBe(JSON.stringify(nobodys.error))
    }
    expect((await guesser.request('tasks/list')).result.tasks).toEqual([])
  }
  expect((await again.request('tasks/get', { taskId })).result.status).toBe('working')
  expect((await again.request('tasks/list')).result.tasks).toHaveLength(1)
})

test('L37 without a principal nothing is done', async () => {
  const { durable } = await setUp({ access: 'principal' })
  const nobody = await rawClient(durable)
  expect(await nobody.call('double', { n: 1 })).toMatchObject({ error: { code: -32_600 } })
  const noSubject = await rawClient(durable, { authInfo: { token: 'x', clientId: 'app', scopes: [] } })
  expect(await noSubject.call('double', { n: 1 }, { task: {} })).toMatchObject({ error: { code: -32_600 } })
})

test.each(['README.md', 'docs/mcp/2025-11-25.md'])('L40 %s says when tasks cannot be bound to an owner', (name) => {
  const text = readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8')
  expect(text).toMatch(/`access: 'open'`/)
  expect(text).toMatch(/tasks cannot be bound to an owner/)
})

test('L42 without authentication there is no list: no capability, no handler', async () => {
  const { initialized, request, call } = await client({ access: 'open' })
  expect(initialized.result.capabilities.tasks).toEqual({ cancel: {}, requests: { tools: { call: {} } } })
  expect(await request('tasks/list')).toMatchObject({ error: { code: -32_601 } })
  const { taskId } = (await call('double', { n: 1 }, { task: {} })).result.task
  expect((await request('tasks/get', { taskId })).result.taskId).toBe(taskId)
})

test('L43 L44 tasks and requests of one owner are limited, and the limit is named', async () => {
  const live = await client({ limits: { liveTasksPerOwnerMax: 2 } })
  const ids: string[] = []
  for (let n = 0; n < 2; n++) ids.push((await live.call('never', { n }, { task: {} })).result.task.taskId)
  const refused = await live.call('never', { n: 3 }, { task: {} })
  expect(refused.error).toMatchObject({ code: -32_602, data: { limit: 'liveTasksPerOwnerMax' } })
  await live.request('tasks/cancel', { taskId: ids[0] })
  expect((await live.call('never', { n: 3 }, { task: {} })).result.task.status).toBe('working')

  const creates = await client({ ratePerOwner: { starts: 1, per: '1m' } })
  await creates.call('double', { n: 1 })
  expect((await creates.call('double', { n: 2 })).error).toMatchObject({ data: { limit: 'ratePerOwner' } })

  const requests = await client({ limits: { requestsPerMinute: 1 } })
  await requests.request('tasks/list')
  expect((await requests.request('tasks/list')).error).toMatchObject({ data: { limit: 'requestsPerMinute' } })
})

test('L45 creation and retrieval are logged at debug with who asked, the end is in the audit', async () => {
  const { call, request, holdfast } = await client()
  const { taskId } = (await call('double', { n: 1 }, { task: {} })).result.task
  await request('tasks/result', { taskId })
  expect(said).toContainEqual(['A task was created', { taskId, tool: 'double', owner: 'local' }])
  expect(said).toContainEqual(['A result was fetched', { taskId, by: 'local' }])
  expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toContain('completed')
})

test('L46 the progress token is valid until the task ends', async () => {
  const { call, request, notifications } = await client({ progressInterval: 0 })
  const { taskId } = (await call('slow', { ms: 80 }, { task: {}, _meta: { progressToken: 'p' } })).result.task
  await request('tasks/result', { taskId })
  const progress = notifications.filter(({ method }) => method === 'notifications/progress').map(({ params }) => params)
  expect(progress.at(-1)).toEqual({ progressToken: 'p', progress: 4, total: 4, _meta: { [RELATED]: { taskId } } })
})
