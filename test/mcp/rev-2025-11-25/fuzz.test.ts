// Goal: whatever a client sends, there is an answer, it is JSON-RPC's, and nothing of anybody else's is in it.
// Method: generated messages against the HTTP endpoint and against a raw connection; a secret that must not be seen.

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import fc from 'fast-check'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { openInMemory } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { INFO, tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { double } from '../../helpers/mcp/tools.js'

const SECRET = 'alices secret'
const METHODS = [
  'initialize',
  'ping',
  'tools/list',
  'tools/call',
  'tasks/get',
  'tasks/result',
  'tasks/list',
  'tasks/cancel',
  'tasks/update',
  'sessions/saveCheckpoint',
  'sessions/restoreCheckpoint',
  'sessions/listCheckpoints',
  'sessions/createTask',
  'sessions/completeTask',
  'notifications/cancelled',
  'notifications/initialized',
  'notifications/progress',
  '__proto__',
  '',
]

const messageFor = (taskId: string) => {
  const id = fc.oneof(fc.integer(), fc.string(), fc.constantFrom(0, 1, 'init', null, undefined, {}, 1.5))
  const words = fc.oneof(
    fc.constantFrom(taskId, 'double', 'constructor', '__proto__', '../x', 'cp-1'),
    fc.string(),
    fc.jsonValue(),
  )
  const params = fc.oneof(
    fc.dictionary(
      fc.constantFrom(
        'taskId',
        'name',
        'arguments',
        'task',
        'cursor',
        'state',
        'label',
        'checkpointId',
        'type',
        'ttl',
        'outcome',
        '_meta',
        'requestId',
        'progressToken',
        '__proto__',
      ),
      words,
    ),
    fc.jsonValue(),
    fc.constant(undefined),
  )
  const isParams = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ taskId: words, name: words, arguments: params, task: params }, { requiredKeys: [] }),
    },
    { weight: 1, arbitrary: params },
  )
  return fc.oneof(
    {
      // Understood as JSON-RPC, and handled.
      weight: 12,
      arbitrary: fc.record({
        jsonrpc: fc.constant('2.0'),
        id: fc.oneof(fc.nat(), fc.uuid()),
        method: fc.constantFrom(...METHODS),
        params: isParams,
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record(
        { jsonrpc: fc.constantFrom('2.0', '2.0', '2.0', '1.0'), id, method: fc.constantFrom(...METHODS), params },
        { requiredKeys: [] },
      ),
    },
    { weight: 1, arbitrary: fc.record({ jsonrpc: fc.constant('2.0'), id, result: fc.jsonValue() }) },
    { weight: 1, arbitrary: fc.record({ jsonrpc: fc.constant('2.0'), id, error: fc.jsonValue() }) },
    { weight: 1, arbitrary: fc.jsonValue() },
  )
}

async function servers() {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, {
    access: 'principal',
    limits: {
      requestsPerMinute: 1_000_000,
      liveTasksPerOwnerMax: 100_000,
      sessionTasksPerOwnerMax: 100_000,
    },
  }).tool(double)
  const alice = await rawClient(durable, { authInfo: tokenOf('alice') })
  const { taskId } = (await alice.request('sessions/createTask', {})).result
  await alice.request('sessions/saveCheckpoint', { taskId, state: SECRET })
  return { holdfast, durable, taskId }
}

test('5,000 messages over HTTP: each is answered with JSON-RPC, none with another’s', {
  timeout: 120_000,
}, async () => {
  const { durable, taskId, holdfast } = await servers()
  const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())), {
    sessionsMax: 100_000,
    sessionsPerOwnerMax: 100_000,
  })
  const send = (body: string, session?: string) =>
    handler.fetch(
      new Request('http://localhost/mcp', {
        method: 'POST',
        headers: {
          host: 'localhost',
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
          ...(session === undefined ? {} : { 'mcp-session-id': session }),
        },
        body,
      }),
      { authInfo: tokenOf('bob') },
    )
  const session = (await send(JSON.stringify(initialize()))).headers.get('mcp-session-id') as string
  let count = 0
  let handled = 0
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        { weight: 9, arbitrary: messageFor(taskId).map((value) => JSON.stringify(value) ?? '') },
        { weight: 1, arbitrary: fc.string() },
      ),
      async (body) => {
        count++
        const response = await send(body, session)
        if (response.status === 200) handled++
        const text = await firstOf(response)
        expect(text).not.toContain(SECRET)
        if (text !== '') expect(JSON.parse(text)).toMatchObject({ jsonrpc: '2.0' })
        if (response.status >= 400) expect(JSON.parse(text).error.code).toBeLessThan(0)
        expect([200, 202, 400, 404]).toContain(response.status)
      },
    ),
    { numRuns: 5_000 },
  )
  expect(count).toBeGreaterThanOrEqual(5_000)
  expect(handled).toBeGreaterThan(1_500)
  expect((await holdfast.get(taskId)).status).toBe('running')
})

/** The JSON of an answer: its body, or its stream's first message. A wait for somebody's end is not waited for. */
async function firstOf(response: Response): Promise<string> {
  if (response.headers.get('content-type') !== 'text/event-stream') return response.text()
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    text += Buffer.from(value ?? []).toString()
    const data = /^data: (\{.*)$/m.exec(text)?.[1]
    if (data !== undefined || done) {
      await reader.cancel()
      return data ?? ''
    }
  }
}

test('2,000 messages on a raw connection: the server goes on, and tells nothing', { timeout: 120_000 }, async () => {
  const { durable, taskId, holdfast } = await servers()
  const bob = await rawClient(durable, { authInfo: tokenOf('bob') })
  const came: string[] = []
  const { transport } = bob
  const inner = transport.onmessage
  transport.onmessage = (message: JSONRPCMessage, extra) => {
    came.push(JSON.stringify(message))
    inner?.(message, extra)
  }
  await fc.assert(
    fc.asyncProperty(messageFor(taskId), async (message) => {
      await bob.send(message as JSONRPCMessage).catch(() => {})
      expect((await bob.request('ping', {}, `ping ${came.length}`)).result).toEqual({})
    }),
    { numRuns: 2_000 },
  )
  expect(came.filter((text) => text.includes(SECRET))).toEqual([])
  for (const text of came) expect(JSON.parse(text)).toMatchObject({ jsonrpc: '2.0' })
  expect((await holdfast.get(taskId)).status).toBe('running')
})
