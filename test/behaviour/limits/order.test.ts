// Goal: tasks begin by their priority and their age, and no slot is lost whatever ends, fails or crashes.
// Method: time in hand; random waits and cancels against plain rules.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type QueuedRun, Scheduler } from '../../../src/engine/scheduling/scheduler.js'
import { defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { gate } from '../../helpers/gated-tasks.js'
import { turns } from '../../helpers/turns.js'

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
