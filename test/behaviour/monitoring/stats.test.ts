// Goal: what `stats` says is so: counts, sizes and service levels, over crashes and failed writes; and a budget holds.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { LiveTask } from '../../../src/engine/core/live-task.js'
import { LiveTasks } from '../../../src/engine/core/live-tasks.js'
import { ByteBudget } from '../../../src/engine/scheduling/byte-budget.js'
import { type Duration, defineTask, Holdfast } from '../../../src/index.js'
import type { TaskHead } from '../../../src/task/head.js'
import { ManualClock, MemoryDisk, openInMemory, silentLogger, untilIdle } from '../../../src/testing/index.js'

const MINUTE = 60_000
const failing = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })
const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 1))
const broken = defineTask({ name: 'broken' }, () => {
  throw new Error('no')
})
const slow = defineTask({ name: 'slow', timeout: '10m' }, async (task, ms: number) => {
  await task.sleep('nap', ms)
  return 'slept'
})

describe('stats', () => {
  test('of a new store are zero, and its rates are unknown', async () => {
    const holdfast = await openInMemory()
    const { tasks, parked, oldest, timersDue, leakedFunctions, bytes, levels } = await holdfast.stats()
    expect(tasks).toEqual({ pending: 0, running: 0, input_required: 0, completed: 0, failed: 0, cancelled: 0 })
    expect({ parked, oldest, timersDue, leakedFunctions }).toEqual({
      parked: 0,
      oldest: undefined,
      timersDue: 0,
      leakedFunctions: 0,
    })
    expect(bytes.counted).toBe(0)
    expect(levels.sinceOpen).toEqual(levels.overLife)
    expect(levels.overLife).toMatchObject({ meanCompletionMs: undefined, timeoutRate: undefined })
    await holdfast.close()
    await expect(holdfast.stats()).rejects.toEqual(failing('CLOSED'))
  })

  test('count by status, with the oldest, the mean, and the shares, since open and over the store’s life', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const tasks = [quick, broken, slow]
    const first = await openInMemory({ disk, clock, tasks, concurrency: 2 })
    const oldest = await first.createSessionTask({ type: 'talk' })
    const naps = [1_000, 3_000, 3_600_000]
    const slept = []
    for (const nap of naps) slept.push(await first.start(slow, nap))
    const cancelled = await first.start(slow, 3_600_000)
    const expired = await first.start(slow, 3_600_000, { ttl: '5m' })
    await expect(first.result((await first.start(broken, null)).taskId)).rejects.toThrow()
    await untilIdle(first)
    await first.cancel(cancelled.taskId)
    await clock.advance(5_000)
    const early = await first.stats()
    expect(early.tasks).toEqual({ pending: 0, running: 3, input_required: 0, completed: 2, failed: 1, cancelled: 1 })
    expect(early.oldest).toMatchObject({ taskId: oldest.taskId, type: 'talk' })
    expect(early.levels.sinceOpen).toMatchObject({ meanCompletionMs: 2_000, timeoutRate: 0 })
    await clock.advance(11 * MINUTE)
    await untilIdle(first)
    const late = await first.stats()
    // The one that expired is swept already; it still counts in the levels.
    expect(late.tasks).toMatchObject({ running: 1, completed: 2, failed: 2, cancelled: 1 })
    await expect(first.get(expired.taskId)).rejects.toEqual(failing('TASK_NOT_FOUND'))
    const levels = { completed: 2, failed: 3, cancelled: 1, timedOut: 1, expired: 1, meanCompletionMs: 2_000 }
    expect(late.levels.overLife).toMatchObject({ ...levels, timeoutRate: 2 / 6 })

    disk.crash()
    const second = await openInMemory({ disk, clock, tasks })
    await second.recovery.done
    await untilIdle(second)
    const again = await second.stats()
    expect(again.tasks).toEqual(late.tasks)
    expect(again.levels.overLife).toMatchObject({ ...levels, recoverySuccessRate: 1 })
    expect(again.levels.sinceOpen).toMatchObject({ completed: 0, failed: 0, recoverySuccessRate: 1 })
    expect(again.bytes.counted).toBe(late.bytes.counted)
  })

  test('count a recovery that had to park a task, or found one damaged', async () => {
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [slow, quick] })
    const ids = []
    for (let n = 0; n < 4; n++) ids.push((await first.start(slow, 3_600_000)).taskId)
    await first.createSessionTask({ type: 'talk' })
    await untilIdle(first)
    disk.crash()
    disk.damage(`live/${ids[0]}`, 'rot')
    const second = await openInMemory({ disk })
    await second.recovery.done
    await untilIdle(second)
    const { parked, tasks, levels } = await second.stats()
    expect({ parked, running: tasks.running }).toEqual({ parked: 3, running: 4 })
    // Of five found, the session task alone is where it was.
    expect(levels.sinceOpen.recoverySuccessRate).toBe(1 / 5)
  })

  test.each([false, true])(
    'count each settling once, whichever write failed (on disk all the same: %j)',
    async (applied) => {
      for (let atWrite = 1; atWrite <= 5; atWrite++) {
        const disk = new MemoryDisk()
        const open: (() => void)[] = []
        const gated = defineTask({ name: 'gated' }, (task) =>
          task.step('wait', () => new Promise<void>((resolve) => open.push(resolve))),
        )
        const holdfast = await openInMemory({ disk, tasks: [gated] })
        const ids = await Promise.all([1, 2].map(() => holdfast.start(gated, null)))
        await untilIdle(holdfast)
        disk.failAt({ atWrite, applied })
        for (const [index, { taskId }] of ids.entries()) {
          open[index]?.()
          await holdfast.result(taskId)
        }
        const counted = { tasks: { completed: 2 }, levels: { overLife: { completed: 2 } } }
        expect(await holdfast.stats(), `write ${atWrite}`).toMatchObject(counted)
        // A batch that counts nothing, after the one that failed.
        await holdfast.createSessionTask({ type: 'talk' }).catch(() => {})
        await holdfast.close({ grace: 0 })
        const again = await openInMemory({ disk, tasks: [gated] })
        expect(await again.stats(), `write ${atWrite}`).toMatchObject(counted)
      }
    },
  )

  test('count no cancel that was refused and did not land', async () => {
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    disk.failAt({ atWrite: 1, applied: false })
    await expect(holdfast.cancel(taskId)).rejects.toEqual(failing('STORE_UNAVAILABLE'))
    await new Promise((resolve) => setTimeout(resolve, 150))
    await holdfast.saveCheckpoint(taskId, 1)
    expect((await holdfast.stats()).tasks).toMatchObject({ running: 1, cancelled: 0 })
  })

  test('count what was acknowledged, and no more than was, whatever write the process dies at', async () => {
    for (let atWrite = 1; atWrite < 10; atWrite++) {
      for (const applied of [false, true]) {
        const disk = new MemoryDisk()
        const first = await openInMemory({ disk, tasks: [quick, broken] })
        disk.dieAt({ atWrite, applied })
        void (async () => {
          for (let n = 0; n < 3; n++) await first.result((await first.start(quick, null)).taskId)
        })()
        await untilIdle(first)
        const second = await openInMemory({ disk, tasks: [quick, broken] })
        await second.recovery.done
        await untilIdle(second)
        const completed = [...disk.content.keys()].filter((key) => key.startsWith('done/')).length
        expect((await second.stats()).tasks.completed, `write ${atWrite}`).toBe(completed)
      }
    }
  })

  test('count timers that are due and functions that leak, and go on where the counters are damaged', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const deaf = defineTask({ name: 'deaf' }, (task) =>
      task.step('deaf', () => new Promise(() => {}), { timeout: '1s' }),
    )
    const first = await openInMemory({ disk, clock, tasks: [deaf, quick] })
    const { taskId } = await first.start(deaf, null)
    await first.result((await first.start(quick, null, { ttl: '2s' })).taskId)
    await clock.advance(10_000)
    await expect(first.result(taskId)).rejects.toThrow()
    expect(await first.stats()).toMatchObject({ leakedFunctions: 1, timersDue: 1 })
    await first.close({ grace: 0 })
    disk.damage('meta/totals', 'rot')
    const second = await openInMemory({ disk, clock, tasks: [deaf, quick] })
    expect(await second.stats()).toMatchObject({ tasks: { completed: 0 }, levels: { overLife: { completed: 0 } } })
  })

  test('count what a list shows, whatever happens to the tasks, and walk over none of them', async () => {
    const seed = Number(process.env['STATS_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    let state = seed
    const below = (count: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
      return Math.floor((state / 0x80000000) * count)
    }
    const asks = defineTask({ name: 'asks' }, async (task) => [await task.input('a', null), await task.receive('m')])
    const changes = defineTask({ name: 'changes' }, async (task) => {
      await task.step(versions[0] ?? '', () => 1)
      await task.receive('m')
    })
    const versions = ['old']
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const open = () => openInMemory({ disk, clock, tasks: [asks, changes, slow, broken], concurrency: 4 })
    let holdfast = await open()
    const taskIds: string[] = []
    for (let round = 0; round < 60; round++) {
      const taskId = taskIds[below(taskIds.length)] ?? ''
      const acts = [
        async () => taskIds.push((await holdfast.start([asks, changes, broken][below(3)] as never, null)).taskId),
        async () => taskIds.push((await holdfast.start(slow, below(20) * MINUTE)).taskId),
        async () => taskIds.push((await holdfast.createSessionTask({ type: 'talk' })).taskId),
        () => holdfast.respond(taskId, { a: 1 }),
        () => holdfast.send(taskId, 'm'),
        () => holdfast.cancel(taskId),
        () => holdfast.resume(taskId),
        () => clock.advance(below(5) * MINUTE),
        async () => {
          versions[0] = `step ${below(2)}`
          disk.crash()
          holdfast = await open()
        },
      ]
      // Refused by many a task, which changes nothing.
      await acts[below(acts.length)]?.().catch(() => {})
      await untilIdle(holdfast)
      const listed = (await holdfast.list({ limit: 1_000 })).tasks
      let walked = 0
      const walk = vi.spyOn(LiveTasks.prototype, 'values').mockImplementation(function* (this: LiveTasks) {
        for (const task of Map.prototype.values.call(this)) {
          walked++
          yield task
        }
      } as never)
      const { tasks: counts, parked, oldest } = await holdfast.stats()
      walk.mockRestore()
      const where = `STATS_SEED=${seed}, round ${round}`
      expect(walked, where).toBeLessThanOrEqual(1)
      for (const [status, count] of Object.entries(counts)) {
        expect(count, `${where}: ${status}`).toBe(listed.filter((task) => task.status === status).length)
      }
      expect(parked, where).toBe(listed.filter((task) => task.parked).length)
      expect(oldest?.taskId, where).toBe(listed.find((task) => task.settledAt === undefined)?.taskId)
    }
    await holdfast.close({ grace: 0 })
  })

  test('say how much of the files each kind takes up', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-stats-'))
    const blob = defineTask({ name: 'blob' }, async (task, seed: number) => {
      // Does not compress: digits of a generator.
      await task.step('big', () => Array.from({ length: 60_000 }, (_, n) => Math.imul(seed + n, 0x9e3779b1) >>> 0))
    })
    const holdfast = await Holdfast.open({ dir, tasks: [blob], logger: silentLogger })
    for (let n = 1; n <= 12; n++) await holdfast.result((await holdfast.start(blob, n)).taskId)
    const { bytes } = await holdfast.stats()
    await holdfast.close()
    await rm(dir, { recursive: true })
    expect(bytes.counted).toBeGreaterThan(12 * 500_000)
    // The last 4 MiB are not in a table yet.
    expect(bytes.onDisk.log).toBeGreaterThan(500_000)
    expect(bytes.onDisk.log).toBeLessThan(bytes.counted)
    expect(Object.keys(bytes.onDisk)).toEqual([
      'heads',
      'values',
      'log',
      'checkpoints',
      'indexes',
      'audit',
      'bindings',
      'own',
    ])
  })
})

