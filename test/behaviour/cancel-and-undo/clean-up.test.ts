// Goal: from the commit that records a cancel the task is cancelled, for everybody and for good; behind it, clean-up runs to
// its end whatever happens. The same behind a timeout and a deadline.
// Method: time in hand. Tasks in every state are cancelled with a crash before and after every write that is made; what is
// left is held against a play without a crash. The rest looks at one moment at a time, as somebody outside would.

import { describe, expect, test } from 'vitest'
import { type CleanUpOptions, defineTask } from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { codeOf, errorOf, undone } from '../../helpers/clean-up.js'
import { turns } from '../../helpers/turns.js'

const HOUR = 3_600_000

describe('a clean-up whose definition is not registered', () => {
  const log: string[] = []
  const make = () =>
    defineTask({ name: 'job', undo: { a: (_, { result }) => log.push(`undo a ${result}`) } }, async (task) => {
      await task.step('a', () => 'A')
      await task.sleep('nap', '30d')
    })
  const begun = async (options: InMemoryOptions = {}) => {
    log.length = 0
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [make()], ...options })
    const { taskId } = await first.start('job', undefined, { deadline: clock.now() + HOUR })
    await untilIdle(first)
    disk.crash()
    return { clock, disk, taskId }
  }

  test('waits for it, shows as parked, and goes on when it is registered', async () => {
    const { clock, disk, taskId } = await begun()
    await clock.advance(2 * HOUR)
    const holdfast = await openInMemory({ disk, clock })
    await holdfast.recovery.done
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'failed',
      error: { code: 'TIMEOUT' },
      cleanUp: 'pending',
      parked: { code: 'TASK_TYPE_UNKNOWN', reason: expect.stringContaining("'job'") },
    })
    expect(await errorOf(holdfast.result(taskId))).toMatchObject({ code: 'TASK_PARKED' })
    for (const force of [true, false])
      expect(await errorOf(holdfast.cancel(taskId, { force }))).toMatchObject({ code: 'TASK_SETTLED' })
    const waiting = errorOf(holdfast.result(taskId, { waitParked: true }))
    holdfast.register(make())
    expect((await waiting).code).toBe('TIMEOUT')
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', cleanUp: 'done', parked: undefined })
    expect(log).toEqual(['undo a A'])
  })

  test('goes on in a later process that knows it', async () => {
    const { clock, disk, taskId } = await begun()
    await clock.advance(2 * HOUR)
    const second = await openInMemory({ disk, clock })
    await untilIdle(second)
    await second.close()
    const third = await openInMemory({ disk, clock, tasks: [make()] })
    expect((await errorOf(third.result(taskId))).code).toBe('TIMEOUT')
    expect(log).toEqual(['undo a A'])
    expect(third.recovery.tasks).toMatchObject([{ action: 'cleaning-up' }])
  })

  test('goes on when a listener registers it at the moment it is parked', async () => {
    const { clock, disk, taskId } = await begun()
    const holdfast = await openInMemory({ disk, clock, recover: 'manual' })
    holdfast.on('task:parked', () => holdfast.register(make()))
    await clock.advance(2 * HOUR)
    await holdfast.recover()
    await untilIdle(holdfast)
    expect(log).toEqual(['undo a A'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', parked: undefined })
  })

  test.each([true, false])(
    'of a task cancelled before `recover()` goes on with it; registered first: %s',
    async (known) => {
      const { clock, disk, taskId } = await begun()
      const holdfast = await openInMemory({ disk, clock, recover: 'manual' })
      if (known) holdfast.register(make())
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      if (!known) holdfast.register(make())
      const report = await holdfast.recover()
      await untilIdle(holdfast)
      expect(log).toEqual(['undo a A'])
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
      expect(report.finishedAt).toBeDefined()
    },
  )

  test('of a task whose code has no undo for the step any more fails, and says so', async () => {
    const { clock, disk, taskId } = await begun()
    const bare = defineTask({ name: 'job' }, (task) => task.sleep('nap', '30d'))
    await clock.advance(2 * HOUR)
    const holdfast = await openInMemory({ disk, clock, tasks: [bare] })
    for (let wait = 0; wait < 10; wait++) await clock.advance(60_000)
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TIMEOUT')
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      cleanUpReason: expect.stringMatching(/^the undo of step 'a' failed: .*no `undo` for step 'a' any more$/),
      undone: [{ step: 'a', state: 'failed', failedAttempts: 5 }],
    })
  })
})

