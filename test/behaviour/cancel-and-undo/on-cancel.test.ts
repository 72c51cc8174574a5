// Goal: `onCancel` runs after the undos, behind a cancel, a timeout and a deadline, with its own attempts and its own time.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { describe, expect, test } from 'vitest'
import {
  type Cancelled,
  type CleanUpOptions,
  type Duration,
  defineTask,
  type HoldfastError,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { errorOf } from '../../helpers/clean-up.js'

const HOUR = 3_600_000

describe('onCancel', () => {
  const asked = async (options: {
    timeout?: Duration
    deadline?: number
    reason?: string
    saves?: boolean
    down?: boolean
  }) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const calls: Cancelled[] = []
    const { timeout, deadline, reason, saves = true, down = false } = options
    const task = defineTask(
      {
        name: 'job',
        ...(timeout ? { timeout } : {}),
        onCancel: (_, cancelled) => calls.push(cancelled as Cancelled),
      },
      async (task, _: { n: number }) => {
        await task.step('a', () => 1)
        if (saves) {
          await task.saveCheckpoint({ page: 1 })
          await task.saveCheckpoint({ page: 2 }, { label: 'two' })
        }
        await task.sleep('nap', '30d')
      },
    )
    let holdfast = await openInMemory({ disk, clock, tasks: [task] })
    const due = deadline === undefined ? {} : { deadline: clock.now() + deadline }
    const { taskId } = await holdfast.start(task, { n: 7 }, due)
    await untilIdle(holdfast)
    // A client's checkpoint is not the body's.
    await holdfast.saveCheckpoint(taskId, { client: true })
    if (down) {
      disk.crash()
      await clock.advance(2 * HOUR)
      holdfast = await openInMemory({ disk, clock, tasks: [task] })
    }
    if (timeout === undefined && deadline === undefined)
      await holdfast.cancel(taskId, reason === undefined ? {} : { reason })
    else if (!down) await clock.advance(2 * HOUR)
    const error = await errorOf(holdfast.result(taskId))
    return { calls, error, view: await holdfast.get(taskId), holdfast, taskId }
  }

  const lastCheckpoint = {
    checkpointId: expect.stringMatching(/^cp-/),
    state: { page: 2 },
    completedSteps: 1,
    createdAt: expect.any(Number),
  }

  test('is told of the cancel, its reason, the input and the last checkpoint of the body', async () => {
    const { calls, error, view } = await asked({ reason: 'enough' })
    expect(calls).toEqual([{ input: { n: 7 }, lastCheckpoint, reason: 'enough', stoppedBy: 'cancel' }])
    expect(error).toMatchObject({ code: 'TASK_CANCELLED', message: expect.stringContaining('enough') })
    expect(view).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
  })

  test('is told of a cancel without a reason, and of a task without a checkpoint', async () => {
    const { calls } = await asked({ saves: false })
    expect(calls).toEqual([{ input: { n: 7 }, lastCheckpoint: undefined, reason: undefined, stoppedBy: 'cancel' }])
  })

  test.each([
    [{ timeout: '1h' }, 'timeout'],
    [{ deadline: HOUR }, 'deadline'],
    [{ timeout: '1h', deadline: 5 * HOUR }, 'timeout'],
    [{ timeout: '5h', deadline: HOUR }, 'deadline'],
    [{ timeout: '1h', down: true }, 'timeout'],
    [{ deadline: HOUR, down: true }, 'deadline'],
  ] as const)('runs when time is over: %j', async (options, stoppedBy) => {
    const { calls, error, view } = await asked(options)
    expect(calls).toEqual([{ input: { n: 7 }, lastCheckpoint, reason: 'TIMEOUT', stoppedBy }])
    expect(error).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining(stoppedBy) })
    expect(view).toMatchObject({ status: 'failed', cleanUp: 'done', error: { code: 'TIMEOUT' } })
  })

  test('does not run when the body ends the task itself', async () => {
    const calls: unknown[] = []
    const onCancel = () => calls.push('NEVER')
    const fails = defineTask({ name: 'fails', onCancel }, () => {
      throw new Error('no')
    })
    const ends = defineTask({ name: 'ends', onCancel }, () => 'yes')
    const holdfast = await openInMemory({ tasks: [fails, ends] })
    await errorOf(holdfast.result((await holdfast.start(fails, null)).taskId))
    await holdfast.result((await holdfast.start(ends, null)).taskId)
    expect(calls).toEqual([])
  })

  test('that fails is tried again; its steps are recorded once, under keys of their own', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const keys = new Set<string>()
    const make = () =>
      defineTask(
        {
          name: 'job',
          onCancel: async (context) => {
            keys.add(context.idempotencyKey)
            const ids: unknown[] = []
            for (const n of [1, 2]) {
              const id = await context.step('mail', ({ idempotencyKey }) => {
                log.push(`mail ${n}`)
                keys.add(idempotencyKey)
                return { id: n }
              })
              ids.push(id)
            }
            ids.push(await context.step('nothing', () => undefined))
            log.push(`attempt ${context.attempt} ${JSON.stringify(ids)}`)
            if (context.attempt < 3) throw new Error('not yet')
          },
        },
        (task) => task.sleep('nap', '30d'),
      )
    const first = await openInMemory({ disk, clock, tasks: [make()] })
    const { taskId } = await first.start('job')
    await untilIdle(first)
    await first.cancel(taskId)
    await untilIdle(first)
    expect(log).toHaveLength(3)
    disk.crash()
    await clock.advance(HOUR)
    const second = await openInMemory({ disk, clock, tasks: [make()] })
    await untilIdle(second)
    expect(log).toHaveLength(4)
    await clock.advance(HOUR)
    await errorOf(second.result(taskId))
    const answers = '[{"id":1},{"id":2},null]'
    expect(log).toEqual(['mail 1', 'mail 2', `attempt 1 ${answers}`, `attempt 2 ${answers}`, `attempt 3 ${answers}`])
    expect(keys.size).toBe(3)
    expect(await second.get(taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('out of attempts leaves the clean-up as failed, and says why; the task stays cancelled', async () => {
    const clock = new ManualClock()
    let calls = 0
    const onCancel = () => {
      calls++
      throw new Error('the mail server is gone')
    }
    const task = defineTask({ name: 'job', onCancel }, (task) => task.sleep('nap', '30d'))
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const cleaned: unknown[] = []
    holdfast.on('task:cleaned-up', (event) => cleaned.push(event))
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    for (let wait = 0; wait < 10; wait++) await clock.advance(60_000)
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    expect(calls).toBe(5)
    const reason = 'onCancel failed: the mail server is gone'
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'failed', cleanUpReason: reason })
    expect(cleaned).toEqual([{ taskId, type: 'job', cleanUp: 'failed', reason }])
    expect((await holdfast.audit({ taskId })).at(-1)).toMatchObject({ action: 'clean-up-failed', why: reason })
  })

  test('that hangs is given up after its timeout, its signal aborted', async () => {
    const clock = new ManualClock()
    const aborted: unknown[] = []
    const cleanUp: CleanUpOptions = { timeout: '10s', retry: { maximumAttempts: 2, initialInterval: '1s' } }
    const task = defineTask(
      {
        name: 'job',
        cleanUp,
        onCancel: ({ signal }) =>
          new Promise(() => {
            signal.addEventListener('abort', () => aborted.push(signal.reason.code))
          }),
      },
      (task) => task.sleep('nap', '30d'),
    )
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    await clock.advance(30_000)
    await errorOf(holdfast.result(taskId))
    expect(aborted).toEqual(['STEP_TIMEOUT', 'STEP_TIMEOUT'])
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      cleanUpReason: expect.stringContaining('10000 ms'),
    })
  })

  test('of a step whose function is none is a TypeError that says so', async () => {
    const clock = new ManualClock()
    const seen: unknown[] = []
    const task = defineTask(
      {
        name: 'job',
        onCancel: async (context) => {
          for (const [name, fn] of [
            ['', () => 1],
            [5, () => 1],
            ['ok', 'no function'],
          ])
            await context.step(name as never, fn as never).catch((error: Error) => seen.push(error))
          const cyclic: Record<string, unknown> = {}
          cyclic['self'] = cyclic
          await context.step('cyclic', () => cyclic).catch((error: HoldfastError) => seen.push(error.code))
        },
      },
      (task) => task.sleep('nap', '30d'),
    )
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(seen.map(String)).toEqual([
      expect.stringMatching(/^TypeError: Expected `name`/),
      expect.stringMatching(/^TypeError: Expected `name`/),
      expect.stringMatching(/^TypeError: Expected `fn` to be a function, got 'no function'/),
      'NOT_SERIALIZABLE',
    ])
  })
})

