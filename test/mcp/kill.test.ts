// Goal: a client does not notice that the server was killed.
// Method: the SDK's own client with its default options, over Streamable HTTP; kill -9 and a restart in between.
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { INFO } from './connect.js'
import { ServerProcess } from './server-process.js'

let server: ServerProcess
beforeAll(async () => {
  server = await ServerProcess.start()
}, 30_000)
afterAll(() => server.kill())

async function newClient() {
  const client = new Client(INFO)
  const transport = new StreamableHTTPClientTransport(server.url)
  await client.connect(transport)
  return { client, transport }
}

test('a pending call resolves after kill -9, and its progress is complete and in order', async () => {
  const { client, transport } = await newClient()
  client.onerror = (e) => console.log('client error', e.message)
  const session = transport.sessionId
  const seen: number[] = []
  const before = server.steps.length
  const pending = client.callTool({ name: 'count', arguments: { to: 30, ms: 50 } }, undefined, {
    onprogress: ({ progress }) => seen.push(progress),
  })
  while (seen.length < 8) await delay(10)
  await server.kill()
  console.log('killed', seen)
  await server.start()
  console.log('up')
  const result = await pending
  expect(result).toMatchObject({ structuredContent: { counted: 30 } })
  expect(seen).toEqual(Array.from({ length: 30 }, (_, n) => n + 1))
  expect(transport.sessionId).toBe(session)
  console.log(server.steps.length - before)
  await client.close()
}, 30_000)
