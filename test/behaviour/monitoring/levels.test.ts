// Goal: a window of `stats` has the full hours that it names. Each event is counted once, in its hour, whatever write fails or crashes.
// Counters of hours take one operation of a batch that settles tasks, and none of another, and are deleted after 30 days.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { exportTask, importTask } from '../../../src/admin/index.js'
import { defineTask, Holdfast, silentLogger } from '../../../src/index.js'
import { seal } from '../../../src/store/integrity/envelope.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000]
/** 10:20 of a day. */
const BEGIN = Date.UTC(2026, 0, 5, 10, 20)
const FULL = BEGIN - 20 * MINUTE

const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 1))
const naps = defineTask({ name: 'naps' }, (task, ms: number) => task.sleep('nap', ms))

const hourKeys = (disk: MemoryDisk) => [...disk.content.keys()].filter((key) => key.startsWith('hour/'))
const hoursOf = (disk: MemoryDisk): Record<string, Record<string, number>> =>
  Object.fromEntries(
    hourKeys(disk).map((key) => [
      new Date(Number.parseInt(key.slice('hour/'.length), 16)).toISOString().slice(0, 13),
      JSON.parse((disk.content.get(key) as string).replace(/^[^{]*/, '')),
    ]),
  )

async function run(holdfast: Holdfast, times = 1) {
  for (let n = 0; n < times; n++) await holdfast.result((await holdfast.start(quick, null)).taskId)
}

describe('a window', () => {
  async function threeHours() {
    const clock = new ManualClock(BEGIN)
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ clock, disk, tasks: [quick, naps] })
    for (let hour = 1; hour <= 3; hour++) {
      await run(holdfast, hour)
      await clock.advance(HOUR)
    }
    // 13:20: one, two and three tasks have completed from 10:00, 11:00 and 12:00 on.
    return { clock, disk, holdfast }
  }

  test('is cut at full hours, which the answer names', async () => {
    const { holdfast } = await threeHours()
    const of = async (from: number, to: number) => {
      const { window } = await holdfast.stats({ from: FULL + from, to: FULL + to })
      return [window.from - FULL, window.to - FULL, window.levels.completed]
    }
    expect(await of(0, HOUR)).toEqual([0, HOUR, 1])
    expect(await of(0, 2 * HOUR)).toEqual([0, 2 * HOUR, 3])
    expect(await of(HOUR - 1, HOUR + 1)).toEqual([0, 2 * HOUR, 3])
    expect(await of(HOUR, HOUR + 1)).toEqual([HOUR, 2 * HOUR, 2])
    expect(await of(-5 * DAY, 10 * DAY)).toEqual([-5 * DAY, 10 * DAY, 6])
    expect(await of(4 * HOUR, 5 * HOUR)).toEqual([4 * HOUR, 5 * HOUR, 0])
    const dates = await holdfast.stats({ from: new Date(FULL + HOUR), to: new Date(FULL + 2 * HOUR) })
    expect(dates.window.levels.completed).toBe(2)
  })

  test('has the kept hours up to the current one where an end is left out', async () => {
    const { holdfast } = await threeHours()
    const [oldest, end] = [FULL + 3 * HOUR - 30 * DAY, FULL + 4 * HOUR]
    expect((await holdfast.stats({})).window).toMatchObject({ from: oldest, to: end, levels: { completed: 6 } })
    const since = await holdfast.stats({ from: FULL + HOUR + 1 })
    expect(since.window).toMatchObject({ from: FULL + HOUR, to: end, levels: { completed: 5 } })
    const until = await holdfast.stats({ to: FULL + HOUR })
    expect(until.window).toMatchObject({ from: oldest, to: FULL + HOUR, levels: { completed: 1 } })
    // Hours before the oldest one are not kept, so the answer does not name them.
    expect((await holdfast.stats({ from: 0 })).window).toMatchObject({ from: oldest, to: end })
    expect(await holdfast.stats()).not.toHaveProperty('window')
  })

  test('is refused if it has no hour that is kept, and if it is none', async () => {
    const { holdfast } = await threeHours()
    const refused = async (options: object, message: RegExp) => {
      await expect(holdfast.stats(options)).rejects.toThrow(TypeError)
      await expect(holdfast.stats(options)).rejects.toThrow(message)
    }
    await refused(
      { from: FULL + HOUR, to: FULL + HOUR },
      /`from` to be before `to`, got 2026-01-05T11.*and 2026-01-05T11/,
    )
    await refused({ from: FULL + 4 * HOUR }, /`from` to be before `to`/)
    await refused(
      { to: FULL - 31 * DAY },
      /`to` to be after 2025-12-06T13:00:00.000Z: counters of older hours are not kept/,
    )
    await refused({ since: 5 }, /`since`/)
    await refused({ from: 'yesterday' }, /`from`.*'yesterday'/)
    await refused(null as never, /options of `stats`/)
  })

  test('has rates and targets that hold or do not, and none where nothing was counted', async () => {
    const clock = new ManualClock(BEGIN)
    const holdfast = await openInMemory({ clock, tasks: [quick, naps] })
    const { window: empty } = await holdfast.stats({ from: FULL })
    expect(empty.levels).toEqual({
      ...{ completed: 0, failed: 0, cancelled: 0, timedOut: 0, expired: 0 },
      ...{ shortCompleted: 0, longCompleted: 0 },
      targets: {
        meanShortCompletionMs: { below: 30_000 },
        meanLongCompletionMs: { below: 1_800_000 },
        timeoutRate: { below: 0.05 },
        recoverySuccessRate: { above: 0.95 },
        cleanUpRate: { above: 0.99 },
      },
    })
    // A minute is short, and a millisecond more is long.
    for (const ms of [20_000, MINUTE, MINUTE + 1, HOUR]) await holdfast.start(naps, ms)
    await clock.advance(HOUR)
    await untilIdle(holdfast)
    const { levels } = (await holdfast.stats({ from: FULL })).window
    expect(levels).toMatchObject({
      ...{ shortCompleted: 2, longCompleted: 2, meanShortCompletionMs: 40_000, timeoutRate: 0 },
      ...{ meanLongCompletionMs: (HOUR + MINUTE + 1) / 2, meanCompletionMs: (HOUR + 2 * MINUTE + 20_001) / 4 },
      targets: {
        meanShortCompletionMs: { holds: false },
        meanLongCompletionMs: { holds: false },
        timeoutRate: { holds: true },
        recoverySuccessRate: { holds: undefined },
        cleanUpRate: { holds: undefined },
      },
    })
  })
})

