/**
 * W4, second part: what calls cost in a store that has been filled: W2, `open`, `get`, `list` with every filter, `stats`
 * and `audit`. Each call is made `CALLS` times, or for 10 s; the first call of a kind counts like the others.
 */
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { defineTask, Holdfast } from 'holdfast'
import { besideLimit, parameters, percentile, prefixed, say, scaled, stepResults, timed } from './common.mjs'
import { countLevelCalls } from './level-counts.mjs'
import { FILTERS } from './w4-template.mjs'

const CALLS = 30
const CALLS_MS_MAX = 10_000
const STEPS = 5
const IN_FLIGHT = 100
const COUNTED_TASKS = 15

const given = parameters()
const result = stepResults()
const bench = defineTask({ name: 'bench' }, async (task) => {
  for (let step = 0; step < STEPS; step++) await task.step('step', () => result(step))
})
const takeCounts = countLevelCalls()

const startedAt = performance.now()
const holdfast = await Holdfast.open({ dir: join(given.dir, 'store'), tasks: [bench] })
const openMs = performance.now() - startedAt
const openCounts = takeCounts()

const { completed, failed, cancelled } = (await holdfast.stats()).tasks
const settledByStats = completed + failed + cancelled
// A store without settled tasks gets a few, or there would be nothing to get.
for (let n = 0; n < 10; n++) await run()
const [{ taskId } = { taskId: '' }] = (await holdfast.list({ limit: 1 })).tasks
const { tasks: settledTasks } = await holdfast.list({ limit: 1_000 })
const middle = Math.round(((settledTasks[0]?.createdAt ?? 0) + Date.now()) / 2)
const parentId = settledTasks.find((task) => task.type === FILTERS.rare)?.taskId ?? taskId

const { owner, common, rare, absent } = FILTERS
/** The filters of `list`, alone and together. @type {Record<string, object>} */
const LISTS = {
  'list()': {},
  "list({ status: 'completed' })": { status: 'completed' },
  "list({ status: 'failed' })": { status: 'failed' },
  "list({ status: 'cancelled' })": { status: 'cancelled' },
  "list({ status: 'running' })": { status: 'running' },
  "list({ status: ['failed', 'cancelled'] })": { status: ['failed', 'cancelled'] },
  'list({ type }), common': { type: common },
  'list({ type }), rare': { type: rare },
  'list({ type }), absent': { type: absent },
  'list({ owner })': { owner },
  'list({ owner }), absent': { owner: 'owner-absent' },
  "list({ owner, status: 'failed' })": { owner: 'owner-7', status: 'failed' },
  'list({ owner, type }), absent': { owner, type: absent },
  "list({ type, status: 'failed' })": { type: common, status: 'failed' },
  "list({ type, status: 'failed' }), absent": { type: rare, status: 'failed' },
  "list({ owner, type, status: 'failed' }), absent": { owner, type: common, status: 'failed' },
  'list({ parent })': { parent: parentId },
  'list({ parent }), absent': { parent: `task-${'0'.repeat(36)}` },
  'list({ createdAfter })': { createdAfter: middle },
  'list({ createdBefore })': { createdBefore: middle },
  "list({ createdBefore, status: 'failed' })": { createdBefore: middle, status: 'failed' },
  "list({ order: 'newest' })": { order: 'newest' },
  "list({ order: 'newest', status: 'failed' })": { order: 'newest', status: 'failed' },
  "list({ order: 'newest', owner })": { order: 'newest', owner },
}

say({ openMs, ...prefixed('open', openCounts), settledByStats })
await measure('get()', () => holdfast.get(taskId))
await measure('stats()', () => holdfast.stats())
await measure('audit({ taskId })', () => holdfast.audit({ taskId }))
await measure('audit({ since })', () => holdfast.audit({ since: Date.now() - 10_000, limit: 100 }))
await measure('audit()', () => holdfast.audit())
for (const [name, filter] of Object.entries(LISTS)) {
  await measure(name, () => holdfast.list(filter))
}
const { cursor } = await holdfast.list({ limit: 5 })
if (cursor) await measure('list({ cursor })', () => holdfast.list({ cursor }))

const tasks = scaled(1_000, given.scale)
for (let rep = 0; rep < given.reps; rep++) {
  const w2 = await besideLimit(given, async () => {
    let started = 0
    const client = async () => {
      for (; started < tasks; ) {
        started++
        await run()
      }
    }
    const { ms, cpuMicros } = await timed(async () => {
      await Promise.all(Array.from({ length: IN_FLIGHT }, client))
    })
    return { tasksPerSecond: (tasks / ms) * 1_000, cpuMicrosPerTask: cpuMicros / tasks }
  })
  if (rep === given.reps - 1) say({ call: 'W2', ...w2 })
}

/** @type {Record<string, number[]>} */
const counted = {}
for (let n = 0; n < COUNTED_TASKS; n++) {
  takeCounts()
  await run()
  for (const [name, count] of Object.entries(takeCounts())) {
    counted[name] = counted[name] ?? []
    counted[name].push(count)
  }
}
const medians = Object.entries(counted).map(([name, values]) => [name, percentile(values, 0.5)])
say({ call: 'task', ...Object.fromEntries(medians) })
say({ rssMb: process.memoryUsage.rss() / 1e6 })
await holdfast.close()
process.exit()

async function run() {
  const started = await holdfast.start(bench, {})
  await holdfast.result(started.taskId)
}

/** @param {string} call @param {() => Promise<unknown>} act */
async function measure(call, act) {
  const RESOLUTION_MS = 1
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  /** @type {number[]} */
  const times = []
  takeCounts()
  delay.enable()
  const until = performance.now() + CALLS_MS_MAX
  while (times.length < CALLS && performance.now() < until) {
    const begun = performance.now()
    await act()
    times.push(performance.now() - begun)
  }
  // A call that takes no whole turn of the timer is not seen by it.
  await new Promise((resolve) => setTimeout(resolve, 5))
  delay.disable()
  const { reads, readKeys } = takeCounts()
  say({
    call,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    loopDelayMaxMs: Math.max(0, delay.max / 1e6 - RESOLUTION_MS),
    reads: reads / times.length,
    readKeys: readKeys / times.length,
  })
}
