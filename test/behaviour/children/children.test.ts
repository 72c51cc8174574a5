// Goal: a child belongs to its parent: it is awaited across crashes, it ends with its parent, and it never outlives its
// parent's clean-up; and a parent that waits for one takes up nothing.
// Method: time in hand; scenarios are played with a crash before and after every write they make, and the laws are read
// off the audit at the end of each.

import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  type AnyTaskDefinition,
  defineTask,
  type Holdfast,
  type HoldfastError,
  NonRetryableError,
  type StepFailedError,
  TaskCancelledError,
  type TaskContext,
  TaskFailedError,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash, type Played } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'

type Log = string[]
type Task = AnyTaskDefinition

const startMain = async (holdfast: Holdfast) =>
  (await holdfast.start('main', null, { idempotencyKey: 'the one' })).taskId

/** Starts the parent, and does something to it from outside once `isTime`. Played again after a crash. */
const whenever = (isTime: (holdfast: Holdfast, taskId: string) => Promise<boolean>, act: typeof isTime) => {
  return async (holdfast: Holdfast) => {
    const taskId = await startMain(holdfast)
    const loop = async () => {
      for (let looks = 0; looks < 500; looks++) {
        if ((await holdfast.get(taskId)).settledAt !== undefined) return
        if (await isTime(holdfast, taskId)) return void (await act(holdfast, taskId))
        await turn()
      }
    }
    // The process may die meanwhile.
    loop().catch(() => {})
    return taskId
  }
}
const hasChild = async (holdfast: Holdfast, taskId: string) =>
  (await holdfast.list()).tasks.some(({ parentId, startedAt }) => parentId === taskId && startedAt !== undefined)
const cancels = async (holdfast: Holdfast, taskId: string) => {
  await holdfast.cancel(taskId, { reason: 'enough' })
  return true
}

/** Which children outlived their parents, and what else there is at the end: states by type, no IDs. */
async function family(holdfast: Holdfast) {
  await untilIdle(holdfast)
  const { tasks } = await holdfast.list()
  const audit = await holdfast.audit({ limit: 10_000 })
  const when = (taskId: string, actions: readonly string[]) =>
    audit.filter((entry) => entry.taskId === taskId && actions.includes(entry.action)).map(({ at }) => at)
  const ended = ['completed', 'failed', 'cancelled']
  const cleaned = ['cleaned-up', 'clean-up-failed']
  const outlived: string[] = []
  for (const { taskId, parentId, type, cleanUp } of tasks) {
    if (when(taskId, ended).length !== 1) outlived.push(`${type} settled ${when(taskId, ended).length} times`)
    if (when(taskId, cleaned).length > 1) outlived.push(`${type} was cleaned up twice`)
    if (cleanUp === 'pending') outlived.push(`${type} is not cleaned up`)
    if (parentId === undefined) continue
    const overAt = Math.max(...when(taskId, [...ended, ...cleaned]))
    const parentOverAt = Math.max(...when(parentId, [...ended, ...cleaned]))
    if (overAt > parentOverAt) outlived.push(`${type} outlived its parent by ${overAt - parentOverAt} ms`)
  }
  const states = tasks.map(({ type, status, cleanUp, owner }) => [type, status, cleanUp, owner ?? '-'].join(' ')).sort()
  return { outlived, states }
}

/** Children that run side by side may be recorded in another order after a crash. */
function orderless(outcome: unknown): unknown {
  const { log, ...rest } = outcome as { log: string[] }
  return { ...rest, log: [...log].sort() }
}

async function expectSame(
  make: (log: Log, clock: ManualClock) => readonly Task[],
  law: (log: Log, where: string) => void = () => {},
  drive: (holdfast: Holdfast) => Promise<string> = startMain,
  compared: (outcome: unknown) => unknown = orderless,
): Promise<Played<Log> & { outcome: Record<string, unknown> }> {
  const { calm, crashed } = await everyCrash<Log>({ effects: () => [], tasks: make, drive, look: family })
  expect(calm.outcome).toMatchObject({ seen: { outlived: [] } })
  law(calm.effects, calm.where)
  for (const { where, outcome, effects } of crashed) {
    expect(compared(outcome), where).toEqual(compared(calm.outcome))
    law(effects, where)
  }
  return calm as Played<Log> & { outcome: Record<string, unknown> }
}

const times = (log: Log, what: string) => log.filter((entry) => entry === what).length

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

