/**
 * W6: `tools/call` of a durable tool of one step, and of one of one function, over Streamable HTTP, end to end, and in turns
 * the same tool on a bare server of the SDK's in the same process. With 1, 32 and 200 clients, each of which sends a call once it has the last answer.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { besideLimit, parameters, percentile, prefixed, say, scaled } from './common.mjs'
import { callTool, connect, startServer } from './mcp-client.mjs'

const REVISIONS = /** @type {const} */ (['2025-11-25', '2026-07-28'])
const KINDS = /** @type {const} */ (['plain', 'durable', 'function'])
const CLIENTS = [1, 32, 200]
const CALLS = { 1: 300, 32: 1_500, 200: 2_000 }

const given = parameters()
const own = mkdtempSync(join(given.dir, 'w6-'))
const server = await startServer(own)
let calls = 1

/** Clients by revision and kind: a session of 2025-11-25 is opened once. @type {Map<string, import('./mcp-client.mjs').Send[]>} */
const known = new Map()

/** @param {import('./mcp-client.mjs').Revision} revision @param {import('./mcp-client.mjs').Kind} kind @param {number} count */
async function clientsOf(revision, kind, count) {
  const clients = known.get(`${revision} ${kind}`) ?? []
  known.set(`${revision} ${kind}`, clients)
  while (clients.length < count) clients.push(await connect(server.port, revision, kind))
  return clients.slice(0, count)
}

/** @param {import('./mcp-client.mjs').Revision} revision @param {(typeof KINDS)[number]} kind @param {number} count */
async function measure(revision, kind, count) {
  const clients = await clientsOf(revision, kind === 'plain' ? kind : 'durable', count)
  const tool = kind === 'function' ? `function_${revision}` : 'work'
  const total = scaled(CALLS[/** @type {1} */ (count)], given.scale, count)
  let left = total
  /** @type {number[]} */
  const times = []
  const startedAt = performance.now()
  await Promise.all(
    clients.map(async (send) => {
      while (left-- > 0) {
        const begun = performance.now()
        await callTool(send, tool, calls++)
        times.push(performance.now() - begun)
      }
    }),
  )
  const callsPerSecond = (total / (performance.now() - startedAt)) * 1_000
  return { callsPerSecond, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) }
}

// Code that is not compiled yet would be measured for whatever comes first.
for (const revision of REVISIONS) for (const kind of KINDS) await measure(revision, kind, 32)
for (let rep = 0; rep < given.reps; rep++) {
  for (const revision of REVISIONS) {
    for (const clients of CLIENTS) {
      const order = rep % 2 === 0 ? KINDS : KINDS.toReversed()
      const figures = await besideLimit(given, async () => {
        /** @type {Record<string, Record<string, number>>} */
        const measured = {}
        for (const kind of order) measured[kind] = await measure(revision, kind, clients)
        return {
          ...measured['durable'],
          ...prefixed('function', measured['function']),
          ...prefixed('bare', measured['plain']),
        }
      })
      say({ call: `${revision}, ${clients} ${clients === 1 ? 'client' : 'clients'}`, ...figures })
    }
  }
}
await server.stop()
rmSync(own, { recursive: true, force: true, maxRetries: 5 })
process.exit()
