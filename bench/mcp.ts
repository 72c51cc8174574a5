/**
 * `npm run bench:mcp`: what the 2025-11-25 binding costs. `tools/call` of a durable tool of one step over HTTP, against
 * the same tool without Holdfast, in one server process, in turns; so the ratios hold on any machine with such a disk.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const REPS = 5
const ONE_BY_ONE = 300
const AT_ONCE = 1_500
const CLIENTS = 32
const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

const project = fileURLToPath(new URL('..', import.meta.url))
if (!existsSync(join(project, 'dist/mcp'))) throw new Error('There is no dist/ to measure. Run `npm run build` first.')
mkdirSync(join(project, '.holdfast'), { recursive: true })
const dir = mkdtempSync(join(project, '.holdfast', 'bench-mcp-'))
const server = fork(fileURLToPath(new URL('./workloads/mcp-server.mjs', import.meta.url)), [dir])
const [port] = (await once(server, 'message')) as [number]

/** A session, as far as a bench needs one. */
async function connect(path: string): Promise<(n: number) => Promise<void>> {
  const url = `http://127.0.0.1:${port}/${path}`
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'bench', version: '1' } }
  const post = (body: object, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: 'POST',
      headers: { ...HEADERS, ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', ...body }),
    })
  const answer = await post({ id: 0, method: 'initialize', params })
  await answer.text()
  const session = { 'mcp-session-id': answer.headers.get('mcp-session-id') ?? '', 'mcp-protocol-version': '2025-11-25' }
  await (await post({ method: 'notifications/initialized' }, session)).text()
  return async (n) => {
    const call = { id: n, method: 'tools/call', params: { name: 'work', arguments: { n } } }
    const text = await (await post(call, session)).text()
    if (!text.includes(`"structuredContent":{"n":${n + 1}}`)) throw new Error(`Unexpected: ${text.slice(0, 300)}`)
  }
}

let calls = 1
async function measure(path: string): Promise<{ p50Ms: number; perSecond: number }> {
  const call = await connect(path)
  const times: number[] = []
  for (let n = 0; n < ONE_BY_ONE; n++) {
    const began = performance.now()
    await call(calls++)
    times.push(performance.now() - began)
  }
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(path)))
  let left = AT_ONCE
  const began = performance.now()
  await Promise.all(
    clients.map(async (call) => {
      while (left-- > 0) await call(calls++)
    }),
  )
  return { p50Ms: median(times), perSecond: (AT_ONCE / (performance.now() - began)) * 1_000 }
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN
}

const plain: { p50Ms: number; perSecond: number }[] = []
const durable: typeof plain = []
await measure('plain')
await measure('durable')
for (let rep = 0; rep < REPS; rep++) {
  plain.push(await measure('plain'))
  durable.push(await measure('durable'))
}
const of = (all: typeof plain, figure: 'p50Ms' | 'perSecond') => median(all.map((one) => one[figure]))
const show = (value: number) => value.toPrecision(3)
console.log(`tools/call over HTTP, one step; medians of ${REPS}; Node ${process.versions.node}`)
console.log(
  `  p50, one by one       ${show(of(durable, 'p50Ms'))} ms durable, ${show(of(plain, 'p50Ms'))} ms plain: ${show(of(durable, 'p50Ms') / of(plain, 'p50Ms'))} ×`,
)
console.log(
  `  ${CLIENTS} clients at once    ${show(of(durable, 'perSecond'))} calls/s durable, ${show(of(plain, 'perSecond'))} plain: ${show(of(durable, 'perSecond') / of(plain, 'perSecond'))} of it`,
)
server.kill('SIGKILL')
await once(server, 'exit')
rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
