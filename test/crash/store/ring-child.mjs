/**
 * The process that ring.test.ts copies the store of: it commits records of one byte, one commit each, and says on standard
 * output how far it is. Standard input tells it to go on. It runs the sources through tsx, never a stale build.
 *
 *   node ring-child.mjs <store> <commits>
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { register } from 'tsx/esm/api'

register()
const { systemClock } = await import('../../../src/base/clock.js')
const { createIds } = await import('../../../src/base/ids.js')
const { silentLogger } = await import('../../../src/base/logger.js')
const { readAnchor } = await import('../../../src/store/integrity/anchor.js')
const { openStore } = await import('../../../src/store/open.js')

const [, , dir = '', commitsText = ''] = process.argv
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
let commits = 0

const store = await openStore({
  dir,
  durability: 'synced',
  anchor: 'behind',
  acceptDamage: false,
  clock: systemClock,
  ids: createIds(),
  logger: silentLogger,
})

async function commit() {
  await store.commitBinding([{ key: `binding/ring/${commits}`, text: '1' }], { patient: true })
  commits++
}

const threads = () => new Set(existsSync('/proc/self/task') ? readdirSync('/proc/self/task') : [])

/** The logs by size, the newest last. */
function logs() {
  const names = readdirSync(join(dir, 'db')).filter((name) => name.endsWith('.log'))
  return names.sort().map((name) => statSync(join(dir, 'db', name)).size)
}

/** @param {string} at */
async function say(at, about = {}) {
  // The anchor lags. What it does not know of yet is no matter of the ring.
  for (;;) {
    const anchor = await readAnchor(join(dir, 'anchor'))
    if (anchor.kind === 'sound' && anchor.seq >= commits) break
    await new Promise((go) => setTimeout(go, 5))
  }
  process.stdout.write(`${JSON.stringify({ at, commits, ...about })}\n`)
  await lines.next()
}

for (let i = 0; i < 100; i++) await commit()
const before = threads()
while (commits < Number(commitsText)) await commit()
// LevelDB made the thread that writes its tables when the first log was full.
await say('written', { tableThreads: [...threads()].filter((id) => !before.has(id)) })

for (;;) {
  const [first = 0, second = 0] = logs()
  // The third log would have to wait for the table of the first: at the same size, the next commit would never return.
  if (second > 0.9 * first) break
  await commit()
}
await say('two-logs')