describe('a parked task', () => {
  const parked = async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const make = () =>
      defineTask(
        { name: 'job', undo: { a: () => log.push('undo') }, onCancel: () => log.push('onCancel') },
        async (task) => {
          await task.step('a', () => 'A')
          await task.sleep('nap', '30d')
        },
      )
    const first = await openInMemory({ disk, clock, tasks: [make()] })
    const { taskId } = await first.start('job', null, { owner: 'alice' })
    await untilIdle(first)
    disk.crash()
    const holdfast = await openInMemory({ disk, clock })
    await holdfast.recovery.done
    return { clock, disk, holdfast, taskId, log, make }
  }

  test('says how to go on', async () => {
    const { holdfast, taskId } = await parked()
    const message = expect.stringMatching(/`resume` tries it again, and `cancel` settles it/)
    expect(await errorOf(holdfast.result(taskId))).toMatchObject({ code: 'TASK_PARKED', message })
    expect((await errorOf(holdfast.cancel(taskId, { owner: 'bob' }))).code).toBe('TASK_NOT_FOUND')
  })

  test.each(['alice', undefined])(
    'is cancelled by a plain cancel (owner: %s), and cleaned up once its type is there',
    async (owner) => {
      const { holdfast, taskId, log, make } = await parked()
      const parkings: string[] = []
      holdfast.on('task:parked', ({ code }) => parkings.push(code))
      expect(await holdfast.cancel(taskId, { reason: 'enough', owner })).toMatchObject({
        status: 'cancelled',
        cleanUp: 'pending',
        cleanUpReason: undefined,
      })
      await untilIdle(holdfast)
      expect(await holdfast.get(taskId)).toMatchObject({
        status: 'cancelled',
        outcome: { kind: 'cancelled', reason: 'enough' },
        cleanUp: 'pending',
        parked: { code: 'TASK_TYPE_UNKNOWN' },
      })
      expect([parkings, log]).toEqual([['TASK_TYPE_UNKNOWN'], []])
      expect((await errorOf(holdfast.cancel(taskId))).code).toBe('TASK_SETTLED')
      holdfast.register(make())
      expect((await errorOf(holdfast.result(taskId, { waitParked: true }))).code).toBe('TASK_CANCELLED')
      expect(log).toEqual(['undo', 'onCancel'])
      expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', parked: undefined })
    },
  )

  test('that was cancelled is cleaned up in a later process that knows its type', async () => {
    const { holdfast, taskId, log, make, disk, clock } = await parked()
    await holdfast.cancel(taskId, { owner: 'alice' })
    await untilIdle(holdfast)
    disk.crash()
    const again = await openInMemory({ disk, clock, tasks: [make()] })
    expect((await errorOf(again.result(taskId))).code).toBe('TASK_CANCELLED')
    expect(log).toEqual(['undo', 'onCancel'])
    expect(await again.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
  })

  test('because its code changed is cancelled and cleaned up at once', async () => {
    const log: string[] = []
    const make = (step: string) =>
      defineTask(
        { name: 'job', undo: { a: () => log.push('undo') }, onCancel: () => log.push('onCancel') },
        async (task) => {
          await task.step('a', () => 'A')
          await task.step(step, () => step)
          await task.sleep('nap', '30d')
        },
      )
    const [clock, disk] = [new ManualClock(), new MemoryDisk()]
    const first = await openInMemory({ disk, clock, tasks: [make('b')] })
    const { taskId } = await first.start('job', null, { owner: 'alice' })
    await untilIdle(first)
    disk.crash()
    const holdfast = await openInMemory({ disk, clock, tasks: [make('renamed')] })
    // The sleep is due in a month: only a run shows that the code does not fit.
    await clock.jump(31 * 24 * HOUR)
    expect(await holdfast.get(taskId)).toMatchObject({ parked: { code: 'CODE_CHANGED' } })
    await holdfast.cancel(taskId, { owner: 'alice' })
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    expect(log).toEqual(['undo', 'onCancel'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', parked: undefined })
  })

  test('is given up with `force`: nothing is cleaned up, and that is said', async () => {
    const { holdfast, taskId, log, make, disk, clock } = await parked()
    const given = { status: 'cancelled', cleanUp: 'failed', cleanUpReason: 'NOT_RUN', parked: undefined }
    expect(await holdfast.cancel(taskId, { force: true, reason: 'enough' })).toMatchObject(given)
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    holdfast.register(make())
    await untilIdle(holdfast)
    await holdfast.close()
    const again = await openInMemory({ disk, clock, tasks: [make()] })
    await untilIdle(again)
    expect(await again.get(taskId)).toMatchObject({
      ...given,
      undone: [{ step: 'a', state: 'failed', error: 'NOT_RUN' }],
    })
    expect(log).toEqual([])
  })

  test('that goes on is cancelled like any other, `force` or not', async () => {
    const { holdfast, taskId, log, make } = await parked()
    holdfast.register(make())
    await untilIdle(holdfast)
    expect(await holdfast.cancel(taskId, { force: true })).toMatchObject({ status: 'cancelled', cleanUp: 'pending' })
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo', 'onCancel'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', cleanUpReason: undefined })
  })
})

