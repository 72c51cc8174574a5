/**
 * The process whose system calls power-cut.test.ts records: it commits records and writes the number of each to a file once
 * it is acknowledged. A small write buffer makes LevelDB begin a new log after about forty commits. It runs the sources
 * through tsx, never a stale build.
 *
 *   node power-cut-child.mjs <store> <file of acknowledgements> [unnamed]
 *
 * `unnamed`: the names of logs are not synced.
 */
import { openSync, writeSync } from 'node:fs'
import { register } from 'tsx/esm/api'

const [, , dir = '', acknowledgements = '', mode] = process.argv

register()
const { systemClock } = await import('../../../src/base/clock.js')
const { createIds } = await import('../../../src/base/ids.js')
const { silentLogger } = await import('../../../src/base/logger.js')
const { openClassicLevel } = await import('../../../src/store/disk/level.js')
const { openStore } = await import('../../../src/store/open.js')

const file = openSync(acknowledgements, 'w')
let commits = 0

/** @type {import('../../../src/store/disk/level.js').OpenLevel} */
const openLevel = async (path, options) => {
  const level = await openClassicLevel(path, { ...options, writeBufferBytes: 64 * 1024 })
  if (mode === 'unnamed') level.afterWrite = () => undefined
  return level
}

for (let opening = 0; opening < 2; opening++) {
  const store = await openStore({
    dir,
    durability: 'synced',
    anchor: 'behind',
    acceptDamage: false,
    clock: systemClock,
    ids: createIds(),
    logger: silentLogger,
    openLevel,
  })
  const compactions = []
  for (let i = 0; i < 150; i++) {
    await store.commitBinding([{ key: `binding/cut/${commits}`, text: 'x'.repeat(i % 200) }], { patient: true })
    writeSync(file, `${commits++}\n`)
    // LevelDB begins a new log at once, whatever is in the old one. Commits go on meanwhile.
    if (i % 50 === 25) compactions.push(store.connection.level.compactRange('binding/', 'binding0'))
  }
  await Promise.all(compactions)
  await store.close()
}
