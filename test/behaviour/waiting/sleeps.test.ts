// Goal: a sleeping task survives anything, costs nothing while it sleeps, and wakes when it should.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

const HOUR = 3_600_000

describe('a sleep', () => {
  // Thirty seconds keep the body in memory, six hours unload it.
  test.each(['30s', '6h'] as const)(
    'of %s ends once, when it should, whatever write the process dies at',
    async (duration) => {
      const { calm, crashed } = await everyCrash({
        effects: () => ({ woke: [] as number[], began: 0 }),
        tasks: (effects, clock) => [
          defineTask({ name: 'sleepy' }, async (task) => {
            effects.began = await task.step('note', () => clock.now())
            await task.sleep('nap', duration)
            const woke = await task.now()
            await task.step('wake', () => effects.woke.push(clock.now()))
            return woke - effects.began
          }),
        ],
        drive: async (holdfast) => (await holdfast.start('sleepy', null, { idempotencyKey: 'k' })).taskId,
      })
      const ms = duration === '6h' ? 6 * HOUR : 30_000
      expect(calm.outcome).toEqual({
        value: ms,
        status: 'completed',
        attempt: 1,
        completedSteps: 2,
        log: ['prefix note#1 completed after 1', 'prefix nap#1 completed after 1', 'prefix wake#1 completed after 1'],
      })
      for (const { where, outcome, effects } of crashed) {
        const { value, ...rest } = outcome as { value: number }
        expect(rest, where).toEqual({ ...(calm.outcome as object), value: undefined })
        expect(value, where).toBeGreaterThanOrEqual(ms)
        expect(effects.woke.length, where).toBeGreaterThanOrEqual(1)
      }
    },
  )

  test('of weeks wakes in the process of that day', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const task = defineTask({ name: 'weeks' }, async (task) => {
      await task.sleep('wait', '90d')
      return task.now()
    })
    let holdfast = await openInMemory({ disk, clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    const began = clock.now()
    for (let week = 0; week < 12; week++) {
      await untilIdle(holdfast)
      await holdfast.close()
      await clock.advance(7 * 24 * HOUR)
      holdfast = await openInMemory({ disk, clock, tasks: [task] })
      await holdfast.recovery.done
      expect(holdfast.recovery.tasks).toMatchObject([{ taskId, action: 'waiting' }])
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
    }
    await clock.advance(7 * 24 * HOUR)
    expect(await holdfast.result(taskId)).toBe(began + 90 * 24 * HOUR)
  })

  test('until an instant that has passed ends at once', async () => {
    const clock = new ManualClock()
    const task = defineTask({ name: 'past' }, async (task) => {
      await task.sleepUntil('past', new Date(clock.now() - 5))
      await task.sleepUntil('now', clock.now())
      return 'awake'
    })
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    expect(await holdfast.result(taskId)).toBe('awake')
  })

  test('that passed while the server was down ends at the next open', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const task = defineTask({ name: 'down' }, async (task) => {
      await task.sleep('wait', '1h')
      return task.now()
    })
    const first = await openInMemory({ disk, clock, tasks: [task] })
    const { taskId } = await first.start(task, null)
    await untilIdle(first)
    disk.crash()
    await clock.advance(5 * HOUR)
    const second = await openInMemory({ disk, clock, tasks: [task] })
    expect(await second.result(taskId)).toBe(clock.now())
  })

  test.each(['2s', '2h'] as const)('of %s takes up no slot, and a hundred of them no more', async (duration) => {
    const clock = new ManualClock()
    const sleepy = defineTask({ name: 'sleepy' }, async (task, n: number) => {
      await task.sleep('nap', duration)
      return n
    })
    const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 'quick'))
    const holdfast = await openInMemory({ clock, tasks: [sleepy, quick], concurrency: 2 })
    const asleep = await Promise.all(Array.from({ length: 100 }, (_, n) => holdfast.start(sleepy, n)))
    const { taskId } = await holdfast.start(quick, null)
    expect(await holdfast.result(taskId)).toBe('quick')
    await untilIdle(holdfast)
    await clock.advance(3 * HOUR)
    await untilIdle(holdfast)
    expect(await Promise.all(asleep.map((one) => holdfast.result(one.taskId)))).toEqual(asleep.map((_, n) => n))
  })

  test('beside a step keeps the step going, and chains side by side each get their own', async () => {
    const chain = async (task: TaskContext, name: string) => {
      const seen: string[] = []
      for (let n = 0; n < 3; n++) {
        await task.sleep('nap', n === 1 ? '2h' : '10s')
        seen.push(await task.step('load', () => `${name}${n}`))
      }
      return seen.join()
    }
    const { calm, crashed } = await everyCrash({
      effects: () => ({}),
      tasks: () => [
        defineTask({ name: 'chains' }, (task) =>
          Promise.all([chain(task, 'a'), chain(task, 'b'), task.step('c', () => 'c')]),
        ),
      ],
      drive: async (holdfast) => (await holdfast.start('chains', null, { idempotencyKey: 'k' })).taskId,
    })
    expect(calm.outcome).toMatchObject({ value: ['a0,a1,a2', 'b0,b1,b2', 'c'] })
    for (const { where, outcome } of crashed)
      expect(outcome, where).toMatchObject({ value: ['a0,a1,a2', 'b0,b1,b2', 'c'] })
  })

  test.each(['10s', '2h'] as const)('of %s is ended by a cancel and by a deadline', async (duration) => {
    const clock = new ManualClock()
    const ran: string[] = []
    const task = defineTask({ name: 'sleepy' }, async (task) => {
      await task.sleep('nap', duration)
      await task.step('never', () => ran.push('never'))
    })
    const holdfast = await openInMemory({ clock, tasks: [task], concurrency: 1 })
    const one = await holdfast.start(task, null)
    const two = await holdfast.start(task, null, { deadline: clock.now() + 5_000 })
    await untilIdle(holdfast)
    await holdfast.cancel(one.taskId)
    await clock.advance(3 * HOUR)
    expect(await holdfast.get(one.taskId)).toMatchObject({ status: 'cancelled' })
    expect(await holdfast.get(two.taskId)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } })
    expect(ran).toEqual([])
    const three = await holdfast.start(
      defineTask({ name: 'quick' }, () => 'free'),
      null,
    )
    expect(await holdfast.result(three.taskId)).toBe('free')
  })

  test('whose name changed parks the task', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const version = (name: string) =>
      defineTask({ name: 'job' }, async (task) => {
        await task.sleep(name, '1s')
        await task.step('wait', () => new Promise(() => {}))
      })
    const first = await openInMemory({ disk, clock, tasks: [version('nap')] })
    const { taskId } = await first.start('job', null)
    await untilIdle(first)
    await clock.advance(1_000)
    await first.close({ grace: 0 })
    const second = await openInMemory({ disk, clock, tasks: [version('rest')] })
    await second.recovery.done
    expect(await second.get(taskId)).toMatchObject({
      parked: { code: 'CODE_CHANGED', reason: expect.stringContaining("sleep 'nap'") },
    })
  })

  test.each([[-1], ['soon'], [Number.NaN], [Number.POSITIVE_INFINITY], ['-5s']])(
    'of %j is refused by name',
    async (duration) => {
      const task = defineTask({ name: 'bad' }, (task) => task.sleep('nap', duration as number))
      const holdfast = await openInMemory({ tasks: [task] })
      const { taskId } = await holdfast.start(task, null)
      await expect(holdfast.result(taskId)).rejects.toThrow(/`duration`/)
    },
  )

  test('until no instant is refused by name', async () => {
    const task = defineTask({ name: 'bad' }, (task) => task.sleepUntil('nap', new Date(Number.NaN)))
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(/`instant`/)
  })
})

test('a clock that jumps backwards harms no sleep', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const task = defineTask({ name: 'jump' }, async (task) => {
    await task.sleep('nap', '1h')
    return 'awake'
  })
  const first = await openInMemory({ disk, clock, tasks: [task] })
  const { taskId } = await first.start(task, null)
  await untilIdle(first)
  await first.close()
  const earlier = new ManualClock(clock.now() - 24 * HOUR)
  const second = await openInMemory({ disk, clock: earlier, tasks: [task] })
  await second.recovery.done
  expect(await second.get(taskId)).toMatchObject({ status: 'running' })
  await earlier.advance(25 * HOUR)
  expect(await second.result(taskId)).toBe('awake')
})
