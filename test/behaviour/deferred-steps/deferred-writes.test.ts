// Goal: deferred records are written within their limits, with whatever the task commits next, and after an outage.
// Method: a disk in memory that is read as it is, a slow disk, and a clock that stands still.
import { describe, expect, test } from 'vitest'
import {
  defineTask,
  type Holdfast,
  type HoldfastEvents,
  type StepOptions,
  type TaskContext,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { DEFERRED, never, onDisk, startOn } from '../../helpers/deferred-steps.js'
import { BusyClock, SlowDisk } from '../../helpers/waiting.js'

describe('deferred records are written', () => {
  /** A body of `count` deferred steps, and one that never ends. */
  const many =
    (count: number, value: unknown = 1) =>
    async (task: TaskContext) => {
      for (let at = 0; at < count; at++) await task.step('load', () => value, DEFERRED)
      await task.step('last', never, DEFERRED)
    }

  test('after 100 ms, and not before', async () => {
    const { disk, clock } = await startOn(new MemoryDisk(), many(3))
    await clock.advance(99)
    expect(onDisk(disk)).toEqual([])
    await clock.advance(1)
    expect(onDisk(disk)).toHaveLength(3)
  })

  test('100 ms after the first of each lot', async () => {
    const { disk, clock, holdfast } = await startOn(
      new MemoryDisk(),
      async (task) => {
        await task.step('a', () => 1, DEFERRED)
        await task.step(
          'wait',
          () => new Promise<void>((resolve) => clock60.setTimer(clock60.now() + 60, resolve)),
          DEFERRED,
        )
        await task.step('last', never, DEFERRED)
      },
      { clock: clock60 },
    )
    await clock.advance(99)
    expect(onDisk(disk)).toEqual([])
    await clock.advance(1)
    await untilIdle(holdfast)
    expect(onDisk(disk)).toEqual(['a', 'wait'])
  })

  test('by 100 of them: no more are ever missing, however slow the disk is', async () => {
    const disk = new SlowDisk()
    let ended = 0
    let held = false
    const { holdfast } = await startOn(disk, async (task) => {
      for (let at = 0; at < 400; at++) {
        await task.step('load', () => 1, DEFERRED)
        ended++
        if (at === 9) {
          disk.hold()
          held = true
        }
      }
      await task.step('last', never, DEFERRED)
    })
    expect(held).toBe(true)
    expect(ended - onDisk(disk).length).toBeLessThanOrEqual(100)
    expect(ended - onDisk(disk).length).toBeGreaterThan(90)
    disk.resume()
    await untilIdle(holdfast)
    expect(ended).toBe(400)
    expect(400 - onDisk(disk).length).toBeLessThan(100)
  })

  test('without a wait of the body where the disk keeps up: fifty in each write', async () => {
    const disk = new MemoryDisk()
    const definition = defineTask({ name: 'job' }, many(500))
    const holdfast = await openInMemory({ disk, tasks: [definition], clock: new ManualClock() })
    const before = disk.writes
    await holdfast.start(definition, null)
    await untilIdle(holdfast)
    expect(disk.writes - before).toBe(1 + 10)
  })

  test('by 1 MiB of them', async () => {
    const disk = new SlowDisk()
    let ended = 0
    await startOn(disk, async (task) => {
      disk.hold()
      for (let at = 0; at < 10; at++) {
        await task.step('load', () => 'ä'.repeat(100_000), DEFERRED)
        ended++
      }
    })
    // Each takes 200,000 bytes and a little more.
    expect(ended).toBe(5)
    disk.resume()
  })

  test('at once where one alone is larger than that', async () => {
    const disk = new MemoryDisk()
    let seen: string[] = []
    await startOn(
      disk,
      async (task) => {
        await task.step('large', () => 'x'.repeat(1024 * 1024), DEFERRED)
        seen = onDisk(disk)
      },
      { limits: { resultBytesMax: 2 * 1024 * 1024 } },
    )
    expect(seen).toEqual(['large'])
  })

  test('when the store is closed', async () => {
    const { disk, holdfast } = await startOn(new MemoryDisk(), many(3))
    expect(onDisk(disk)).toEqual([])
    await holdfast.close({ grace: 0 })
    expect(onDisk(disk)).toHaveLength(3)
  })

  test('with what ends within the grace of a close, which is deferred no more', async () => {
    let end = () => {}
    const { disk, holdfast } = await startOn(new MemoryDisk(), async (task) => {
      await task.step('a', () => 1, DEFERRED)
      await task.step(
        'b',
        () =>
          new Promise<void>((resolve) => {
            end = resolve
          }),
        DEFERRED,
      )
      await task.step('c', () => 1, DEFERRED)
    })
    const closing = holdfast.close({ grace: 1_000 })
    end()
    await closing
    expect(onDisk(disk)).toEqual(['a', 'b'])
  })

  test.each<[string, (holdfast: Holdfast, taskId: string) => Promise<unknown>]>([
    ['a cancel', (holdfast, taskId) => holdfast.cancel(taskId)],
    ['a message', (holdfast, taskId) => holdfast.send(taskId, 'hello', null)],
    ["a client's checkpoint", (holdfast, taskId) => holdfast.saveCheckpoint(taskId, 'state')],
  ])('with %s from outside, in one batch', async (_, act) => {
    const { disk, holdfast, taskId } = await startOn(new MemoryDisk(), many(3))
    const before = disk.writes
    await act(holdfast, taskId)
    expect(disk.writes - before).toBe(1)
    expect(onDisk(disk)).toHaveLength(3)
    expect((await holdfast.get(taskId)).completedSteps).toBe(3)
  })

  test('with the end of its time', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const definition = defineTask({ name: 'job', timeout: 50 }, many(3))
    const holdfast = await openInMemory({ disk, tasks: [definition], clock })
    const { taskId } = await holdfast.start(definition, null)
    await clock.advance(50)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', completedSteps: 3 })
    expect(onDisk(disk)).toHaveLength(3)
  })

  test('with the checkpoint that closes their segment', async () => {
    const { disk, holdfast, taskId } = await startOn(new MemoryDisk(), async (task) => {
      const { state } = (await task.restoreCheckpoint<number>()) ?? { state: 0 }
      for (let at = state; at < 3; at++) {
        await task.step('a', () => 1, DEFERRED)
        await task.step('b', () => 1, DEFERRED)
        await task.saveCheckpoint(at, { prune: at === 2 })
      }
      await task.step('last', never)
    })
    expect(onDisk(disk)).toEqual(['checkpoint'])
    expect((await holdfast.get(taskId)).completedSteps).toBe(6)
  })
})

