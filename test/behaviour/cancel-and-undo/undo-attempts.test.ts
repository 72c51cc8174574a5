// Goal: an undo that fails is tried again as its options say, keeps no other undo back, and survives a close and a change of code.
// Method: time in hand; what is left of the clean-up is read from the task.
import { describe, expect, test } from 'vitest'
import {
  type CleanUpContext,
  type CleanUpOptions,
  defineTask,
  type Holdfast,
  type StepToUndo,
  type TaskContext,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { errorOf, noting } from '../../helpers/clean-up.js'

const HOUR = 3_600_000

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

  test('out of attempts keeps no other back; the clean-up ends as failed, and says of what', async () => {
    const log: string[] = []
    const at: number[] = []
    const keys = new Set<string>()
    const { holdfast, taskId, clock } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.step('b', () => 'B')
        await task.sleep('nap', '30d')
      },
      ({ attempt, idempotencyKey }, { step }) => {
        log.push(`${step} ${attempt}`)
        if (step === 'a') return
        keys.add(idempotencyKey)
        at.push(clock.now())
        throw new Error(`the bank says no, time ${attempt}`)
      },
    )
    await holdfast.cancel(taskId, { reason: 'enough' })
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'pending',
      undone: [
        { step: 'b', state: 'pending', failedAttempts: 1, error: 'the bank says no, time 1' },
        { step: 'a', state: 'pending', failedAttempts: 0 },
      ],
    })
    await clock.advance(HOUR)
    expect((await errorOf(holdfast.result(taskId))).message).toContain('enough')
    expect(log).toEqual(['b 1', 'b 2', 'b 3', 'b 4', 'b 5', 'a 1'])
    expect(keys.size).toBe(1)
    // 1 s, 2 s, 4 s, 8 s, each shortened by up to half.
    for (const [n, most] of [1_000, 2_000, 4_000, 8_000].entries()) {
      const waited = (at[n + 1] as number) - (at[n] as number)
      expect(waited).toBeGreaterThanOrEqual(most / 2)
      expect(waited).toBeLessThanOrEqual(most)
    }
    const reason = "the undo of step 'b' failed: the bank says no, time 5"
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'cancelled',
      outcome: { kind: 'cancelled', reason: 'enough' },
      cleanUp: 'failed',
      cleanUpReason: reason,
      undone: [
        { step: 'b', state: 'failed', failedAttempts: 5, error: 'the bank says no, time 5' },
        { step: 'a', state: 'undone', failedAttempts: 0 },
      ],
    })
    const audit = (await holdfast.audit({ taskId })).map(({ action, why }) => [action, why]).slice(-4)
    expect(audit).toEqual([
      ['cancelled', 'enough'],
      ['undo-failed', 'b'],
      ['undone', 'a'],
      ['clean-up-failed', reason],
    ])
    // Nothing of it is tried again, ever.
    await clock.advance(10 * HOUR)
    expect(log).toHaveLength(6)
  })

  test('that throws what is not worth another try is out of attempts at once', async () => {
    const { holdfast, taskId } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.sleep('nap', '30d')
      },
      () => {
        throw Object.assign(new Error('closed account'), { name: 'NonRetryableError' })
      },
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      undone: [{ step: 'a', state: 'failed', failedAttempts: 1 }],
    })
  })

  test.each([
    ['null without a prototype', Object.create(null)],
    ['an object that can’t be text', { toString: null, valueOf: null }],
    [
      'an error that can’t be read',
      Object.defineProperty(new Error('x'), 'message', {
        get() {
          throw new Error('trap')
        },
      }),
    ],
    [
      'a proxy',
      new Proxy(
        {},
        {
          get() {
            throw new Error('trap')
          },
        },
      ),
    ],
  ])('that throws %s fails like any other: the clean-up goes on', async (_, thrown) => {
    const { holdfast, taskId, clock } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.sleep('nap', '30d')
      },
      () => {
        throw thrown
      },
    )
    await holdfast.cancel(taskId)
    await clock.advance(3_600_000)
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      parked: undefined,
      undone: [{ step: 'a', state: 'failed', failedAttempts: 5, error: expect.any(String) }],
    })
  })

  test.each(['text', null, undefined, 7])('that throws %j fails like any other', async (thrown) => {
    const { holdfast, taskId } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.sleep('nap', '30d')
      },
      () => {
        throw thrown
      },
      { retry: { maximumAttempts: 1 } },
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      cleanUpReason: `the undo of step 'a' failed: ${String(thrown)}`,
    })
  })

  test('that was removed from the code, of a step by any name, is said to be missing', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const undo = { constructor: () => 1, toString: () => 1 } as never
    const whole = defineTask({ name: 'main', undo }, async (task) => {
      await task.step('constructor', () => 'A')
      await task.sleep('nap', '30d')
    })
    const first = await openInMemory({ disk, clock, tasks: [whole] })
    const { taskId } = await first.start(whole, null)
    await untilIdle(first)
    await first.close()
    const cleanUp = { retry: { maximumAttempts: 1 } }
    const bare = defineTask({ name: 'main', cleanUp, undo: {} }, (task) => task.sleep('nap', '30d'))
    const second = await openInMemory({ disk, clock, tasks: [bare], recover: 'manual' })
    await second.cancel(taskId)
    await errorOf(second.result(taskId))
    expect(await second.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      undone: [{ step: 'constructor', state: 'failed' }],
    })
  })

  test('that was added to the code later has nothing to undo of a step from before', async () => {
    const log: string[] = []
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = async (task: TaskContext) => {
      await task.step('a', () => 'A')
      await task.sleep('nap', '30d')
    }
    const first = await openInMemory({ disk, clock, tasks: [defineTask({ name: 'main' }, body)] })
    const { taskId } = await first.start('main')
    await untilIdle(first)
    await first.close()
    const second: Holdfast = await openInMemory({
      disk,
      clock,
      tasks: [defineTask({ name: 'main', undo: { a: noting(log) } }, body)],
    })
    expect(await second.cancel(taskId)).toMatchObject({ cleanUp: 'none' })
    expect(log).toEqual([])
  })
})
