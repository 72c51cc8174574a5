/**
 * W7: the latency of `tools/list` over MCP while the server runs 500 tasks, each with a step that waits 250 ms, again and
 * again for a while; and the same for the idle server.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { besideLimit, parameters, percentile, say, scaled } from './common.mjs'
import { connect, startServer } from './mcp-client.mjs'

const TASKS = 500
const MS = 5_000

const given = parameters()
const own = mkdtempSync(join(given.dir, 'w7-'))
const server = await startServer(own)
const send = await connect(server.port, '2025-11-25', 'durable')
const tasks = scaled(TASKS, given.scale)
const ms = scaled(MS, given.scale, 300)

/** @param {number} count */
async function measure(count) {
  let isOver = false
  const running = server.runTasks(count, ms).finally(() => {
    isOver = true
  })
  /** @type {number[]} */
  const times = []
  while (!isOver) {
    const begun = performance.now()
    await send('tools/list', {})
    times.push(performance.now() - begun)
  }
  const figures = await running
  return { ...figures, calls: times.length, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) }
}

await measure(tasks)
for (let rep = 0; rep < given.reps; rep++) {
  const figures = await besideLimit(given, async () => {
    const idle = await measure(0)
    const busy = await measure(tasks)
    return {
      tasks,
      idleP50Ms: idle.p50Ms,
      idleP99Ms: idle.p99Ms,
      p50Ms: busy.p50Ms,
      p99Ms: busy.p99Ms,
      idleLoopDelayP99Ms: idle.loopDelayP99Ms,
      loopDelayP99Ms: busy.loopDelayP99Ms,
      loopDelayMaxMs: busy.loopDelayMaxMs,
      rounds: busy.rounds,
    }
  })
  say(figures)
}
await server.stop()
rmSync(own, { recursive: true, force: true, maxRetries: 5 })
process.exit()
