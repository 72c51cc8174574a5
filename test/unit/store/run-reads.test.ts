// Goal: runs that are resumed together are read together, in few calls of the database; a long log holds up no other run,
// and a damaged record parks its own task alone.
// Method: a process with many tasks crashes on a disk in memory. The calls of the next process are counted.
import { setImmediate as turn } from 'node:timers/promises'
import { defineTask, type Holdfast } from 'holdfast'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import type { Level } from '../../../src/store/disk/level.js'
import { LONG_LOG_RECORDS } from '../../../src/store/run-reads.js'

const STEPS = 6

/** A disk that counts the calls that read logs, and what they read. */
class LogReadsDisk extends MemoryDisk {
  /** Number of logs that were wanted by each call of `readStarts`. */
  readonly together: number[] = []
  /** Keys of the pages that were read alone. */
  readonly pages: string[][] = []
  inputReads = 0
  beforePage: () => Promise<void> = async () => {}

  override async open(): Promise<Level> {
    const level = await super.open()
    return {
      batch: () => level.batch(),
      get: (key) => level.get(key),
      compactRange: (from, to) => level.compactRange(from, to),
      approximateSize: (from, to) => level.approximateSize(from, to),
      close: () => level.close(),
      readStarts: (ranges) => {
        this.together.push(ranges.length)
        return level.readStarts(ranges)
      },
      page: async (range, size) => {
        if (!range.gte.startsWith('log/')) return level.page(range, size)
        await this.beforePage()
        const found = await level.page(range, size)
        this.pages.push(found.map(([key]) => key))
        return found
      },
      getMany: (keys) => {
        if (keys.every((key) => key.startsWith('task/'))) this.inputReads++
        return level.getMany(keys)
      },
    }
  }
}

let arrived = 0
const job = defineTask({ name: 'job' }, async (task, input: { steps: number; name: string }) => {
  for (let step = 0; step < input.steps; step++) await task.step('step', () => step)
  arrived++
  await task.step('last', () => new Promise<void>(() => {}))
})

/** Starts tasks with this many steps, and crashes the process when each is at its last step. */
async function crashed(steps: readonly number[]) {
  const disk = new LogReadsDisk()
  const holdfast = await openInMemory({ disk, tasks: [job], concurrency: steps.length })
  arrived = 0
  const started = await Promise.all(
    steps.map((steps, index) => holdfast.start(job, { steps, name: `job ${index}`.padEnd(index % 7 === 0 ? 900 : 9) })),
  )
  while (arrived < steps.length) await turn()
  disk.crash()
  disk.together.length = disk.pages.length = 0
  disk.inputReads = 0
  arrived = 0
  return { disk, taskIds: started.map(({ taskId }) => taskId) }
}

const reopened = (disk: MemoryDisk, concurrency: number): Promise<Holdfast> =>
  openInMemory({ disk, tasks: [job], concurrency })

test('the runs of a recovery are read in groups of about a thousand records, and their starts fill batches', async () => {
  const count = 400
  const { disk } = await crashed(Array.from({ length: count }, () => STEPS))
  const { writes } = disk
  const holdfast = await reopened(disk, count)
  await untilIdle(holdfast)
  expect(arrived).toBe(count)
  // The starts of 50 runs, each with a head and an entry of the audit, fill a batch of a hundred operations. Two more
  // batches record the opening and the end of the recovery.
  expect(disk.writes - writes).toBe(count / 50 + 2)
  expect(holdfast.recovery.tasks.every(({ replayed }) => replayed === STEPS)).toBe(true)
  // 142 logs of six records, and the entry after each of them, are at most a thousand.
  expect(disk.together).toEqual([142, 142, 116])
  expect(disk.inputReads).toBe(3)
  expect(disk.pages).toEqual([])
})

test('a long log is read alone, and the other runs do not wait for it', async () => {
  const { disk } = await crashed([1_500, ...Array.from({ length: 20 }, () => STEPS)])
  // The disk is slow with the long log: it reads a page when the other runs have arrived, or have had time to.
  disk.beforePage = async () => {
    for (let turns = 0; turns < 1_000 && arrived < 20; turns++) await turn()
    expect(arrived).toBe(20)
  }
  const holdfast = await reopened(disk, 21)
  await untilIdle(holdfast)
  expect(arrived).toBe(21)
  expect(LONG_LOG_RECORDS).toBeLessThan(1_500)
  expect(disk.together).toEqual([20])
  expect(disk.pages.map((page) => page.length)).toEqual([1_000, 500, 0])
})

test('a damaged record, or input, parks its own task; the others of its group run', async () => {
  const { disk, taskIds } = await crashed([STEPS, STEPS, STEPS, STEPS])
  const keys = (taskId: string | undefined) => [...disk.content.keys()].filter((key) => key.includes(taskId as string))
  const [, noRecord, badRecord, badInput] = taskIds
  const logOf = (taskId: string | undefined) => keys(taskId).filter((key) => key.startsWith('log/'))
  disk.damage(logOf(noRecord)[2] as string, undefined)
  const bad = logOf(badRecord)[3] as string
  disk.damage(bad, `${disk.content.get(bad)}!`)
  const holdfast = await openInMemory({ disk, tasks: [job], concurrency: 4, recover: 'manual' })
  disk.damage(`task/${badInput}`, `${disk.content.get(`task/${badInput}`)}!`)
  holdfast.recover()
  await untilIdle(holdfast)
  expect(arrived).toBe(1)
  expect(disk.together).toEqual([4])
  expect(holdfast.recovery.tasks).toMatchObject([
    { taskId: noRecord, action: 'parked', reason: expect.stringContaining('has 5 records where 6 were written') },
    { taskId: badRecord, action: 'parked', reason: expect.stringContaining(`The record ${bad} is damaged`) },
    { taskId: badInput, action: 'parked', reason: expect.stringContaining(`The record task/${badInput} is damaged`) },
    { action: 'resumed', replayed: STEPS },
  ])
})

test('a run that is loaded alone costs one read of its log and one of its input', async () => {
  const { disk } = await crashed([STEPS, STEPS, STEPS])
  const holdfast = await reopened(disk, 1)
  await untilIdle(holdfast)
  expect(disk.together).toEqual([1])
  expect(disk.inputReads).toBe(1)
  expect(arrived).toBe(1)
})
