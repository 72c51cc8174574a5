/**
 * The store that `npm run bench:operator` measures: tasks in every state that an operator meets. Two openings make it: in the
 * first, every definition is registered, and the second lacks one, so its tasks are parked.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, Holdfast } from 'holdfast'

const CONCURRENCY = 50
const STARTS_AT_ONCE = 500
const YEAR_MS = 31_536_000_000
const OWNERS = 100
const LONG_STEPS = 2_000
const LONG_CHECKPOINTS = 100
const MESSAGES = 1_000

/** Shares of the tasks by definition. The rest completes. */
const SHARES = {
  nap: 0.3,
  listen: 0.1,
  question: 0.1,
  gone: 0.05,
  flaky: 0.01,
  fails: 0.01,
  cancelled: 0.01,
  busy: 0.25,
}

const nap = defineTask({ name: 'nap' }, (task) => task.sleep('nap', YEAR_MS))
const listen = defineTask({ name: 'listen' }, (task) => task.receive('go'))
const question = defineTask({ name: 'question' }, (task) => task.input('proceed', { message: 'Continue?' }))
const gone = defineTask({ name: 'gone' }, (task) => task.receive('never'))
const retry = { initialInterval: YEAR_MS, maximumInterval: YEAR_MS, maximumAttempts: 3 }
const flaky = defineTask({ name: 'flaky', retry }, () => {
  throw new Error('The service is down')
})
const fails = defineTask({ name: 'fails' }, () => {
  throw new Error('The input is wrong')
})
const completes = defineTask({ name: 'completes' }, (task) => task.step('work', () => ({ done: true })))
const busy = defineTask({ name: 'busy' }, (task) => task.step('work', () => new Promise(() => {})))
const long = defineTask({ name: 'long' }, async (task) => {
  for (let n = 0; n < LONG_STEPS; n++) {
    await task.step('work', () => ({ n, text: 'x'.repeat(100) }))
    if (n % (LONG_STEPS / LONG_CHECKPOINTS) === 0) await task.saveCheckpoint({ n, rows: rowsOf(n) })
  }
  await task.receive('never')
})
const parent = defineTask({ name: 'parent' }, async (task) => {
  await Promise.all(Array.from({ length: 100 }, () => task.child(completes, {})))
})

const DEFINITIONS = [nap, listen, question, flaky, fails, completes, busy, long, parent]

/** A state whose differences are many. @param {number} n */
function rowsOf(n) {
  return Array.from({ length: 1_000 }, (_, row) => ({ row, value: row % 7 === 0 ? n : row }))
}

/**
 * @typedef {object} Examples IDs of one task of each kind
 * @property {string} long a task of 2,000 steps and 100 checkpoints, with 1,000 messages that it did not receive
 * @property {string} parent a task with 100 children
 */

/** Opens the store as the server does: without the definition of the parked tasks. @param {string} dir @param {number} tasks */
export function openToMeasure(dir, tasks) {
  return Holdfast.open({ dir, tasks: DEFINITIONS, ...optionsFor(tasks) })
}

/** @param {number} tasks */
function optionsFor(tasks) {
  const limits = { liveTasksMax: Math.max(100_000, 2 * tasks), messagesPerTaskMax: 2 * MESSAGES }
  return { concurrency: CONCURRENCY, durability: /** @type {const} */ ('buffered'), limits }
}

/** Number of tasks that wait for a slot. @param {number} tasks */
export function queuedOf(tasks) {
  return Math.max(0, Math.round(SHARES.busy * tasks) - CONCURRENCY)
}

/** Makes the tasks. @param {string} dir @param {number} tasks @returns {Promise<Examples>} */
export async function fill(dir, tasks) {
  const holdfast = await Holdfast.open({ dir, tasks: [...DEFINITIONS, gone], ...optionsFor(tasks) })
  const { taskId: longId } = await holdfast.start(long, {})
  for (let n = 0; n < MESSAGES; n++) await holdfast.send(longId, 'news', { n })
  const { taskId: parentId } = await holdfast.start(parent, {})
  const counts = Object.fromEntries(Object.entries(SHARES).map(([name, share]) => [name, Math.round(share * tasks)]))
  const rest = tasks - Object.values(counts).reduce((sum, count) => sum + count, 0)
  await startAll(holdfast, nap, counts['nap'])
  await startAll(holdfast, listen, counts['listen'])
  await startAll(holdfast, question, counts['question'])
  await startAll(holdfast, gone, counts['gone'])
  await startAll(holdfast, flaky, counts['flaky'])
  await startAll(holdfast, fails, counts['fails'])
  await startAll(holdfast, completes, rest)
  // Each of these has begun and waits before those that never end take every slot.
  await until(async () => (await holdfast.stats()).tasks.pending === 0)
  await until(async () => (await holdfast.stats()).loadedRuns < CONCURRENCY || tasks < 10_000)
  for (const taskId of await startAll(holdfast, listen, counts['cancelled'])) await holdfast.cancel(taskId)
  await until(async () => (await holdfast.explain(longId)).state === 'waiting')
  await startAll(holdfast, busy, counts['busy'])
  await holdfast.close({ grace: 0 })
  return { long: longId, parent: parentId }
}

/**
 * @param {Holdfast} holdfast
 * @param {import('holdfast').TaskDefinition<any, any>} definition
 * @param {number} [count]
 */
async function startAll(holdfast, definition, count = 0) {
  /** @type {string[]} */
  const taskIds = []
  for (let n = 0; n < count; n += STARTS_AT_ONCE) {
    const some = Array.from({ length: Math.min(STARTS_AT_ONCE, count - n) }, (_, index) =>
      holdfast.start(definition, { n: n + index }, { owner: `owner-${(n + index) % OWNERS}` }),
    )
    taskIds.push(...(await Promise.all(some)).map(({ taskId }) => taskId))
  }
  return taskIds
}

/** @param {() => Promise<boolean>} isSo */
async function until(isSo) {
  while (!(await isSo())) await delay(20)
}
