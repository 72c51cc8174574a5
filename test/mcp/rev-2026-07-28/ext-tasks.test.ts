// Goal: the official client of the extension gets on with our server, and goes on after its own death.
// Method: a real server over HTTP; the client that dies is a process of its own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { TaskCancelledError } from '@modelcontextprotocol/ext-tasks/client'
import { defineTask } from 'holdfast'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ModernServer } from '../../helpers/mcp/rev-2026-07-28/http-client.js'
import { double, failing, never, slow } from '../../helpers/mcp/tools.js'
import { taskSession } from './ext-client.js'

const CHILD = fileURLToPath(new URL('./ext-client-child.ts', import.meta.url))

const ask = defineTask({ name: 'ask' }, async (task) => {
  const { content } = await task.input<{ content?: { answer: string } }>('name', { message: 'Who?' })
  return `Hello, ${content?.answer}`
})

let server: ModernServer
beforeAll(async () => {
  server = await ModernServer.start({ tools: [double, failing, never, slow, ask] })
})
afterAll(() => server.close())

async function settle(name: string, args = {}, options: Parameters<typeof taskSession>[1] = {}) {
  const session = await taskSession(server.url, options)
  const execution = await session.callTool(name, args)
  expect(execution.kind).toBe('task')
  const { outcome } = await execution.settle()
  await session.close()
  return outcome
}

test('E33 E39 a result', async () => {
  const outcome = await settle('double', { n: 4 })
  expect(outcome).toMatchObject({ status: 'completed', result: { structuredContent: { n: 8 } } })
})

test('a tool that fails', async () => {
  const outcome = await settle('failing', { how: 'bad luck' })
  const result = { isError: true, content: [{ text: 'bad luck' }] }
  expect(outcome).toMatchObject({ status: 'completed', result })
})

test('an error of the protocol', async () => {
  const outcome = await settle('failing', { how: 'protocol' })
  expect(outcome).toMatchObject({ status: 'failed', error: { code: -32_077, data: { why: 'weekend' } } })
})

test('an elicitation', async () => {
  const onInputRequest = (async () => ({ action: 'accept', content: { answer: 'Ada' } })) as never
  expect(await settle('ask', {}, { onInputRequest })).toMatchObject({ result: { content: [{ text: 'Hello, Ada' }] } })
})

test('a cancel', async () => {
  const session = await taskSession(server.url)
  const execution = await session.callTool('never')
  const taskId = execution.handle?.taskId as string
  await execution.cancel().catch((error: unknown) => expect(error).toBeInstanceOf(TaskCancelledError))
  expect((await server.settled(taskId)).status).toBe('cancelled')
  await session.close()
})

test('a client that was killed resumes its task in a new process', async () => {
  const client = (job: object) => {
    const args = ['--import', import.meta.resolve('tsx'), CHILD, JSON.stringify({ url: server.url, ...job })]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const line = once(createInterface(child.stdout), 'line').then(([said]) => JSON.parse(said as string))
    return { child, line }
  }
  const first = client({})
  const reference = await first.line
  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  expect(await client({ reference }).line).toMatchObject({
    status: 'completed',
    result: { content: [{ text: 'slept' }] },
  })
})
