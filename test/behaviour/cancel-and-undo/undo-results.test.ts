// Goal: an undo is handed what its step returned, also where that arrives late, and nothing where nothing is known.
// Method: time in hand; functions end when a test says so, before and after the cancel.
import { describe, expect, test } from 'vitest'
import {
  type CleanUpContext,
  type CleanUpOptions,
  defineTask,
  type StepContext,
  type StepToUndo,
  type TaskContext,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { errorOf, noting } from '../../helpers/clean-up.js'
import { turns } from '../../helpers/turns.js'

const HOUR = 3_600_000

/** A promise, and how to end it. */
function gate<T = void>() {
  let open: (value: T) => void = () => {}
  let fail: (error: Error) => void = () => {}
  const opened = new Promise<T>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { open, fail, opened }
}

const never = () => new Promise<never>(() => {})

describe('an undo', () => {
  const opened = async (
    body: (task: TaskContext) => unknown,
    undo: (context: CleanUpContext, step: StepToUndo) => unknown,
    cleanUp: CleanUpOptions = {},
  ) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const define = () => defineTask({ name: 'main', undo: { a: undo, b: undo }, cleanUp }, (task) => body(task))
    const open = () => openInMemory({ disk, clock, tasks: [define()] })
    const holdfast = await open()
    const { taskId } = await holdfast.start('main', { file: 'x' }, { owner: 'alice' })
    await untilIdle(holdfast)
    return { clock, disk, holdfast, taskId, open, define }
  }

  test('is told of its step, its task and its key', async () => {
    const seen: unknown[] = []
    const keys: string[] = []
    const { holdfast, taskId } = await opened(
      async (task) => {
        await task.step('a', (step) => {
          keys.push(step.idempotencyKey)
          return 'A'
        })
        await task.sleep('nap', '30d')
      },
      ({ taskId, type, owner, attempt, idempotencyKey, signal }, step) => {
        keys.push(idempotencyKey)
        seen.push({ taskId, type, owner, attempt, aborted: signal.aborted }, step)
      },
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(seen).toEqual([
      { taskId, type: 'main', owner: 'alice', attempt: 1, aborted: false },
      { step: 'a', number: 1, input: { file: 'x' }, result: 'A' },
    ])
    expect(new Set(keys).size).toBe(2)
  })

  test('waits until the function of its step has ended, and is handed what that returned', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const { holdfast, taskId, clock, disk } = await opened((task) => task.step('a', () => ended), noting(log), {
      grace: '10s',
    })
    await holdfast.cancel(taskId)
    await clock.advance(9_000)
    expect(log).toEqual([])
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'cancelled',
      cleanUp: 'pending',
      undone: [{ step: 'a', state: 'pending', failedAttempts: 0 }],
    })
    const before = disk.writes
    open('late, but in time')
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 "late, but in time"'])
    // The result, the undo, the end of the clean-up.
    expect(disk.writes - before).toBe(3)
    // It is no answer of the log: the task is over.
    expect(await holdfast.steps(taskId)).toEqual([])
    expect((await holdfast.get(taskId)).completedSteps).toBe(0)
  })

  test('is handed a result that arrived while the cancel was being written', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const { holdfast, taskId, disk } = await opened((task) => task.step('a', () => ended), noting(log))
    const before = disk.writes
    const cancelled = holdfast.cancel(taskId)
    while (disk.writes === before) await turns(1)
    open('just then')
    await cancelled
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 "just then"'])
  })

  test('is handed what its step returned at whatever moment the cancel came', async () => {
    for (let delay = 0; delay < 8; delay++) {
      for (const cancelFirst of [false, true]) {
        const { open, opened: ended } = gate<string>()
        const log: string[] = []
        const { holdfast, taskId } = await opened(async (task) => {
          await task.step('a', () => ended)
          await task.sleep('nap', '30d')
        }, noting(log))
        const cancel = () => holdfast.cancel(taskId)
        let cancelled: Promise<unknown> = Promise.resolve()
        if (cancelFirst) cancelled = cancel()
        else open('A')
        await turns(delay)
        if (cancelFirst) open('A')
        else cancelled = cancel()
        await cancelled
        await errorOf(holdfast.result(taskId))
        expect(log, `${delay} ${cancelFirst}`).toEqual(['undo a#1 "A"'])
      }
    }
  })

  test('survives the crash with a result that arrived late', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const {
      holdfast,
      taskId,
      clock,
      disk,
      open: reopen,
    } = await opened((task) => task.step('a', () => ended), noting(log))
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    disk.dieAt({ atWrite: 2, applied: false })
    open('late')
    await untilIdle(holdfast)
    expect(disk.isOpen).toBe(false)
    await clock.advance(1)
    const second = await reopen()
    await errorOf(second.result(taskId))
    expect(log).toEqual(['undo a#1 "late"', 'undo a#1 "late"'])
  })

  test.each(['5s', 0] as const)(
    'waits for a function that ignores its signal for the grace of %s and no longer',
    async (grace) => {
      const { open, opened: ended } = gate<string>()
      const log: string[] = []
      const { holdfast, taskId, clock } = await opened(
        (task) => Promise.all([task.step('a', () => ended), task.step('b', never)]),
        noting(log),
        { grace },
      )
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      if (grace !== 0) {
        await clock.advance(4_999)
        expect(log).toEqual([])
        await clock.advance(1)
      }
      await errorOf(holdfast.result(taskId))
      expect(log).toEqual(['undo b#1 undefined', 'undo a#1 undefined'])
      open('too late')
      await untilIdle(holdfast)
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done', completedSteps: 0 })
      expect(log).toHaveLength(2)
    },
  )

  test('hands over what arrived although another function never ends', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const { holdfast, taskId, clock } = await opened(
      (task) => Promise.all([task.step('a', () => ended), task.step('b', never)]),
      noting(log),
    )
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    open('A')
    await untilIdle(holdfast)
    await clock.advance(5_000)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo b#1 undefined', 'undo a#1 "A"'])
  })

  test('of a step whose function heeds its signal comes at once, with nothing', async () => {
    const log: string[] = []
    const { holdfast, taskId } = await opened(
      (task) =>
        task.step(
          'a',
          ({ signal }: StepContext) =>
            new Promise((_, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason))
            }),
        ),
      noting(log),
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 undefined'])
  })

  test('of a step that timed out is handed what its function returns before the undo begins', async () => {
    const log: string[] = []
    const { open, opened: ended } = gate<string>()
    const { holdfast, taskId, clock } = await opened(async (task) => {
      await task.step('a', () => ended, { timeout: '1s' }).catch(() => {})
      await task.sleep('nap', '50s')
    }, noting(log))
    await clock.advance(1_000)
    open('charged after all')
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 "charged after all"'])
  })

  test('of a result that is no JSON comes with nothing', async () => {
    const log: string[] = []
    const { open, opened: ended } = gate<unknown>()
    const { holdfast, taskId } = await opened((task) => task.step('a', () => ended), noting(log))
    await holdfast.cancel(taskId)
    open(10n)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 undefined'])
  })

  test('of a step that was in doubt when the process died comes with nothing, without a run of its body', async () => {
    const log: string[] = []
    let bodies = 0
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const make = () =>
      defineTask({ name: 'main', undo: { a: noting(log), b: noting(log) } }, async (task) => {
        bodies++
        await task.step('a', () => 'A')
        await task.step('b', never)
      })
    const first = await openInMemory({ disk, clock, tasks: [make()] })
    const { taskId } = await first.start('main', null, { deadline: clock.now() + HOUR })
    await untilIdle(first)
    disk.crash()
    await clock.advance(2 * HOUR)
    const second = await openInMemory({ disk, clock, tasks: [make()] })
    expect((await errorOf(second.result(taskId))).code).toBe('TIMEOUT')
    expect(log).toEqual(['undo b#1 undefined', 'undo a#1 "A"'])
    expect(bodies).toBe(1)
  })

  test.each([0, '1s', '10m'] as const)(
    'that runs when the store is closed with a grace of %s is recorded, or made again',
    async (grace) => {
      const log: string[] = []
      const { open, opened: ended } = gate()
      const {
        holdfast,
        taskId,
        clock,
        open: reopen,
      } = await opened(
        async (task) => {
          await task.step('a', () => 'A')
          await task.step('b', () => 'B')
          await task.sleep('nap', '30d')
        },
        async ({ signal, attempt }, { step }) => {
          log.push(`${step} ${attempt}`)
          if (step === 'b') {
            await Promise.race([
              ended,
              new Promise((_, reject) => {
                signal.addEventListener('abort', () => reject(new Error('told to stop')))
              }),
            ])
            log.push('b is undone')
          }
        },
      )
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      expect(log).toEqual(['b 1'])
      const closing = holdfast.close({ grace })
      await untilIdle(holdfast)
      if (grace === '1s') await clock.advance(1_000)
      if (grace === '10m') open()
      await closing
      open()
      await untilIdle(holdfast)
      const second = await reopen()
      await errorOf(second.result(taskId))
      // What was interrupted counts for nothing: it is the first attempt again.
      expect(log).toEqual(grace === '10m' ? ['b 1', 'b is undone', 'a 1'] : ['b 1', 'b 1', 'b is undone', 'a 1'])
      expect(await second.get(taskId)).toMatchObject({ cleanUp: 'done', undone: [{ step: 'b' }, { step: 'a' }] })
    },
  )

  test.each([false, true])(
    'that succeeded runs no second time because a write failed, applied: %s',
    async (applied) => {
      for (let atWrite = 1; atWrite <= 4; atWrite++) {
        const log: string[] = []
        const { holdfast, taskId, clock, disk } = await opened(
          async (task) => {
            await task.step('a', () => 'A')
            await task.step('b', () => 'B')
            throw await task.sleep('nap', '10s').then(() => new Error('no'))
          },
          (_, { step }) => {
            log.push(step)
          },
        )
        await clock.advance(9_999)
        // The sleep's record, the failure, and then each undo.
        disk.failAt({ atWrite: atWrite + 1, applied })
        for (let wait = 0; wait < 5; wait++) await clock.advance(5_000)
        expect((await errorOf(holdfast.result(taskId))).message).toContain('no')
        expect(log, `write ${atWrite}`).toEqual(['b', 'a'])
        expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', cleanUp: 'done' })
      }
    },
  )
})
