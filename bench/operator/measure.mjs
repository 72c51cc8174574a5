/**
 * Measures the commands of an operator on a server with 100,000 tasks: `npm run bench:operator` (about three minutes; builds
 * the package). A process has the store open, and this one calls its operator API over the socket.
 *
 *   npm run bench:operator -- --tasks 20000 --calls 10 --only list --dir /mnt/disk/bench
 *   npm run bench:operator -- --store .holdfast/operator      keeps the store, or uses it again
 *
 * Printed for each call, in milliseconds: the time of the request (median, 99th percentile, longest), the longest hold of the
 * event loop of the server, the longest time between two of its ticks, and the longest collection of the whole heap. The exit
 * code is 1 if the 99th percentile of a list, a get or an explain is above 200 ms, or a hold above 20 ms.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { operatorClient } from 'holdfast/operator'
import { percentile } from '../workloads/common.mjs'

const REQUEST_MS_MAX = 200
const HOLD_MS_MAX = 20

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '100000' },
    calls: { type: 'string', default: '30' },
    dir: { type: 'string', default: fileURLToPath(new URL('../../.holdfast', import.meta.url)) },
    store: { type: 'string' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
})
const tasks = Number(values.tasks)
const calls = Number(values.calls)
mkdirSync(values.dir, { recursive: true })
const own = mkdtempSync(join(values.dir, 'operator-'))
const dir = join(values.store ?? own, 'store')
try {
  await measure()
} finally {
  rmSync(own, { recursive: true, force: true })
}

async function measure() {
  const examples = await makeStore()
  const holder = start('hold')
  const [counts] = await once(holder, 'message')
  print({ tasks: counts })
  if (!values.json)
    console.log(['p50', 'p99', 'longest', 'hold', 'tick', 'gc'].map((name) => name.padStart(8)).join(''))
  const client = operatorClient({ dir, actor: 'bench: operator', timeoutMs: 120_000 })
  const called = new Set()
  const noting = new Proxy(client, {
    get: (target, name) => {
      called.add(name)
      return Reflect.get(target, name)
    },
  })
  try {
    const slow = await measureCalls(noting, examples, async () => {
      const answered = once(holder, 'message')
      holder.send('hold')
      return (await answered)[0]
    })
    print({ calls: [...called] })
    for (const sentence of slow) console.error(sentence)
    process.exitCode = slow.length > 0 ? 1 : 0
  } finally {
    client.close()
    const gone = once(holder, 'exit')
    holder.kill('SIGKILL')
    await gone
  }
}

/** Makes the store, or finds the one of an earlier run. @returns {Promise<import('./store.mjs').Examples>} */
async function makeStore() {
  const file = join(dir, '../examples.json')
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'))
  mkdirSync(join(dir, '..'), { recursive: true })
  const filler = start('fill')
  const ended = once(filler, 'exit')
  const [examples] = await once(filler, 'message')
  await ended
  writeFileSync(file, JSON.stringify(examples))
  return examples
}

/**
 * @param {import('holdfast/operator').OperatorClient} client
 * @param {import('./store.mjs').Examples} examples
 * @param {() => Promise<{ holdMs: number, wallMs: number, gcMs: number }>} longestHold
 */
async function measureCalls(client, examples, longestHold) {
  /** @type {string[]} */
  const slow = []
  for (const { name, act, isBounded } of await callsOf(client, examples)) {
    if (!name.includes(values.only)) continue
    await delay(20)
    await longestHold()
    const times = []
    for (let n = 0; n < calls; n++) {
      const begunAt = performance.now()
      await act(n)
      times.push(performance.now() - begunAt)
    }
    // A hold at the end of the last call is over when this is answered.
    await delay(10)
    const hold = await longestHold()
    const { holdMs } = hold
    const [p50Ms, p99Ms, maxMs] = [percentile(times, 0.5), percentile(times, 0.99), Math.max(...times)]
    print({ call: name, p50Ms, p99Ms, maxMs, ...hold })
    if (isBounded && p99Ms > REQUEST_MS_MAX) slow.push(`${name}: ${Math.round(p99Ms)} ms, above ${REQUEST_MS_MAX}`)
    if (holdMs > HOLD_MS_MAX) slow.push(`${name}: held for ${Math.round(holdMs)} ms, above ${HOLD_MS_MAX}`)
  }
  return slow
}

/**
 * @typedef {object} MeasuredCall
 * @property {string} name
 * @property {(n: number) => Promise<unknown>} act
 * @property {boolean} isBounded true for a list, a get or an explain
 */

/**
 * The calls: every one that reads, with each filter and of each kind of task, and those on many tasks as a dry run.
 * @param {import('holdfast/operator').OperatorClient} client
 * @param {import('./store.mjs').Examples} examples
 * @returns {Promise<MeasuredCall[]>}
 */
