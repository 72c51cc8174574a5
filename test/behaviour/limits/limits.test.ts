// Goal: no limit is ever overshot, no slot is ever lost, nobody starves and nobody is held up by another's limit.
// Method: a thousand starts at once against each limit; time in hand; random waits and cancels against plain rules.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Events } from '../../../src/base/events.js'
import { createIds } from '../../../src/base/ids.js'
import { LiveTasks } from '../../../src/engine/core/live-tasks.js'
import { Admission } from '../../../src/engine/scheduling/admission.js'
import { OwnerRates } from '../../../src/engine/scheduling/rate-limit.js'
import { type QueuedRun, Scheduler } from '../../../src/engine/scheduling/scheduler.js'
import { defineTask, type Holdfast, type HoldfastError, type TaskContext } from '../../../src/index.js'
import { toOperations } from '../../../src/store/operations.js'
import { readOwnerStarts } from '../../../src/store/reads.js'
import { createTask } from '../../../src/task/decisions/create.js'
import { ManualClock, MemoryDisk, openInMemory, silentLogger, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'

/** A task whose bodies run until they are let go, and what runs at the moment. */
function gate(name: string, options: { concurrency?: number } = {}) {
  const running: { owner: string | undefined; n: number; end: () => void }[] = []
  const seen = { most: 0, order: [] as number[] }
  const task = defineTask({ name, ...options }, (task, n: number) =>
    task.step(
      'hold',
      () =>
        new Promise<number>((resolve) => {
          const end = () => {
            running.splice(running.indexOf(entry), 1)
            resolve(n)
          }
          const entry = { owner: task.owner, n, end }
          running.push(entry)
          seen.order.push(n)
          seen.most = Math.max(seen.most, running.length)
        }),
    ),
  )
  const endAll = async () => {
    for (let idle = 0; idle < 3; idle++) {
      while (running.length > 0) {
        running[0]?.end()
        idle = 0
        await turns(4)
      }
      await turns(20)
    }
  }
  return { task, running, seen, endAll }
}

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

describe('priority', () => {
  const firstOf = async (holdfast: Holdfast, { running, seen }: ReturnType<typeof gate>, count: number) => {
    expect(await holdfast.list()).toBeDefined()
    const from = seen.order.length
    while (seen.order.length < from + count) {
      running[0]?.end()
      await untilIdle(holdfast)
    }
    return seen.order.slice(from)
  }

  test('decides who runs first, then who came first', async () => {
    const clock = new ManualClock()
    const gated = gate('gate')
    const holdfast = await openInMemory({ clock, tasks: [gated.task], concurrency: 1 })
    await holdfast.start(gated.task, 0)
    const given = [undefined, 5, -100, 100, 5, -1, 0]
    for (const [n, priority] of given.entries()) {
      const { taskId } = await holdfast.start(gated.task, n + 1, { priority })
      expect(await holdfast.get(taskId)).toMatchObject({ priority: priority ?? 0, status: 'pending' })
    }
    expect(await firstOf(holdfast, gated, 7)).toEqual([4, 2, 5, 1, 7, 6, 3])
  })

  test('grows by 1 per 30 s, so that no task starves', async () => {
    const clock = new ManualClock()
    const gated = gate('gate')
    const holdfast = await openInMemory({ clock, tasks: [gated.task], concurrency: 1 })
    await holdfast.start(gated.task, 0)
    await holdfast.start(gated.task, 1, { priority: -2 })
    await clock.advance(59_999)
    await holdfast.start(gated.task, 2)
    await clock.advance(2)
    await holdfast.start(gated.task, 3)
    await holdfast.start(gated.task, 4, { priority: 1 })
    expect(await firstOf(holdfast, gated, 4)).toEqual([4, 2, 1, 3])
  })

  test('of the highest, started again and again, does not keep the lowest waiting for ever', async () => {
    const clock = new ManualClock()
    const gated = gate('gate')
    const holdfast = await openInMemory({ clock, tasks: [gated.task], concurrency: 1 })
    await holdfast.start(gated.task, 0)
    await holdfast.start(gated.task, -1, { priority: -100 })
    for (let n = 1; !gated.seen.order.includes(-1); n++) {
      // 200 of priority at 30 s each, and one more that was there before.
      expect(n).toBeLessThan(205)
      await holdfast.start(gated.task, n, { priority: 100 })
      await clock.advance(30_000)
      gated.running[0]?.end()
      await untilIdle(holdfast)
    }
  })

  test('and the time waited survive a crash', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const before = gate('gate')
    const first = await openInMemory({ clock, disk, tasks: [before.task], concurrency: 1 })
    await first.start(before.task, 0, { priority: 100 })
    await first.start(before.task, 1)
    await clock.advance(90_000)
    await first.start(before.task, 2, { priority: 2 })
    await first.start(before.task, 3, { priority: 4 })
    disk.crash()
    const gated = gate('gate')
    const holdfast = await openInMemory({ clock, disk, tasks: [gated.task], concurrency: 1 })
    await untilIdle(holdfast)
    expect([...gated.seen.order, ...(await firstOf(holdfast, gated, 3))]).toEqual([0, 3, 1, 2])
  })
})