describe('defineTask refuses', () => {
  const body = () => 1
  test.each([
    ['onCancel', { onCancel: 'x' }, /^Expected `onCancel` to be a function, got 'x' \(string\)/],
    ['onCancel', { onCancel: null }, /^Expected `onCancel` to be a function, got null/],
    ['cleanUp', { cleanUp: 5 }, /^Expected `cleanUp` to be an object of retry, timeout, grace, got 5/],
    ['cleanUp', { cleanUp: null }, /^Expected `cleanUp` to be an object of .*, got null/],
    ['cleanUp', { cleanUp: 'soon' }, /^Expected `cleanUp` to be an object of .*, got 'soon'/],
    ['cleanUp', { cleanUp: [] }, /^Expected `cleanUp` to be an object of .*, got an array/],
    ['cleanUp.grace', { cleanUp: { grace: -1 } }, /^Expected `cleanUp\.grace` .* zero or more, got -1/],
    ['cleanUp.grace', { cleanUp: { grace: '5 parsecs' } }, /^Expected `cleanUp\.grace` .* got '5 parsecs'/],
    ['cleanUp.grace', { cleanUp: { grace: Number.POSITIVE_INFINITY } }, /^Expected `cleanUp\.grace` .* got Infinity/],
    ['cleanUp.timeout', { cleanUp: { timeout: 0 } }, /^Expected `cleanUp\.timeout` .* above zero, got 0/],
    ['cleanUp.timeout', { cleanUp: { timeout: Number.NaN } }, /^Expected `cleanUp\.timeout` .* got NaN/],
    ['cleanUp.timeout', { cleanUp: { timeout: {} } }, /^Expected `cleanUp\.timeout` to be .*, got an object/],
    ['cleanUp.retry', { cleanUp: { retry: 3 } }, /^Expected `cleanUp\.retry` to be an object of .*, got 3/],
    [
      'cleanUp.retry',
      { cleanUp: { retry: { maximumAttempts: 0 } } },
      /^Expected `cleanUp\.retry\.maximumAttempts` to be an integer >= 1 or 'unlimited', got 0/,
    ],
    [
      'cleanUp.retry',
      { cleanUp: { retry: { backoffCoefficient: 0.5 } } },
      /^Expected `cleanUp\.retry\.backoffCoefficient` to be a number >= 1, got 0.5/,
    ],
    ['cleanUp.retry', { cleanUp: { retry: { initialInterval: -1 } } }, /^Expected `cleanUp\.retry\.initialInterval`/],
    ['cleanUp.retry', { cleanUp: { retry: { retryIf: 1 } } }, /^Expected `cleanUp\.retry\.retryIf` to be a function/],
  ])('a wrong `%s`: %j', (_, options, message) => {
    const define = () => defineTask({ name: 'bad', ...options } as never, body)
    expect(define).toThrow(TypeError)
    expect(define).toThrow(message)
  })

  test('nothing that is merely left out', () => {
    const cleanUp = { retry: { maximumAttempts: undefined }, grace: undefined, timeout: undefined }
    const whole = defineTask({ name: 'good', undo: undefined, onCancel: undefined, cleanUp } as never, body)
    expect(whole.cleanUp).toMatchObject({ retry: { maximumAttempts: 5 }, graceMs: 5_000, timeoutMs: 60_000 })
    expect(defineTask({ name: 'good', cleanUp: { grace: 0 } }, body).cleanUp.graceMs).toBe(0)
  })
})
