/**
 * Measures how many waiting tasks a small heap holds: `npm run bench:sleepers` (about two minutes; builds the package).
 *
 *   due   15,000 tasks sleep until one instant, at which the server is down. It starts with a heap of 120 MB.
 *   loop  20,000 tasks sleep for 5 s, again and again, for a minute, in a heap of 120 MB.
 *
 * In both, tasks of another owner are started meanwhile. The exit code is 1 if the process dies, a sleeper is not woken,
 * the first one wakes later than 2 s after the call of `open`, or another owner's task begins later than 1 s after its start.
 *
 *   npm run bench:sleepers -- --only due --tasks 100000 --heap 0 --concurrency 100      (--heap 0: Node's default)
 *   other options: --seconds 60 (of `loop`), --dir /mnt/disk/bench (default: .holdfast/ of the project)
 *
 * Each part is a process of plain Node, whose memory is its own. Peaks of the heap are samples, one each 20 ms.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { defineTask, Holdfast } from 'holdfast'

const FIRST_WAKE_MS_MAX = 2_000
const OTHER_OWNER_MS_MAX = 1_000

/** Called when the other owner's task of that number begins. @type {Map<number, () => void>} */
const begunOthers = new Map()

/** @typedef {{ dir: string, tasks: number, concurrency: number, due: number, seconds: number }} Parameters */
/** @typedef {{ [figure: string]: number | string | null }} Figures */
/** @typedef {import('holdfast').TaskDefinition<any, any>} Definition */

const [role, told] = process.argv.slice(2)
if (role === 'make') await make(JSON.parse(told ?? ''))
else if (role === 'wake') await wake(JSON.parse(told ?? ''))
else if (role === 'loop') await loop(JSON.parse(told ?? ''))
else await measure()

// --- the parts, each a process of its own -------------------------------------------------------------------------

/** Makes tasks that sleep until one instant, and says when all of them do. Then it waits to be killed. @param {Parameters} told */
async function make({ dir, tasks, due, concurrency }) {
  let begun = 0
  const { sleeper } = definitions({ due, onBegin: () => begun++ })
  const holdfast = await Holdfast.open({ dir, tasks: [sleeper], concurrency, durability: 'buffered' })
  await startAll(holdfast, sleeper, tasks)
  while (begun < tasks) await delay(50)
  await delay(1_000)
  say({ made: begun, at: Date.now() })
  await delay(1_000_000)
}

/** Wakes the tasks that came due while nobody was there, and says how that went. @param {Parameters} told */
async function wake({ dir, tasks, due, concurrency }) {
  const peak = watchMemory()
  const woken = { count: 0, firstMs: Number.NaN, firstCpuMs: Number.NaN, allMs: Number.NaN }
  const begunAt = performance.now()
  const { sleeper, other } = definitions({
    due,
    onWake: () => {
      woken.count++
      if (woken.count === 1) {
        woken.firstMs = performance.now() - begunAt
        woken.firstCpuMs = cpuMs()
      }
      if (woken.count === tasks) woken.allMs = performance.now() - begunAt
    },
  })
  const holdfast = await Holdfast.open({ dir, tasks: [sleeper, other], concurrency, limits: limitsFor(tasks) })
  const openMs = performance.now() - begunAt
  const others = startOthers(holdfast, other, 200)
  while (woken.count < tasks) {
    say({
      woken: woken.count,
      openMs,
      firstWakeMs: woken.firstMs,
      firstWakeCpuMs: woken.firstCpuMs,
      ...peak(),
      ...others(),
    })
    await delay(200)
  }
  say({
    woken: woken.count,
    openMs,
    firstWakeMs: woken.firstMs,
    firstWakeCpuMs: woken.firstCpuMs,
    allWokenMs: woken.allMs,
    ...peak(),
    ...others(),
  })
  process.disconnect()
  process.exit()
}

