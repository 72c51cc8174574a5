/**
 * The tasks that W4's stores are filled with: a thousand settled tasks, made by the engine. Of a hundred owners; completed,
 * but one in a hundred failed and one in a hundred cancelled; of two types; with an idempotency key each; some of them
 * with a child.
 */
import { defineTask, Holdfast, silentLogger } from 'holdfast'

export const TEMPLATE_TASKS = 1_000
const OWNERS = 100

const child = defineTask({ name: 'w4_child' }, async () => 'done')
const common = defineTask({ name: 'w4_common' }, async (task, /** @type {{ n: number }} */ { n }) => {
  await task.step('step', () => ({ n }))
  if (n % 100 === 7) throw new Error('This one fails')
  return { n }
})
const parent = defineTask({ name: 'w4_parent' }, (task) => task.child(child, {}))
const waiting = defineTask({ name: 'w4_common_waiting' }, (task) => task.receive('never'))

/** The filters of `list` that the template has tasks for. */
export const FILTERS = { owner: 'owner-3', common: 'w4_common', rare: 'w4_parent', absent: 'w4_absent' }

/**
 * Makes a store of `tasks` settled tasks, about. Instants are in the names of its idempotency keys, so that copies of the
 * tasks, which are moved in time, have keys of their own.
 * @param {string} dir @param {number} tasks
 */
export async function makeTemplate(dir, tasks) {
  const definitions = [common, parent, child, waiting]
  const holdfast = await Holdfast.open({ dir, tasks: definitions, durability: 'buffered', logger: silentLogger })
  const at = Date.now()
  /** @param {number} n */
  const run = async (n) => {
    const options = { owner: `owner-${n % OWNERS}`, idempotencyKey: `${at}-${n}` }
    if (n % 100 === 8) {
      const { taskId } = await holdfast.start(waiting, {}, options)
      await holdfast.cancel(taskId)
      return
    }
    const { taskId } = await (n % 200 === 9
      ? holdfast.start(parent, {}, options)
      : holdfast.start(common, { n }, options))
    await holdfast.result(String(taskId)).catch(() => {})
  }
  for (let n = 0; n < tasks; n += 100) {
    await Promise.all(Array.from({ length: Math.min(100, tasks - n) }, (_, index) => run(n + index)))
  }
  const { tasks: made } = await holdfast.stats()
  await holdfast.close()
  return made
}

/** Opens the store in `dir` until the engine has swept every task in it. @param {string} dir */
export async function sweepAll(dir) {
  const holdfast = await Holdfast.open({ dir, retention: 1, durability: 'buffered', logger: silentLogger })
  for (;;) {
    const { tasks } = await holdfast.stats()
    if (Object.values(tasks).every((count) => count === 0)) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await holdfast.close()
}