describe('a budget', () => {
  const big = 'x'.repeat(20_000)

  test('of the store refuses what would grow it, names itself, and lets running tasks finish', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    let release = () => {}
    const held = defineTask({ name: 'held' }, async (task) => {
      await task.step('wait', () => new Promise<void>((resolve) => (release = resolve)))
      await task.step('big', () => big)
      await task.saveCheckpoint(big)
      return big
    })
    const options = { disk, clock, tasks: [held, quick], limits: { storeBytesMax: 60_000 } }
    const first = await openInMemory(options)
    const running = await first.start(held, null)
    const { taskId: talk } = await first.createSessionTask({ type: 'talk' })
    await first.saveCheckpoint(talk, big)
    await first.saveCheckpoint(talk, big)
    const refused = failing('LIMIT_EXCEEDED', /store.*60000.*`limits\.storeBytesMax`.*`ttl`/)
    await expect(first.saveCheckpoint(talk, big)).rejects.toEqual(refused)
    await expect(first.start(quick, big)).rejects.toEqual(refused)
    expect(await first.listCheckpoints(talk)).toHaveLength(2)
    expect((await first.list({ type: 'quick' })).tasks).toEqual([])
    const small = await first.start(quick, null, { ttl: '1h' })
    await first.result(small.taskId)
    release()
    expect(await first.result(running.taskId)).toBe(big)
    await expect(first.start(quick, null)).rejects.toEqual(refused)
    await expect(first.createSessionTask({ type: 'talk' })).rejects.toEqual(refused)
    const { bytes } = await first.stats()
    expect(bytes.counted).toBeGreaterThan(100_000)

    // The same after a crash; and what is swept makes room.
    disk.crash()
    const second = await openInMemory({ ...options, retention: '2h' })
    expect((await second.stats()).bytes.counted).toBe(bytes.counted)
    await expect(second.start(quick, null)).rejects.toEqual(refused)
    await second.cancel(talk)
    await clock.advance(125 * MINUTE)
    await untilIdle(second)
    expect((await second.stats()).bytes.counted).toBe(0)
    expect(await second.start(quick, null)).toMatchObject({ created: true })
  })

  test('of an owner counts that owner’s tasks, settled ones too, and nobody else’s', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const options = { disk, clock, tasks: [quick], limits: { ownerBytesMax: 50_000 } }
    const first = await openInMemory(options)
    const start = (holdfast: Holdfast, owner: string | undefined, ttl?: Duration) =>
      holdfast.start(quick, big, { ...(owner ? { owner } : {}), ...(ttl ? { ttl } : {}) })
    for (const owner of ['alice', 'alice', 'bob', undefined, undefined, undefined]) {
      await first.result((await start(first, owner, '1h')).taskId as never)
    }
    const refused = failing('LIMIT_EXCEEDED', /owner.*50000.*`limits\.ownerBytesMax`/)
    await expect(start(first, 'alice')).rejects.toEqual(refused)
    const settled = await start(first, 'bob', '1h')
    await first.result(settled.taskId)
    await expect(start(first, 'bob')).rejects.toEqual(refused)
    await first.close()

    const second = await openInMemory(options)
    // Two at once: the second one counts the first, though the owner's tasks are only being read.
    const talk = (owner: string) => second.createSessionTask({ type: 'talk', owner })
    await expect(start(second, 'alice')).rejects.toEqual(refused)
    const both = await Promise.allSettled([start(second, 'carol'), start(second, 'carol'), start(second, 'carol')])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    const { taskId } = await talk('bob')
    await expect(second.saveCheckpoint(taskId, big, { owner: 'bob' })).rejects.toEqual(refused)
    await clock.advance(62 * MINUTE)
    await untilIdle(second)
    await second.saveCheckpoint(taskId, big, { owner: 'bob' })
    await start(second, 'alice')
    await start(second, 'alice')
    await expect(start(second, 'alice')).rejects.toEqual(refused)
  })

  test('that is refused frees its slot and its idempotency key', async () => {
    const holdfast = await openInMemory({ tasks: [quick], concurrency: 1, limits: { storeBytesMax: 10_000 } })
    for (let n = 0; n < 3; n++) {
      await expect(holdfast.start(quick, big, { idempotencyKey: 'k' })).rejects.toEqual(failing('LIMIT_EXCEEDED'))
    }
    const { taskId, created } = await holdfast.start(quick, 'small', { idempotencyKey: 'k' })
    expect(created).toBe(true)
    expect(await holdfast.result(taskId)).toBe(1)
  })
})

