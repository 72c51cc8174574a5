// Goal: a rate of starts is never overshot, and a restart renews none.
// Method: time in hand; starts at every moment of the window.
import { describe, expect, test } from 'vitest'
import { Events } from '../../../src/base/events.js'
import { createIds } from '../../../src/base/ids.js'
import { LiveTask } from '../../../src/engine/core/live-task.js'
import { LiveTasks } from '../../../src/engine/core/live-tasks.js'
import { Admission } from '../../../src/engine/scheduling/admission.js'
import { startsReader } from '../../../src/engine/scheduling/owner-starts.js'
import { OwnerRates } from '../../../src/engine/scheduling/rate-limit.js'
import { Scheduler } from '../../../src/engine/scheduling/scheduler.js'
import { defineTask } from '../../../src/index.js'
import { toWrites } from '../../../src/store/operations.js'
import { createSettled, createTask } from '../../../src/task/decisions/create.js'
import { ManualClock, MemoryDisk, openInMemory, silentLogger } from '../../../src/testing/index.js'

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
    const about = { seed: '', type: 'a', kind: 'body', durability: 'synced', startNow: false, by: 'a' } as const
    for (let n = 0; n < 50; n++) {
      const at = 1_000_000 + n
      const created = createTask(
        { ...about, taskId: ids.taskId(at), owner: 'alice', parentId: n % 10 !== 0 ? 'task-0' : undefined },
        at,
      )
      const outcome = ([{ kind: 'result' }, { kind: 'cancelled' }] as const)[n % 20 === 0 ? 0 : 1]
      const decision = createSettled(created, { kind: 'settle', outcome, retentionMs: 1, onCancel: false, by: 'a' }, at)
      const batch = level.batch()
      for (const { key, value } of toWrites(decision).operations) if (value !== undefined) batch.put(key, value)
      await batch.write({ sync: true })
    }
    const live = new LiveTasks({ note() {}, leave() {} } as never)
    const read = (owner: string, since: number, limit: number) =>
      startsReader({ read: (act) => act(level) }, live)(owner, { since, limit, now: 2_000_000 })
    expect(await read('alice', 0, 100)).toEqual([40, 30, 20, 10, 0].map((n) => 1_000_000 + n))
    expect(await read('alice', 1_000_020, 2)).toEqual([1_000_040, 1_000_030])
    expect(await read('alice', 1_000_020, 100)).toHaveLength(3)
    expect(await read('bob', 0, 100)).toEqual([])

    // Unfinished ones count too, and one that settles meanwhile counts once.
    const doneIds = [...disk.content.keys()].flatMap((key) => (key.startsWith('done/') ? [key.slice(5)] : []))
    for (const [taskId, createdAt] of [
      [ids.taskId(1_000_045), 1_000_045],
      [doneIds[40] as string, 1_000_040],
    ] as const) {
      const { head } = createTask({ ...about, taskId, owner: 'alice' }, createdAt)
      live.set(taskId, new LiveTask(head))
    }
    expect(await read('alice', 1_000_030, 100)).toEqual([1_000_045, 1_000_040, 1_000_030])
    expect(await read('alice', 0, 2)).toEqual([1_000_045, 1_000_040])

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
