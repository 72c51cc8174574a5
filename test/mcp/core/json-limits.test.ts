// Goal: JSON from outside costs no more than its limits say: it is counted before it is parsed, and a walk stops at a limit.
// Method: the byte scan is compared with a count over the parsed value, on generated JSON; real requests over HTTP in both
// revisions; where the figure would be a time, the number of parses, conversions and reads is asserted.
import fc from 'fast-check'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { openInMemory } from 'holdfast/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { toJson } from '../../../src/base/json.js'
import { checkJson, holdsMoreValues } from '../../../src/http/json-limits.js'
import { HttpServer, initialize } from '../../helpers/mcp/rev-2025-11-25/http-server.js'
import { rawClient } from '../../helpers/mcp/rev-2025-11-25/raw-client.js'
import { ModernServer } from '../../helpers/mcp/rev-2026-07-28/http-client.js'

afterEach(() => vi.restoreAllMocks())

const bytesOf = (text: string) => Buffer.from(text)
const limits = { jsonDepthMax: 1_000, jsonValuesMax: 1_000_000 }

/** Members of all arrays and objects, and each container itself; an empty one counts once. */
function countOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const members = Object.values(value)
  return Math.max(1, members.length) + members.reduce<number>((sum, member) => sum + countOf(member), 0)
}

describe('the number of JSON values', () => {
  test('is the same in a byte scan and in the parsed value, whatever the strings hold', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.boolean(), (text, pretty) => {
        const value: unknown = JSON.parse(text)
        const json = bytesOf(pretty ? JSON.stringify(value, null, 2) : text)
        const count = countOf(value)
        expect(holdsMoreValues(json, count)).toBe(false)
        if (count > 0) expect(holdsMoreValues(json, count - 1)).toBe(true)
        expect(() => checkJson(value, 'It', { ...limits, jsonValuesMax: count })).not.toThrow()
        if (count > 0) {
          expect(() => checkJson(value, 'It', { ...limits, jsonValuesMax: count - 1 })).toThrow(/jsonValuesMax/)
        }
      }),
    )
  })

  test('does not count what stands in a string, escaped quotes included', () => {
    expect(holdsMoreValues(bytesOf(String.raw`{"a":"[[[,,,\"[,\\"}`), 1)).toBe(false)
    expect(holdsMoreValues(bytesOf('"never closed [[[,,,'), 0)).toBe(false)
  })

  test('is counted up to the limit only', () => {
    const json = bytesOf(`[${'[],'.repeat(100_000)}[]]`)
    let reads = 0
    const counting = new Proxy(json, {
      get(target, key) {
        if (typeof key === 'string' && /^\d+$/.test(key)) reads++
        return Reflect.get(target, key) as unknown
      },
    })
    expect(holdsMoreValues(counting, 100)).toBe(true)
    expect(reads).toBeLessThan(200)
  })
})

describe('a conversion to JSON', () => {
  test('stops as soon as the value is over its limit', () => {
    let read = 0
    const rows = Array.from({ length: 10_000 }, () => ({
      get text() {
        read++
        return 'x'.repeat(100)
      },
    }))
    const use = { what: 'the input', bytesMax: 20_000, option: 'limits.inputBytesMax' }
    expect(() => toJson(rows, use)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
    expect(read).toBeLessThan(200)
  })

  test('counts no value as larger than its JSON text', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value)
        const use = { what: 'it', bytesMax: Buffer.byteLength(text), option: 'limits.inputBytesMax' }
        expect(toJson(value, use)).toBe(text)
        expect(() => toJson(value, { ...use, bytesMax: use.bytesMax - 1 })).toThrow(/TOO_LARGE|bytes as JSON/)
      }),
    )
  })
})

const wide = `[${'[],'.repeat(60_000)}[]]`
const begun: string[] = []
const double = defineTask(
  { name: 'double', input: z.object({ n: z.number(), pad: z.any().optional() }) },
  async (task, { n }) => {
    begun.push(task.taskId)
    return n * 2
  },
)