test('an owner’s settled tasks are counted once, though they settle or are swept while they are read', async () => {
  const bytes = (taskId: string, kept: number) => ({ taskId, owner: 'alice', bytes: { kept, prunable: 0 } }) as TaskHead
  const settled = (head: TaskHead) => ({ ...head, status: 'completed' }) as TaskHead
  let answer = (_: Map<string, number>) => {}
  const store = { read: () => new Promise((resolve) => (answer = resolve)), totals: { current: { settledBytes: 0 } } }
  const usage = new ByteBudget(store as never, { storeBytesMax: Number.POSITIVE_INFINITY, ownerBytesMax: 100 })
  const live = new LiveTask(bytes('b', 30))
  usage.note(live)
  const loading = usage.load('alice')
  live.commits.reset(settled(live.head))
  usage.leave(live)
  usage.swept(settled(bytes('c', 50)))
  // Whether the read saw them or not: 'b' is settled by now, and 'c' is gone.
  answer(
    new Map([
      ['a', 20],
      ['b', 30],
      ['c', 50],
    ]),
  )
  await loading
  expect(usage.load('alice')).toBeUndefined()
  expect(() => usage.assertRoom('alice', 50)).not.toThrow()
  expect(() => usage.assertRoom('alice', 51)).toThrow(/50 bytes, and 51 more/)
  usage.swept(settled(bytes('a', 20)))
  expect(() => usage.assertRoom('alice', 70)).not.toThrow()
})

