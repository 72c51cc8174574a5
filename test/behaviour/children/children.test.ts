// Goal: a child belongs to its parent: it is awaited across crashes, it ends with its parent, and it never outlives its
// parent's clean-up; and a parent that waits for one takes up nothing.
// Method: time in hand; scenarios are played with a crash before and after every write they make, and the laws are read
// off the audit at the end of each.

import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  defineTask,
  type HoldfastError,
  type StepFailedError,
  TaskCancelledError,
  type TaskContext,
  TaskFailedError,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { expectSame, family, hasChild, times, whenever } from '../../helpers/families.js'
import { turns } from '../../helpers/turns.js'

describe('a child', () => {
  test('is awaited: its output is the answer, and a recorded one never runs again', async () => {
    const { outcome, effects } = await expectSame(
      (log) => [
        defineTask({ name: 'kid', input: z.object({ n: z.number().default(7) }) }, async (task, { n }) => {
          await task.sleep('k', '30s')
          return task.step('double', () => {
            log.push('double')
            return n * 2
          })
        }),
        defineTask({ name: 'main' }, async (task) => {
          const one = await task.child('kid', { n: 21 })
          const [two, three] = await Promise.all([
            task.child('kid', {}),
            task.child('kid', { n: 1 }, { name: 'third' }),
          ])
          const nothing = await task.child(
            defineTask({ name: 'nothing' }, () => {}),
            undefined,
          )
          return [one, two, three, nothing === undefined, await task.step('z', () => 1)]
        }),
      ],
      (log) => expect(log.length).toBeLessThanOrEqual(4),
    )
    expect(outcome).toMatchObject({
      value: [42, 14, 2, true, 1],
      log: [
        'prefix kid#1 completed after 1',
        expect.stringMatching(/kid#2|third#1/),
        expect.stringMatching(/kid#2|third#1/),
        'prefix nothing#1 completed after 1',
        'prefix z#1 completed after 1',
      ],
      seen: {
        states: [
          'kid completed none -',
          'kid completed none -',
          'kid completed none -',
          'main completed none -',
          'nothing completed none -',
        ],
      },
    })
    expect(effects).toHaveLength(3)
  })

  test('that fails, is cancelled, or gets a bad input is a StepFailedError with the reason as its cause', async () => {
    const { outcome } = await expectSame(
      (log) => {
        const told = (call: Promise<unknown>) =>
          call.then(
            () => 'no error',
            (error: StepFailedError) => {
              const cause = error.cause as HoldfastError
              const { name, code, message } = cause
              const inner = cause.cause as Error | undefined
              return {
                name: error.name,
                step: error.step,
                isTaskFailed: cause instanceof TaskFailedError,
                cause: [name, code, message.replace(/task-\w+/, 'ID')],
                inner: inner?.message.replace(/task-\w+/, 'ID'),
              }
            },
          )
        return [
          defineTask({ name: 'fails', undo: { pay: () => log.push('undo') } }, async (task) => {
            await task.step('pay', () => 1)
            throw new RangeError('broke')
          }),
          defineTask({ name: 'late', timeout: '5s' }, (task) => task.sleep('k', '1h')),
          defineTask({ name: 'picky', input: z.object({ n: z.number() }) }, () => 1),
          defineTask({ name: 'main' }, async (task) => [
            await told(task.child('fails', null)),
            await told(task.child('late', null)),
            await told(task.child('picky', { n: 'x' })),
            await told(task.child('picky', { n: 1n })),
            await task.step('z', () => 1),
          ]),
        ]
      },
      (log, where) => expect(times(log, 'undo'), where).toBeGreaterThanOrEqual(1),
    )
    expect(outcome).toMatchObject({
      value: [
        {
          name: 'StepFailedError',
          step: 'fails',
          isTaskFailed: true,
          cause: ['TaskFailedError', 'TASK_FAILED', expect.stringContaining('broke')],
          inner: 'broke',
        },
        {
          step: 'late',
          isTaskFailed: true,
          cause: ['TaskFailedError', 'TIMEOUT', expect.stringContaining('ran out of time')],
        },
        { step: 'picky', cause: [expect.any(String), 'INVALID_INPUT', expect.any(String)] },
        { step: 'picky', cause: [expect.any(String), 'NOT_SERIALIZABLE', expect.any(String)] },
        1,
      ],
      seen: { states: ['fails failed done -', 'late failed none -', 'main completed none -'] },
    })
  })

  test('cancelled from outside is an error of its parent’s, which may go on', async () => {
    const { outcome } = await expectSame(
      () => [
        defineTask({ name: 'kid' }, (task) => task.sleep('k', '40s')),
        defineTask({ name: 'main' }, async (task) => {
          const said = await task.child('kid', null).catch((error: StepFailedError) => {
            const { cause } = error
            return cause instanceof TaskCancelledError ? [cause.name, cause.code, cause.reason] : 'another error'
          })
          return [said, await task.step('z', () => 1)]
        }),
      ],
      undefined,
      whenever(hasChild, async (holdfast) => {
        const kid = (await holdfast.list()).tasks.find(({ type }) => type === 'kid')
        await holdfast.cancel(kid?.taskId ?? '', { reason: 'not wanted' })
        return true
      }),
    )
    expect(outcome).toMatchObject({ value: [['TaskCancelledError', 'TASK_CANCELLED', 'not wanted'], 1] })
  })

  test('has its parent’s owner, deadline and time to live, and says whose it is', async () => {
    const clock = new ManualClock()
    const kid = defineTask({ name: 'kid' }, (task) => task.sleep('k', '1h'))
    const main = defineTask({ name: 'main' }, (task) => task.child(kid, null))
    const holdfast = await openInMemory({ tasks: [main, kid], clock })
    const deadline = clock.now() + 50_000
    const { taskId } = await holdfast.forOwner('alice').start(main, null, { ttl: '2d', deadline })
    await clock.advance(1_000)
    await untilIdle(holdfast)
    const { tasks } = await holdfast.list({ owner: 'alice' })
    const child = tasks.find(({ type }) => type === 'kid')
    expect(child).toMatchObject({ owner: 'alice', parentId: taskId, deadlineAt: deadline })
    expect(child?.ttl).toBeLessThanOrEqual(2 * 86_400_000)
    await expect(holdfast.forOwner('bob').cancel(child?.taskId ?? '')).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await clock.advance(50_000)
    await untilIdle(holdfast)
    expect((await family(holdfast)).states).toEqual([
      expect.stringMatching(/kid (failed|cancelled) none alice/),
      'main failed done alice',
    ])
  })

  test('of a child of a child …: as deep as the limit, and no deeper', async () => {
    const clock = new ManualClock()
    const deep = defineTask({ name: 'deep' }, async (task: TaskContext, depth: unknown): Promise<number> => {
      try {
        return (await task.child('deep', Number(depth) + 1)) as number
      } catch (error) {
        const { code } = (error as StepFailedError).cause as HoldfastError
        if (code !== 'LIMIT_EXCEEDED') throw error
        return Number(depth)
      }
    })
    for (const concurrency of [1, 100]) {
      const holdfast = await openInMemory({ tasks: [deep], clock, concurrency })
      const { taskId } = await holdfast.start(deep, 0)
      expect(await holdfast.result(taskId)).toBe(16)
      expect((await family(holdfast)).outlived).toEqual([])
    }
  })

  test('of an unknown type fails, and is recorded as failed: a replay that knows the type takes the same way', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const main = defineTask({ name: 'main' }, async (task) => {
      const said = await task.child('kid', null).catch((error: HoldfastError) => (error.cause as HoldfastError).code)
      // biome-ignore lint/suspicious/noExplicitAny: what a caller without types may hand in
      const bad = await task.child('main', null, { name: 7 as any }).catch((error: Error) => error.name)
      await task.sleep('long', '1h')
      return [said, bad]
    })
    const first = await openInMemory({ disk, clock, tasks: [main] })
    const { taskId } = await first.start(main, null)
    await clock.advance(1_000)
    await first.close()
    const kid = defineTask({ name: 'kid' }, () => 1)
    const second = await openInMemory({ disk, clock, tasks: [main, kid] })
    const ended = second.result(taskId)
    await clock.advance(3_600_000)
    expect(await ended).toEqual(['TASK_TYPE_UNKNOWN', 'TypeError'])
    expect((await second.list({ type: 'kid' })).tasks).toEqual([])
  })

  test('whose type a later process does not know is answered if it had ended, and waited for if it had begun', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const runs: string[] = []
    const kid = defineTask({ name: 'kid' }, async (task, name: string) => {
      await task.step('a', () => void runs.push(name))
      if (name === 'slow') await task.sleep('nap', '1h')
      return name
    })
    // Called by its name, as one module calls a task of another.
    const main = defineTask({ name: 'main' }, async (task) => {
      const quick = await task.child('kid', 'quick', { name: 'one' })
      return [quick, await task.child('kid', 'slow', { name: 'two' })]
    })
    const first = await openInMemory({ disk, clock, tasks: [main, kid] })
    const { taskId } = await first.start(main, null)
    await clock.advance(1_000)
    await first.close()
    const second = await openInMemory({ disk, clock, tasks: [main] })
    await second.recovery.done
    await clock.advance(2 * 3_600_000)
    expect(await second.get(taskId)).toMatchObject({ status: 'running', parked: undefined })
    expect((await second.list({ type: 'kid', status: 'running' })).tasks).toMatchObject([
      { parked: { code: 'TASK_TYPE_UNKNOWN' } },
    ])
    // Stricter about what it takes than when they were started: they were parsed then, and are not parsed again.
    second.register(defineTask({ name: 'kid', input: z.literal('new') }, kid.body as never))
    await clock.advance(1_000)
    expect(await second.result(taskId)).toEqual(['quick', 'slow'])
    expect(runs).toEqual(['quick', 'slow'])
  })

  test('that ended while its parent was parked is kept until the parent has heard of it', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    let runs = 0
    const kid = defineTask({ name: 'kid' }, async (task) => {
      await task.sleep('nap', '1h')
      return task.step('count', () => ++runs)
    })
    const main = defineTask({ name: 'main' }, async (task) => {
      const said = await task.child(kid, null)
      await task.sleep('on', '1d')
      return said
    })
    const first = await openInMemory({ disk, clock, tasks: [main, kid] })
    const { taskId } = await first.start(main, null)
    await clock.advance(1_000)
    await first.close()
    const retention = '10m'
    const second = await openInMemory({ disk, clock, tasks: [kid], retention })
    await clock.advance(5 * 3_600_000)
    expect(await second.get(taskId)).toMatchObject({ parked: { code: 'TASK_TYPE_UNKNOWN' } })
    expect((await second.list({ type: 'kid' })).tasks).toMatchObject([{ status: 'completed' }])
    await second.close()
    const third = await openInMemory({ disk, clock, tasks: [main, kid], retention })
    await clock.advance(3_600_000)
    // Heard of: it is swept, although its parent goes on.
    expect((await third.list({ type: 'kid' })).tasks).toEqual([])
    const ended = third.result(taskId)
    await clock.advance(86_400_000)
    expect(await ended).toBe(1)
    expect(runs).toBe(1)
  })

  test('does not begin before its parent has noted it: where a write is lost there are never two', async () => {
    const { outcome } = await expectSame((log) => [
      defineTask({ name: 'kid' }, (task) => task.step('k', () => void log.push('k'))),
      defineTask({ name: 'main' }, async (task) => {
        for (let at = 0; at < 3; at++) await task.child('kid', at)
      }),
    ])
    expect(outcome).toMatchObject({
      seen: { states: [...Array(3).fill('kid completed none -'), 'main completed none -'] },
    })
  })

  test('is created before anything else is written of it, whichever write the disk refuses while its parent is cancelled', async () => {
    let refused = 0
    for (const applied of [false, true]) {
      for (let atWrite = 1; atWrite <= 3; atWrite++) {
        for (let after = 0; after < 25; after++) {
          const disk = new MemoryDisk()
          const tasks = [
            defineTask({ name: 'kid' }, (task) => task.sleep('nap', '30d')),
            defineTask({ name: 'main' }, (task) => task.child('kid')),
          ]
          const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks })
          const { taskId } = await holdfast.start('main')
          disk.failAt({ atWrite, applied })
          await turns(after)
          for (let said = ''; said !== 'cancelled' && said !== 'TASK_SETTLED'; ) {
            said = await holdfast.cancel(taskId).then(
              ({ status }) => status,
              ({ code }: HoldfastError) => code,
            )
            if (said === 'STORE_UNAVAILABLE') refused++
            await turn()
          }
          await holdfast.result(taskId).catch(() => {})
          await untilIdle(holdfast)
          const where = `write ${atWrite}${applied ? ', applied' : ''}, cancelled ${after} turns later`
          for (const kid of (await holdfast.list()).tasks.filter(({ type }) => type === 'kid')) {
            expect(kid, where).toMatchObject({ status: 'cancelled' })
            const said = (await holdfast.audit({ taskId: kid.taskId })).map(({ action }) => action)
            expect(said[0], where).toBe('created')
            expect(times(said, 'cancelled'), where).toBe(1)
          }
          const live = [...disk.content.keys()].filter((key) => key.startsWith('live/'))
          expect(live, where).toEqual([])
        }
      }
    }
    expect(refused).toBeGreaterThan(0)
  })
})