/** Lets tasks sleep in a loop, and says how that goes. @param {Parameters} told */
async function loop({ dir, tasks, seconds, concurrency }) {
  const peak = watchMemory()
  let naps = 0
  const { napper, other } = definitions({ onNap: () => naps++ })
  const holdfast = await Holdfast.open({ dir, tasks: [napper, other], concurrency, limits: limitsFor(tasks) })
  await startAll(holdfast, napper, tasks)
  const others = startOthers(holdfast, other, 1_000)
  const until = performance.now() + seconds * 1_000
  const before = naps
  while (performance.now() < until) {
    await delay(200)
    say({ naps: naps - before, napsPerSecond: 0, ...peak(), ...others() })
  }
  say({ naps: naps - before, napsPerSecond: Math.round((naps - before) / seconds), ...peak(), ...others() })
  process.disconnect()
  process.exit()
}

/** @param {Figures} figures */
function say(figures) {
  process.send?.(figures)
}

function definitions({ due = 0, onBegin = () => {}, onWake = () => {}, onNap = () => {} } = {}) {
  return {
    sleeper: defineTask({ name: 'sleeper' }, async (task) => {
      onBegin()
      await task.sleepUntil('due', new Date(due))
      onWake()
    }),
    napper: defineTask({ name: 'napper' }, async (task) => {
      for (;;) {
        await task.sleep('nap', '5s')
        onNap()
      }
    }),
    other: defineTask({ name: 'other' }, async (_, /** @type {number} */ n) => {
      begunOthers.get(n)?.()
    }),
  }
}

/** Room for another owner's tasks beside those. @param {number} tasks */
function limitsFor(tasks) {
  return { liveTasksMax: Math.max(100_000, 2 * tasks) }
}

/** @param {Holdfast} holdfast @param {Definition} definition @param {number} tasks */
async function startAll(holdfast, definition, tasks) {
  for (let n = 0; n < tasks; n += 500) {
    const count = Math.min(500, tasks - n)
    await Promise.all(Array.from({ length: count }, () => holdfast.start(definition, null, { owner: 'crowd' })))
  }
}

/**
 * Starts a task of another owner, again and again. Returns how to ask how long the slowest took to begin.
 * @param {Holdfast} holdfast @param {Definition} definition @param {number} everyMs
 */
function startOthers(holdfast, definition, everyMs) {
  let slowestMs = 0
  let count = 0
  /** @type {number | undefined} */
  let startedAt
  const go = async () => {
    for (let n = 0; ; n++) {
      startedAt = performance.now()
      const begun = /** @type {Promise<void>} */ (new Promise((resolve) => begunOthers.set(n, resolve)))
      await holdfast.start(definition, n, { owner: `other-${n}` })
      await begun
      begunOthers.delete(n)
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      startedAt = undefined
      count++
      await delay(everyMs)
    }
  }
  go().catch((error) => {
    console.error(error)
    process.exit(1)
  })
  return () => {
    const waits = startedAt === undefined ? 0 : performance.now() - startedAt
    return { others: count, slowestOtherMs: Math.max(slowestMs, waits) }
  }
}

/** What the process has used of the processors since it was started. On a busy machine it says more than the clock. */
function cpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

function watchMemory() {
  let heapBytes = 0
  const timer = setInterval(() => {
    heapBytes = Math.max(heapBytes, process.memoryUsage().heapUsed)
  }, 20)
  timer.unref()
  return () => ({ peakHeapMb: heapBytes / 1e6, peakRssMb: process.resourceUsage().maxRSS / 1024, cpuMs: cpuMs() })
}

// --- the process that runs them -------------------------------------------------------------------------------------