describe('no slot is lost', () => {
  test('whatever waits, is cancelled, is let in or let go, in any order', () => {
    const owners = [undefined, 'a', 'b', 'c']
    const types = ['x', 'y', 'z']
    const max: Record<string, number | undefined> = { x: 1, y: 3 }
    const action = fc.record({
      act: fc.constantFrom('try', 'enqueue', 'enqueue', 'release', 'release', 'remove'),
      owner: fc.constantFrom(...owners),
      type: fc.constantFrom(...types),
      priority: fc.integer({ min: -100, max: 100 }),
      pick: fc.nat(),
    })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(action),
        (total, each, acts) => {
          const running: QueuedRun[] = []
          const waiting = new Map<string, QueuedRun>()
          const scheduler = new Scheduler({
            concurrency: total,
            concurrencyPerOwner: each,
            ageingMs: 1_000,
            concurrencyOf: (type) => max[type],
          })
          const count = (has: (one: QueuedRun) => boolean) => running.filter(has).length
          const fits = ({ owner, type }: QueuedRun) =>
            running.length < total &&
            count((one) => one.type === type) < (max[type] ?? 99) &&
            (owner === undefined || count((one) => one.owner === owner) < each)
          const rank = ({ since, priority = 0 }: QueuedRun) => since - priority * 1_000
          const enqueue = (waiter: QueuedRun) => {
            waiting.set(waiter.taskId, waiter)
            scheduler.enqueue(waiter, () => {
              // Whoever begins fits, waited, and comes first of those of its owner that fit.
              expect(fits(waiter)).toBe(true)
              expect(waiting.delete(waiter.taskId)).toBe(true)
              for (const other of waiting.values()) {
                if (other.owner === waiter.owner && fits(other)) expect(rank(waiter)).toBeLessThanOrEqual(rank(other))
              }
              running.push(waiter)
            })
          }
          let now = 0
          for (const { act, owner, type, priority, pick } of acts) {
            now += 100
            const waiter = { taskId: `t${now}`, owner, type, priority, since: now }
            if (act === 'try') {
              const may = fits(waiter)
              expect(scheduler.tryTake(waiter)).toBe(may)
              if (may) running.push(waiter)
            } else if (act === 'enqueue') enqueue(waiter)
            else if (act === 'release' && running.length > 0) {
              const [ended] = running.splice(pick % running.length, 1)
              scheduler.release(ended as QueuedRun)
            } else if (act === 'remove' && waiting.size > 0) {
              const taskId = [...waiting.keys()][pick % waiting.size] as string
              waiting.delete(taskId)
              expect(scheduler.remove(taskId)).toBe(true)
              expect(scheduler.remove(taskId)).toBe(false)
            }
            expect(scheduler.free).toBe(total - running.length)
            expect(scheduler.waiting).toBe(waiting.size)
            // Nobody waits who could run.
            expect([...waiting.values()].filter(fits)).toEqual([])
          }
          for (let left = running.shift(); left; left = running.shift()) scheduler.release(left)
          expect([scheduler.free, scheduler.waiting, waiting.size]).toEqual([total, 0, 0])
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('by a run that ends while it queues for a slot, and neither is its next one held up', async () => {
    const clock = new ManualClock()
    const fail: ((error: Error) => void)[] = []
    const torn = defineTask({ name: 'torn', retry: { maximumAttempts: 2, initialInterval: '1s' } }, async (task) => {
      const outside = new Promise<never>((_, reject) => fail.push(reject))
      await Promise.race([task.sleep('nap', '5s'), outside])
      await task.sleep('another', '2s')
      return task.attempt
    })
    const { task: hold, running } = gate('hold')
    const holdfast = await openInMemory({ clock, tasks: [torn, hold], concurrency: 1 })
    const { taskId } = await holdfast.start(torn, null)
    await untilIdle(holdfast)
    await holdfast.start(hold, 1)
    await untilIdle(holdfast)
    expect(running).toHaveLength(1)
    // It wants its slot back, doesn't get it, and fails meanwhile.
    await clock.advance(5_000)
    fail[0]?.(new Error('torn'))
    await untilIdle(holdfast)
    await clock.advance(1_000)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running', attempt: 2 })
    running[0]?.end()
    await untilIdle(holdfast)
    await clock.advance(2_000)
    expect(await holdfast.result(taskId)).toBe(2)
    for (const n of [2, 3]) await holdfast.start(hold, n)
    await untilIdle(holdfast)
    expect(running.map(({ n }) => n)).toEqual([2])
  })

  test('by tasks that sleep, retry, wait side by side, are cancelled and time out at random', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ plan: fc.array(fc.nat(5), { maxLength: 5 }), cancelAfter: fc.nat(60), owner: fc.nat(2) }),
          {
            minLength: 5,
            maxLength: 30,
          },
        ),
        fc.constantFrom(3, 5, 1_000),
        async (tasks, loadedRunsMax) => {
          const clock = new ManualClock()
          const acts = [
            (task: TaskContext) => task.step('a', () => 1),
            (task: TaskContext) => task.sleep('short', '5s'),
            (task: TaskContext) => task.sleep('long', '5m'),
            (task: TaskContext) => Promise.all([task.sleep('short', '7s'), task.step('b', () => turns(3))]),
            (task: TaskContext) =>
              task.step('c', ({ attempt }) => (attempt < 2 ? Promise.reject(new Error('again')) : 1), {
                retry: { maximumAttempts: 2, initialInterval: '20s' },
              }),
            (task: TaskContext) => Promise.race([task.sleep('short', '3s'), task.sleep('longer', '9s')]),
          ]
          const random = defineTask(
            { name: 'random', concurrency: 2, timeout: '20m' },
            async (task, plan: number[]) => {
              for (const act of plan) await acts[act]?.(task)
              return 'done'
            },
          )
          const { task: hold, running } = gate('hold')
          const options = { concurrency: 3, concurrencyPerOwner: 2, limits: { loadedRunsMax } }
          const holdfast = await openInMemory({ clock, tasks: [random, hold], ...options })
          for (const { plan, owner } of tasks) await holdfast.start(random, plan, { owner: `o${owner}` })
          const { tasks: started } = await holdfast.list()
          for (let second = 0; second < 60; second++) {
            for (const [n, { cancelAfter }] of tasks.entries()) {
              if (cancelAfter === second) await holdfast.cancel(started[n]?.taskId ?? '').catch(() => {})
            }
            await clock.advance(1_000)
          }
          await clock.advance(30 * 60_000)
          const left = await holdfast.list({ status: ['pending', 'running'] })
          expect(left.tasks).toEqual([])
          await Promise.all([0, 1, 2, 3].map((n) => holdfast.start(hold, n)))
          await untilIdle(holdfast)
          expect(running).toHaveLength(3)
          await holdfast.close({ grace: 0 })
        },
      ),
      { numRuns: 15 },
    )
  }, 120_000)
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