const clock60 = new ManualClock()

describe('what is deferred', () => {
  test('is shown to nobody before it is on disk (commit-2); progress may be ahead', async () => {
    const disk = new MemoryDisk()
    const events: HoldfastEvents['step:recorded'][] = []
    const clock = new ManualClock()
    const definition = defineTask({ name: 'job' }, async (task) => {
      for (let at = 0; at < 3; at++) await task.step('load', () => at, DEFERRED)
      task.progress({ done: 3, total: 4 })
      await task.step('last', never, DEFERRED)
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [definition] })
    holdfast.on('step:recorded', (event) => void events.push(event))
    const { taskId } = await holdfast.start(definition, null)
    await untilIdle(holdfast)
    const look = async () => ({
      events: events.length,
      completedSteps: (await holdfast.get(taskId)).completedSteps,
      listed: (await holdfast.list()).tasks[0]?.completedSteps,
      steps: (await holdfast.steps(taskId)).flatMap(({ steps }) => steps.map(({ name, state }) => `${name} ${state}`)),
    })
    expect(await look()).toEqual({ events: 0, completedSteps: 0, listed: 0, steps: ['last running'] })
    expect((await holdfast.get(taskId)).progress).toEqual({ done: 3, total: 4 })
    await clock.advance(100)
    const loaded = Array.from({ length: 3 }, () => 'load completed')
    expect(await look()).toEqual({ events: 3, completedSteps: 3, listed: 3, steps: [...loaded, 'last running'] })
    expect(events.map(({ number }) => number)).toEqual([1, 2, 3])
  })

  test.each([false, true])('survives a lost write, applied: %s, without a call of a function', async (applied) => {
    const disk = new MemoryDisk()
    const clock = new BusyClock()
    const calls: string[] = []
    const events: string[] = []
    const nows: number[] = []
    const definition = defineTask({ name: 'job' }, async (task) => {
      const call = async (name: string, options: StepOptions = DEFERRED) => {
        const act = () => {
          calls.push(name)
          clock.fallBehind(1)
        }
        await task.step(name, act, options)
        nows.push(await task.now())
      }
      await task.step('0', () => {}, DEFERRED)
      for (const name of ['a', 'b']) await call(name)
      disk.failAt({ atWrite: 1, applied })
      // Its batch takes the two along, and fails.
      await call('c', {})
      for (const name of ['d', 'e']) await call(name)
      return nows
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [definition] })
    holdfast.on('step:recorded', ({ step }) => void events.push(step))
    const { taskId } = await holdfast.start(definition, null)
    for (let moves = 0; moves < 50 && (await holdfast.get(taskId)).settledAt === undefined; moves++) {
      await clock.advance(1_000)
    }
    expect((await holdfast.get(taskId)).status).toBe('completed')
    expect(calls).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(events).toEqual(['0', 'a', 'b', 'c', 'd', 'e'])
    const records = (await holdfast.steps(taskId)).flatMap(({ steps }) => steps)
    expect(records.map(({ name }) => name)).toEqual(['0', 'a', 'b', 'c', 'd', 'e'])
    // The time that the body was told is that of the record, also where it was decided again.
    expect(records.slice(1).map(({ recordedAt }) => recordedAt)).toEqual(nows)
  })

  test("survives a lost write of a caller's, who is refused", async () => {
    const { disk, holdfast, taskId, clock } = await startOn(new MemoryDisk(), async (task) => {
      for (const name of ['a', 'b']) await task.step(name, () => name, DEFERRED)
      await task.step('last', never, DEFERRED)
    })
    disk.failAt({ atWrite: 1, applied: false })
    await expect(holdfast.send(taskId, 'go', null)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(onDisk(disk)).toEqual([])
    await clock.advance(60_000)
    expect(onDisk(disk)).toEqual(['a', 'b'])
    expect((await holdfast.get(taskId)).completedSteps).toBe(2)
  })

  test('has the number of its order where it runs beside ordinary steps', async () => {
    const disk = new MemoryDisk()
    const handed: string[] = []
    const body = async (task: TaskContext) => {
      handed.length = 0
      const chain = async (name: string, options: StepOptions) => {
        for (let at = 0; at < 20; at++) {
          await task.step(`${name}${at}`, () => 1, options)
          handed.push(`${name}${at}`)
        }
      }
      await Promise.all([chain('deferred', DEFERRED), chain('ordinary', {}), chain('also deferred', DEFERRED)])
      await task.step('end', () => 1)
      return [...handed]
    }
    const { holdfast, taskId } = await startOn(disk, body)
    const output = await holdfast.result(taskId)
    expect(output).toHaveLength(60)
    expect(onDisk(disk)).toEqual([...(output as string[]), 'end'])
  })

  test('by a task that dies of it within 100 ms, again and again, poisons it, and the parking names where', async () => {
    const disk = new MemoryDisk()
    let calls = 0
    const body = async (task: TaskContext) => {
      for (let at = 0; at < 9; at++) await task.step('load', () => void calls++, DEFERRED)
      await task.step(
        'boom',
        () => {
          disk.crash()
          return never()
        },
        DEFERRED,
      )
    }
    for (let process = 0; process < 5; process++) await startOn(disk, body)
    expect(calls).toBe(45)
    const { holdfast, taskId } = await startOn(disk, body)
    const { parked } = await holdfast.get(taskId)
    expect(parked?.code).toBe('POISONED')
    expect(parked?.reason).toContain("the last in step 'load' or a step after it")
    expect(calls).toBe(45)
  })

  test('by a task that dies later than that does not count for it', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const body = async (task: TaskContext) => {
      for (let at = 0; at < 9; at++) await task.step('load', () => {}, DEFERRED)
      await task.step('hang', never, DEFERRED)
    }
    for (let process = 0; process < 2; process++) {
      await startOn(disk, body, { clock })
      await clock.advance(100)
      disk.crash()
    }
    expect(onDisk(disk)).toHaveLength(9)
  })
})
