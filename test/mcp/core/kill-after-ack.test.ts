// Goal: what a client was told with a 2xx, or with the result of a request, is there after a kill -9 in that very moment.
// Method: a real server that is killed when the status of the answer has come, or the first event that holds the answer;
// the next process loads its code meanwhile. Each kind of acknowledgement of both revisions, ACK_KILLS times (4).
// All of it: ACK_KILLS=20 npx vitest run test/mcp/core/kill-after-ack.test.ts
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ServerProcess } from '../../helpers/mcp/server-process.js'

const KILLS = Number(process.env['ACK_KILLS'] ?? 4)

let server: ServerProcess
beforeAll(async () => {
  server = await ServerProcess.start({ script: new URL('./ack-child.ts', import.meta.url) })
}, 30_000)
afterAll(() => server.end())

// biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
type Result = any

interface Answer {
  readonly status: number
  readonly session: string | undefined
  readonly result: Result
}

interface Sent {
  readonly session?: string | undefined
  readonly headers?: Record<string, string>
  readonly method?: string
  /** Kills the server as soon as the answer is there. */
  readonly kill?: boolean
}

const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

async function send(body: unknown, { session, headers, method = 'POST', kill = false }: Sent = {}): Promise<Answer> {
  const response = await fetch(server.url, {
    method,
    headers: { ...HEADERS, ...(session ? { 'mcp-session-id': session } : {}), ...headers },
    ...(method === 'DELETE' ? {} : { body: JSON.stringify(body) }),
  })
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  const isEmpty = response.status === 202 || method === 'DELETE'
  // A status of its own is the acknowledgement where nothing else comes; else it is the answer.
  if (kill && isEmpty) await server.kill()
  const text = isEmpty ? '' : isStream ? await firstAnswer(response) : await response.text()
  if (kill) await server.kill()
  const result = text === '' ? undefined : (JSON.parse(text) as Result)
  if (result?.error) throw new Error(JSON.stringify(result.error))
  return {
    status: response.status,
    session: response.headers.get('mcp-session-id') ?? undefined,
    result: result?.result,
  }
}

/** The first event that answers the request. */
async function firstAnswer(response: Response): Promise<string> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    text += decoder.decode(value, { stream: true })
    const found = text.split('\n').find((line) => line.startsWith('data: {') && /"(result|error)":/.test(line))
    // A line may be cut short by a chunk's end.
    if (found?.endsWith('}')) return found.slice('data: '.length)
    if (done) throw new Error(`The stream ended without an answer: ${text}`)
  }
}

let ids = 0
const rpc = (method: string, params: object = {}) => ({ jsonrpc: '2.0', id: ++ids, method, params })
const call = (name: string, args: object, more: object = {}) => rpc('tools/call', { name, arguments: args, ...more })

async function restart(): Promise<void> {
  await server.start()
  await server.prepare()
}

/** Does something again and again, each time with a kill in its last moment, and looks at what is left of it after the restart. */
async function killed<T>(
  before: () => Promise<T>,
  acknowledge: (of: T) => Promise<Answer>,
  check: (of: T, answer: Answer) => Promise<void>,
) {
  await server.prepare()
  for (let kill = 0; kill < KILLS; kill++) {
    const made = await before()
    const answer = await acknowledge(made)
    expect(answer.status).toBeGreaterThanOrEqual(200)
    expect(answer.status).toBeLessThan(300)
    await restart()
    await check(made, answer)
  }
}

// Each kill starts a process, which takes long on a busy machine.
const TIME_MS = KILLS * 60_000

