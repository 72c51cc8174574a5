// Goal: a client does not notice that the server was killed.
// Method: real processes and kill -9; the SDK's own client with its default options, over Streamable HTTP and stdio, and
// the newest client library for tasks.
import { setTimeout as delay } from 'node:timers/promises'
import { Client as NewestClient, StreamableHTTPClientTransport as NewestTransport } from '@modelcontextprotocol/client'
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { ServerProcess } from '../../helpers/mcp/server-process.js'

const KILLS = Number(process.env['MCP_KILLS'] ?? 20)
const STEPS = 30

let server: ServerProcess
beforeAll(async () => {
  server = await ServerProcess.start()
}, 30_000)
afterAll(() => server.end())

async function connect() {
  const client = new Client(INFO)
  const transport = new StreamableHTTPClientTransport(server.url)
  await client.connect(transport as never)
  return { client, transport }
}

/** Steps that ran again although their end was recorded: more often than once for each kill that may have caught one. */
function checkSteps(lines: readonly string[], kills: number): void {
  const times = new Map<string, number>()
  for (const line of lines) times.set(line, (times.get(line) ?? 0) + 1)
  const again = [...times.values()].filter((count) => count > 1)
  // The one that was running when the process died has no record: it runs again, once for each time that happened.
  expect(again.reduce((sum, count) => sum + count - 1, 0)).toBeLessThanOrEqual(kills)
  expect(times.size).toBe(STEPS)
}

test(
  `a pending call resolves after kill -9, at ${KILLS} random moments after the stream's first event`,
  async () => {
    const { client, transport } = await connect()
    const session = transport.sessionId
    for (let kill = 0; kill < KILLS; kill++) {
      await server.prepare()
      const before = server.steps.length
      const seen: number[] = []
      let opened = () => {}
      const open = new Promise<void>((resolve) => {
        opened = resolve
      })
      const pending = client.callTool({ name: 'count', arguments: { to: STEPS, ms: 10 } }, CallToolResultSchema, {
        onprogress: ({ progress }) => seen.push(progress),
        onresumptiontoken: () => opened(),
      })
      await open
      // The first ones right at the beginning, where the task is barely made.
      await delay(kill < 5 ? kill : Math.random() * STEPS * 13)
      await server.kill()
      await server.start()
      expect(await pending).toMatchObject({ structuredContent: { counted: STEPS } })
      expect(seen).toEqual(Array.from({ length: STEPS }, (_, n) => n + 1))
      checkSteps(server.steps.slice(before), 1)
    }
    expect(transport.sessionId).toBe(session)
    await client.close()
  },
  60_000 + KILLS * 15_000,
)

test('a pending call resolves also when the restart takes 3 s, with default options on both sides', async () => {
  const slow = await ServerProcess.start()
  const client = new Client(INFO)
  await client.connect(new StreamableHTTPClientTransport(slow.url) as never)
  const seen: number[] = []
  let atFive = () => {}
  const five = new Promise<void>((resolve) => {
    atFive = resolve
  })
  const pending = client.callTool({ name: 'count', arguments: { to: STEPS, ms: 100 } }, CallToolResultSchema, {
    onprogress: ({ progress }) => {
      if (seen.push(progress) === 5) atFive()
    },
  })
  await slow.prepare()
  await five
  await slow.kill()
  await delay(3_000)
  await slow.start()
  expect(await pending).toMatchObject({ structuredContent: { counted: STEPS } })
  expect(seen).toEqual(Array.from({ length: STEPS }, (_, n) => n + 1))
  await client.close()
  await slow.end()
}, 60_000)