describe('a clean-up', () => {
  test('that waits for its next attempt keeps no other waiting', async () => {
    const clock = new ManualClock()
    const cleanUp: CleanUpOptions = { retry: { initialInterval: '1h' } }
    const never = () => {
      throw new Error('not yet')
    }
    const failing = defineTask({ name: 'failing', onCancel: never, cleanUp }, (task) => task.sleep('nap', '30d'))
    const quick = defineTask({ name: 'quick', onCancel: () => {} }, (task) => task.sleep('nap', '30d'))
    const holdfast = await openInMemory({ clock, tasks: [failing, quick], concurrency: 1 })
    const one = await holdfast.start(failing, null)
    const two = await holdfast.start(quick, null)
    await untilIdle(holdfast)
    await holdfast.cancel(one.taskId)
    await untilIdle(holdfast)
    await holdfast.cancel(two.taskId)
    await untilIdle(holdfast)
    expect(await holdfast.get(one.taskId)).toMatchObject({ cleanUp: 'pending' })
    expect(await holdfast.get(two.taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('of many tasks runs as many at once as bodies may, and all of them', async () => {
    const clock = new ManualClock()
    let [running, most, ran] = [0, 0, 0]
    const onCancel = async () => {
      most = Math.max(most, ++running)
      await turns(3)
      running--
      ran++
    }
    const task = defineTask({ name: 'job', onCancel }, (task) => task.sleep('nap', '30d'))
    const holdfast = await openInMemory({ clock, tasks: [task], concurrency: 4 })
    const started = await Promise.all(Array.from({ length: 20 }, () => holdfast.start(task, null)))
    await untilIdle(holdfast)
    await Promise.all(started.map(({ taskId }) => holdfast.cancel(taskId)))
    await Promise.all(started.map(({ taskId }) => errorOf(holdfast.result(taskId))))
    expect([most, ran]).toEqual([4, 20])
  })

  test('waits while the disk is full, repeats nothing that succeeded, and ends once', async () => {
    for (const applied of [false, true]) {
      for (let atWrite = 1; atWrite <= 7; atWrite++) {
        const clock = new ManualClock()
        const disk = new MemoryDisk()
        const log: string[] = []
        const task = defineTask(
          {
            name: 'job',
            undo: { a: () => log.push('undo a'), b: () => log.push('undo b') },
            onCancel: async (context) => {
              await context.step('tell', () => log.push('tell'))
              log.push('onCancel')
            },
          },
          async (task) => {
            await task.step('a', () => 'A')
            await task.step('b', () => 'B')
            await task.sleep('nap', '30d')
          },
        )
        const holdfast = await openInMemory({ disk, clock, tasks: [task] })
        holdfast.on('task:cleaned-up', () => log.push('cleaned up'))
        const { taskId } = await holdfast.start(task, null)
        await untilIdle(holdfast)
        const where = `write ${atWrite}${applied ? ', applied' : ''}`
        disk.failAt({ atWrite, applied })
        const said = await holdfast.cancel(taskId, { reason: 'enough' }).catch(codeOf)
        for (let wait = 0; wait < 3; wait++) await clock.advance(5_000)
        if (atWrite === 1) {
          // The caller was refused, and told that he can't know.
          expect(said, where).toBe('STORE_UNAVAILABLE')
          if (!applied) expect(await holdfast.get(taskId), where).toMatchObject({ status: 'running', cleanUp: 'none' })
          if (!applied) await holdfast.cancel(taskId, { reason: 'enough' })
        }
        await errorOf(holdfast.result(taskId))
        await untilIdle(holdfast)
        expect(await holdfast.get(taskId), where).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
        expect(log, where).toEqual(['undo b', 'undo a', 'tell', 'onCancel', 'cleaned up'])
      }
    }
  })

  test('that a later process goes on with runs once, whichever of its writes the disk refuses', async () => {
    for (const applied of [false, true]) {
      for (let atWrite = 1; atWrite <= 6; atWrite++) {
        const clock = new ManualClock()
        const disk = new MemoryDisk()
        const log: string[] = []
        // Each of them takes a while, so that a second clean-up beside it would be seen.
        const slowly = (what: string) => async () => {
          log.push(what)
          await turns(10)
        }
        const task = defineTask(
          { name: 'job', undo: { a: slowly('undo a'), b: slowly('undo b') }, onCancel: slowly('onCancel') },
          async (task) => {
            await task.step('a', () => 'A')
            await task.step('b', () => 'B')
            await task.sleep('nap', '30d')
          },
        )
        const first = await openInMemory({ disk, clock, tasks: [task] })
        const { taskId } = await first.start(task, null)
        await untilIdle(first)
        await first.cancel(taskId)
        disk.crash()
        const second = await openInMemory({ disk, clock, tasks: [task] })
        log.splice(0)
        second.on('task:settled', () => log.push('settled'))
        second.on('task:cleaned-up', () => log.push('cleaned up'))
        disk.failAt({ atWrite, applied })
        for (let wait = 0; wait < 4; wait++) await clock.advance(5_000)
        await errorOf(second.result(taskId))
        const where = `write ${atWrite}${applied ? ', applied' : ''}`
        expect(log, where).toEqual(['undo b', 'undo a', 'onCancel', 'cleaned up'])
        expect(await second.get(taskId), where).toMatchObject({ cleanUp: 'done', undone: [undone('b'), undone('a')] })
      }
    }
  })

  test('begins nothing while the disk is full, and goes on when there is room', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const task = defineTask(
      {
        name: 'job',
        undo: {
          a: () => log.push('undo a'),
          b: () => {
            log.push('undo b')
            disk.full = true
          },
        },
      },
      async (task) => {
        await task.step('a', () => 'A')
        await task.step('b', () => 'B')
        await task.sleep('nap', '30d')
      },
    )
    const holdfast = await openInMemory({ disk, clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    for (let wait = 0; wait < 5; wait++) await clock.advance(10_000)
    expect(log).toEqual(['undo b'])
    disk.full = false
    for (let wait = 0; wait < 3; wait++) await clock.advance(10_000)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo b', 'undo a'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('is left for the next open by a close, which waits for what runs and not for what waits', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const make = (fails: boolean) => [
      defineTask(
        {
          name: 'child',
          onCancel: () => {
            log.push('child onCancel')
            if (fails) throw new Error('not yet')
          },
          cleanUp: { retry: { initialInterval: '1h' } },
        },
        (task) => task.sleep('nap', '30d'),
      ),
      defineTask({ name: 'main', onCancel: () => log.push('main onCancel') }, (task) => task.child('child')),
    ]
    const first = await openInMemory({ disk, clock, tasks: make(true) })
    const { taskId } = await first.start('main')
    await untilIdle(first)
    await first.cancel(taskId)
    await untilIdle(first)
    let closed = false
    const closing = first.close({ grace: '10m' }).then(() => {
      closed = true
    })
    await untilIdle(first)
    expect(closed, 'a clean-up that only waits for its child, which waits for its next attempt').toBe(true)
    await clock.advance(11 * 60_000)
    await closing
    await clock.advance(2 * HOUR)
    const second = await openInMemory({ disk, clock, tasks: make(false) })
    await errorOf(second.result(taskId))
    expect(log).toEqual(['child onCancel', 'child onCancel', 'main onCancel'])
  })
})
