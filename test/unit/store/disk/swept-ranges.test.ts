/**
 * Goal: a list does not pass over the deletion marks of all tasks that were ever swept.
 * Method: the ranges that are due are compared with the keys that were counted; and a store in memory, whose compactions
 * are recorded, sweeps the task that makes a range due.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { defineTask } from '../../../../src/index.js'
import type { Level } from '../../../../src/store/disk/level.js'
import { SweptRanges } from '../../../../src/store/disk/swept-ranges.js'
import { Store } from '../../../../src/store/store.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../../src/testing/index.js'

const MARKS_MAX = 100_000
const keysUnder = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}task-${String(index).padStart(6, '0')}`)

describe('a range of swept entries', () => {
  test('is due once it has 100,000 deletion marks, up to the last one, and then counts anew', () => {
    const ranges = new SweptRanges()
    ranges.count(keysUnder('ix/t/a/c/', MARKS_MAX - 1))
    ranges.count(keysUnder('ix/t/a/f/', MARKS_MAX - 1))
    expect(ranges.take()).toBeUndefined()
    ranges.count(['ix/t/a/c/task-9'])
    expect(ranges.take()).toEqual({ gte: 'ix/t/a/c/', lt: 'ix/t/a/c/task-9\u0000' })
    expect(ranges.take()).toBeUndefined()
    ranges.count(['ix/t/a/c/task-99', 'done/task-99'])
    expect(ranges.take()).toBeUndefined()
  })

  test('is still counted while many ranges have few marks each', () => {
    const ranges = new SweptRanges()
    ranges.count(keysUnder('done/', MARKS_MAX - 1))
    for (let parent = 0; parent < 25_000; parent++) ranges.count([`ix/p/task-${parent}/task-1`])
    ranges.count(['done/task-9'])
    expect(ranges.take()).toEqual({ gte: 'done/', lt: 'done/task-9\u0000' })
  })
})

class CompactionsDisk extends MemoryDisk {
  readonly compacted: string[] = []

  override async open(): Promise<Level> {
    const level = await super.open()
    level.compactRange = async (from, to) => void this.compacted.push(`${from} ${to}`)
    return level
  }
}

describe('the sweep of a task', () => {
  afterEach(() => vi.restoreAllMocks())

  test('compacts each range that lists read, once it has many deletion marks', async () => {
    const swept = vi.spyOn(Store.prototype, 'noteSwept')
    const clock = new ManualClock()
    const disk = new CompactionsDisk()
    const fails = defineTask({ name: 'fails' }, async () => {
      throw new Error('It fails')
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [fails] })
    const sweepOne = async () => {
      const { taskId } = await holdfast.start(fails, null, { ttl: '5m', owner: 'ann' })
      await holdfast.result(taskId).catch(() => {})
      await clock.advance(10 * 60_000)
      await untilIdle(holdfast)
      return taskId
    }
    await sweepOne()
    expect(swept).toHaveBeenCalledOnce()
    const store = swept.mock.contexts[0] as Store
    const prefixes = ['ix/t/fails/f/', 'ix/o/ann/f/', 'ix/s/f/', 'done/']
    for (const prefix of prefixes) store.noteSwept(keysUnder(prefix, MARKS_MAX - 2))
    expect(disk.compacted).toEqual([])
    // One range a sweep, so that reads do not wait for all of them.
    const taskId = await sweepOne()
    for (let more = 0; more < 3; more++) await sweepOne()
    const expected = prefixes.map((prefix) => `${prefix} ${prefix}${taskId}\u0000`)
    expect(disk.compacted).toEqual(expected)
    await holdfast.close()
  })
})
