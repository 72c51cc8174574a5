// Goal: the SDK's Express app with bearer authentication, two principals, and kill -9 in between: nobody notices anything,
// and neither gets at what is the other's, on a live session and on one that was taken up again.
// Method: the example app as a process; two clients of the SDK's with their default options, and bare fetch.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { ServerProcess } from '../../helpers/mcp/server-process.js'

let server: ServerProcess
beforeAll(async () => {
  server = await ServerProcess.start({
    script: new URL('./express-child.ts', import.meta.url),
    env: { EXAMPLE_STEP_MS: '60' },
  })
}, 30_000)
afterAll(() => server.end())

async function connect(token: string, onQuestion: () => Promise<void> = async () => {}) {
  const client = new Client(INFO, { capabilities: { elicitation: {} } })
  const asked: (string | number)[] = []
  client.setRequestHandler(ElicitRequestSchema, async (_, { requestId }) => {
    asked.push(requestId)
    if (asked.length === 1) await onQuestion()
    return { action: 'accept', content: { confirm: true } }
  })
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  const transport = new StreamableHTTPClientTransport(server.url, { requestInit })
  await client.connect(transport as never)
  const call = (name: string, args: Record<string, unknown> = {}) => {
    const seen: number[] = []
    const result = client.callTool({ name, arguments: args }, undefined, {
      onprogress: ({ progress }) => seen.push(progress),
    })
    return { result, seen }
  }
  return { client, asked, call, session: transport.sessionId as string }
}

/** What Bob tries on Alice's session; each has to be answered like an unknown session. */
async function attack(session: string, question?: string | number): Promise<void> {
  const send = async (method: string, message?: object, sessionId = session) => {
    const response = await fetch(server.url, {
      method,
      headers: {
        authorization: 'Bearer bob',
        accept: 'application/json, text/event-stream',
        'mcp-session-id': sessionId,
        ...(message ? { 'content-type': 'application/json' } : {}),
      },
      ...(message ? { body: JSON.stringify(message) } : {}),
    })
    return [response.status, await response.text()]
  }
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
  const unknown = await send('POST', ping, 'none')
  expect(unknown[0]).toBe(404)
  expect(await send('POST', ping)).toEqual(unknown)
  const answer = { jsonrpc: '2.0', id: question ?? 0, result: { action: 'accept', content: { confirm: false } } }
  expect(await send('POST', answer)).toEqual(unknown)
  for (let requestId = 0; requestId < 6; requestId++) {
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } }
    expect(await send('POST', cancel)).toEqual(unknown)
  }
  expect(await send('GET')).toEqual(unknown)
  expect(await send('DELETE')).toEqual(unknown)
}

test('two principals, kill -9 in between, and one who tries the other’s session', async () => {
  const alice = await connect('alice', async () => {
    // In the middle of her question: his answer doesn't count, and the question outlives the process.
    await attack(alice.session, alice.asked[0])
    await server.prepare()
    await server.kill()
    await server.start()
    await attack(alice.session, alice.asked[0])
  })
  const bob = await connect('bob')
  expect(alice.session).not.toBe(bob.session)

  await server.prepare()
  const hers = alice.call('summarise_delays')
  const his = bob.call('summarise_delays', { origin: 'LAX' })
  while (hers.seen.length < 4) await new Promise((resolve) => setTimeout(resolve, 5))
  await attack(alice.session)
  await server.kill()
  await server.start()
  await attack(alice.session)
  expect(await hers.result).toMatchObject({ structuredContent: { flights: 2_000 } })
  expect((await his.result).structuredContent).not.toMatchObject({ flights: 2_000 })
  expect(hers.seen).toEqual([...new Set(hers.seen)].sort((one, other) => one - other))
  expect(hers.seen.at(-1)).toBe(20)

  const booked = await alice.call('book_trip', { from: 'LAX', to: 'SFO' }).result
  expect(booked.structuredContent).toEqual({ booked: true, reference: expect.any(String) })

  const { tasks } = alice.client.experimental
  const [task] = (await tasks.listTasks()).tasks
  expect((await tasks.listTasks()).tasks).toHaveLength(2)
  expect((await bob.client.experimental.tasks.listTasks()).tasks).toHaveLength(1)
  await expect(bob.client.experimental.tasks.getTask(task?.taskId as string)).rejects.toMatchObject({ code: -32_602 })
  await Promise.all([alice.client.close(), bob.client.close()])
}, 60_000)
