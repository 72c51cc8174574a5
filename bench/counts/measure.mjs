/**
 * Counts what a step, a task and an MCP call cost: operations, bytes and batches of the store, reads of it, promises,
 * immediates and timers. Prints one line of JSON. The disk is in memory, time stands still, and one task runs at a time, so
 * that the same program gives the same counts wherever it runs. The number of promises depends on the version of Node. The calls include what the SDK does.
 *
 *   npm run bench:counts               builds first
 *   npm run bench:counts -- --write    makes what was measured the content of expected.json, for this version of Node
 */
import { createHook } from 'node:async_hooks'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2026 } from '@modelcontextprotocol/server'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks as durableTasks2026 } from 'holdfast/mcp/2026-07-28'
import { ManualClock, MemoryDisk, openInMemory } from 'holdfast/testing'
import { z } from 'zod'

const value = 'x'.repeat(1_000)
const INFO = { name: 'counts', version: '1.0.0' }
const OWNER = { owner: 'ann' }

/** @typedef {{ operations: number, bytes: number, batches: number, reads: number, readKeys: number,
 *   promises: number, immediates: number, timers: number }} Counts */

/** @returns {Counts} */
const none = () => ({
  operations: 0,
  bytes: 0,
  batches: 0,
  reads: 0,
  readKeys: 0,
  promises: 0,
  immediates: 0,
  timers: 0,
})
let counts = none()

/** A disk that counts what is written and read. */
class CountingDisk extends MemoryDisk {
  /** @override */
  async open() {
    const level = await super.open()
    const batch = level.batch.bind(level)
    const get = level.get.bind(level)
    const getMany = level.getMany.bind(level)
    const page = level.page.bind(level)
    return Object.assign(level, {
      batch: () => {
        const inner = batch()
        counts.batches++
        const write = (/** @type {string} */ key, /** @type {string | undefined} */ text) => {
          counts.operations++
          counts.bytes += Buffer.byteLength(key) + (text === undefined ? 0 : Buffer.byteLength(text))
          return text === undefined ? inner.del(key) : inner.put(key, text)
        }
        return { ...inner, put: write, del: (/** @type {string} */ key) => write(key, undefined) }
      },
      get: (/** @type {string} */ key) => {
        counts.reads++
        counts.readKeys++
        return get(key)
      },
      getMany: (/** @type {string[]} */ keys) => {
        counts.reads++
        counts.readKeys += keys.length
        return getMany(keys)
      },
      page: async (/** @type {any} */ range, /** @type {number} */ size) => {
        const found = await page(range, size)
        counts.reads++
        counts.readKeys += found.length
        return found
      },
    })
  }
}

const hook = createHook({
  init(_, type) {
    if (type === 'PROMISE') counts.promises++
    else if (type === 'Immediate') counts.immediates++
    else if (type === 'Timeout') counts.timers++
  },
})

/**
 * What one call of `act` costs, after some that warm up. The median of each count over `times` calls: what the engine does
 * once in a while, such as a sweep, is not in it.
 * @param {(index: number) => Promise<unknown>} act
 * @param {number} [times]
 */
async function countEach(act, times = 20) {
  for (let i = 0; i < 5; i++) await act(i)
  /** @type {Counts[]} */
  const all = []
  for (let i = 5; i < times + 5; i++) {
    await atRest()
    counts = none()
    hook.enable()
    await act(i)
    await atRest()
    hook.disable()
    all.push(counts)
  }
  counts = none()
  hook.enable()
  await atRest()
  hook.disable()
  const resting = counts
  const median = (/** @type {keyof Counts} */ name) => {
    const sorted = all.map((one) => one[name]).sort((one, other) => one - other)
    return /** @type {number} */ (sorted[Math.floor(sorted.length / 2)]) - resting[name]
  }
  return Object.fromEntries(Object.keys(none()).map((name) => [name, median(/** @type {keyof Counts} */ (name))]))
}

