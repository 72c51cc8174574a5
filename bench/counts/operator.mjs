/**
 * Counts what a task of W1 and a task of W2 cost on a real store, with the operator API on and no client, or off: operations,
 * batches and reads of LevelDB, promises, immediates and timers. Prints one line of JSON; a test compares the two.
 *
 *   node bench/counts/operator.mjs on
 *   node bench/counts/operator.mjs off
 */
import { createHook } from 'node:async_hooks'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { countLevelCalls } from '../workloads/level-counts.mjs'

const TASKS = 21
const operator = process.argv[2] !== 'off'
const value = 'x'.repeat(1_000)
const steps = (/** @type {number} */ count) =>
  defineTask({ name: `steps_${count}` }, async (task) => {
    for (let i = 0; i < count; i++) await task.step('step', async () => ({ i, value }))
  })
const w1 = steps(20)
const w2 = steps(5)

/** @type {Record<string, number>} */
let created = {}
const hook = createHook({
  init(_, type) {
    created[type] = (created[type] ?? 0) + 1
  },
})
const takeCounts = countLevelCalls()
const dir = mkdtempSync(join(tmpdir(), 'holdfast-counts-'))
const holdfast = await Holdfast.open({ dir, tasks: [w1, w2], operator, durability: 'buffered', logger: silentLogger })
// The API is there, and has loaded its code.
while (operator && !existsSync(join(dir, 'operator/holder.json'))) await delay(10)
const measured = { w1: await countEach(w1), w2: await countEach(w2) }
console.log(JSON.stringify({ operator: existsSync(join(dir, 'operator/holder.json')), ...measured }))
await holdfast.close()
rmSync(dir, { recursive: true })

/**
 * The least of each count over the tasks: what a process does ten times or once a second is in some of them only.
 * @param {import('holdfast').TaskDefinition<any, any>} task
 */
async function countEach(task) {
  /** @type {Record<string, number>[]} */
  const all = []
  for (let n = -3; n < TASKS; n++) {
    await delay(20)
    takeCounts()
    created = {}
    hook.enable()
    await holdfast.result((await holdfast.start(task, {})).taskId)
    hook.disable()
    const { PROMISE: promises = 0, Immediate: immediates = 0, Timeout: timers = 0 } = created
    if (n >= 0) all.push({ ...takeCounts(), promises, immediates, timers })
  }
  const least = (/** @type {string} */ name) => Math.min(...all.map((one) => one[name] ?? 0))
  return Object.fromEntries(Object.keys(all[0] ?? {}).map((name) => [name, least(name)]))
}
