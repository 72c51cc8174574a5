/**
 * W8: memory of 10,000 live tasks, each in the middle of a step, and of 100,000 sleeping tasks that are unloaded. The heap is
 * read after garbage collections (`--expose-gc`), less what it was before the first task. The RSS of the sleeping tasks is read
 * directly after their start, and again when the process was idle for a minute.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, Holdfast } from 'holdfast'
import { parameters, say, scaled } from './common.mjs'

const LIVE = 10_000
const ASLEEP = 100_000
const AT_ONCE = 500
// V8 collects garbage in an idle process by itself, after half a minute, and gives the freed pages back.
const REST_MS = 60_000

const given = parameters()
const own = mkdtempSync(join(given.dir, 'w8-'))
const collect = () => {
  const { gc } = globalThis
  if (!gc) throw new Error('Run it with --expose-gc')
  gc()
  gc()
  return process.memoryUsage().heapUsed
}

let entered = 0
const live = defineTask({ name: 'live' }, (task) =>
  task.step('wait', () => {
    entered++
    return new Promise(() => {})
  }),
)
const asleep = defineTask({ name: 'asleep' }, (task) => task.sleep('night', '1d'))

if (given.part === 'live') await measureLive(scaled(LIVE, given.scale))
else await measureAsleep(scaled(ASLEEP, given.scale))
rmSync(own, { recursive: true, force: true, maxRetries: 5 })
process.exit()

/** @param {number} tasks */
async function measureLive(tasks) {
  const holdfast = await Holdfast.open({ dir: join(own, 'live'), tasks: [live], concurrency: tasks })
  const before = collect()
  await startAll(holdfast, live, tasks)
  while (entered < tasks) await delay(10)
  const heapBytesPerTask = (collect() - before) / tasks
  say({ call: 'live', tasks, heapBytesPerTask, rssMb: process.memoryUsage.rss() / 1e6 })
}

/** @param {number} tasks */
async function measureAsleep(tasks) {
  const options = { dir: join(own, 'asleep'), tasks: [asleep], unloadAfter: 0, limits: { liveTasksMax: tasks + 1 } }
  const first = await Holdfast.open(options)
  const before = collect()
  await startAll(first, asleep, tasks)
  await untilUnloaded(first)
  const heapBytesPerTask = (collect() - before) / tasks
  say({ call: 'asleep', tasks, heapBytesPerTask, rssMb: process.memoryUsage.rss() / 1e6, ...(await callsOf(first)) })
  await delay(REST_MS * given.scale)
  say({ call: 'asleep for a minute', tasks, heapBytesPerTask, rssMb: process.memoryUsage.rss() / 1e6 })
  await first.close()

  const beforeOpen = collect()
  const startedAt = performance.now()
  const second = await Holdfast.open(options)
  const openMs = performance.now() - startedAt
  await second.recovery.done
  await untilUnloaded(second)
  const recoveredMs = performance.now() - startedAt
  const afterOpen = (collect() - beforeOpen) / tasks
  const opened = { openMs, recoveredMs, heapBytesPerTask: afterOpen, rssMb: process.memoryUsage.rss() / 1e6 }
  say({ call: 'asleep, opened again', tasks, ...opened, ...(await callsOf(second)) })
}

/** @param {Holdfast} holdfast @param {import('holdfast').TaskDefinition<any, any>} definition @param {number} tasks */
async function startAll(holdfast, definition, tasks) {
  for (let n = 0; n < tasks; n += AT_ONCE) {
    const count = Math.min(AT_ONCE, tasks - n)
    await Promise.all(Array.from({ length: count }, () => holdfast.start(definition, {})))
  }
}

/** @param {Holdfast} holdfast */
async function untilUnloaded(holdfast) {
  while ((await holdfast.stats()).loadedRuns > 0) await delay(50)
}

/** @param {Holdfast} holdfast */
async function callsOf(holdfast) {
  const timed = async (/** @type {() => Promise<unknown>} */ act) => {
    const startedAt = performance.now()
    await act()
    return performance.now() - startedAt
  }
  return {
    statsMs: await timed(() => holdfast.stats()),
    listCompletedMs: await timed(() => holdfast.list({ status: 'completed' })),
  }
}