test('the SDK’s task calls before, during and after kill -9, over HTTP', async () => {
  const { client } = await connect()
  const { tasks } = client.experimental
  const seen: string[] = []
  let taskId = ''
  for await (const message of tasks.callToolStream(
    { name: 'count', arguments: { to: STEPS, ms: 40 } },
    CallToolResultSchema,
    { task: {} },
  )) {
    seen.push(message.type)
    if (message.type === 'taskCreated') taskId = message.task.taskId
    if (message.type === 'result') expect(message.result.structuredContent).toEqual({ counted: STEPS })
  }
  expect([seen[0], seen.at(-1)]).toEqual(['taskCreated', 'result'])
  const second = tasks.callToolStream({ name: 'count', arguments: { to: STEPS, ms: 40 } }, CallToolResultSchema, {
    task: {},
  })
  const created = (await second.next()).value as { task: { taskId: string } }
  let arrived = () => {}
  const hasArrived = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const pending = tasks.getTaskResult(created.task.taskId, CallToolResultSchema, { onresumptiontoken: () => arrived() })
  await hasArrived
  await server.prepare()
  await server.kill()
  await server.start()
  expect(await pending).toMatchObject({ structuredContent: { counted: STEPS } })
  expect(await tasks.getTask(taskId)).toMatchObject({ status: 'completed' })
  const third = (
    await tasks
      .callToolStream({ name: 'count', arguments: { to: STEPS, ms: 100 } }, CallToolResultSchema, { task: {} })
      .next()
  ).value as { task: { taskId: string } }
  expect((await tasks.cancelTask(third.task.taskId)).status).toBe('cancelled')
  await client.close()
}, 60_000)

test('over stdio the client starts the server again, and reaches its tasks', async () => {
  const store = await ServerProcess.start()
  await store.kill()
  const connect = async () => {
    const client = new Client(INFO)
    const transport = new StdioClientTransport({ ...store.stdio, stderr: 'ignore' })
    await client.connect(transport)
    return { client, pid: transport.pid as number }
  }
  const first = await connect()
  const args = { to: STEPS, ms: 40 }
  const stream = first.client.experimental.tasks.callToolStream(
    { name: 'count', arguments: args },
    CallToolResultSchema,
    { task: {} },
  )
  const { taskId } = ((await stream.next()).value as { task: { taskId: string } }).task
  const lost = first.client
    .callTool({ name: 'count', arguments: { to: STEPS, ms: 41 } })
    .catch((error: unknown) => error)
  // Each look is a request of its own.
  while ((await first.client.experimental.tasks.listTasks()).tasks.length < 2);
  process.kill(first.pid, 'SIGKILL')
  expect(await lost).toMatchObject({ message: expect.stringContaining('Connection closed') })
  const second = await connect()
  const { tasks } = second.client.experimental
  expect(await tasks.getTask(taskId)).toMatchObject({ status: 'working' })
  expect(await tasks.getTaskResult(taskId, CallToolResultSchema)).toMatchObject({
    structuredContent: { counted: STEPS },
  })
  // The call that was lost is made again, and joins its task.
  expect(await second.client.callTool({ name: 'count', arguments: { to: STEPS, ms: 41 } })).toMatchObject({
    structuredContent: { counted: STEPS },
  })
  expect((await tasks.listTasks()).tasks).toHaveLength(2)
  await second.client.close()
}, 60_000)

test('the client library for tasks, on the newest client: settle, and resume from a reference after kill -9', async () => {
  const connectNewest = async () => {
    const client = new NewestClient(INFO)
    await client.connect(new NewestTransport(server.url))
    return { client, session: createTaskSessionFromClient(client, { endpointId: 'counter' }) }
  }
  const first = await connectNewest()
  const quick = await first.session.callTool('count', { to: 2, ms: 1 })
  expect(resultFromTaskOutcome((await quick.settle()).outcome)).toMatchObject({ structuredContent: { counted: 2 } })

  const execution = await first.session.callTool('count', { to: STEPS, ms: 60 }, { task: { preference: 'prefer' } })
  if (execution.kind !== 'task') throw new Error('Expected a task')
  const reference = execution.serializeReference()
  await execution.detach()
  await first.session.close()
  await first.client.close()
  await server.prepare()
  await server.kill()
  await server.start()
  const second = await connectNewest()
  const resumed = await second.session.resumeTask(reference)
  expect(resultFromTaskOutcome((await resumed.settle()).outcome)).toMatchObject({
    structuredContent: { counted: STEPS },
  })
  await second.session.close()
  await second.client.close()
}, 60_000)
