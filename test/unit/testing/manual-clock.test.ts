// Goal: time moves only as a test says, and what is ready begins before it moves. Method: clocks without an engine, and tests
// of tasks written as a newcomer writes the first one.
import { expect, test, vi } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { ManualClock, openInMemory } from '../../../src/testing/index.js'

const DAY_MS = 86_400_000

test('a task that was just started sleeps before the clock moves', async () => {
  const clock = new ManualClock()
  const remind = defineTask({ name: 'remind' }, async (task) => {
    await task.sleep('wait', '1h')
    return 'reminded'
  })
  const holdfast = await openInMemory({ clock, tasks: [remind] })
  const { taskId } = await holdfast.start(remind, undefined)
  await clock.advance(3_600_000)
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
  expect(await holdfast.result(taskId)).toBe('reminded')
  await holdfast.close()
})

test('a year of a task that wakes every day takes a wake a day, and two sweeps', async () => {
  const clock = new ManualClock()
  let fired = 0
  const setTimer = clock.setTimer.bind(clock)
  const counted = (fire: () => void) => () => {
    fired++
    fire()
  }
  clock.setTimer = (dueAt, fire, options) => setTimer(dueAt, counted(fire), options)
  let woke = 0
  const daily = defineTask({ name: 'daily' }, async (task) => {
    for (let day = 0; day < 365; day++) {
      await task.sleep('day', '1d')
      await task.step('report', () => ++woke)
    }
  })
  const holdfast = await openInMemory({ clock, tasks: [daily] })
  const { taskId } = await holdfast.start(daily, undefined)
  await clock.advance(365 * DAY_MS)
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
  expect(woke).toBe(365)
  expect(fired).toBe(365 + 2)
  await holdfast.close()
})

test('a move waits for the replay of a long log as for that of a short one', async () => {
  const immediatesOfWake = async (steps: number) => {
    const clock = new ManualClock()
    const long = defineTask({ name: 'long' }, async (task) => {
      for (let n = 0; n < steps; n++) await task.step('count', () => n)
      await task.sleep('day', '1d')
    })
    const holdfast = await openInMemory({ clock, tasks: [long] })
    const { taskId } = await holdfast.start(long, undefined)
    await clock.advance(1)
    // The turns of a body import theirs, so these are the turns that the move waits for, and those of the disk.
    const queued = vi.spyOn(globalThis, 'setImmediate')
    await clock.advance(DAY_MS)
    const count = queued.mock.calls.length
    queued.mockRestore()
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
    await holdfast.close()
    return count
  }
  const [short, long] = [await immediatesOfWake(10), await immediatesOfWake(500)]
  expect(long).toBeLessThan(short + 50)
})

test('advances that overlap are carried out one after the other', async () => {
  const clock = new ManualClock(0)
  const seen: number[] = []
  clock.setTimer(10, () => seen.push(clock.now()))
  clock.setTimer(110, () => seen.push(clock.now()))
  const first = clock.advance(15)
  const second = clock.advance(100)
  await first
  expect(clock.now()).toBe(15)
  await second
  expect(clock.now()).toBe(115)
  expect(seen).toEqual([10, 110])
})

test('a timer that throws fails the move that it fired in, and no later one', async () => {
  const clock = new ManualClock(0)
  clock.setTimer(10, () => {
    throw new Error('no')
  })
  await expect(clock.advance(15)).rejects.toThrow('no')
  await clock.advance(5)
  expect(clock.now()).toBe(15)
})

test('a jump sets the clock back, and an advance goes on from there', async () => {
  const clock = new ManualClock(1_000)
  await clock.jump(-400)
  expect(clock.now()).toBe(600)
  await clock.advance(10)
  expect(clock.now()).toBe(610)
})
