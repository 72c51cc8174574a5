// Goal: no limit is ever overshot, no slot is ever lost, nobody starves and nobody is held up by another's limit.
// Method: a thousand starts at once against each limit; time in hand; random waits and cancels against plain rules.

import { describe, expect, test } from 'vitest'
import { type QueuedRun, Scheduler } from '../../../src/engine/scheduling/scheduler.js'
import { defineTask, type HoldfastError } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { gate } from '../../helpers/gated-tasks.js'

const outcomes = async (starts: Promise<{ taskId: string }>[]) => {
  const settled = await Promise.allSettled(starts)
  return {
    taskIds: settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.taskId] : [])),
    refused: settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as HoldfastError] : [])),
  }
}
const thousand = <T>(make: (n: number) => T) => Array.from({ length: 1_000 }, (_, n) => make(n))

describe('a thousand starts at once', () => {
  test.each([
    ['liveTasksMax', { liveTasksMax: 70 }, 70],
    ['liveTasksPerOwnerMax', { liveTasksPerOwnerMax: 40 }, 40],
    ['queueLengthMax', { queueLengthMax: 25 }, 35],
  ] as const)('never overshoot `limits.%s`', async (limit, limits, allowed) => {
    const clock = new ManualClock()
    const { task, endAll } = gate('gate')
    const holdfast = await openInMemory({ clock, tasks: [task], concurrency: 10, limits })
    const { taskIds, refused } = await outcomes(thousand((n) => holdfast.start(task, n, { owner: 'alice' })))
    expect(taskIds).toHaveLength(allowed)
    const { max } = (refused[0] as HoldfastError).details as { max: number }
    expect(refused).toHaveLength(1_000 - allowed)
    for (const { code, message, details } of refused) {
      expect(code).toBe('LIMIT_EXCEEDED')
      expect(message).toMatch(new RegExp(`${max}.*\`limits\\.${limit}\`.*Start again once`))
      expect(details).toMatchObject({ limit, option: `limits.${limit}`, value: max, max })
      // No instant is known from which on there is room, so none is claimed.
      expect(Object.keys(details)).not.toContain('retryAt')
    }
    // There is room again once some have settled, for just as many.
    await endAll()
    const again = await outcomes(thousand((n) => holdfast.start(task, n, { owner: 'alice' })))
    expect(again.taskIds).toHaveLength(allowed)
  })

  test('never overshoot `ratePerOwner`, and are told to the millisecond when to try again', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const task = defineTask({ name: 'noop' }, () => 1)
    const options = { disk, clock, tasks: [task], ratePerOwner: { starts: 100, per: '1m' } } as const
    const first = await openInMemory(options)
    const began = clock.now()
    const alice = { owner: 'alice' }
    const { taskIds, refused } = await outcomes(thousand((n) => first.start(task, n, alice)))
    expect(taskIds).toHaveLength(100)
    for (const { code, message, details } of refused) {
      expect(code).toBe('LIMIT_EXCEEDED')
      expect(message).toMatch(/'alice' has started 100 tasks within 60000 ms.*100.*`ratePerOwner`.*Start again at 2026/)
      expect(details).toMatchObject({
        limit: 'ratePerOwner',
        option: 'ratePerOwner',
        max: 100,
        value: 100,
        owner: 'alice',
        retryAt: began + 60_000,
        retryAfterMs: 60_000,
      })
    }
    // Others, and nobody's, are not concerned.
    await first.start(task, 1, { owner: 'bob' })
    await Promise.all(Array.from({ length: 150 }, (_, n) => first.start(task, n)))

    // A restart gives no fresh allowance, and the instant stays the same.
    await first.close()
    await clock.advance(20_000)
    const second = await openInMemory(options)
    const late = await outcomes(thousand((n) => second.start(task, n, alice)))
    expect(late.taskIds).toEqual([])
    expect(late.refused[0]?.details).toMatchObject({ retryAt: began + 60_000, retryAfterMs: 40_000 })
    await clock.advance(39_999)
    await expect(second.start(task, 1, alice)).rejects.toMatchObject({ details: { retryAfterMs: 1 } })
    await clock.advance(1)
    const after = await outcomes(thousand((n) => second.start(task, n, alice)))
    expect(after.taskIds).toHaveLength(100)
    await second.close()
  })

  test('and repeats of what is there already are never refused', async () => {
    const { task } = gate('gate')
    const holdfast = await openInMemory({
      tasks: [task],
      concurrency: 1,
      ratePerOwner: { starts: 3, per: '1h' },
      limits: { liveTasksMax: 3, liveTasksPerOwnerMax: 3, queueLengthMax: 2 },
    })
    const start = (n: number) => holdfast.start(task, 0, { owner: 'alice', idempotencyKey: `k${n % 5}` })
    const { taskIds, refused } = await outcomes(thousand(start))
    expect(new Set(taskIds).size).toBe(3)
    expect(taskIds).toHaveLength(600)
    expect(refused).toHaveLength(400)
  })

  test('that fail give back what they were given', async () => {
    const disk = new MemoryDisk()
    const { task, running } = gate('gate')
    const options = {
      disk,
      tasks: [task],
      concurrency: 2,
      ratePerOwner: { starts: 10, per: '1h' },
      limits: { liveTasksPerOwnerMax: 10, queueLengthMax: 8 },
    } as const
    const holdfast = await openInMemory(options)
    const alice = { owner: 'alice' }
    // Refused after they were let in: their names don't fit into a head.
    const long = { owner: 'ä'.repeat(128), idempotencyKey: '"'.repeat(256) }
    const named = defineTask({ name: '"'.repeat(128), version: '"'.repeat(64) }, () => 1)
    for (let n = 0; n < 30; n++) {
      await expect(holdfast.start(named, n, long)).rejects.toMatchObject({ code: 'TOO_LARGE' })
    }
    // Refused by the disk.
    disk.full = true
    const { taskIds, refused } = await outcomes(thousand((n) => holdfast.start(task, n, alice)))
    expect(taskIds).toEqual([])
    expect(refused.filter(({ code }) => code === 'START_UNKNOWN')).toHaveLength(10)
    disk.full = false
    // Once it is known that none of them landed, all is as it was.
    expect(await openLater(() => holdfast.start(task, 1, alice))).toBeDefined()
    const again = await outcomes(thousand((n) => holdfast.start(task, n, alice)))
    expect(again.taskIds).toHaveLength(9)
    await untilIdle(holdfast)
    expect(running).toHaveLength(2)
    await holdfast.close({ grace: 0 })
  })
})