describe('a request with more values than the limit', () => {
  test('is refused with 413 before its body is parsed, and counts as a request (2025-11-25)', async () => {
    const server = await HttpServer.start({
      tools: [double],
      durable: { access: 'principal', limits: { requestsPerMinute: 3 } },
    })
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
    const post = (body: string) =>
      fetch(server.url, { method: 'POST', headers: { ...headers, authorization: 'Bearer mallory' }, body })
    expect((await post(JSON.stringify(initialize()))).status).toBe(200)
    const parse = vi.spyOn(JSON, 'parse')
    const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"double","arguments":{"n":1,"pad":${wide}}}}`
    const answers = []
    for (let n = 0; n < 4; n++) answers.push(await post(call))
    expect(parse.mock.calls.filter(([text]) => String(text).length > 1_000)).toEqual([])
    expect(answers.map(({ status }) => status)).toEqual([413, 413, 413, 429])
    expect(await (answers[0] as Response).text()).toContain('jsonValuesMax')
    await server.close()
  })

  test('is refused with 413 before its body is parsed (2026-07-28)', async () => {
    const server = await ModernServer.start({ tools: [double], durable: { access: 'principal' } })
    const parse = vi.spyOn(JSON, 'parse')
    const headers = { 'content-type': 'application/json', authorization: 'Bearer mallory' }
    const answer = await fetch(server.url, { method: 'POST', headers, body: wide })
    expect(answer.status).toBe(413)
    expect(parse.mock.calls.filter(([text]) => String(text).length > 1_000)).toEqual([])
    await server.close()
  })
})

test('a request without a token is refused before its body is read (2026-07-28)', async () => {
  const server = await ModernServer.start({ tools: [double], durable: { access: 'principal' } })
  const body = new ReadableStream({
    pull: () => {
      throw new Error('The body was read')
    },
  })
  const request = new Request(server.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    duplex: 'half',
  } as RequestInit)
  expect((await server.handler.fetch(request)).status).toBe(401)
  await server.close()
})

test('arguments that take more than an input are refused before they are checked, and refused calls count', async () => {
  const holdfast = await openInMemory({ limits: { inputBytesMax: 1_000 } })
  const durable = durableTasks(holdfast, { access: 'local', limits: { requestsPerMinute: 2 } })
  let checked = 0
  const input = z.object({ text: z.string().refine(() => ++checked > 0) })
  durable.tool(defineTask({ name: 'long', input }, async () => 1))
  const { call } = await rawClient(durable)
  const text = 'x'.repeat(2_000)
  const first = await call('long', { text })
  expect(first.result).toMatchObject({ isError: true })
  expect(JSON.stringify(first.result)).toMatch(/take 2011 bytes.*1000.*limits\.inputBytesMax/)
  await call('long', { text })
  expect(checked).toBe(0)
  expect((await call('long', { text: 'short' })).error).toMatchObject({ data: { limit: 'requestsPerMinute' } })
  await holdfast.close()
})

test('a call of an unknown tool reads the list of tools once for each state of the list', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local' })
  durable.tool(double)
  const { call, server } = await rawClient(durable)
  const plain = (name: string) =>
    server.registerTool(name, { inputSchema: { n: z.number() } }, () => ({ content: [{ type: 'text', text: name }] }))
  let listed = 0
  Object.defineProperty(plain('plain'), 'title', { get: () => void listed++ })
  for (let n = 0; n < 5; n++) await call(`nope ${n}`, {})
  expect(listed).toBe(1)
  plain('later')
  expect((await call('later', { n: 1 }, { task: {} })).error).toMatchObject({ code: -32_601 })
  expect((await call('later', { n: 1 })).result).toMatchObject({ content: [{ text: 'later' }] })
  expect(listed).toBe(2)
  await holdfast.close()
})

test('a subscription to 1,000 tasks looks at no more than 20 of them before other work gets its turn', async () => {
  const server = await ModernServer.start({ tools: [double] })
  const { binding } = server.durable.core
  let looks = 0
  let most = 0
  vi.spyOn(binding, 'isReadable').mockImplementation(async () => ++looks > 0)
  const original = server.holdfast.get.bind(server.holdfast)
  vi.spyOn(server.holdfast, 'get').mockImplementation((...given) => {
    looks++
    return original(...given)
  })
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      most = Math.max(most, looks)
      looks = 0
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  const taskIds = Array.from({ length: 1_000 }, (_, n) => `task-${n}`)
  const { messages } = await server.listen({ taskIds })
  isOver = true
  await watching
  expect(messages[0].params.notifications.taskIds).toHaveLength(1_000)
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(40)
  await server.close()
})