describe('a rate', () => {
  test('is a sliding window, and asks the store once', async () => {
    const asked: unknown[] = []
    const rates = new OwnerRates({ starts: 3, perMs: 100 }, async (...question) => {
      asked.push(question)
      return [40, 20]
    })
    await Promise.all([rates.load('a', 50), rates.load('a', 50)])
    await rates.load('a', 50)
    expect(asked).toEqual([['a', { since: -49, limit: 3, now: 50 }]])
    expect(rates.nextAt('a', 50)).toBe(50)
    rates.take('a', 50)
    expect(rates.nextAt('a', 50)).toBe(120)
    expect(rates.nextAt('a', 119)).toBe(120)
    expect(rates.nextAt('a', 120)).toBe(120)
    rates.take('a', 120)
    expect(rates.nextAt('a', 120)).toBe(140)
    rates.giveBack('a', 120)
    expect(rates.nextAt('a', 120)).toBe(120)
    // Another's start lets go of what is long over.
    rates.take('b', 500)
    expect(rates.countOf('a')).toBe(0)
    rates.giveBack('b', 500)
    expect(rates.countOf('b')).toBe(0)
    rates.giveBack('nobody', 5)
  })

  test('under a clock that is set back holds nobody up for longer than its window', async () => {
    const clock = new ManualClock()
    const task = defineTask({ name: 'noop' }, () => 1)
    const disk = new MemoryDisk()
    const options = { disk, tasks: [task], ratePerOwner: { starts: 2, per: '1m' } } as const
    const before = await openInMemory({ ...options, clock })
    for (const n of [1, 2]) await before.start(task, n, { owner: 'alice' })
    await before.close()
    const back = new ManualClock(clock.now() - 24 * 3_600_000)
    const after = await openInMemory({ ...options, clock: back })
    await expect(after.start(task, 3, { owner: 'alice' })).rejects.toMatchObject({ details: { retryAfterMs: 60_000 } })
    await back.advance(60_000)
    await after.start(task, 4, { owner: 'alice' })
  })

  test('counts a start by its time of creation if its ID is ahead of a clock that was set back', async () => {
    const task = defineTask({ name: 'noop' }, () => 1)
    const disk = new MemoryDisk()
    const options = { disk, tasks: [task], ratePerOwner: { starts: 2, per: '1m' } } as const
    const first = await openInMemory({ ...options, clock: new ManualClock(24 * 3_600_000) })
    await first.start(task, 1, { owner: 'bob' })
    await first.close()
    const clock = new ManualClock(1_000_000)
    const second = await openInMemory({ ...options, clock })
    for (const n of [2, 3]) await second.start(task, n, { owner: 'alice' })
    await clock.advance(59_000)
    await second.close()
    const third = await openInMemory({ ...options, clock })
    await expect(third.start(task, 4, { owner: 'alice' })).rejects.toMatchObject({ details: { retryAfterMs: 1_000 } })
    await third.close()
    await clock.advance(1_000)
    const fourth = await openInMemory({ ...options, clock })
    await fourth.start(task, 5, { owner: 'alice' })
    await fourth.close()
  })

  test('doesn’t count what tasks start as their children, also after a restart', async () => {
    const disk = new MemoryDisk()
    const level = await disk.open()
    const ids = createIds()
    for (let n = 0; n < 50; n++) {
      const about = { seed: '', type: 'a', kind: 'body', durability: 'synced', startNow: false, by: 'a' } as const
      const at = 1_000_000 + n
      const decision = createTask(
        { ...about, taskId: ids.taskId(at), owner: 'alice', parentId: n % 10 !== 0 ? 'task-0' : undefined },
        at,
      )
      const batch = level.batch()
      for (const { key, value } of toOperations(decision, (at) => ids.auditId(at))) batch.put(key, value as string)
      await batch.write({ sync: true })
    }
    const read = (owner: string, since: number, limit: number) =>
      readOwnerStarts(level, owner, { since, limit, now: 2_000_000 })
    expect(await read('alice', 0, 100)).toEqual([40, 30, 20, 10, 0].map((n) => 1_000_000 + n))
    expect(await read('alice', 1_000_020, 2)).toEqual([1_000_040, 1_000_030])
    expect(await read('alice', 1_000_020, 100)).toHaveLength(3)
    expect(await read('bob', 0, 100)).toEqual([])

    // In memory they are let in past the rate, and held to the other limits.
    const clock = new ManualClock()
    const tasks = new LiveTasks({ note() {}, leave() {} } as never)
    const admission = new Admission({
      clock,
      tasks,
      events: new Events(silentLogger),
      store: { read: async () => [] } as never,
      limits: { liveTasksMax: 9, liveTasksPerOwnerMax: 9, queueLengthMax: 1 } as never,
      scheduler: new Scheduler({ concurrency: 1, ageingMs: 1, concurrencyOf: () => undefined }),
      ratePerOwner: { starts: 1, perMs: 1_000 },
    })
    const alice = { owner: 'alice', type: 'a', kind: 'session' } as const
    await admission.ready(alice)
    for (let n = 0; n < 5; n++) admission.admit({ ...alice, parentId: 'task-0' })
    const { giveBack } = admission.admit(alice)
    expect(() => admission.admit(alice)).toThrow(/ratePerOwner/)
    giveBack({ unknown: true })
    expect(() => admission.admit(alice)).toThrow(/ratePerOwner/)
    giveBack({ unknown: false })
    giveBack({ unknown: false })
    admission.admit(alice)
    expect(() => admission.admit(alice)).toThrow(/ratePerOwner/)
    const child = { ...alice, kind: 'body', parentId: 'task-0' } as const
    admission.admit(child)
    admission.admit(child)
    expect(() => admission.admit(child)).toThrow(/queueLengthMax/)
  })

  test('counts session tasks', async () => {
    const holdfast = await openInMemory({ ratePerOwner: { starts: 2, per: '1h' } })
    for (const type of ['a', 'b']) await holdfast.createSessionTask({ type, owner: 'alice' })
    await expect(holdfast.createSessionTask({ type: 'c', owner: 'alice' })).rejects.toMatchObject({
      details: { limit: 'ratePerOwner' },
    })
    await holdfast.createSessionTask({ type: 'd' })
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