async function openLater<T>(call: () => Promise<T>): Promise<T | undefined> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      return await call()
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  return undefined
}

describe('a start that nobody knows the fate of', () => {
  test('counts as started, and its slot is free again', async () => {
    const disk = new MemoryDisk()
    const { task, running } = gate('gate')
    const holdfast = await openInMemory({ disk, tasks: [task], concurrency: 1, ratePerOwner: { starts: 2, per: '1h' } })
    disk.failAt({ atWrite: 1, applied: true })
    const alice = { owner: 'alice' }
    await expect(holdfast.start(task, 1, alice)).rejects.toMatchObject({ code: 'START_UNKNOWN' })
    await openLater(() => holdfast.start(task, 2, alice))
    await untilIdle(holdfast)
    // The first one had landed. It runs in the only slot; the second waits for it.
    expect(running.map(({ n }) => n)).toEqual([1])
    await expect(holdfast.start(task, 3, alice)).rejects.toMatchObject({ details: { limit: 'ratePerOwner' } })
    running[0]?.end()
    await untilIdle(holdfast)
    expect(running.map(({ n }) => n)).toEqual([2])
  })
})

describe('concurrency', () => {
  test('of a type holds for that type, and its queue holds up no other', async () => {
    const slow = gate('slow', { concurrency: 3 })
    const other = gate('other')
    const holdfast = await openInMemory({ tasks: [slow.task, other.task], concurrency: 10 })
    await Promise.all(Array.from({ length: 50 }, (_, n) => holdfast.start(slow.task, n)))
    await Promise.all(Array.from({ length: 20 }, (_, n) => holdfast.start(other.task, n)))
    await untilIdle(holdfast)
    expect(slow.running).toHaveLength(3)
    expect(other.running).toHaveLength(7)
    await other.endAll()
    expect(slow.running).toHaveLength(3)
    expect(other.seen.order).toHaveLength(20)
    await slow.endAll()
    expect(slow.seen).toMatchObject({ most: 3, order: Array.from({ length: 50 }, (_, n) => n) })
  })

  test('of an owner holds for each owner, and its queue holds up no other', async () => {
    const { task, running, endAll, seen } = gate('gate')
    const holdfast = await openInMemory({ tasks: [task], concurrency: 6, concurrencyPerOwner: 2 })
    for (const owner of ['alice', 'bob', undefined]) {
      await Promise.all(Array.from({ length: 10 }, (_, n) => holdfast.start(task, n, { owner })))
    }
    await untilIdle(holdfast)
    const count = (owner: string | undefined) => running.filter((one) => one.owner === owner).length
    // Who has no owner is nobody, and no limit of an owner's holds.
    expect([count('alice'), count('bob'), count(undefined)]).toEqual([2, 2, 2])
    await endAll()
    expect(seen.order).toHaveLength(30)
    await Promise.all(Array.from({ length: 10 }, (_, n) => holdfast.start(task, n)))
    await untilIdle(holdfast)
    expect(running).toHaveLength(6)
  })

  test.each(['30s', '2h'] as const)('is not taken up by a sleep of %s', async (duration) => {
    const clock = new ManualClock()
    const sleepy = defineTask({ name: 'sleepy', concurrency: 1 }, async (task, n: number) => {
      await task.sleep('nap', duration)
      return n
    })
    const holdfast = await openInMemory({ clock, tasks: [sleepy], concurrency: 1, concurrencyPerOwner: 1 })
    const started = await Promise.all(
      Array.from({ length: 40 }, (_, n) => holdfast.start(sleepy, n, { owner: 'alice' })),
    )
    await untilIdle(holdfast)
    await clock.advance(2 * 3_600_000 + 1)
    await untilIdle(holdfast)
    for (const [n, { taskId }] of started.entries()) expect(await holdfast.result(taskId)).toBe(n)
  })

  test('holds for what a crash left, too', async () => {
    const disk = new MemoryDisk()
    const { task } = gate('gate', { concurrency: 2 })
    const first = await openInMemory({ disk, tasks: [task] })
    await Promise.all(Array.from({ length: 20 }, (_, n) => first.start(task, n, { owner: `o${n % 3}`, priority: n })))
    disk.crash()
    const again = gate('gate', { concurrency: 2 })
    await untilIdle(await openInMemory({ disk, tasks: [again.task], limits: { queueLengthMax: 1 } }))
    expect(again.running).toHaveLength(2)
    await again.endAll()
    expect(again.seen.most).toBe(2)
    expect(again.seen.order).toHaveLength(20)
  })
})

