// Goal: what waits costs nothing while it waits, however many wait; and a clock that is set forward or back harms nothing:
// nothing ends before its instant, nothing runs twice, nothing is lost, and what is only a duration stays as long as it was.
// Method: a hundred thousand sleeping tasks in a real store, where timers that are armed and fired are counted, and not the
// time; scenarios with the clock set at every moment at which they wait; and the machine's clock over fake timers.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Clock, systemClock } from '../../../src/base/clock.js'
import { defineTask, Holdfast } from '../../../src/index.js'
import { writeBatch } from '../../../src/store/commit.js'
import type { Operation } from '../../../src/store/disk/layout.js'
import { openClassicLevel } from '../../../src/store/disk/level.js'
import { pages } from '../../../src/store/disk/pages.js'
import { seal, unseal } from '../../../src/store/integrity/envelope.js'
import { untilIdle } from '../../../src/testing/index.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY

describe('a hundred thousand sleeping tasks', () => {
  const COUNT = 100_000
  const TEMPLATES = 60
  let dir: string
  let setForwardBy = 0
  const { now } = Date

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'holdfast-timers-'))
    setForwardBy = 0
    Date.now = () => now.call(Date) + setForwardBy
  })
  afterEach(() => {
    Date.now = now
    rmSync(dir, { recursive: true, force: true })
  })

  /** The machine's clock, with a count of what is asked of it. */
  class CountingClock implements Clock {
    armed = 0
    fired = 0
    waiting = 0
    now() {
      return systemClock.now()
    }
    setTimer(...[dueAt, fire, options]: Parameters<Clock['setTimer']>) {
      this.armed++
      this.waiting++
      let isOver = false
      const over = () => {
        if (!isOver) this.waiting--
        isOver = true
      }
      const disarm = systemClock.setTimer(
        dueAt,
        () => {
          this.fired++
          over()
          fire()
        },
        options,
      )
      return () => {
        over()
        disarm()
      }
    }
  }

  /** Makes as many copies of the tasks that sleep, under IDs of their own, as there are to be: what each would have written. */
  async function multiply(dir: string, ids: string[]): Promise<void> {
    const level = await openClassicLevel(join(dir, 'db'), { create: false })
    const records: { of: number; key: string; seq: number; body: string }[] = []
    for await (const page of pages(level, { gte: '', lt: '~' })) {
      for (const [key, text] of page) {
        const of = ids.findIndex((taskId) => key.includes(taskId))
        if (of >= 0 && !key.startsWith('trail/')) records.push({ of, key, ...unseal(key, text) })
      }
    }
    for (let from = TEMPLATES; from < COUNT; from += TEMPLATES) {
      const operations: Operation[] = []
      const last = (n: number) => String(n).padStart(6, '0')
      for (let n = from; n < Math.min(from + TEMPLATES, COUNT); n++) {
        const template = ids[n - from] as string
        ids[n] = `${template.slice(0, -6)}${last(n)}`
      }
      for (const { of, key, seq, body } of records) {
        const taskId = ids[from + of]
        if (taskId === undefined) continue
        const mine = (text: string) => text.replaceAll(ids[of] as string, taskId)
        operations.push({ key: mine(key), value: seal(mine(key), seq, mine(body)) })
      }
      await writeBatch(level, operations, false)
    }
    await level.close()
  }

  const machineTimers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length

  test('open in bounded time, share one timer, and cost nothing till they wake', async () => {
    const ran = new Map<string, number>()
    // A month or two: the shortest of them wake below, when the clock is set forward.
    const daysOf = (n: number) => 30 + (n % TEMPLATES)
    const sleepy = defineTask({ name: 'sleepy' }, async (task, n: number) => {
      await task.sleep('nap', n < 0 ? -n : `${daysOf(n)}d`)
      ran.set(task.taskId, (ran.get(task.taskId) ?? 0) + 1)
      return n
    })
    const ids: string[] = []
    const options = { dir, tasks: [sleepy], durability: 'buffered', limits: { liveTasksMax: 2 * COUNT } } as const
    const began = performance.now()
    const took = (since: number) => `${((performance.now() - since) / 1_000).toFixed(2)} s`
    const said: string[] = []

    const first = await Holdfast.open(options)
    for (let n = 0; n < TEMPLATES; n++) ids[n] = (await first.start(sleepy, n)).taskId
    await expect.poll(async () => (await first.stats()).tasks.running).toBe(TEMPLATES)
    await untilIdle(first)
    await first.close()
    await multiply(dir, ids)
    said.push(`${COUNT} tasks put to sleep in ${took(began)}`)

    const clock = new CountingClock()
    const machineTimersBefore = machineTimers()
    const opening = performance.now()
    const holdfast = await Holdfast.open({ ...options, clock })
    said.push(`opened in ${took(opening)}`)
    const { found } = await holdfast.recovery.done
    said.push(`all taken up after ${took(opening)}`)
    expect(found).toBe(COUNT)
    expect(new Set(holdfast.recovery.tasks.map(({ action }) => action))).toEqual(new Set(['waiting']))
    expect(performance.now() - opening).toBeLessThan(60_000)
    // One for all of them, and housekeeping: a timer for each would keep 250 bytes more in memory.
    expect(clock.waiting).toBeLessThan(10)
    const shared = machineTimers() - machineTimersBefore
    expect(shared).toBeLessThan(10)

    // What was written at the open may still be noted behind.
    await new Promise((resolve) => setTimeout(resolve, 500))
    const [armed, fired, cpu, loop] = [clock.armed, clock.fired, process.cpuUsage(), performance.eventLoopUtilization()]
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const { user, system } = process.cpuUsage(cpu)
    const busy = performance.eventLoopUtilization(loop).utilization
    said.push(
      `${clock.waiting} timers armed, on ${shared} of the machine; ${clock.armed - armed} more armed and ${clock.fired - fired} fired in an idle second, ${((user + system) / 1_000).toFixed(0)} ms of CPU, the event loop busy for ${(100 * busy).toFixed(1)} %`,
    )
    expect(clock.armed - armed).toBeLessThan(5)
    expect(clock.fired - fired).toBeLessThan(5)

    // They are in nobody's way, and each can still be reached.
    const { taskId } = await holdfast.start(sleepy, -20)
    expect(await holdfast.result(taskId)).toBe(-20)
    await holdfast.cancel(ids[59] as string)
    await expect(holdfast.result(ids[59] as string)).rejects.toMatchObject({ code: 'TASK_CANCELLED' })

    // The machine's clock is set back: nothing wakes. It is set forward: whoever is due by then wakes, and nobody else.
    const due = ids.filter((_, n) => daysOf(n) === 30)
    const wakeUp = async () => {
      const { taskId } = await holdfast.start(sleepy, -1)
      await holdfast.result(taskId)
    }
    setForwardBy = -YEAR
    await wakeUp()
    expect(ran.size).toBe(2)
    setForwardBy = 30.5 * DAY
    const waking = performance.now()
    // The clock is looked at once a minute; one that is due sooner makes it look now.
    await wakeUp()
    await Promise.all(due.map((taskId) => holdfast.result(taskId)))
    said.push(`${due.length} of them woken and completed in ${took(waking)}, when the clock was set forward by a month`)
    expect([...ran].filter(([, times]) => times > 1)).toEqual([])
    expect(due.filter((taskId) => !ran.has(taskId))).toEqual([])
    expect(ran.size).toBe(due.length + 3)
    setForwardBy = 0
    const closing = performance.now()
    await holdfast.close()
    said.push(`closed in ${took(closing)}`)
    console.info(said.join('\n'))
  }, 150_000)
})