describe('2025-11-25', () => {
  const initialize = rpc('initialize', {
    protocolVersion: '2025-11-25',
    capabilities: { elicitation: {} },
    clientInfo: { name: 'ack', version: '1' },
  })
  const begin = async () => {
    const { session } = await send(initialize)
    await send({ jsonrpc: '2.0', method: 'notifications/initialized' }, { session })
    return session as string
  }
  const get = async (session: string, taskId: string): Promise<Result> =>
    (await send(rpc('tasks/get', { taskId }), { session })).result
  const newTask = async (name: string) => {
    const session = await begin()
    const { result } = await send(call(name, {}, { task: { ttl: 3_600_000 } }), { session })
    return { session, taskId: result.task.taskId as string }
  }
  const newSessionTask = async () => {
    const session = await begin()
    return { session, taskId: (await send(rpc('sessions/createTask', {}), { session })).result.taskId as string }
  }

  test(
    'a session',
    () =>
      killed(
        async () => {},
        () => send(initialize, { kill: true }),
        async (_, { session }) => {
          expect((await send(rpc('tools/list'), { session })).status).toBe(200)
        },
      ),
    TIME_MS,
  )

  test(
    'the end of a session',
    () =>
      killed(
        begin,
        (session) => send(undefined, { session, method: 'DELETE', kill: true }),
        async (session) => {
          await expect(send(rpc('tools/list'), { session })).rejects.toThrow('Session not found')
        },
      ),
    TIME_MS,
  )

  test(
    'a new task',
    () =>
      killed(
        begin,
        (session) => send(call('never', {}, { task: {} }), { session, kill: true }),
        async (session, { result }) => {
          expect(await get(session, result.task.taskId)).toMatchObject({ status: 'working' })
        },
      ),
    TIME_MS,
  )

  test(
    'the result of a call that waited: a repeat under its key has the same',
    () =>
      killed(
        async () => ({ session: await begin(), key: `key ${++ids}` }),
        ({ session, key }) =>
          send(call('double', { n: ids }, { _meta: { 'holdfast/idempotencyKey': key } }), { session, kill: true }),
        async ({ session, key }, { result }) => {
          const again = call(
            'double',
            { n: result.structuredContent?.n ?? ids },
            { _meta: { 'holdfast/idempotencyKey': key } },
          )
          const n = Number(result.content[0].text) / 2
          again.params = { ...again.params, arguments: { n } } as never
          expect((await send(again, { session })).result.content).toEqual(result.content)
        },
      ),
    TIME_MS,
  )

  test(
    'a cancel of a task',
    () =>
      killed(
        () => newTask('never'),
        ({ session, taskId }) => send(rpc('tasks/cancel', { taskId }), { session, kill: true }),
        async ({ session, taskId }) => {
          expect(await get(session, taskId)).toMatchObject({ status: 'cancelled' })
        },
      ),
    TIME_MS,
  )

  /** A request that stays open: what comes on its stream. */
  const openRequest = async (session: string, request: object) => {
    const response = await fetch(server.url, {
      method: 'POST',
      headers: { ...HEADERS, 'mcp-session-id': session },
      body: JSON.stringify(request),
    })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const decoder = new TextDecoder()
    let text = ''
    /** The first whole message on the stream that `fits`. */
    const until = async (fits: (message: Result) => boolean): Promise<Result> => {
      for (;;) {
        const lines = text.split('\n').slice(0, -1)
        const messages = lines.flatMap((line) =>
          line.startsWith('data: {') ? [JSON.parse(line.slice(6)) as Result] : [],
        )
        const found = messages.find(fits)
        if (found) return found
        const { value, done } = await reader.read()
        if (done) throw new Error(`The stream ended before that: ${text}`)
        text += decoder.decode(value, { stream: true })
      }
    }
    return until
  }
  test(
    'an answer to a question of a task',
    () =>
      killed(
        async () => {
          const { session, taskId } = await newTask('ask')
          const until = await openRequest(session, rpc('tasks/result', { taskId }))
          const question = await until(({ method }) => method === 'elicitation/create')
          return { session, taskId, id: question.id as string }
        },
        ({ session, id }) =>
          send({ jsonrpc: '2.0', id, result: { action: 'accept', content: { sure: true } } }, { session, kill: true }),
        async ({ session, taskId }) => {
          const { result } = await send(rpc('tasks/result', { taskId }), { session })
          expect(result.structuredContent).toMatchObject({ action: 'accept', content: { sure: true } })
        },
      ),
    TIME_MS,
  )

  test(
    'a new session task',
    () =>
      killed(
        begin,
        (session) => send(rpc('sessions/createTask', {}), { session, kill: true }),
        async (session, { result }) => {
          expect(await get(session, result.taskId)).toMatchObject({ status: 'working' })
        },
      ),
    TIME_MS,
  )

  test(
    'a checkpoint',
    () =>
      killed(
        newSessionTask,
        ({ session, taskId }) =>
          send(rpc('sessions/saveCheckpoint', { taskId, state: { at: 1 } }), { session, kill: true }),
        async ({ session, taskId }, { result }) => {
          const { checkpointId } = result
          const restored = await send(rpc('sessions/restoreCheckpoint', { taskId, checkpointId }), { session })
          expect(restored.result.state).toEqual({ at: 1 })
        },
      ),
    TIME_MS,
  )

  test(
    'the end of a session task',
    () =>
      killed(
        newSessionTask,
        ({ session, taskId }) => send(rpc('sessions/completeTask', { taskId }), { session, kill: true }),
        async ({ session, taskId }) => {
          expect(await get(session, taskId)).toMatchObject({ status: 'completed' })
        },
      ),
    TIME_MS,
  )
})

