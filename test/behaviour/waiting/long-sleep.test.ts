// Goal: a task that begins a long sleep is put to sleep by one commit, and wakes on time whatever happens at that commit.
// Method: writes of the disk are counted, the pending record is read from it, and the process dies at the commit.
import { expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const nap = defineTask({ name: 'nap' }, async (task) => {
  await task.sleep('night', '1d')
  return task.now()
})
const two = defineTask({ name: 'two' }, (task) => Promise.all([task.sleep('one', '1d'), task.sleep('other', '2d')]))

const notesOn = (disk: MemoryDisk) => [...disk.content.keys()].filter((key) => /^note\/[^~]/.test(key))
const loadedRunsOf = async (holdfast: Holdfast) => (await holdfast.stats()).loadedRuns

test('the record of a long sleep and the unload of its run are one commit', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock(0)
  const holdfast = await openInMemory({ disk, clock, tasks: [nap, two] })
  const before = disk.writes
  const { taskId } = await holdfast.start(nap, undefined)
  await untilIdle(holdfast)
  // The commit that creates the task, and the one that puts it to sleep.
  expect(disk.writes - before).toBe(2)
  expect(notesOn(disk).length).toBe(1)
  expect(await loadedRunsOf(holdfast)).toBe(0)
  await clock.advance(24 * 3_600_000)
  expect(await holdfast.result(taskId)).toBe(24 * 3_600_000)

  // Two waits are recorded before the run is unloaded.
  await holdfast.start(two, undefined)
  await untilIdle(holdfast)
  expect(notesOn(disk).length).toBe(2)
  expect(await loadedRunsOf(holdfast)).toBe(0)
  await holdfast.close()
})

test.each(['before', 'after'] as const)(
  'a crash %s the commit that puts a task to sleep only delays it',
  async (when) => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(0)
    const first = await openInMemory({ disk, clock, tasks: [nap] })
    const { taskId } = await first.start(nap, undefined)
    disk.dieAt({ atWrite: 1, applied: when === 'after' })
    await untilIdle(first)
    await clock.advance(1_000)
    expect(notesOn(disk).length).toBe(when === 'after' ? 1 : 0)
    const second = await openInMemory({ disk, clock, tasks: [nap] })
    await untilIdle(second)
    expect(await loadedRunsOf(second)).toBe(0)
    await clock.advance(24 * 3_600_000)
    // A sleep that was recorded keeps its end.
    expect(await second.result(taskId)).toBe(24 * 3_600_000 + (when === 'after' ? 0 : 1_000))
    await second.close()
  },
)
