// Goal: no child outlives the clean-up of its parent, whichever way the parent ends, and a parent that waits for one uses nothing.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, NonRetryableError, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import {
  expectSame,
  family,
  hasChild,
  type Log,
  orderless,
  startMain,
  type Task,
  times,
  whenever,
} from '../../helpers/families.js'

const cancels = async (holdfast: Holdfast, taskId: string) => {
  await holdfast.cancel(taskId, { reason: 'enough' })
  return true
}

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