describe('owners', () => {
  test('take turns: ten thousand tasks of one delay nobody else’s, whatever their priority', async () => {
    const { task, running, seen } = gate('gate')
    const holdfast = await openInMemory({ tasks: [task], concurrency: 1, durability: 'buffered' })
    for (let n = 0; n < 10_000; n += 1_000) {
      await Promise.all(thousand((m) => holdfast.start(task, n + m, { owner: 'alice', priority: 100 })))
    }
    await holdfast.start(task, -1, { owner: 'bob', priority: -100 })
    await holdfast.start(task, -2, { owner: 'carol' })
    for (let served = 0; served < 6; served++) {
      running[0]?.end()
      await untilIdle(holdfast)
    }
    expect(seen.order.slice(0, 6).filter((n) => n < 0)).toEqual([-1, -2])
  })
})

describe('a queue of 100,000', () => {
  test.each([
    ['one owner and one type', 1, 1],
    ['as many owners', 100_000, 1],
    ['a thousand owners and fifty types', 1_000, 50],
  ])('of %s is served without getting slow', (_, owners, types) => {
    const order: number[] = []
    const scheduler = new Scheduler({
      concurrency: 10,
      concurrencyPerOwner: 5,
      ageingMs: 30_000,
      concurrencyOf: (type) => (type === 't1' ? 2 : undefined),
    })
    const runs: QueuedRun[] = []
    const beganAt = performance.now()
    for (let n = 0; n < 100_000; n++) {
      const waiter = {
        taskId: `${n}`,
        owner: `o${n % owners}`,
        type: `t${n % types}`,
        priority: (n % 201) - 100,
        since: n,
      }
      scheduler.enqueue(waiter, () => {
        order.push(n)
        runs.push(waiter)
      })
    }
    for (let n = 99_999; n > 0; n -= 10) scheduler.remove(`${n}`)
    for (let next = runs.shift(); next; next = runs.shift()) scheduler.release(next)
    const perTask = ((performance.now() - beganAt) * 1_000) / 100_000
    expect(scheduler).toMatchObject({ waiting: 0, free: 10 })
    expect(order.length).toBeGreaterThanOrEqual(90_000)
    expect(perTask, 'microseconds per task').toBeLessThan(200)
  })
})