describe("the machine's clock", () => {
  const toFake = ['setTimeout', 'clearTimeout', 'Date'] as const
  const NOON = Date.UTC(2026, 5, 1, 12)
  beforeEach(() => void vi.useFakeTimers({ toFake: [...toFake], now: NOON }))
  afterEach(() => void vi.useRealTimers())

  /** Arms a timer. Tells when it fired, by the clock. */
  const arm = (ms: number, options?: Parameters<Clock['setTimer']>[2]) => {
    const fired: number[] = []
    const disarm = systemClock.setTimer(systemClock.now() + ms, () => fired.push(systemClock.now() - NOON), options)
    return { fired, disarm }
  }

  test('fires at its instant, those of weeks too, in order, and what is disarmed never', async () => {
    const short = arm(1_500)
    const gone = arm(1_600)
    const long = arm(80 * DAY)
    const past = arm(-5)
    gone.disarm()
    await vi.advanceTimersByTimeAsync(1)
    expect(past.fired.length).toBe(1)
    await vi.advanceTimersByTimeAsync(1_499)
    expect(short.fired).toEqual([1_500])
    await vi.advanceTimersByTimeAsync(80 * DAY)
    expect([long.fired, gone.fired]).toEqual([[80 * DAY], []])
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1)
  })

  test('looks once a minute for all that waits, however many they are', async () => {
    const waiting = Array.from({ length: 10_000 }, (_, n) => arm(DAY + n))
    expect(vi.getTimerCount()).toBe(1)
    const armed = vi.spyOn(globalThis, 'setTimeout')
    await vi.advanceTimersByTimeAsync(HOUR)
    expect(armed.mock.calls.length).toBeLessThanOrEqual(60)
    armed.mockRestore()
    for (const { disarm } of waiting) disarm()
  })

  test('set back, fires when it comes to the instant after all, and not before', async () => {
    const { fired } = arm(10 * MINUTE)
    vi.setSystemTime(NOON - 3 * HOUR)
    await vi.advanceTimersByTimeAsync(3 * HOUR + 10 * MINUTE - 1)
    expect(fired).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(fired).toEqual([10 * MINUTE])
  })

  test('set forward, notices within a minute, or at once when anything else is armed', async () => {
    const first = arm(20 * DAY)
    vi.setSystemTime(NOON + 21 * DAY)
    await vi.advanceTimersByTimeAsync(MINUTE)
    expect(first.fired).toEqual([21 * DAY + MINUTE])
    const second = arm(20 * DAY)
    vi.setSystemTime(NOON + 90 * DAY)
    const other = arm(HOUR)
    await vi.advanceTimersByTimeAsync(1)
    expect(second.fired.length).toBe(1)
    other.disarm()
  })

  test.each([-HOUR, HOUR])('set by %d ms, lets elapsed time be what it is', async (ms) => {
    const { fired } = arm(10 * MINUTE, { elapsed: true })
    const long = arm(60 * DAY, { elapsed: true })
    vi.setSystemTime(NOON + ms)
    await vi.advanceTimersByTimeAsync(10 * MINUTE - 1)
    expect(fired).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(fired).toEqual([ms + 10 * MINUTE])
    await vi.advanceTimersByTimeAsync(60 * DAY - 10 * MINUTE - 1)
    expect(long.fired).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(long.fired).toEqual([ms + 60 * DAY])
  })

  test('goes on when what fires throws, and gives way to others when what fires is due again at once', async () => {
    let times = 0
    const again = () => {
      if (++times < 1_000) systemClock.setTimer(systemClock.now(), again)
    }
    systemClock.setTimer(systemClock.now() + 5, () => {
      throw new Error('of a listener')
    })
    const after = arm(5)
    again()
    await expect(vi.advanceTimersByTimeAsync(5)).rejects.toThrow('of a listener')
    expect(times).toBeLessThan(20)
    await vi.advanceTimersByTimeAsync(2_000)
    expect(after.fired.length).toBe(1)
    expect(times).toBe(1_000)
  })

  test('keeps the process alive for what waits, and not for housekeeping', () => {
    vi.useRealTimers()
    const alive = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const before = alive()
    const background = [arm(HOUR, { background: true }), arm(HOUR, { background: true, elapsed: true })]
    expect(alive()).toBe(before)
    const waiting = arm(2 * HOUR)
    expect(alive()).toBe(before + 1)
    waiting.disarm()
    expect(alive()).toBe(before)
    for (const { disarm } of background) disarm()
  })
})
