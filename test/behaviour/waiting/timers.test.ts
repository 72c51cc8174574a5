// Goal: what waits costs nothing while it waits, however many wait; and a clock that is set forward or back harms nothing:
// nothing ends before its instant, nothing runs twice, nothing is lost, and what is only a duration stays as long as it was.
// Method: a hundred thousand sleeping tasks in a real store, where timers that are armed and fired are counted, and not the
// time; scenarios with the clock set at every moment at which they wait; and the machine's clock over fake timers.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Clock, systemClock } from '../../../src/base/clock.js'
import { defineTask, Holdfast, type HoldfastError, type TaskContext } from '../../../src/index.js'
import { writeBatch } from '../../../src/store/commit.js'
import type { Operation } from '../../../src/store/disk/layout.js'
import { openClassicLevel } from '../../../src/store/disk/level.js'
import { pages } from '../../../src/store/disk/pages.js'
import { seal, unseal } from '../../../src/store/integrity/envelope.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'
import { cameTo, keysOf } from '../../helpers/waiting.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY
/** How the clock is set: a little and a lot, back and forward. */
const JUMPS = [-YEAR, -DAY, -MINUTE, MINUTE, DAY, 10 * YEAR]
const named = (ms: number) => `${ms > 0 ? '+' : ''}${ms / MINUTE} minutes`