describe('a parent that ends before its child', () => {
  // Clean-ups take their time, so that the audit shows who waits for whom.
  const takes = (clock: ManualClock, ms: number) =>
    new Promise<void>((resolve) => void clock.setTimer(clock.now() + ms, resolve))
  const kids = (log: Log, clock: ManualClock) => [
    defineTask(
      {
        name: 'kid',
        undo: {
          book: async () => {
            await takes(clock, 1_000)
            log.push('kid undone')
          },
        },
        onCancel: () => log.push('kid cleaned up'),
      },
      async (task) => {
        await task.step('book', () => 1)
        await task.child('grandkid', null)
        log.push('NEVER')
      },
    ),
    defineTask(
      {
        name: 'grandkid',
        onCancel: async () => {
          await takes(clock, 1_000)
          log.push('grandkid cleaned up')
        },
      },
      async (task) => {
        await task.sleep('g', '5h')
        log.push('NEVER')
      },
    ),
  ]
  const law = (log: Log, where: string) => {
    expect(log, where).not.toContain('NEVER')
    // The youngest first; and each once, or once more where a crash fell between the call and its record.
    const order = ['grandkid cleaned up', 'kid undone', 'kid cleaned up', 'parent undone', 'parent cleaned up']
    const there = order.filter((what) => log.includes(what))
    expect(
      there.map((what) => log.indexOf(what)),
      where,
    ).toEqual(there.map((what) => log.indexOf(what)).sort((a, b) => a - b))
    for (const what of there) expect(times(log, what), `${where}: ${what}`).toBeLessThanOrEqual(2)
  }
  const hasGrandkid = async (holdfast: Holdfast) =>
    (await holdfast.list()).tasks.some(({ type, startedAt }) => type === 'grandkid' && startedAt !== undefined)

  test('because it was cancelled: the youngest are cleaned up first, and the parent last', async () => {
    const { outcome, effects } = await expectSame(
      (log, clock) => [
        ...kids(log, clock),
        defineTask(
          {
            name: 'main',
            undo: { pay: () => log.push('parent undone') },
            onCancel: () => log.push('parent cleaned up'),
          },
          async (task) => {
            await task.step('pay', () => 1)
            await task.child('kid', null)
            log.push('NEVER')
          },
        ),
      ],
      law,
      whenever(hasGrandkid, cancels),
    )
    expect(outcome).toMatchObject({
      status: 'cancelled',
      seen: { states: ['grandkid cancelled done -', 'kid cancelled done -', 'main cancelled done -'] },
    })
    expect(effects).toEqual([
      'grandkid cleaned up',
      'kid undone',
      'kid cleaned up',
      'parent undone',
      'parent cleaned up',
    ])
  })

  test('runs no more when a later process ends the child: a body of a settled task never runs', async () => {
    const disk = new MemoryDisk()
    let begun = 0
    let isLate = false
    const live = async () => {
      const clock = new ManualClock()
      const onCancel = () => (isLate ? undefined : new Promise(() => {}))
      const child = defineTask({ name: 'child', onCancel }, (task) => task.sleep('long', '9h'))
      const main = defineTask({ name: 'main' }, (task) =>
        task.all({
          child: (t) => t.child(child, null),
          work: (t) =>
            t.step('work', () => {
              begun++
              return new Promise(() => {})
            }),
        }),
      )
      return openInMemory({ disk, clock, tasks: [main, child] })
    }
    const first = await live()
    const taskId = await startMain(first)
    while (!(await hasChild(first, taskId))) await turn()
    await first.cancel(taskId)
    await untilIdle(first)
    disk.crash()
    isLate = true
    const second = await live()
    await expect(second.result(taskId)).rejects.toMatchObject({ code: 'TASK_CANCELLED' })
    await untilIdle(second)
    expect(begun).toBe(1)
    expect(await family(second)).toMatchObject({ outlived: [] })
    await second.close()
  })

  test('because it timed out', async () => {
    const { outcome } = await expectSame(
      (log, clock) => [
        ...kids(log, clock),
        defineTask({ name: 'main', timeout: '50s', onCancel: () => log.push('parent cleaned up') }, (task) =>
          task.child('kid', null),
        ),
      ],
      (log, where) => {
        law(log, where)
        expect(log, where).toContain('kid cleaned up')
        expect(log, where).toContain('grandkid cleaned up')
      },
      startMain,
      // Its child has the same deadline, and may be the first to miss it; it is the reason then.
      (played) => {
        const { status, seen } = played as { status: string; seen: { outlived: string[] } }
        return { status, outlived: seen.outlived }
      },
    )
    expect(outcome).toMatchObject({ status: 'failed', error: expect.stringContaining('ran out of time') })
  })

  test('because its body failed, or completed without waiting', async () => {
    for (const ends of ['completes', 'fails']) {
      const { outcome, effects } = await expectSame(
        (log, clock) => [
          ...kids(log, clock),
          defineTask({ name: 'main', undo: { pay: () => log.push('parent undone') } }, async (task) => {
            await task.step('pay', () => 1)
            void task.child('kid', null)
            await task.sleep('a while', '30s')
            if (ends === 'fails') throw new NonRetryableError('no')
            return 'done'
          }),
        ],
        law,
      )
      expect(outcome).toMatchObject({ status: ends === 'fails' ? 'failed' : 'completed' })
      expect(effects).toEqual([
        'grandkid cleaned up',
        'kid undone',
        'kid cleaned up',
        ...(ends === 'fails' ? ['parent undone'] : []),
      ])
    }
  })

  test('in a branch that loses: it is cleaned up before the race returns', async () => {
    const { outcome } = await expectSame(
      (log, clock) => [
        ...kids(log, clock),
        defineTask({ name: 'main' }, async (task) => {
          const won = await task.race({
            child: (t) => t.child('kid', null),
            quick: (t) => t.sleep('q', '20s').then(() => 'quick'),
          })
          log.push('told')
          const second = await task.race({ child: (t) => t.child('small', 3), slow: (t) => t.sleep('q', '50s') })
          return [won, second]
        }),
        defineTask({ name: 'small' }, (task, input) => task.sleep('s', '1s').then(() => input)),
      ],
      (log, where) => {
        law(log, where)
        expect(log.indexOf('kid cleaned up'), where).toBeGreaterThanOrEqual(0)
        expect(log.lastIndexOf('kid cleaned up'), where).toBeLessThan(log.indexOf('told'))
      },
    )
    expect(outcome).toMatchObject({ value: ['quick', 3], seen: { outlived: [] } })
  })
})