/** Waits until what was begun has ended: everything here ends within a few turns of the event loop. */
async function atRest() {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const noSteps = defineTask({ name: 'no_steps' }, async () => 0)
const tenSteps = defineTask({ name: 'ten_steps' }, async (task) => {
  for (let i = 0; i < 10; i++) await task.step('step', async () => ({ i, value }))
})
const fiveSteps = defineTask({ name: 'five_steps' }, async (task) => {
  for (let i = 0; i < 5; i++) await task.step('step', async () => ({ i, value }))
})
const tenDeferred = defineTask({ name: 'ten_deferred' }, async (task) => {
  for (let i = 0; i < 10; i++) await task.step('step', async () => ({ i, value }), { commit: 'deferred' })
})
const fiveDeferred = defineTask({ name: 'five_deferred' }, async (task) => {
  for (let i = 0; i < 5; i++) await task.step('step', async () => ({ i, value }), { commit: 'deferred' })
})
const oneFunction = defineTask({ name: 'one_function', run: async () => 0 })
const talk = defineTask({ name: 'talk' }, async (task) => {
  await task.sleep('wait', '1s')
  return task.receive('message')
})
const input = z.object({ n: z.number() })
const work = defineTask({ name: 'work', input, output: input }, (task, { n }) =>
  task.step('work', () => ({ n: n + 1 })),
)

const clock = new ManualClock()
const tasks = [noSteps, fiveSteps, tenSteps, fiveDeferred, tenDeferred, oneFunction, talk, work]
const holdfast = await openInMemory({ disk: new CountingDisk(), clock, tasks })
const run =
  (/** @type {any} */ task, more = {}) =>
  async (/** @type {number} */ index) => {
    const options = { ...OWNER, idempotencyKey: `${task.name}-${index}`, ...more }
    await holdfast.result((await holdfast.start(task, {}, options)).taskId)
  }

const ofNone = await countEach(run(noSteps))
const ofFive = await countEach(run(fiveSteps))
const ofTen = await countEach(run(tenSteps))
const ofFunction = await countEach(run(oneFunction))
const ofTalk = await countEach(async () => {
  const { taskId } = await holdfast.start(talk, {}, OWNER)
  await atRest()
  await clock.advance(1_000)
  await holdfast.send(taskId, 'message', 1)
  await holdfast.result(taskId)
})

// One call of a durable tool with one step, in a session that is there already.
const options = /** @type {const} */ ({
  access: 'open',
  limits: { requestsPerMinute: 1_000_000 },
  ratePerOwner: { starts: 1_000_000, per: '1m' },
})
const oneCall = { input, output: input, run: (/** @type {{ n: number }} */ { n }) => ({ n: n + 1 }) }
const durable = durableTasks(holdfast, options).tool(work).tool('one_call', oneCall)
const handler = durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
const durable2026 = durableTasks2026(holdfast, options).tool(work).tool('one_call_2026', oneCall)
const handler2026 = durable2026.httpHandler(() =>
  durable2026.attach(new McpServer2026(INFO, durable2026.serverOptions())),
)

/**
 * @param {{ fetch(request: Request): Promise<Response> }} handler
 * @param {object} message
 * @param {Record<string, string>} headers
 */
async function post(handler, message, headers) {
  const response = await handler.fetch(
    new Request('http://127.0.0.1/mcp', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    }),
  )
  return { response, text: await response.text() }
}

const clientInfo = INFO
const initialize = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
const opened = await post(handler, { id: 0, method: 'initialize', params: initialize }, {})
const session = {
  'mcp-session-id': opened.response.headers.get('mcp-session-id') ?? '',
  'mcp-protocol-version': '2025-11-25',
}
await post(handler, { method: 'notifications/initialized' }, session)
const callOf = (/** @type {string} */ name) => async (/** @type {number} */ index) => {
  const params = { name, arguments: { n: index } }
  const { text } = await post(handler, { id: index + 1, method: 'tools/call', params }, session)
  if (!text.includes(`"n":${index + 1}`)) throw new Error(`The call was answered ${text}`)
}
const callOf2026 = (/** @type {string} */ name) => async (/** @type {number} */ index) => {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': clientInfo,
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const params = { name, arguments: { n: index }, _meta }
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name }
  const { text } = await post(handler2026, { id: index + 1, method: 'tools/call', params }, headers)
  if (!text.includes(`"n":${index + 1}`)) throw new Error(`The call was answered ${text}`)
}
const ofCall = await countEach(callOf('work'))
const ofCall2026 = await countEach(callOf2026('work'))
const ofFiveDeferred = await countEach(run(fiveDeferred))
const ofTenDeferred = await countEach(run(tenDeferred))

const ofFunctionCall = await countEach(callOf('one_call'))
const ofFunctionCall2026 = await countEach(callOf2026('one_call_2026'))

// Attributes: of a start, of a change that a body makes, and of one from outside.
const attributes = (/** @type {number} */ count) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`attribute${n}`, `value-${n}`]))
const keyless = { idempotencyKey: undefined }
const ofNoAttribute = await countEach(run(noSteps, keyless))
const ofAttribute = await countEach(run(noSteps, { ...keyless, attributes: attributes(1) }))
const ofAttributes = await countEach(run(noSteps, { ...keyless, attributes: attributes(8) }))
const { taskId: talking } = await holdfast.start(talk, {}, OWNER)
const ofSetting = await countEach((index) => holdfast.setAttributes(talking, { index }))

/** A fifth of what ten steps cost more than five: one step. */
const ofStep = (/** @type {any} */ ten, /** @type {any} */ five) =>
  Object.fromEntries(Object.entries(ten).map(([name, count]) => [name, (Number(count) - five[name]) / 5]))
const measured = {
  step: ofStep(ofTen, ofFive),
  'deferred step': ofStep(ofTenDeferred, ofFiveDeferred),
  'task without a step': ofNone,
  'task of five steps': ofFive,
  'task of one function': ofFunction,
  'task with a sleep and a message': ofTalk,
  'tools/call of 2025-11-25': ofCall,
  'tools/call of 2026-07-28': ofCall2026,
  'tools/call of one function, 2025-11-25': ofFunctionCall,
  'tools/call of one function, 2026-07-28': ofFunctionCall2026,
  'task without an attribute, and without a key': ofNoAttribute,
  'task with one attribute': ofAttribute,
  'task with eight attributes': ofAttributes,
  'a change of an attribute from outside': ofSetting,
}
if (process.argv.includes('--write')) writeExpected(measured)
console.log(JSON.stringify(measured))
process.exit(0)

/** Makes what was measured what is expected from now on, for this version of Node. */
function writeExpected(/** @type {Record<string, any>} */ measured) {
  const file = new URL('expected.json', import.meta.url)
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  const [node = ''] = process.versions.node.split('.')
  const expected = Object.fromEntries(
    Object.entries(measured).map(([name, { promises, ...counts }]) => [
      name,
      { ...counts, promises: { ...before[name]?.promises, [node]: promises } },
    ]),
  )
  writeFileSync(file, `${JSON.stringify(expected, null, 2)}\n`)
}