const codeOf = (error: HoldfastError) => error.code

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

  test('open in bounded time, share one timer of the machine, and cost nothing till they wake', async () => {
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
    // One for each of them, and housekeeping.
    expect(clock.waiting).toBeGreaterThanOrEqual(COUNT)
    expect(clock.waiting).toBeLessThan(COUNT + 10)
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

/** Without housekeeping, which would come every minute of the years that pass here. */
class QuietClock extends ManualClock {
  override setTimer(...[dueAt, fire, options]: Parameters<Clock['setTimer']>) {
    return options?.background ? () => {} : super.setTimer(dueAt, fire, options)
  }
}

describe('the clock is set while', () => {
  /** Plays a task through to its end: whenever nothing goes on, the clock moves to what comes next. */
  async function play(
    body: (task: TaskContext, clock: ManualClock, log: string[]) => Promise<unknown>,
    options: Pick<Parameters<typeof defineTask>[0], 'retry' | 'timeout'>,
    set:
      | { readonly atMove: number; readonly ms: number; readonly how: 'while it runs' | 'while it is down' }
      | undefined,
  ) {
    const disk = new MemoryDisk()
    const clock = new QuietClock()
    const log: string[] = []
    const tasks = [
      defineTask({ name: 'main', ...options }, (task) => body(task, clock, log)),
      defineTask({ name: 'child' }, async (task) => {
        await task.sleep('nap', '3h')
        log.push('child woke')
        return 'child'
      }),
    ]
    const open = () => openInMemory({ disk, clock, tasks })
    let holdfast = await open()
    const { taskId } = await holdfast.start('main', null)
    let moves = 0
    for (; moves < 200; moves++) {
      await untilIdle(holdfast)
      const { settledAt } = await holdfast.get(taskId)
      if (settledAt !== undefined) break
      if (set?.atMove === moves) {
        if (set.how === 'while it runs') await clock.jump(set.ms)
        else {
          disk.crash()
          await clock.jump(set.ms)
          holdfast = await open()
        }
      } else if (clock.nextDueAt !== undefined) await clock.advanceTo(clock.nextDueAt)
    }
    const { outcome, status } = await holdfast.get(taskId)
    const settled = (await holdfast.audit({ taskId })).filter(({ action }) => action === status).length
    await holdfast.close()
    return { outcome, settled, log, moves }
  }

  const waits = async (task: TaskContext, clock: ManualClock, log: string[]) => {
    /** Whatever it waited for: the clock says that its time has come. */
    const noteThat = (what: string, instant: number) =>
      task.step('note', () => {
        log.push(clock.now() >= instant ? what : `${what} ${instant - clock.now()} ms too soon`)
      })
    let from = await task.now()
    await task.sleep('short', '30s')
    await noteThat('slept for short', from + 30 * SECOND)
    from = await task.now()
    await task.sleep('long', '6h')
    await noteThat('slept for long', from + 6 * HOUR)
    const date = Date.UTC(2026, 0, 2)
    await task.sleepUntil('date', date)
    await noteThat('slept until', date)
    await task.step(
      'flaky',
      ({ attempt }) => {
        log.push(`tried ${attempt}`)
        if (attempt < 3) throw new Error('not yet')
      },
      { retry: { maximumAttempts: 3, initialInterval: '10m' } },
    )
    from = await task.now()
    const answer = await task.input('sure', {}, { timeout: '1h' }).catch(codeOf)
    await noteThat(`answered ${answer}`, from + HOUR)
    from = await task.now()
    const message = await task.receive('go', { timeout: '40s' }).catch(codeOf)
    await noteThat(`received ${message}`, from + 40 * SECOND)
    const child = await task.child('child')
    const all = await task.all({
      one: async (branch) => {
        await branch.sleep('one', '20s')
        return 1
      },
      two: async (branch) => {
        await branch.sleep('two', '2h')
        return 2
      },
    })
    if (!log.includes('threw')) {
      log.push('threw')
      throw new Error('once more')
    }
    return { child, all }
  }

  test.each(['while it runs', 'while it is down'] as const)(
    'a task sleeps, retries, and waits for inputs, messages, children and branches: %s',
    async (how) => {
      const options = { retry: { maximumAttempts: 2, initialInterval: '15m' } } as const
      const calm = await play(waits, options, undefined)
      expect(calm).toMatchObject({ outcome: { kind: 'result', result: { child: 'child', all: { one: 1, two: 2 } } } })
      expect(calm.log).toEqual([
        'slept for short',
        'slept for long',
        'slept until',
        'tried 1',
        'tried 2',
        'tried 3',
        'answered INPUT_TIMEOUT',
        'received RECEIVE_TIMEOUT',
        'child woke',
        'threw',
      ])
      for (const ms of JUMPS) {
        for (let atMove = 0; atMove < calm.moves; atMove++) {
          const { outcome, settled, log } = await play(waits, options, { atMove, ms, how })
          const where = `${named(ms)} at move ${atMove}`
          expect(outcome, where).toEqual(calm.outcome)
          expect(settled, where).toBe(1)
          expect(log, where).toEqual(calm.log)
        }
      }
    },
  )
})

describe('a limit of time', () => {
  const body = (task: TaskContext) => task.sleep('nap', '300d')

  test.each([
    ['timeout', { timeout: '2h' }, {}, 'TIMEOUT'],
    ['deadline', {}, { deadline: Date.UTC(2026, 0, 1, 2) }, 'TIMEOUT'],
    ['ttl', {}, { ttl: '2h' }, 'EXPIRED'],
  ] as const)(
    'strikes when the clock says so and not before, and once, however it is set: a %s',
    async (_, ofType, ofTask, code) => {
      for (const ms of JUMPS) {
        for (const how of ['while it runs', 'while it is down']) {
          const where = `${named(ms)} ${how}`
          const disk = new MemoryDisk()
          const clock = new QuietClock()
          const options = { disk, clock, tasks: [defineTask({ name: 'main', ...ofType }, body)] }
          let holdfast = await openInMemory(options)
          const { taskId } = await holdfast.start('main', null, ofTask)
          const limit = clock.now() + 2 * HOUR
          await untilIdle(holdfast)
          await clock.advance(HOUR)
          if (how === 'while it is down') disk.crash()
          await clock.jump(ms)
          if (how === 'while it is down') holdfast = await openInMemory(options)
          await untilIdle(holdfast)
          if (clock.now() < limit) {
            await clock.advanceTo(limit - 1)
            expect(await holdfast.get(taskId), where).toMatchObject({ status: 'running' })
            await clock.advanceTo(limit)
          }
          await expect(holdfast.result(taskId), where).rejects.toMatchObject({ code })
          const ends = (await holdfast.audit({ taskId })).filter(({ action }) => action === 'failed')
          expect(ends.length, where).toBe(1)
          expect(ends[0]?.at, where).toBeGreaterThanOrEqual(limit)
          await holdfast.close()
        }
      }
    },
  )

  test('of a step is a duration: setting the clock makes it neither shorter nor longer', async () => {
    for (const ms of JUMPS) {
      const clock = new ManualClock()
      let stopped = false
      const hangs = defineTask({ name: 'hangs' }, (task) =>
        task.step(
          'hang',
          ({ signal }) => {
            signal.addEventListener('abort', () => {
              stopped = true
            })
            return new Promise(() => {})
          },
          { timeout: '30s' },
        ),
      )
      const holdfast = await openInMemory({ clock, tasks: [hangs] })
      const { taskId } = await holdfast.start(hangs, null)
      await untilIdle(holdfast)
      await clock.advance(10 * SECOND)
      await clock.jump(ms)
      await clock.advance(20 * SECOND - 1)
      expect(stopped, named(ms)).toBe(false)
      await clock.advance(1)
      expect(stopped, named(ms)).toBe(true)
      expect(await cameTo(holdfast.result(taskId)), named(ms)).toEqual({ code: 'STEP_TIMEOUT' })
      await holdfast.close()
    }
  })

  test('of a wait for a result, of a close and of a clean-up is a duration too', async () => {
    for (const ms of JUMPS) {
      const clock = new ManualClock()
      const undone: string[] = []
      const stubborn = defineTask(
        { name: 'stubborn', undo: { hang: () => undone.push('undone') }, cleanUp: { grace: '10s' } },
        (task) => task.step('hang', () => new Promise(() => {})),
      )
      const holdfast = await openInMemory({ clock, tasks: [stubborn] })
      const { taskId } = await holdfast.start(stubborn, null)
      await untilIdle(holdfast)
      const waited = cameTo(holdfast.result(taskId, { timeout: '5s' }))
      await turns(10)
      await clock.jump(ms)
      await clock.advance(5 * SECOND)
      expect(await waited, named(ms)).toEqual({ code: 'WAIT_TIMEOUT' })

      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      await clock.jump(ms)
      await clock.advance(10 * SECOND - 1)
      expect(undone, named(ms)).toEqual([])
      await clock.advance(1)
      expect(undone, named(ms)).toEqual(['undone'])
      expect(await holdfast.get(taskId), named(ms)).toMatchObject({ cleanUp: 'done' })

      await holdfast.start(stubborn, null)
      await untilIdle(holdfast)
      const closed = cameTo(holdfast.close({ grace: '10s' }))
      await turns(10)
      await clock.jump(ms)
      await clock.advance(10 * SECOND)
      expect(await closed, named(ms)).toEqual({ value: undefined })
    }
  })
})

test('a clean-up that waits for a child while the clock is set back has no longer grace for that', async () => {
  const clock = new ManualClock()
  const log: string[] = []
  const aSecond = () =>
    new Promise<void>((resolve) => void clock.setTimer(clock.now() + SECOND, resolve, { elapsed: true }))
  const tasks = [
    defineTask({ name: 'child', onCancel: aSecond }, (task) => task.sleep('nap', '300d')),
    defineTask({ name: 'main', undo: { hang: () => log.push('undone') }, cleanUp: { grace: '10s' } }, (task) =>
      task.all({ child: (t) => t.child('child'), hang: (t) => t.step('hang', () => new Promise(() => {})) }),
    ),
  ]
  const holdfast = await openInMemory({ clock, tasks })
  const { taskId } = await holdfast.start('main', null)
  await untilIdle(holdfast)
  await holdfast.cancel(taskId)
  await untilIdle(holdfast)
  await clock.jump(-DAY)
  await clock.advance(SECOND)
  expect(log).toEqual([])
  await clock.advance(10 * SECOND)
  expect(log).toEqual(['undone'])
  expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done' })
})

test('an answer is taken whatever the clock was set to since the question, and one that comes too late by it is not', async () => {
  for (const ms of JUMPS) {
    const clock = new ManualClock()
    const asks = defineTask({ name: 'asks' }, async (task) => ({
      said: await task.input('sure', {}, { timeout: '1h' }).catch(codeOf),
      now: await task.now(),
    }))
    const holdfast = await openInMemory({ clock, tasks: [asks] })
    const { taskId } = await holdfast.start(asks, null)
    await untilIdle(holdfast)
    const askedAt = clock.now()
    const [key] = await keysOf(holdfast, taskId)
    await clock.jump(ms)
    await untilIdle(holdfast)
    const isLate = clock.now() >= askedAt + HOUR
    const { accepted } = await holdfast.respond(taskId, { [key as string]: 'yes' })
    expect(accepted, named(ms)).toEqual(isLate ? [] : [key])
    expect(await holdfast.result(taskId), named(ms)).toMatchObject({ said: isLate ? 'INPUT_TIMEOUT' : 'yes' })
    await holdfast.close()
  }
})

test('the figures stay figures when the clock was set back', async () => {
  const clock = new ManualClock()
  const job = defineTask({ name: 'job' }, (task) => task.receive('go'))
  const holdfast = await openInMemory({ clock, tasks: [job] })
  const { taskId } = await holdfast.start(job, null)
  await untilIdle(holdfast)
  await clock.jump(-DAY)
  await holdfast.send(taskId, 'go', 1)
  expect(await holdfast.result(taskId)).toBe(1)
  const { levels } = await holdfast.stats()
  expect(levels.sinceOpen.meanCompletionMs).toBe(0)
  // What happened is still told in the order in which it did.
  const actions = (await holdfast.audit({ taskId })).map(({ action }) => action)
  expect([actions[0], actions.at(-1)]).toEqual(['created', 'completed'])
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
