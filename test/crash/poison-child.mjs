/**
 * A process of poison.test.ts: it opens the store, starts what is not there yet, and runs until everything is settled
 * or parked, or until it dies.
 *
 *   node poison-child.mjs <URL of the built package> <store> <count> <how> <step ms> [mended]
 *
 * Each task has two steps of so many milliseconds. `how` is what the poisonous task, number 50, does in its second
 * step: `exit`, `kill`, `throw` (in a timer, where nobody catches it), or `none`.
 */
const [, , url = '', dir = '', countText = '0', how = 'none', msText = '0', mended] = process.argv
const count = Number(countText)
const ms = Number(msText)

/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast, silentLogger } = await import(url)

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function poison() {
  if (how === 'exit') process.exit(1)
  if (how === 'kill') process.kill(process.pid, 'SIGKILL')
  if (how === 'throw')
    setTimeout(() => {
      throw new Error('nobody catches this')
    })
  await sleep(10_000)
}

const job = defineTask({ name: 'job' }, async (task, /** @type {number} */ number) => {
  await task.step('prepare', () => sleep(ms))
  await task.step('work', async () => {
    if (number === 50 && how !== 'none' && mended === undefined) await poison()
    await sleep(ms)
  })
  return number
})

const holdfast = await Holdfast.open({ dir, tasks: [job], concurrency: 200, logger: silentLogger })
/** @param {Record<string, unknown>} line */
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const ids = await Promise.all(
  Array.from({ length: count }, (_, number) => holdfast.start(job, number, { idempotencyKey: String(number) })),
)
say({ fact: 'started' })
// What died too often is parked behind the open.
await holdfast.recovery.done
let resumed = 0
for (const { taskId } of mended === undefined ? [] : ids) {
  if ((await holdfast.get(taskId)).parked?.code !== 'POISONED') continue
  await holdfast.resume(taskId)
  resumed++
}
const ends = await Promise.all(
  ids.map(({ taskId }) =>
    holdfast.result(taskId).then(
      (value) => ({ value }),
      async () => ({ view: await holdfast.get(taskId) }),
    ),
  ),
)
await holdfast.close()
say({ fact: 'ended', ends, resumed })
