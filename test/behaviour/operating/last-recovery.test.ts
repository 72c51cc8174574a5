// Goal: the report of the last recovery that found tasks outlives its process, whatever write the process dies at.
// Method: time in hand; a second process recovers, and dies before or after each of its writes.
import { expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const waits = defineTask({ name: 'waits' }, (task) => task.receive('go'))
const other = defineTask({ name: 'other' }, (task) => task.receive('go'))

/** A disk that a crash left with three unfinished tasks. */
async function crashed(clock: ManualClock): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, clock, tasks: [waits, other] })
  for (const task of [waits, waits, other]) await holdfast.start(task, null)
  await untilIdle(holdfast)
  expect(await holdfast.lastRecovery()).toBeUndefined()
  disk.crash()
  return disk
}

test('is read by later processes, and a recovery that finds nothing leaves it as it is', async () => {
  const clock = new ManualClock()
  const disk = await crashed(clock)
  const second = await openInMemory({ disk, clock, tasks: [waits] })
  const { startedAt, finishedAt, tasks } = await second.recovery.done
  await untilIdle(second)
  const report = await second.lastRecovery()
  const parked = tasks.find(({ action }) => action === 'parked')
  expect(report).toMatchObject({ startedAt, finishedAt, found: 3 })
  expect(report?.counts['parked']).toBe(1)
  expect(Object.values(report?.counts ?? {}).reduce((sum, count) => sum + count, 0)).toBe(3)
  const reason = expect.stringContaining('TASK_TYPE_UNKNOWN')
  expect(report?.tasks[0]).toEqual({ taskId: parked?.taskId, type: 'other', action: 'parked', reason })
  await second.cancelMany({ all: true })
  await untilIdle(second)
  disk.crash()
  expect(brokenFormatLaws(disk.content)).toEqual([])
  // The clean-up of the parked task may be left, so the third process may find it.
  const third = await openInMemory({ disk, clock, tasks: [waits, other] })
  await third.recovery.done
  await untilIdle(third)
  const after = await third.lastRecovery()
  await third.close()
  const fourth = await openInMemory({ disk, clock, tasks: [waits, other] })
  expect((await fourth.recovery.done).found).toBe(0)
  await untilIdle(fourth)
  expect(await fourth.lastRecovery()).toEqual(after)
  await fourth.close()
  await expect(fourth.lastRecovery()).rejects.toMatchObject({ code: 'CLOSED' })
})

test('is that of the last recovery whose end is on disk, at whatever write a process dies', async () => {
  const play = async (death?: { atWrite: number; applied: boolean }) => {
    const clock = new ManualClock()
    const disk = await crashed(clock)
    const before = disk.writes
    const died = new Promise<'died'>((resolve) => disk.onDeath(() => resolve('died')))
    if (death) disk.dieAt(death)
    const recovers = async (): Promise<Holdfast> => {
      const holdfast = await openInMemory({ disk, clock, tasks: [waits, other] })
      await holdfast.recovery.done
      await untilIdle(holdfast)
      return holdfast
    }
    await Promise.race([recovers(), died])
    const writes = disk.writes - before
    disk.crash()
    expect(brokenFormatLaws(disk.content)).toEqual([])
    const isStored = disk.content.has('meta/recovery')
    const held = await openInMemory({ disk, clock, tasks: [waits, other], recover: 'manual' })
    const report = await held.lastRecovery()
    if (isStored) expect(report).toMatchObject({ found: 3 })
    else expect(report).toBeUndefined()
    await held.close()
    return { writes, isStored }
  }
  const { writes, isStored } = await play()
  expect(isStored).toBe(true)
  const stored: boolean[] = []
  for (let atWrite = 1; atWrite <= writes; atWrite++) {
    for (const applied of [false, true]) stored.push((await play({ atWrite, applied })).isStored)
  }
  expect(stored).toContain(false)
  expect(stored).toContain(true)
})

test('of a damaged record is refused, until a recovery writes it anew', async () => {
  const clock = new ManualClock()
  const disk = await crashed(clock)
  disk.damage('meta/recovery', 'rot')
  const held = await openInMemory({ disk, clock, tasks: [waits, other], recover: 'manual' })
  await expect(held.lastRecovery()).rejects.toMatchObject({ code: 'RECORD_DAMAGED' })
  await held.recover()
  await held.recovery.done
  await untilIdle(held)
  expect(await held.lastRecovery()).toMatchObject({ found: 3 })
  await held.close()
})
