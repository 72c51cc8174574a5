// Goal: a call on 10,000 tasks reads a few keys for each, and gives turns to the event loop between a few tasks.
// Method: a disk in memory that counts what is read; the turns of the event loop during the call are counted.
import { expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

/** A disk that counts the keys that are read from it. */
class CountingDisk extends MemoryDisk {
  keys = 0
  override async open() {
    const level = await super.open()
    const [get, getMany, page] = [level.get.bind(level), level.getMany.bind(level), level.page.bind(level)]
    return Object.assign(level, {
      get: (key: string) => {
        this.keys++
        return get(key)
      },
      getMany: (keys: string[]) => {
        this.keys += keys.length
        return getMany(keys)
      },
      page: async (...asked: Parameters<typeof page>) => {
        const found = await page(...asked)
        this.keys += found.length
        return found
      },
    })
  }
}

test('a call on 10,000 tasks reads at most seven keys for each, and the event loop turns after each sixteen', async () => {
  const disk = new CountingDisk()
  const quick = defineTask({ name: 'quick' }, () => 1)
  const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks: [quick] })
  for (let n = 0; n < 100; n++) {
    await Promise.all(Array.from({ length: 100 }, () => holdfast.start(quick, null)))
    await untilIdle(holdfast)
  }
  disk.keys = 0
  let turns = 0
  let isOver = false
  const count = () => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const { counts, cursor } = await holdfast.deleteMany({ all: true, dryRun: true })
  isOver = true
  expect(counts).toEqual({ done: 10_000, notApplicable: 0, changed: 0, failed: 0 })
  expect(cursor).toBeUndefined()
  expect(disk.keys).toBeLessThanOrEqual(70_000)
  expect(turns).toBeGreaterThanOrEqual(10_000 / 16)
  await holdfast.close()
})