describe('a parent that is tried again', () => {
  test('starts another child for one that failed, and keeps one that did not', async () => {
    const { outcome, effects } = await expectSame(
      (log) => [
        defineTask({ name: 'good' }, (task) => task.step('good', () => void log.push('good'))),
        defineTask({ name: 'flaky' }, async (task, attempt) => {
          await task.step('flaky', () => void log.push(`flaky ${attempt}`))
          if (attempt === 1) throw new Error('flaky')
          return `attempt ${attempt}`
        }),
        defineTask({ name: 'main', retry: { maximumAttempts: 2, initialInterval: '10s' } }, async (task) => {
          await task.child('good', null)
          return task.child('flaky', task.attempt)
        }),
      ],
      (log, where) => {
        expect(times(log, 'good'), where).toBeLessThanOrEqual(2)
        expect(log, where).toContain('flaky 2')
      },
    )
    expect(outcome).toMatchObject({
      value: 'attempt 2',
      attempt: 2,
      seen: {
        states: ['flaky completed none -', 'flaky failed none -', 'good completed none -', 'main completed none -'],
      },
    })
    expect(effects).toEqual(['good', 'flaky 1', 'flaky 2'])
  })

  test('ends what the next attempt does not know of, and waits its time although a child that it keeps ends', async () => {
    const { outcome } = await expectSame(
      (log, clock) => [
        defineTask({ name: 'kept' }, (task) => task.sleep('k', '20s').then(() => 'kept')),
        defineTask({ name: 'dropped', onCancel: () => log.push('dropped cleaned up') }, async (task) => {
          log.push('dropped begins')
          await task.sleep('k', '1h')
        }),
        defineTask(
          { name: 'main', retry: { maximumAttempts: 2, initialInterval: '100s', backoffCoefficient: 1 } },
          async (task) => {
            const kept = task.child('kept', null)
            try {
              await task.step('fails', () => {
                if (task.attempt === 2) return
                log.push(`failed at ${clock.now()}`)
                throw new Error('no')
              })
            } catch (error) {
              void task.child('dropped', null)
              await task.step('note', () => 1)
              throw error
            }
            await task.step('second', () => void log.push(`went on at ${clock.now()}`))
            return kept
          },
        ),
      ],
      (log, where) => {
        const at = (what: string) =>
          Number(
            log
              .findLast((entry) => entry.startsWith(what))
              ?.split(' ')
              .at(-1),
          )
        // At least half of it, whatever the jitter.
        expect(at('went on') - at('failed'), where).toBeGreaterThanOrEqual(50_000)
        if (log.includes('dropped begins')) expect(log, where).toContain('dropped cleaned up')
      },
      startMain,
      // Whether the child that is dropped had begun by then may differ.
      (played) => ({
        ...(orderless(played) as object),
        seen: (played as { seen: { outlived: string[] } }).seen.outlived,
      }),
    )
    expect(outcome).toMatchObject({ value: 'kept', attempt: 2 })
  })
})