async function measure() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      tasks: { type: 'string' },
      heap: { type: 'string', default: '120' },
      concurrency: { type: 'string' },
      seconds: { type: 'string', default: '60' },
      dir: { type: 'string', default: fileURLToPath(new URL('../.holdfast', import.meta.url)) },
    },
  })
  const heap = Number(values.heap)
  mkdirSync(values.dir, { recursive: true })
  const own = mkdtempSync(join(values.dir, 'sleepers-'))
  const settings = (/** @type {number} */ tasks, /** @type {number} */ concurrency) => ({
    tasks: Number(values.tasks ?? tasks),
    concurrency: Number(values.concurrency ?? concurrency),
  })
  let fails = 0
  try {
    if (values.only !== 'loop') fails += await measureDue(join(own, 'due'), heap, settings(15_000, 100))
    if (values.only !== 'due')
      fails += await measureLoop(join(own, 'loop'), heap, { ...settings(20_000, 50), seconds: Number(values.seconds) })
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
  process.exitCode = fails > 0 ? 1 : 0
}

/** @param {string} dir @param {number} heap @param {{ tasks: number, concurrency: number }} settings */
async function measureDue(dir, heap, { tasks, concurrency }) {
  const due = Date.now() + 10_000 + 2 * tasks
  const maker = start('make', { dir, tasks, due, concurrency }, 0)
  const [{ at }] = await once(maker, 'message')
  if (at > due) throw new Error(`They came due while they were made: this machine needs more than ${due - at} ms`)
  maker.kill('SIGKILL')
  await once(maker, 'exit')
  await delay(Math.max(0, due - Date.now()))
  const figures = await run('wake', { dir, tasks, due, concurrency }, heap)
  return report('due', { tasks, concurrency, heapMb: heap, ...figures }, [
    figures['code'] !== 0 && 'the process died',
    figures['woken'] !== tasks && 'not all are woken',
    !(Number(figures['firstWakeMs'] ?? Number.NaN) <= FIRST_WAKE_MS_MAX) && 'the first one woke late',
    !(Number(figures['slowestOtherMs'] ?? Number.NaN) <= OTHER_OWNER_MS_MAX) && 'a task of another owner began late',
  ])
}

/** @param {string} dir @param {number} heap @param {{ tasks: number, concurrency: number, seconds: number }} settings */
async function measureLoop(dir, heap, { tasks, concurrency, seconds }) {
  const figures = await run('loop', { dir, tasks, seconds, concurrency }, heap)
  return report('loop', { tasks, concurrency, heapMb: heap, seconds, ...figures }, [
    figures['code'] !== 0 && 'the process died',
    !(Number(figures['slowestOtherMs'] ?? Number.NaN) <= OTHER_OWNER_MS_MAX) && 'a task of another owner began late',
  ])
}

/**
 * Runs a part to its end. Returns what it said last, and how it ended.
 * @param {string} role @param {Partial<Parameters>} parameters @param {number} heap
 * @returns {Promise<Figures>}
 */
async function run(role, parameters, heap) {
  const child = start(role, parameters, heap)
  /** @type {Figures} */
  let last = {}
  child.on('message', (message) => {
    last = /** @type {Figures} */ (message)
  })
  const [code, signal] = await once(child, 'exit')
  return { ...last, code: code ?? signal }
}

/** @param {string} role @param {Partial<Parameters>} parameters @param {number} heap */
function start(role, parameters, heap) {
  const execArgv = heap > 0 ? [`--max-old-space-size=${heap}`] : []
  const child = fork(fileURLToPath(import.meta.url), [role, JSON.stringify(parameters)], { execArgv })
  const stop = () => child.kill('SIGKILL')
  process.once('exit', stop)
  child.once('exit', () => process.off('exit', stop))
  return child
}

/** @param {string} name @param {Figures} figures @param {(string | false)[]} findings */
function report(name, figures, findings) {
  const failed = findings.filter((finding) => finding !== false)
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [key, typeof value === 'number' ? Math.round(value) : value]),
  )
  console.log(`${name}: ${failed.length === 0 ? 'holds' : failed.join('; ')}`)
  console.log(JSON.stringify(rounded))
  return failed.length
}
