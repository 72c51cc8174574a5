/**
 * `npm run trial:collector`: sends spans and metrics to a receiver of OTLP, which is a process of another project, and reads
 * them back from it: names, parents, and links over a `kill -9`. It needs the network once, to install the receiver.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const UP_MS_MAX = 30_000

/**
 * A span, as the receiver returns it.
 * @typedef {object} Span
 * @property {string} traceId
 * @property {string} spanId
 * @property {string} [parentSpanId]
 * @property {string} name
 * @property {{ traceId: string, spanId: string }[]} [links]
 * @property {Record<string, unknown>} attributes
 */

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-collector-'))
const port = await freePort()
const receiver = `http://127.0.0.1:${port}`
// The receiver needs Node 22, for its SQLite.
const node = here('node_modules/node-22/bin/node')
const options = ['--port', `${port}`, '--grpc-port', `${await freePort()}`]
const child = spawn(node, [here('node_modules/autotel-devtools/dist/cli.js'), ...options], {
  cwd: folder,
  stdio: 'ignore',
})
process.once('exit', () => child.kill('SIGKILL'))
try {
  await up()
  assert.equal(await serve('kill'), 'SIGKILL')
  assert.equal(await serve('finish'), null)
  const spans = await readSpans()
  assertSpans(spans)
  const metrics = await readMetrics()
  assertMetrics(metrics)
  console.log(JSON.stringify({ spans: countsOf(spans), metrics }, null, 2))
} finally {
  child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

/** @param {Span[]} spans */
function assertSpans(spans) {
  const [create] = named(spans, 'task.create')
  const [client] = named(spans, 'client request')
  assert.ok(create && client)
  assert.deepEqual([create.traceId, create.parentSpanId], [client.traceId, client.spanId])
  const runs = named(spans, 'holdfast.task.run')
  // The run that was killed has not ended, so its span was never sent.
  assert.equal(runs.length, 1)
  const [run] = /** @type {[Span]} */ (runs)
  assert.deepEqual(
    run.links?.map(({ traceId, spanId }) => ({ traceId, spanId })),
    [{ traceId: create.traceId, spanId: create.spanId }],
  )
  assert.notEqual(run.traceId, create.traceId)
  assert.equal(run.attributes['holdfast.task.id'], create.attributes['holdfast.task.id'])
  assert.equal(run.attributes['holdfast.run.recovered'], true)
  assert.equal(run.attributes['holdfast.run.replayed_steps'], 1)
  const steps = named(spans, 'holdfast.step')
  assert.deepEqual(steps.map(({ attributes }) => attributes['holdfast.step.name']).sort(), ['one', 'two'])
  const [two] = steps.filter(({ attributes }) => attributes['holdfast.step.name'] === 'two')
  const [complete] = named(spans, 'task.complete')
  for (const span of [two, complete]) assert.deepEqual([span?.traceId, span?.parentSpanId], [run.traceId, run.spanId])
  assert.equal(named(spans, 'holdfast.checkpoint.save').length, 1)
  assert.equal(named(spans, 'holdfast.recover').length, 2)
}

/** @param {string[]} metrics */
function assertMetrics(metrics) {
  for (const name of [
    'task.duration',
    'step.duration',
    'commit.duration',
    'commit.batch_size',
    'queue.wait',
    'tasks',
    'store.bytes',
  ])
    assert.ok(metrics.includes(`holdfast.${name}`), `The receiver has no metric holdfast.${name}`)
}

/** @param {Span[]} spans @param {string} name */
function named(spans, name) {
  return spans.filter((span) => span.name === name)
}

/** @param {Span[]} spans */
function countsOf(spans) {
  const names = [...new Set(spans.map(({ name }) => name))].sort()
  return Object.fromEntries(names.map((name) => [name, named(spans, name).length]))
}

/** Runs the server. Returns the signal that ended it. @param {'kill' | 'finish'} mode */
async function serve(mode) {
  const dist = new URL('../../dist', import.meta.url).href
  const args = [here('server.mjs'), dist, join(folder, 'store'), receiver, mode]
  const [code, signal] = await once(spawn(process.execPath, args, { stdio: 'inherit' }), 'exit')
  assert.ok(signal || code === 0, `The server ended with ${code}`)
  return signal
}

/** @returns {Promise<Span[]>} */
async function readSpans() {
  const { traces } = await fetchJson('/v1/traces')
  return traces.flatMap((/** @type {{ spans: Span[] }} */ one) => one.spans)
}

/** Names of the metrics. @returns {Promise<string[]>} */
async function readMetrics() {
  const { metrics } = await fetchJson('/api/metrics')
  const names = metrics.map((/** @type {{ name: string }} */ { name }) => name)
  return [.../** @type {Set<string>} */ (new Set(names))].sort()
}

/** @param {string} path */
async function fetchJson(path) {
  const response = await fetch(`${receiver}${path}`)
  assert.equal(response.status, 200, path)
  return response.json()
}

async function up() {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const isUp = await fetch(`${receiver}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isUp) return
    assert.ok(waitedMs < UP_MS_MAX && child.exitCode === null, 'The receiver did not start')
    await delay(50)
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}