describe('a parent that waits for its child', () => {
  test('holds no slot: 100 parents on 100 slots, and parents on one slot, do not deadlock', async () => {
    for (const [parents, concurrency] of [
      [100, 100],
      [10, 1],
    ] as const) {
      const clock = new ManualClock()
      const kid = defineTask({ name: 'kid' }, (task, input) => task.step('k', () => input))
      const main = defineTask({ name: 'main' }, async (task, input) => {
        const [one, two] = await Promise.all([task.child('kid', input), task.child('kid', input)])
        return [one, two, await task.child('kid', 'last')]
      })
      const holdfast = await openInMemory({ tasks: [main, kid], clock, concurrency })
      const started = await Promise.all(Array.from({ length: parents }, (_, at) => holdfast.start('main', at)))
      const all = await Promise.all(started.map(({ taskId }) => holdfast.result(taskId as never)))
      expect(all).toEqual(Array.from({ length: parents }, (_, at) => [at, at, 'last']))
      expect((await family(holdfast)).outlived).toEqual([])
    }
  })

  test('for long is unloaded, and wakes when its child ends, whatever write the process dies at', async () => {
    const { outcome, effects } = await expectSame((log) => [
      defineTask({ name: 'kid' }, async (task) => {
        await task.sleep('k', '5m')
        return 'kid'
      }),
      defineTask({ name: 'main' }, async (task) => {
        log.push('begins')
        return [await task.child('kid', null), await task.step('z', () => 1)]
      }),
    ])
    expect(outcome).toMatchObject({ value: ['kid', 1] })
    // It was let go of, and replayed.
    expect(effects).toHaveLength(2)
  })

  test('goes on with a child that ended while nobody was there', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const tasks = () => [
      defineTask({ name: 'kid' }, (task) => task.sleep('k', '5m').then(() => 'kid')),
      defineTask({ name: 'main' }, (task) => task.child('kid', null)),
    ]
    const first = await openInMemory({ disk, clock, tasks: tasks() })
    const { taskId } = await first.start('main', null)
    await clock.advance(120_000)
    await untilIdle(first)
    await first.close()
    await clock.advance(600_000)
    // Only the child's code is there at first.
    const second = await openInMemory({ disk, clock, tasks: [tasks()[0] as Task] })
    await untilIdle(second)
    expect((await second.list()).tasks.map(({ type, status }) => `${type} ${status}`).sort()).toEqual([
      'kid completed',
      'main running',
    ])
    second.register(tasks()[1] as Task)
    expect(await second.result(taskId as never, { waitParked: true })).toBe('kid')
    await second.close()
  })

  test.each(['its parent is cancelled', 'its branch loses'])('and others end at once when %s', async (how) => {
    const clock = new ManualClock()
    const never = () => new Promise(() => {})
    const kid = defineTask({ name: 'kid', undo: { k: () => {} }, cleanUp: { grace: '1m' } }, (task) =>
      task.step('k', never),
    )
    const kids = (task: TaskContext) => Promise.all([1, 2, 3, 4].map((n) => task.child('kid', n)))
    const main = defineTask({ name: 'main' }, (task) =>
      task.race({ kids, go: (branch) => branch.receive('go') }).then(() => 'went on'),
    )
    const holdfast = await openInMemory({ tasks: [main, kid], clock })
    const { taskId } = await holdfast.start('main', null)
    await untilIdle(holdfast)
    if (how === 'its branch loses') await holdfast.send(taskId, 'go', null)
    else await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    const { tasks } = await holdfast.list({ type: 'kid' })
    expect(tasks.map(({ status }) => status)).toEqual(['cancelled', 'cancelled', 'cancelled', 'cancelled'])
    await clock.advance(61_000)
    await untilIdle(holdfast)
    expect(await holdfast.list({ type: 'kid' })).toMatchObject({ tasks: Array(4).fill({ cleanUp: 'done' }) })
    expect(await holdfast.get(taskId)).toMatchObject(
      how === 'its branch loses' ? { status: 'completed' } : { status: 'cancelled', cleanUp: 'done' },
    )
  })
})
