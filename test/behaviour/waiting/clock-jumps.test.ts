// Goal: a clock that is set forward or back harms nothing: nothing ends before its instant, nothing runs twice, nothing is lost, and
// what is only a duration stays as long as it was.
// Method: time in hand, which jumps while tasks wait in every way there is.
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/base/clock.js'
import { defineTask, type HoldfastError, type TaskContext } from '../../../src/index.js'
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
