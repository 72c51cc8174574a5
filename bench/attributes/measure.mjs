/**
 * Measures lists by attributes in stores of 1,000 and 1,000,000 settled tasks: `node bench/attributes/measure.mjs` after a build (about
 * five minutes). Each store is filled with copies of a thousand tasks, and as many older ones are swept.
 *
 *   npm run bench:attributes -- --tasks 1000,100000 --dir /mnt/disk/bench --json
 *
 * Printed for each list and size, in milliseconds: the first call in a new process, the median and the longest of the calls after it,
 * the longest hold of the event loop, and the longest time between two of its ticks (operator/watch-loop.mjs). The exit code is 1 if a
 * median in the largest store is more than three times that in the smallest, or if a hold is longer than 5 ms. Lists with more work in a larger store are
 * printed too, and have only the second bound: they end early with a cursor.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { watchLoop } from '../operator/watch-loop.mjs'
import { percentile } from '../workloads/common.mjs'

const CALLS = 200
const RATIO_MAX = 3
const HOLD_MS_MAX = 5
const TEMPLATE_TASKS = 1_000

/** Lists with the same number of tasks on the first page of every store. @type {Record<string, import('holdfast').ListOptions>} */
const LISTS = {
  'one attribute of half of the tasks': { attributes: { region: 'eu' } },
  'one attribute of 1 % of the tasks, 10 of them': { attributes: { customer: 'c-17' }, limit: 10 },
  'two attributes, of half and of a fifth': { attributes: { region: 'eu', priority: 3 } },
  'the same, newest first': { attributes: { region: 'eu', priority: 3 }, order: 'newest' },
  'two attributes, of 1 % and of half, 5 of them': { attributes: { customer: 'c-17', region: 'eu' }, limit: 5 },
  'the same, and an owner, a type and a status': {
    attributes: { customer: 'c-17', region: 'eu' },
    owner: 'owner-7',
    type: 'order',
    status: 'completed',
    limit: 5,
  },
  'two attributes, one of which no task has': { attributes: { region: 'eu', customer: 'none' } },
}
/** Lists that look at more tasks in a larger store. @type {Record<string, import('holdfast').ListOptions>} */
const BOUNDED = {
  'two attributes of half of the tasks each, which no task has together': {
    attributes: { region: 'eu', oversea: true },
  },
  'one attribute, and an owner without such tasks': { attributes: { region: 'eu' }, owner: 'none' },
}

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '1000,1000000' },
    dir: { type: 'string', default: fileURLToPath(new URL('../../.holdfast', import.meta.url)) },
    json: { type: 'boolean', default: false },
    part: { type: 'string', default: 'all' },
    store: { type: 'string', default: '' },
  },
})
if (values.part === 'fill') await fill(values.store, Number(values.tasks))
else if (values.part === 'measure') await measure(values.store)
else await all(values.tasks.split(',').map(Number))

/** @typedef {{ list: string, tasks: number, cursor: boolean, firstMs: number, p50Ms: number, maxMs: number, holdMs: number,
 *   wallMs: number }} Figures */

/** @param {number[]} sizes */
async function all(sizes) {
  mkdirSync(values.dir, { recursive: true })
  const dir = mkdtempSync(join(values.dir, 'attributes-'))
  /** @type {Map<string, number>} */
  const smallest = new Map()
  try {
    for (const size of sizes) {
      const store = join(dir, `${size}`)
      const filled = await part('fill', store, size)
      if (!values.json) console.log(`${size} tasks, filled in ${Math.round(filled[0].fillSeconds)} s`)
      /** @type {Figures[]} */
      const figures = await part('measure', store, size)
      for (const each of figures) {
        const ratio = each.p50Ms / (smallest.get(each.list) ?? each.p50Ms)
        if (!smallest.has(each.list)) smallest.set(each.list, each.p50Ms)
        print(size, each, ratio)
        if ((each.list in LISTS && ratio > RATIO_MAX) || each.holdMs > HOLD_MS_MAX) process.exitCode = 1
      }
      rmSync(store, { recursive: true })
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** @param {number} size @param {Figures} figures @param {number} ratio */
function print(size, figures, ratio) {
  if (values.json) {
    console.log(JSON.stringify({ size, ...figures, ratio }))
    return
  }
  const { list, tasks, cursor, firstMs, p50Ms, maxMs, holdMs, wallMs } = figures
  const ms = [firstMs, p50Ms, maxMs, holdMs, wallMs].map((each) => each.toFixed(2).padStart(8)).join('')
  console.log(`${ms}  × ${ratio.toFixed(2)}  ${list}: ${tasks} tasks${cursor ? ' and a cursor' : ''}`)
}

/** Runs a part in a process of its own. @param {'fill' | 'measure'} name @param {string} store @param {number} size @returns {Promise<any[]>} */
async function part(name, store, size) {
  const child = fork(fileURLToPath(import.meta.url), ['--part', name, '--store', store, '--tasks', `${size}`])
  /** @type {unknown[]} */
  const messages = []
  child.on('message', (message) => messages.push(message))
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`The part '${name}' ended with code ${code}`)
  return messages
}

/** @param {string} dir @param {number} tasks */
async function fill(dir, tasks) {
  const { fillStore } = await import('../workloads/w4-copies.mjs')
  const startedAt = performance.now()
  // As many are swept as are kept.
  await fillStore(dir, 2 * tasks, Math.min(tasks, TEMPLATE_TASKS), makeTasks)
  process.send?.({ fillSeconds: (performance.now() - startedAt) / 1_000 })
}

/** Makes a store of `tasks` settled tasks with attributes. @param {string} dir @param {number} tasks */
async function makeTasks(dir, tasks) {
  const order = defineTask({ name: 'order' }, async () => 'done')
  const holdfast = await Holdfast.open({ dir, tasks: [order], durability: 'buffered', logger: silentLogger })
  /** @param {number} n */
  const run = async (n) => {
    const hundreds = Math.floor(n / 100)
    const region = hundreds % 2 === 0 ? { region: 'eu' } : { oversea: true }
    const attributes = { ...region, customer: `c-${n % 100}`, priority: (n + hundreds) % 5 }
    await holdfast.result((await holdfast.start(order, {}, { owner: `owner-${n % 10}`, attributes })).taskId)
  }
  for (let n = 0; n < tasks; n += 100) {
    await Promise.all(Array.from({ length: Math.min(100, tasks - n) }, (_, index) => run(n + index)))
  }
  const { tasks: made } = await holdfast.stats()
  await holdfast.close()
  return made
}

/** @param {string} dir */
async function measure(dir) {
  const holdfast = await Holdfast.open({ dir, logger: silentLogger })
  const longest = watchLoop()
  for (const [list, options] of Object.entries({ ...LISTS, ...BOUNDED })) {
    /** @type {number[]} */
    const times = []
    let page = { tasks: /** @type {readonly unknown[]} */ ([]), cursor: /** @type {string | undefined} */ (undefined) }
    longest()
    for (let call = 0; call <= CALLS; call++) {
      const begunAt = performance.now()
      page = await holdfast.list(options)
      times.push(performance.now() - begunAt)
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
    const [firstMs = 0, ...others] = times
    const { holdMs, wallMs } = longest()
    const found = { tasks: page.tasks.length, cursor: page.cursor !== undefined }
    process.send?.({
      list,
      ...found,
      firstMs,
      p50Ms: percentile(others, 0.5),
      maxMs: Math.max(...others),
      holdMs,
      wallMs,
    })
  }
  await holdfast.close()
  // The watch of the loop would keep the process.
  process.disconnect()
  process.exit()
}