async function callsOf(client, { long, parent }) {
  /** @type {MeasuredCall[]} */
  const all = []
  const add = (/** @type {string} */ name, /** @type {MeasuredCall['act']} */ act) =>
    all.push({ name, act, isBounded: /^(list\(|get |explain )/.test(name) })
  const { tasks: napping } = await client.listTasks({ type: 'nap', limit: 1_000 })
  const middle = napping.at(-1)?.createdAt ?? 0
  /** @type {Record<string, Parameters<typeof client.listTasks>[0]>} */
  const lists = {
    'list()': {},
    'list({ limit: 1000 })': { limit: 1_000 },
    'list({ newest, limit: 1000 })': { order: 'newest', limit: 1_000 },
    'list({ completed, limit: 1000 })': { status: ['completed'], limit: 1_000 },
    'list({ failed, cancelled })': { status: ['failed', 'cancelled'] },
    'list({ running, limit: 1000 })': { status: ['running'], limit: 1_000 },
    'list({ unfinished })': { status: ['pending', 'running', 'input_required'] },
    'list({ owner })': { owner: 'owner-7' },
    'list({ owner, failed })': { owner: 'owner-7', status: ['failed'] },
    'list({ type: busy, limit: 1000 })': { type: 'busy', limit: 1_000 },
    'list({ type: absent })': { type: 'absent' },
    'list({ type: absent, running })': { type: 'absent', status: ['running'] },
    'list({ owner: absent })': { owner: 'absent' },
    'list({ running, type: fails })': { type: 'fails', status: ['running'] },
    'list({ createdAfter })': { createdAfter: middle },
    'list({ createdBefore, newest })': { createdBefore: middle, order: 'newest' },
    'list({ createdAfter: later, limit: 1000 })': { createdAfter: Date.now(), limit: 1_000 },
    'list({ parent })': { parent },
  }
  for (const [name, query] of Object.entries(lists)) add(name, () => client.listTasks(query))
  /** @type {string | undefined} */
  let cursor
  add('list({ cursor, limit: 1000 }), page after page', async () => {
    cursor = (await client.listTasks({ limit: 1_000, ...(cursor !== undefined && { cursor }) })).cursor
  })
  for (const type of ['nap', 'listen', 'question', 'gone', 'flaky', 'fails', 'completes', 'busy']) {
    const found = (await client.listTasks({ type, order: 'newest', limit: 1_000 })).tasks
    const idOf = (/** @type {number} */ n) => found[(n * 37) % found.length]?.taskId ?? ''
    add(`get ${type}`, (n) => client.getTask({ taskId: idOf(n), values: true }))
    add(`explain ${type}`, (n) => client.explainTask({ taskId: idOf(n) }))
  }
  add('get long', () => client.getTask({ taskId: long, values: true }))
  add('explain long', () => client.explainTask({ taskId: long }))
  add('steps of 2,000', () => client.listSteps({ taskId: long, values: true }))
  add('messages, 1,000', () => client.listMessages({ taskId: long, values: true }))
  const { checkpoints } = await client.listCheckpoints({ taskId: long })
  const last = checkpoints.at(-1)?.checkpointId ?? ''
  const first = checkpoints[0]?.checkpointId ?? ''
  add('checkpoints, 100', () => client.listCheckpoints({ taskId: long }))
  add('checkpoint', () => client.getCheckpoint({ taskId: long, checkpointId: last, values: true }))
  add('diff', () => client.diffCheckpoints({ taskId: long, checkpointId: last, from: first, values: true }))
  add('questions', async () => client.listQuestions({ taskId: long, values: true }))
  add('children, 100', () => client.listChildren({ taskId: parent }))
  add('audit()', () => client.audit())
  add('audit({ limit: 10000 })', () => client.audit({ limit: 10_000 }))
  add('audit({ since })', () => client.audit({ since: middle }))
  add('audit({ taskId })', () => client.audit({ taskId: long, limit: 10_000 }))
  add('info', () => client.info())
  add('stats', () => client.stats())
  add('health', () => client.health())
  add('recovery', () => client.recovery())
  add('lastRecovery', () => client.lastRecovery())
  add('events, snapshot', () => snapshotOf(client))
  add('events of a task, snapshot', () => snapshotOf(client, long))
  const dryRun = true
  add('cancelMany, dry run', () => client.cancelTasks({ all: true, dryRun }))
  add('retryMany, dry run', () => client.retryTasks({ all: true, dryRun }))
  add('resumeMany, dry run', () => client.resumeTasks({ all: true, dryRun }))
  add('deleteMany, dry run', () => client.deleteTasks({ all: true, dryRun }))
  add('cancelMany({ type: busy }), dry run', () => client.cancelTasks({ type: 'busy', dryRun }))
  add('resumeMany({ type: gone }), dry run', () => client.resumeTasks({ type: 'gone', dryRun }))
  return all
}

/** @param {import('holdfast/operator').OperatorClient} client @param {string} [taskId] */
async function snapshotOf(client, taskId) {
  const feed = client.events(taskId === undefined ? {} : { taskId })
  await feed.next()
  await feed.return()
}

/** @param {'fill' | 'hold'} role */
function start(role) {
  const file = fileURLToPath(new URL('holder.mjs', import.meta.url))
  const child = fork(file, [role, dir, String(tasks)], {
    execArgv: process.execArgv,
    env: { ...process.env, HOLDFAST_LOG: 'error' },
  })
  const stop = () => child.kill('SIGKILL')
  process.once('exit', stop)
  child.once('exit', (code, signal) => {
    process.off('exit', stop)
    if (code !== 0 && signal !== 'SIGKILL') throw new Error(`The process for '${role}' ended with ${code ?? signal}`)
  })
  return child
}

/** @param {Record<string, any>} line */
function print(line) {
  if (values.json || !('call' in line)) return console.log(JSON.stringify(line))
  const { call, ...figures } = line
  const times = Object.values(figures)
    .map((ms) => Number(ms).toFixed(1).padStart(8))
    .join('')
  console.log(`${times}  ${call}`)
}
