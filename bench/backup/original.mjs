/**
 * The process with the original of the trial of backups: it makes the tasks, keeps them under load, and makes a backup of its
 * store for each message.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Holdfast, silentLogger } from 'holdfast'
import { createBackup } from 'holdfast/admin'
import { watchLoop } from '../operator/watch-loop.mjs'
import { forEachOf, trialTasks } from './tasks.mjs'

const CLIENTS = 16
const PAUSE_MS = 5
// While a copy runs, so that the store grows by what is measured.
const PAUSE_MS_BESIDE = 200
const ECHO_EVERY = 10
const [dir = '', tasks = ''] = process.argv.slice(2)

/** Number of steps of each task whose end is known here. @type {Map<string, number>} */
const steps = new Map()
/** Clients that wait for the end of a step, by task. @type {Map<string, () => void>} */
const waiting = new Map()
/** Calls since the last backup began: what each key stands for. @type {Map<string, string>} */
let calls = new Map()
/** @type {number[]} */
let times = []
/** Tasks of one step that have ended since the last backup began. @type {string[]} */
let echoes = []
const faults = /** @type {string[]} */ ([])

const { walk, echo, definitions } = trialTasks({
  called(key, effect) {
    if (calls.has(key)) faults.push(`the original called ${effect} twice`)
    calls.set(key, effect)
  },
  ended(taskId, count, ms) {
    steps.set(taskId, count)
    times.push(ms)
    waiting.get(taskId)?.()
    waiting.delete(taskId)
  },
})
const limits = { liveTasksMax: 2 * Number(tasks) + 1_000 }
const holdfast = await Holdfast.open({ dir, tasks: definitions, limits, logger: silentLogger })
const all = Array.from({ length: Number(tasks) })
await forEachOf(all, async () => {
  const { taskId } = await holdfast.start(walk, undefined)
  steps.set(taskId, 0)
})
const taskIds = [...steps.keys()]
const longest = watchLoop()

let next = 0
let isLoaded = false
let pauseMs = PAUSE_MS
/** @type {Promise<void>[]} */
let clients = []

async function client() {
  for (let turn = 1; isLoaded; turn++) {
    const taskId = taskIds[next++ % taskIds.length] ?? ''
    // A client may still wait for the step of a task whose turn is here again.
    if (!waiting.has(taskId)) await advance(taskId, { n: steps.get(taskId) })
    if (turn % ECHO_EVERY === 0) {
      const { taskId: id } = await holdfast.start(echo, undefined)
      if ((await holdfast.result(id)) !== id) faults.push(`${id} has another result`)
      echoes.push(id)
    }
    await delay(pauseMs)
  }
}

/** Sends a message, and waits for its step. @param {string} taskId @param {object} message */
async function advance(taskId, message) {
  const ended = new Promise((resolve) => waiting.set(taskId, () => resolve(undefined)))
  await holdfast.send(taskId, 'go', message)
  await ended
}

/** Collects the garbage that the load left, which is no part of a measure without load. */
function collectGarbage() {
  if (!isLoaded) globalThis.gc?.()
}

/** @type {Record<string, (given: any) => Promise<object>>} */
const acts = {
  /** Begins or ends the load, or makes it small. */
  async load({ on, isSmall }) {
    pauseMs = isSmall ? PAUSE_MS_BESIDE : PAUSE_MS
    if (on && isLoaded) return {}
    isLoaded = on
    if (on) clients = Array.from({ length: CLIENTS }, client)
    else await Promise.all(clients)
    return {}
  },
  /** Watches for a while. */
  async watch({ ms }) {
    collectGarbage()
    await delay(10)
    longest()
    times = []
    await delay(ms)
    return { ms, times, ...longest() }
  },
  /** Makes a backup, and notes what was acknowledged before it. */
  async backup({ file }) {
    const acknowledged = { steps: Object.fromEntries(steps), echoes }
    echoes = []
    calls = new Map()
    collectGarbage()
    // What this function did in the same tick is no part of the backup.
    await delay(10)
    longest()
    times = []
    const from = performance.now()
    const { commit, records, bytes, verification } = await createBackup({ holdfast, file })
    const ms = performance.now() - from
    const rssMb = Math.round(process.memoryUsage.rss() / 1e6)
    return { ms, times, ...longest(), rssMb, commit, records, bytes, isSound: verification.isSound, acknowledged }
  },
  /** Compares the calls of a copy with those of this process since its backup. */
  async compare({ called }) {
    const effects = new Map([...calls].map(([key, effect]) => [effect, key]))
    let same = 0
    for (const [key, effect] of called) {
      if (effects.get(effect) === key) same++
      else if (effects.has(effect)) faults.push(`the copy called ${effect} under another key`)
      else if (calls.has(key)) faults.push(`the copy used the key of ${calls.get(key)} for ${effect}`)
    }
    return { same }
  },
  /** Ends every task. */
  async finish() {
    await forEachOf(taskIds, async (taskId) => {
      const before = steps.get(taskId) ?? 0
      await holdfast.send(taskId, 'go', { isLast: true })
      const result = await holdfast.result(taskId)
      if (result !== before + 1) faults.push(`${taskId} ended with ${result} in place of ${before + 1}`)
    })
    await holdfast.close()
    return { faults }
  },
}
process.on('message', async (/** @type {{ act: string }} */ message) => {
  process.send?.(await acts[message.act]?.(message))
})
process.once('disconnect', () => process.exit())
process.send?.({ tasks: taskIds.length })