describe('an option', () => {
  test.each([
    [{ retention: 0 }, /`retention`.*above zero/],
    [{ retention: -5 }, /`retention`/],
    [{ retention: 'for ever' }, /`retention`/],
    [{ retention: Number.POSITIVE_INFINITY }, /`retention`/],
    [{ retention: '3 weeks' }, /`retention`/],
    [{ limits: { storeBytesMax: 0 } }, /`limits.storeBytesMax`.*>= 1/],
    [{ limits: { storeBytesMax: -1 } }, /`limits.storeBytesMax`/],
    [{ limits: { ownerBytesMax: '1GB' } }, /`limits.ownerBytesMax`/],
    [{ limits: { ownerBytesMax: Number.NaN } }, /`limits.ownerBytesMax`/],
    [{ limits: { stateBytesMax: Number.POSITIVE_INFINITY } }, /`limits.stateBytesMax`/],
  ])('%j of open is refused, naming it', async (options, message) => {
    await expect(openInMemory(options as never)).rejects.toThrow(message)
  })

  test('of a budget may be as large as one likes, or `Infinity` for none', async () => {
    const limits = { storeBytesMax: 10 ** 12, ownerBytesMax: Number.POSITIVE_INFINITY }
    const holdfast = await openInMemory({ tasks: [quick], limits })
    expect(await holdfast.start(quick, null)).toMatchObject({ created: true })
  })

  test.each([[0], [-1], [Number.POSITIVE_INFINITY], ['soon'], ['5w']])(
    '`ttl: %j` is refused by name',
    async (given) => {
      const ttl = given as never
      const holdfast = await openInMemory({ tasks: [quick] })
      await expect(holdfast.start(quick, null, { ttl })).rejects.toThrow(/`ttl`/)
      await expect(holdfast.createSessionTask({ type: 'talk', ttl })).rejects.toThrow(/`ttl`/)
    },
  )
})
