// Goal: the SDK's own Express app and bearer authentication in front, two principals, and the death of the server in
// between; Hono as well.
// Method: the example apps on a store on disk, which is closed and opened again.
import { mkdtempSync } from 'node:fs'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { expect, test, vi } from 'vitest'
import { flightsApp as expressApp } from '../../../examples/mcp/express.js'
import { flightsApp as honoApp } from '../../../examples/mcp/hono.js'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'

vi.stubEnv('EXAMPLE_STEP_MS', '10')

const verifier = {
  verifyAccessToken: async (token: string) => ({
    token,
    clientId: 'app',
    scopes: [],
    expiresAt: Math.floor(Date.now() / 1_000) + 3_600,
    extra: { sub: token, iss: 'https://issuer.example' },
  }),
}

async function connect(port: number, token?: string) {
  const client = new Client(INFO)
  const requestInit = token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }
  const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`), { requestInit })
  await client.connect(transport as never)
  return { client, transport }
}

test('createMcpExpressApp with requireBearerAuth: tasks belong to the token’s subject, over a restart too', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-express-'))
  let port = 0
  const start = async () => {
    const { app, handler, holdfast } = await expressApp(dir, verifier)
    const server = await new Promise<Server>((resolve) => {
      const listening = app.listen(port, '127.0.0.1', () => resolve(listening))
    })
    port = (server.address() as { port: number }).port
    return async () => {
      server.closeAllConnections()
      server.close()
      await handler.close()
      await holdfast.close({ grace: 0 })
    }
  }
  let stop = await start()
  await expect(connect(port)).rejects.toMatchObject({ code: 401 })
  const alice = await connect(port, 'alice')
  const bob = await connect(port, 'bob')
  const stream = alice.client.experimental.tasks.callToolStream(
    { name: 'summarise_delays', arguments: {} },
    undefined,
    { task: {} },
  )
  const { taskId } = ((await stream.next()).value as { task: { taskId: string } }).task
  const owners = async () => {
    expect((await alice.client.experimental.tasks.listTasks()).tasks.map(({ taskId }) => taskId)).toEqual([taskId])
    expect((await bob.client.experimental.tasks.listTasks()).tasks).toEqual([])
    await expect(bob.client.experimental.tasks.getTask(taskId)).rejects.toMatchObject({ code: -32_602 })
    const stolen = await fetch(`http://127.0.0.1:${port}/mcp`, {
      method: 'DELETE',
      headers: { authorization: 'Bearer bob', 'mcp-session-id': alice.transport.sessionId as string },
    })
    expect(stolen.status).toBe(404)
  }
  await owners()
  await stop()
  stop = await start()
  await owners()
  expect(await alice.client.callTool({ name: 'get_task_status', arguments: { taskId } })).toMatchObject({
    structuredContent: { taskId },
  })
  await Promise.all([alice.client.close(), bob.client.close()])
  await stop()
}, 60_000)

test('Hono mounts handler.fetch', async () => {
  const { app, handler, holdfast } = await honoApp(mkdtempSync(join(tmpdir(), 'holdfast-hono-')))
  const server = await new Promise<Server>((resolve) => {
    const listening = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(listening as Server))
  })
  const { client } = await connect((server.address() as { port: number }).port)
  const result = await client.callTool({ name: 'busiest_routes', arguments: { top: 1 } })
  expect(result.structuredContent).toMatchObject({ routes: [{ flights: expect.any(Number) }] })
  await client.close()
  server.close()
  await handler.close()
  await holdfast.close()
}, 60_000)
