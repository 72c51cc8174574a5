// Goal: a request over HTTP that is wrong is refused as what it is, and nothing happens.
// Method: bare fetch against a real HTTP server on a disk in memory.
import { request } from 'node:http'
import { SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/sdk/types.js'
import type { Logger } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { openInMemory } from 'holdfast/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { HttpServer, type HttpServerOptions, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { double, slow } from '../../helpers/mcp/tools.js'

let server: HttpServer
afterEach(() => server?.close())
const start = async (options: HttpServerOptions) => {
  server = await HttpServer.start(options)
  return server
}

describe('what is refused at the door', () => {
  const boot = () => start({ tools: [double], http: { path: '/mcp', bodyBytesMax: 100_000 } })
  const raw = (headers: Record<string, string>, method = 'POST', path = '/mcp') =>
    new Promise<number>((resolve, reject) => {
      const req = request({ port: server.port, host: '127.0.0.1', method, path, headers }, (res) => {
        res.resume()
        resolve(res.statusCode ?? 0)
      })
      req.on('error', reject)
      req.end(method === 'POST' ? JSON.stringify(initialize()) : undefined)
    })
  const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

  test('wrong hosts and origins', async () => {
    await boot()
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:80', 'a b', '[::2]']) {
      expect([host, await raw({ ...JSON_HEADERS, host })]).toEqual([host, 403])
    }
    for (const origin of ['http://evil.example', 'null', 'http://localhost.evil.example', 'nonsense']) {
      expect([origin, await raw({ ...JSON_HEADERS, origin })]).toEqual([origin, 403])
    }
    for (const host of ['localhost:3000', '127.0.0.1', '[::1]:80'])
      expect(await raw({ ...JSON_HEADERS, host })).toBe(200)
    expect(await raw({ ...JSON_HEADERS, origin: 'http://localhost:5173' })).toBe(200)
  })

  test('allowedHosts and allowedOrigins name others', async () => {
    await start({ tools: [double], http: { allowedHosts: ['mcp.example'], allowedOrigins: ['https://app.example'] } })
    expect(await raw({ ...JSON_HEADERS, host: 'mcp.example:8080', origin: 'https://app.example' })).toBe(200)
    expect(await raw({ ...JSON_HEADERS, host: 'localhost' })).toBe(403)
    expect(await raw({ ...JSON_HEADERS, host: 'mcp.example', origin: 'http://localhost' })).toBe(403)
  })

  test('methods, paths, types, versions, batches', async () => {
    await boot()
    expect(await raw(JSON_HEADERS, 'PUT')).toBe(405)
    expect(await raw(JSON_HEADERS, 'POST', '/other')).toBe(404)
    expect(await raw({ accept: JSON_HEADERS.accept, 'content-type': 'text/plain' })).toBe(415)
    expect(await raw({ ...JSON_HEADERS, accept: 'application/json' })).toBe(406)
    expect((await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' })).status).toBe(400)
    expect((await server.send([initialize()])).status).toBe(400)
    expect((await server.send('{"jsonrpc":')).status).toBe(400)
    const session = (await server.send(initialize())).headers.get('mcp-session-id') as string
    const headers = { 'mcp-protocol-version': '1999-01-01' }
    const unknown = await server.send({ jsonrpc: '2.0', id: 1, method: 'ping' }, { session, headers })
    expect(unknown.status).toBe(400)
    expect(JSON.parse(await unknown.text())).toEqual({
      jsonrpc: '2.0',
      id: null,
      error: {
        code: -32_000,
        message: `Bad Request: Unsupported protocol version: 1999-01-01 (supported versions: ${SUPPORTED_PROTOCOL_VERSIONS.join(', ')})`,
      },
    })
    expect((await server.send(initialize(), { session })).status).toBe(400)
  })

  test('retryInterval 0 tells clients to come back at once', async () => {
    await start({ tools: [slow], http: { retryInterval: 0 } })
    const session = (await server.send(initialize())).headers.get('mcp-session-id') as string
    const params = { name: 'slow', arguments: { ms: 5 } }
    const headers = { 'mcp-protocol-version': '2025-11-25' }
    const stream = await server.send({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }, { session, headers })
    expect(await stream.text()).toMatch(/^retry: 0$/m)
  })

  test('a task is granted without a ttl to a client that asks for that, where the server has no limit', async () => {
    await start({ tools: [slow], durable: { access: 'principal', ttl: { max: 'unlimited' } } })
    const alice = { sub: 'alice' }
    const session = (await server.send(initialize(), alice)).headers.get('mcp-session-id') as string
    const params = { name: 'slow', arguments: { ms: 5 }, task: { ttl: null } }
    const answer = await server.send({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }, { ...alice, session })
    expect(await answer.text()).toMatch(/"ttl":null/)
  })

  test('10 MB bodies, announced or not', async () => {
    await boot()
    const big = JSON.stringify({ ...initialize(), padding: 'x'.repeat(10_000_000) })
    const status = await server.send(big).then(
      ({ status }) => status,
      () => 'refused',
    )
    expect([413, 'refused']).toContain(status)
    const unannounced = await server.handler.fetch(
      new Request(server.url, {
        method: 'POST',
        headers: { ...JSON_HEADERS, host: 'localhost' },
        body: new Blob([big]).stream(),
        duplex: 'half',
      } as RequestInit),
    )
    expect(unannounced.status).toBe(413)
  })

  test('access local is not for HTTP, and a server has to be attached', async () => {
    await boot()
    const holdfast = await openInMemory()
    expect(() => durableTasks(holdfast, { access: 'local' }).httpHandler(() => ({}) as never)).toThrow(/'local'.*stdio/)
    const errors: string[] = []
    const logger: Logger = {
      debug() {},
      info() {},
      warn() {},
      error: (message) => errors.push(message),
    }
    const logging = await openInMemory({ logger })
    const handler = durableTasks(logging, { access: 'open' }).httpHandler(() => ({}) as never)
    const answer = await handler.fetch(
      new Request('http://localhost/', { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(initialize()) }),
    )
    expect(answer.status).toBe(500)
    expect(errors.join()).toMatch(/durable\.attach/)
  })
})