describe('bad input', () => {
  test.each([
    ['concurrencyPerOwner', 0],
    ['concurrencyPerOwner', -1],
    ['concurrencyPerOwner', 1.5],
    ['concurrencyPerOwner', Number.POSITIVE_INFINITY],
    ['concurrencyPerOwner', '5'],
    ['ratePerOwner', 5],
    ['ratePerOwner', null],
    ['ratePerOwner.starts', { per: '1m' }],
    ['ratePerOwner.starts', { starts: 0, per: '1m' }],
    ['ratePerOwner.starts', { starts: Number.POSITIVE_INFINITY, per: '1m' }],
    ['ratePerOwner.per', { starts: 5 }],
    ['ratePerOwner.per', { starts: 5, per: 0 }],
    ['ratePerOwner.per', { starts: 5, per: -1 }],
    ['ratePerOwner.per', { starts: 5, per: '1 month' }],
    ['ratePerOwner.every', { starts: 5, every: '1m' }],
    ['limits.liveTasksPerOwnerMax', { liveTasksPerOwnerMax: 0 }],
    ['limits.queueLengthMax', { queueLengthMax: '9' }],
    ['limits.queueLengthMax', { queueLengthMax: Number.POSITIVE_INFINITY }],
    ['limits.isolatedProcessesMax', { isolatedProcessesMax: -1 }],
    ['limits.queueMax', { queueMax: 5 }],
  ])('`%s` of %j is refused, naming it', async (option, value) => {
    const name = option.split('.')[0] as string
    await expect(openInMemory({ [name]: value })).rejects.toMatchObject({
      name: 'TypeError',
      message: expect.stringContaining(`\`${option}\``),
    })
  })

  test.each([-101, 101, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '5', null])(
    'a `priority` of %j is refused, and there is no task',
    async (priority) => {
      const task = defineTask({ name: 'noop' }, () => 1)
      const holdfast = await openInMemory({ tasks: [task] })
      const started = holdfast.start(task, null, { priority: priority as never })
      await expect(started).rejects.toThrow(/`priority` to be an integer from -100 to 100, got/)
      expect((await holdfast.list()).tasks).toEqual([])
    },
  )

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5', null])(
    'a `concurrency` of a task of %j is refused',
    (concurrency) => {
      expect(() => defineTask({ name: 'bad', concurrency: concurrency as never }, () => 1)).toThrow(/`concurrency`/)
    },
  )
})