describe('the counters of an hour', () => {
  test('take one operation of a batch that settles tasks, and none of another', async () => {
    const batches: string[][] = []
    class NotingDisk extends MemoryDisk {
      override async open() {
        const level = await super.open()
        const batch = level.batch.bind(level)
        return Object.assign(level, {
          batch: () => {
            const inner = batch()
            const keys: string[] = []
            batches.push(keys)
            const put = (key: string, text: string) => {
              keys.push(key)
              inner.put(key, text)
            }
            return { put, del: inner.del.bind(inner), write: inner.write.bind(inner) }
          },
        })
      }
    }
    const disk = new NotingDisk()
    const clock = new ManualClock(BEGIN)
    const holdfast = await openInMemory({ disk, clock, tasks: [quick, naps] })
    await Promise.all(Array.from({ length: 40 }, () => run(holdfast)))
    await holdfast.createSessionTask({ type: 'talk' })
    await untilIdle(holdfast)
    let settling = 0
    for (const keys of batches) {
      const isSettling = keys.some((key) => key.startsWith('done/'))
      expect(keys.filter((key) => key.startsWith('hour/')).length).toBe(isSettling ? 1 : 0)
      if (isSettling) settling++
    }
    expect(settling).toBeGreaterThan(0)
    expect(settling).toBeLessThan(40)
    expect(hoursOf(disk)).toEqual({ '2026-01-05T10': { completed: 40, shortCompleted: 40 } })
  })

  test.each([false, true])(
    'count each settling once, whichever write fails (on disk all the same: %j)',
    async (applied) => {
      for (let atWrite = 1; atWrite <= 8; atWrite++) {
        const disk = new MemoryDisk()
        const clock = new ManualClock(BEGIN)
        const holdfast = await openInMemory({ disk, clock, tasks: [quick, naps] })
        disk.failAt({ atWrite, applied })
        const started: string[] = []
        for (let n = 0; n < 3; n++) {
          // A start of a caller is refused if its write fails.
          const start = await holdfast.start(naps, 30 * MINUTE).catch(() => undefined)
          if (start) started.push(start.taskId)
          await clock.advance(15 * MINUTE)
        }
        await clock.advance(2 * HOUR)
        await untilIdle(holdfast)
        const expected = byHour(disk)
        expect(counted(disk), `write ${atWrite}`).toEqual(expected)
        await holdfast.close()
        const again = await openInMemory({ disk, clock, tasks: [quick, naps] })
        expect((await again.stats({ from: FULL })).window.levels.completed, `write ${atWrite}`).toBe(sum(expected))
        expect(sum(expected)).toBeGreaterThanOrEqual(started.length)
      }
    },
  )

  test('count what is on disk, whatever write the process crashes at', async () => {
    for (let atWrite = 1; atWrite <= 14; atWrite++) {
      for (const applied of [false, true]) {
        const disk = new MemoryDisk()
        const clock = new ManualClock(BEGIN)
        const first = await openInMemory({ disk, clock, tasks: [quick, naps] })
        let isAlive = true
        disk.onDeath(() => {
          isAlive = false
        })
        disk.dieAt({ atWrite, applied })
        void (async () => {
          for (let n = 0; n < 4 && isAlive; n++) await first.start(naps, 30 * MINUTE)
          await first.createSessionTask({ type: 'talk' }).then(({ taskId }) => first.cancel(taskId))
        })().catch(() => {})
        await untilIdle(first)
        await clock.advance(HOUR)
        expect(counted(disk), `write ${atWrite}`).toEqual(byHour(disk))
        if (isAlive) disk.crash()
        const second = await openInMemory({ disk, clock, tasks: [quick, naps] })
        await second.recovery.done
        await clock.advance(HOUR)
        await untilIdle(second)
        const expected = byHour(disk)
        expect(counted(disk), `write ${atWrite}`).toEqual(expected)
        const { completed, cancelled } = (await second.stats({ from: FULL })).window.levels
        expect(completed + cancelled, `write ${atWrite}`).toBe(sum(expected))
        await second.close()
      }
    }
  })

  /** Settled tasks by the hour, from their heads. */
  function byHour(disk: MemoryDisk): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const [key, text] of disk.content) {
      if (!key.startsWith('done/')) continue
      const head = JSON.parse(text.replace(/^[^[]*/, '').split('\n')[0] as string) as unknown[]
      const { settledAt } = head[19] as { settledAt: number }
      const hour = new Date(settledAt).toISOString().slice(0, 13)
      counts[hour] = (counts[hour] ?? 0) + 1
    }
    return counts
  }

  function counted(disk: MemoryDisk): Record<string, number> {
    const hours = Object.entries(hoursOf(disk)).map(([hour, { completed = 0, failed = 0, cancelled = 0 }]) => [
      hour,
      completed + failed + cancelled,
    ])
    return Object.fromEntries(hours.filter(([, count]) => count !== 0))
  }

  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, count) => total + count, 0)

  test('count no cancel that was refused and is not on disk', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(BEGIN)
    const holdfast = await openInMemory({ disk, clock })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    disk.failAt({ atWrite: 1, applied: false })
    await expect(holdfast.cancel(taskId)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await clock.advance(MINUTE)
    expect(hourKeys(disk)).toEqual([])
    await holdfast.cancel(taskId)
    expect(hoursOf(disk)).toEqual({ '2026-01-05T10': { cancelled: 1 } })
  })

  test('are those of the instant of an event, also if the clock was set back', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(BEGIN)
    const holdfast = await openInMemory({ disk, clock, tasks: [quick] })
    await run(holdfast)
    await clock.advance(2 * HOUR)
    await run(holdfast)
    await clock.jump(-2 * HOUR)
    await run(holdfast)
    expect(counted(disk)).toEqual({ '2026-01-05T10': 2, '2026-01-05T12': 1 })
    expect((await holdfast.stats({ from: FULL, to: FULL + HOUR })).window.levels.completed).toBe(2)
  })

  test('are kept for 30 full days, and are deleted then, also by another process', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(BEGIN)
    let holdfast = await openInMemory({ disk, clock, tasks: [quick], retention: '1h' })
    for (let hour = 0; hour < 100; hour++) {
      await run(holdfast)
      await clock.advance(HOUR)
    }
    expect(hourKeys(disk)).toHaveLength(100)
    // 30 days after 10:20 of the first day, its hour is kept. An hour later it is not.
    await clock.advanceTo(BEGIN + 30 * DAY)
    await untilIdle(holdfast)
    expect(hourKeys(disk)).toHaveLength(100)
    expect((await holdfast.stats({ from: BEGIN })).window).toMatchObject({ from: FULL, levels: { completed: 100 } })
    await clock.advance(HOUR)
    await untilIdle(holdfast)
    expect(hourKeys(disk)).toHaveLength(99)
    await holdfast.close()
    await clock.advance(60 * DAY)
    holdfast = await openInMemory({ disk, clock, tasks: [quick], retention: '1h' })
    expect((await holdfast.stats({})).window.levels.completed).toBe(0)
    await clock.advance(MINUTE)
    await untilIdle(holdfast)
    expect(hourKeys(disk)).toEqual([])
    // The counters begin again at zero.
    await run(holdfast)
    expect(Object.values(hoursOf(disk))).toEqual([{ completed: 1, shortCompleted: 1 }])
  })

  test('count no task that settled in another store', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-levels-'))
    const original = await Holdfast.open({ dir, tasks: [quick], logger: silentLogger })
    const { taskId } = await original.start(quick, null)
    await original.result(taskId)
    const stream = new PassThrough()
    await exportTask({ holdfast: original, taskId, stream })
    await original.close()
    await rm(dir, { recursive: true })
    const holdfast = await openInMemory({ tasks: [quick] })
    await importTask({ holdfast, stream })
    const { levels, tasks, window } = await holdfast.stats({})
    expect(tasks.completed).toBe(1)
    expect(levels.overLife.completed).toBe(1)
    expect(window.levels.completed).toBe(0)
  })

  test('keep counters of a later version, and begin anew where they are damaged', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(BEGIN)
    const first = await openInMemory({ disk, clock, tasks: [quick] })
    await run(first)
    await first.close()
    const [key] = hourKeys(disk) as [string]
    disk.damage(key, seal(key, 1, '{"completed":1,"askedLater":5}'))
    const second = await openInMemory({ disk, clock, tasks: [quick] })
    await run(second)
    expect(hoursOf(disk)).toEqual({ '2026-01-05T10': { completed: 2, shortCompleted: 1, askedLater: 5 } })
    await second.close()
    disk.damage(key, 'rot')
    const third = await openInMemory({ disk, clock, tasks: [quick] })
    expect((await third.stats({ from: FULL })).window.levels.completed).toBe(0)
    await run(third)
    expect((await third.stats({ from: FULL })).window.levels.completed).toBe(1)
    expect((await third.stats()).levels.overLife.completed).toBe(3)
  })
})
