// Goal: a server whose store is closed before its endpoint answers everybody, in words that fit, and logs no fault.
// Method: bare requests to the handler, before, while and after the store closes.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { defineTask, Holdfast, type Logger } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { ManualClock, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test, vi } from 'vitest'
import { deferred } from '../../../src/base/promises.js'
import { INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { SlowDisk } from '../../helpers/waiting.js'

const durableTool = defineTask({ name: 'durable' }, (task) => task.step('work', () => 'done'))

async function served(open?: (logger: Logger) => Promise<Holdfast>) {
  const disk = new SlowDisk()
  const lines: string[] = []
  const log = (level: string) => (text: string) => void lines.push(`${level}: ${text}`)
  const logger: Logger = { debug: () => {}, info: () => {}, warn: log('warn'), error: log('error') }
  const holdfast = await (open?.(logger) ?? openInMemory({ disk, clock: new ManualClock(), logger }))
  const durable = durableTasks(holdfast, { access: 'open' }).tool(durableTool)
  const gate = deferred<void>()
  const handler = durable.httpHandler(() => {
    const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
    const plain = async () => {
      await gate.promise
      return { content: [{ type: 'text' as const, text: 'plain answer' }] }
    }
    server.registerTool('plain', {}, plain)
    return server
  })
  const post = async (message: object, session = '') => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(session === '' ? {} : { 'mcp-session-id': session }),
    }
    const body = JSON.stringify(message)
    const request = new Request('http://localhost/mcp', { method: 'POST', headers, body })
    const response = await handler.fetch(request, { remoteAddress: '192.0.2.1' })
    return { status: response.status, session: response.headers.get('mcp-session-id') ?? '', text: response.text() }
  }
  const { session, text } = await post(initialize())
  await text
  const call = (name: string, id = 1) =>
    post({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: {} } }, session)
  return { disk, holdfast, handler, lines, gate, post, session, call }
}

describe('after `holdfast.close()`', () => {
  test('a session is not begun: 503, and the store is said to be closed', async () => {
    const { holdfast, handler, post, lines } = await served()
    await holdfast.close()
    const { status, text } = await post(initialize())
    expect([status, await text]).toEqual([503, expect.stringContaining('The instance is closed, or closing.')])
    await handler.close()
    expect(lines).toEqual([])
  })

  test('a plain tool answers, and a durable one says that the store is closed', async () => {
    const { holdfast, handler, call, gate, lines } = await served()
    await holdfast.close()
    gate.resolve()
    const plain = await call('plain', 1)
    expect([plain.status, await plain.text]).toEqual([200, expect.stringContaining('plain answer')])
    const durable = await call('durable', 2)
    expect([durable.status, await durable.text]).toEqual([200, expect.stringContaining('The instance is closed')])
    await handler.close()
    expect(lines.filter((line) => !line.includes('A request was refused'))).toEqual([])
  })

  test('a call that was open already is answered', async () => {
    const { holdfast, handler, call, gate, lines } = await served()
    const { status, text } = await call('plain')
    await untilIdle(holdfast)
    await holdfast.close()
    gate.resolve()
    expect([status, await text]).toEqual([200, expect.stringContaining('plain answer')])
    await handler.close()
    expect(lines).toEqual([])
  })
})

test('a session that is being begun when the store closes is begun, if it can still be written', async () => {
  const { disk, holdfast, handler, post } = await served()
  disk.hold()
  const beginning = post(initialize())
  await untilIdle(holdfast)
  const closing = holdfast.close()
  await untilIdle(holdfast)
  disk.resume()
  await closing
  expect((await beginning).status).toBe(200)
  await handler.close()
})

test('and else it is refused with 503', async () => {
  const { disk, holdfast, handler, post } = await served()
  disk.full = true
  const beginning = post(initialize())
  await untilIdle(holdfast)
  await holdfast.close()
  expect((await beginning).status).toBe(503)
  await handler.close()
})

test('a write of a binding that waits for a full disk is refused when the store closes', async () => {
  const { disk, holdfast, handler, call, gate } = await served()
  const { text } = await call('plain')
  await untilIdle(holdfast)
  disk.full = true
  const heard = vi.fn()
  void text.then(heard)
  gate.resolve()
  await untilIdle(holdfast)
  expect(heard).not.toHaveBeenCalled()
  await holdfast.close()
  expect(await text).toContain('plain answer')
  await handler.close()
})

test('a server whose store is lost answers the calls that were open, and says so to the others', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mcp-lost-'))
  const dir = join(folder, 'store')
  const { holdfast, handler, call, gate, post } = await served((logger) => Holdfast.open({ dir, logger }))
  const open = await call('plain', 1)
  rmSync(join(dir, 'lock'))
  const first = await call('durable', 2)
  expect(await first.text).toContain('start the server again')
  gate.resolve()
  expect(await open.text).toContain('plain answer')
  const later = await call('durable', 3)
  expect(await later.text).toContain('"code":"STORE_LOST"')
  const { status, text } = await post(initialize())
  expect([status, await text]).toEqual([503, expect.stringContaining('start the server again')])
  await handler.close()
  await holdfast.close()
  rmSync(folder, { recursive: true })
})