describe('2026-07-28', () => {
  const modern = (method: string, params: Record<string, unknown>, kill = false) => {
    const name = params['name'] ?? params['taskId']
    const headers = {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    }
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'ack', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {
        elicitation: {},
        extensions: { 'io.modelcontextprotocol/tasks': {} },
      },
      ...(params['_meta'] as object | undefined),
    }
    return send(rpc(method, { ...params, _meta }), { headers, kill })
  }
  const newTask = async (name: string) => (await modern('tools/call', { name, arguments: {} })).result.taskId as string

  test(
    'a new task',
    () =>
      killed(
        async () => {},
        () => modern('tools/call', { name: 'never', arguments: {} }, true),
        async (_, { result }) => {
          expect((await modern('tasks/get', { taskId: result.taskId })).result).toMatchObject({ status: 'working' })
        },
      ),
    TIME_MS,
  )

  test(
    'an answer to a question of a task',
    () =>
      killed(
        async () => {
          const taskId = await newTask('ask')
          for (;;) {
            const { inputRequests } = (await modern('tasks/get', { taskId })).result
            const [key] = Object.keys(inputRequests ?? {})
            if (key !== undefined) return { taskId, key }
          }
        },
        ({ taskId, key }) => {
          const inputResponses = { [key]: { action: 'accept', content: { sure: true } } }
          return modern('tasks/update', { taskId, inputResponses }, true)
        },
        async ({ taskId }) => {
          for (;;) {
            const { status, result } = (await modern('tasks/get', { taskId })).result
            expect(status).not.toBe('input_required')
            if (status === 'working') continue
            expect(result.structuredContent).toMatchObject({ content: { sure: true } })
            return
          }
        },
      ),
    TIME_MS,
  )

  test(
    'a cancel of a task',
    () =>
      killed(
        () => newTask('never'),
        (taskId) => modern('tasks/cancel', { taskId }, true),
        async (taskId) => {
          expect((await modern('tasks/get', { taskId })).result).toMatchObject({ status: 'cancelled' })
        },
      ),
    TIME_MS,
  )

  test(
    'a checkpoint of a new session task',
    () =>
      killed(
        async () => (await modern('sessions/createTask', {})).result.taskId as string,
        (taskId) => modern('sessions/saveCheckpoint', { taskId, state: { at: 1 } }, true),
        async (taskId) => {
          expect((await modern('sessions/restoreCheckpoint', { taskId })).result.state).toEqual({ at: 1 })
        },
      ),
    TIME_MS,
  )
})
