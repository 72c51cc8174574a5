// Goal: retries of steps and tasks, and step timeouts, are what their options say, also when the process dies.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { describe, expect, test } from 'vitest'
import { defineTask, NonRetryableError, RetryAfterError, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

interface Calls {
  readonly at: number[]
  readonly keys: Set<string>
}
const noCalls = (): Calls => ({ at: [], keys: new Set() })

const start = (name: string) => async (holdfast: Parameters<Parameters<typeof everyCrash>[0]['drive']>[0]) =>
  (await holdfast.start(name, null, { idempotencyKey: 'the one' })).taskId

describe('a step that throws', () => {
  test('is tried once, unless it says otherwise', async () => {
    const { calm } = await everyCrash({
      effects: noCalls,
      tasks: ({ at }, clock) => [
        defineTask({ name: 'once' }, (task) =>
          task.step('pay', () => {
            at.push(clock.now())
            throw new Error('declined')
          }),
        ),
      ],
      drive: start('once'),
    })
    expect(calm.effects.at).toHaveLength(1)
    expect(calm.outcome).toMatchObject({ status: 'failed', error: expect.stringContaining('declined') })
  })

  test('is tried again until it succeeds, and a crash changes neither the count nor the outcome', async () => {
    const { calm, crashed } = await everyCrash({
      effects: noCalls,
      tasks: ({ at, keys }, clock) => [
        defineTask({ name: 'flaky' }, async (task) => {
          const before = await task.step('before', () => 'b')
          const paid = await task.step(
            'pay',
            ({ attempt, idempotencyKey }) => {
              at.push(clock.now())
              keys.add(idempotencyKey)
              if (attempt < 3) throw new Error(`declined ${attempt}`)
              return `paid at attempt ${attempt}`
            },
            { retry: { maximumAttempts: 5, initialInterval: '1h', backoffCoefficient: 3 } },
          )
          return [before, paid]
        }),
      ],
      drive: start('flaky'),
    })
    expect(calm.outcome).toEqual({
      value: ['b', 'paid at attempt 3'],
      status: 'completed',
      attempt: 1,
      completedSteps: 2,
      log: ['prefix before#1 completed after 1', 'prefix pay#1 completed after 3'],
    })
    const [first = 0, second = 0, third = 0] = calm.effects.at
    expect(second - first).toBeGreaterThanOrEqual(30 * 60_000)
    expect(second - first).toBeLessThanOrEqual(60 * 60_000)
    expect(third - second).toBeGreaterThanOrEqual(90 * 60_000)
    for (const { where, outcome, effects } of crashed) {
      expect(outcome, where).toEqual(calm.outcome)
      // One call more where the crash fell between the call and its record, never one less.
      expect(effects.at.length, where).toBeGreaterThanOrEqual(3)
      expect(effects.at.length, where).toBeLessThanOrEqual(4)
      expect(effects.keys.size, where).toBe(1)
    }
  })

  test('out of attempts is recorded as failed, with how often it was tried', async () => {
    const { calm, crashed } = await everyCrash({
      effects: noCalls,
      tasks: () => [
        defineTask({ name: 'caught' }, async (task) => {
          const said = await task
            .step('pay', () => Promise.reject(new Error('declined')), {
              retry: { maximumAttempts: 3, initialInterval: 0 },
            })
            .catch((error: Error) => error.message)
          return [said, await task.step('notify', () => 'told')]
        }),
      ],
      drive: start('caught'),
    })
    expect(calm.outcome).toMatchObject({
      value: ["Step 'pay' failed: declined", 'told'],
      log: ['prefix pay#1 failed after 3', 'prefix notify#1 completed after 1'],
    })
    for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)
  })

  test('is not tried again for a NonRetryableError, nor where `retryIf` says no, nor too late for the deadline', async () => {
    const clock = new ManualClock()
    const calls: string[] = []
    const task = defineTask({ name: 'final' }, async (task, kind: string) => {
      await task.step(
        'pay',
        () => {
          calls.push(kind)
          throw kind === 'final' ? new NonRetryableError('gone') : new TypeError(kind)
        },
        {
          retry: { maximumAttempts: 5, initialInterval: '1m', retryIf: (error) => !String(error).includes('refused') },
        },
      )
    })
    const holdfast = await openInMemory({ tasks: [task], clock })
    for (const kind of ['final', 'refused', 'late']) {
      const { taskId } = await holdfast.start(task, kind, { deadline: clock.now() + 20_000 })
      await expect(holdfast.result(taskId)).rejects.toMatchObject({ code: 'TASK_FAILED' })
    }
    expect(calls).toEqual(['final', 'refused', 'late'])
  })

  test('is tried again when its error says', async () => {
    const clock = new ManualClock()
    const at: number[] = []
    const task = defineTask({ name: 'later' }, (task) =>
      task.step(
        'pay',
        () => {
          at.push(clock.now())
          if (at.length === 1) throw new RetryAfterError('45s')
        },
        { retry: { maximumAttempts: 2 } },
      ),
    )
    const holdfast = await openInMemory({ tasks: [task], clock })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await clock.advance(44_999)
    expect(at).toHaveLength(1)
    await clock.advance(1)
    await holdfast.result(taskId)
    expect(at).toHaveLength(2)
  })

  test('hands what it saved to its next attempt', async () => {
    const seen: unknown[] = []
    const clock = new ManualClock()
    const task = defineTask({ name: 'long' }, (task) =>
      task.step(
        'load',
        async ({ checkpoint, saveCheckpoint }) => {
          seen.push(checkpoint)
          await saveCheckpoint({ row: seen.length })
          if (seen.length < 3) throw new Error('gone')
          return seen.length
        },
        { retry: { maximumAttempts: 3, initialInterval: 10 } },
      ),
    )
    const holdfast = await openInMemory({ tasks: [task], clock })
    const { taskId } = await holdfast.start(task, null)
    for (let wait = 0; wait < 4; wait++) {
      await untilIdle(holdfast)
      await clock.advance(20)
    }
    expect(await holdfast.result(taskId)).toBe(3)
    expect(seen).toEqual([undefined, { row: 1 }, { row: 2 }])
  })

  test('does not hold up a close, and goes on with its next attempt at the next open', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    let calls = 0
    const task = defineTask({ name: 'wait' }, (task) =>
      task.step(
        'pay',
        () => {
          calls++
          if (calls === 1) throw new Error('no')
          return calls
        },
        { retry: { maximumAttempts: 2, initialInterval: '1h' } },
      ),
    )
    const first = await openInMemory({ disk, clock, tasks: [task] })
    const { taskId } = await first.start(task, null)
    await untilIdle(first)
    await first.close()
    const second = await openInMemory({ disk, clock, tasks: [task] })
    await second.recovery.done
    await untilIdle(second)
    expect(calls).toBe(1)
    await clock.advance(60 * 60_000)
    expect(await second.result(taskId)).toBe(2)
  })
})

describe('a task whose body throws', () => {
  const bodies: [string, (task: TaskContext, charge: () => Promise<unknown>) => unknown, number][] = [
    [
      'catch, notify, rethrow',
      async (task, charge) => {
        try {
          return await charge()
        } catch (error) {
          await task.step('notify', () => 'told')
          throw error
        }
      },
      1,
    ],
    [
      'finally with a step',
      async (task, charge) => {
        try {
          return await charge()
        } finally {
          await task.step('unlock', () => 'unlocked')
        }
      },
      1,
    ],
    [
      'a failure wrapped as cause',
      async (_, charge) => {
        try {
          return await charge()
        } catch (cause) {
          throw new Error('wrapped', { cause })
        }
      },
      1,
    ],
    [
      'allSettled of three',
      async (_, charge) => {
        const ends = await Promise.allSettled([charge(), charge(), charge()])
        const bad = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
        if (bad.length > 0) throw new AggregateError(bad)
        return ends.length
      },
      3,
    ],
  ]

  test.each(bodies)('goes on from where it failed (%s), whatever write it dies at', async (_, body, charges) => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({ before: 0, charged: 0 }),
      tasks: (effects) => [
        defineTask({ name: 'retried', retry: { maximumAttempts: 3, initialInterval: '10m' } }, async (task) => {
          await task.step('before', () => void effects.before++)
          // The first attempt's charges fail, the second's go through. That lies with the world, so not with the log.
          const charge = () =>
            task.step('charge', () => {
              if (task.attempt === 1) throw new Error('declined')
              return ++effects.charged
            })
          return { charged: await body(task, charge) }
        }),
      ],
      drive: start('retried'),
    })
    expect(calm.outcome).toMatchObject({ status: 'completed', attempt: 2 })
    expect(calm.effects).toEqual({ before: 1, charged: charges })
    for (const { where, outcome, effects } of crashed) {
      const { value, ...rest } = calm.outcome as { value: unknown }
      expect(outcome, where).toMatchObject(rest)
      expect(outcome, where).toHaveProperty('value')
      expect(effects.before, where).toBeLessThanOrEqual(2)
      expect(effects.charged, where).toBeGreaterThanOrEqual(charges)
      expect(value, where).toBeDefined()
    }
  })

  test('keeps what it saved before the failure', async () => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({ failures: 0 }),
      tasks: (effects) => [
        defineTask({ name: 'rows', retry: { maximumAttempts: 4, initialInterval: '1m' } }, async (task) => {
          let { row } = (await task.restoreCheckpoint<{ row: number }>())?.state ?? { row: 0 }
          while (row < 4) {
            const next = await task.step('load', () => {
              if (row === 2 && task.attempt < 3) {
                effects.failures++
                throw new Error('gone')
              }
              return row + 1
            })
            row = next
            await task.saveCheckpoint({ row }, { prune: true })
          }
          return row
        }),
      ],
      drive: start('rows'),
    })
    expect(calm.outcome).toMatchObject({ value: 4, status: 'completed', attempt: 3, completedSteps: 4 })
    expect(calm.effects.failures).toBe(2)
    for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)
  })

  test('fails with the last failure once its attempts are used up', async () => {
    const { calm, crashed } = await everyCrash({
      effects: noCalls,
      tasks: () => [
        defineTask({ name: 'hopeless', retry: { maximumAttempts: 3, initialInterval: '1m' } }, async (task) => {
          await task.step('pay', () => Promise.reject(new Error(`declined at attempt ${task.attempt}`)))
        }),
      ],
      drive: start('hopeless'),
    })
    expect(calm.outcome).toMatchObject({ status: 'failed', attempt: 3, error: expect.stringContaining('attempt 3') })
    for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)
  })

  test('is not tried again for what no attempt can help, and a cancel between attempts holds', async () => {
    const clock = new ManualClock()
    const task = defineTask(
      { name: 'final', retry: { maximumAttempts: 5, initialInterval: '1h' } },
      async (task, kind: string) => {
        if (kind === 'bare') {
          await new Promise((resolve) => setImmediate(resolve))
          await task.step('a', () => 1)
        }
        throw kind === 'final' ? new NonRetryableError('gone') : new Error('again')
      },
    )
    const holdfast = await openInMemory({ tasks: [task], clock })
    for (const [kind, code] of [
      ['final', 'TASK_FAILED'],
      ['bare', 'STEP_AMBIGUOUS'],
    ] as const) {
      const { taskId } = await holdfast.start(task, kind)
      await expect(holdfast.result(taskId)).rejects.toMatchObject({ code })
      expect(await holdfast.get(taskId)).toMatchObject({ attempt: 1 })
    }
    const { taskId } = await holdfast.start(task, 'again')
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running', attempt: 2 })
    await holdfast.cancel(taskId)
    await clock.advance(2 * 60 * 60_000)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', attempt: 2 })
  })

  test('waits for its next attempt without a slot, and over a restart', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const flaky = defineTask({ name: 'flaky', retry: { maximumAttempts: 2, initialInterval: '1h' } }, (task) => {
      if (task.attempt === 1) throw new Error('no')
      return `attempt ${task.attempt}`
    })
    const quick = defineTask({ name: 'quick' }, () => 'quick')
    const first = await openInMemory({ disk, clock, tasks: [flaky, quick], concurrency: 1 })
    const { taskId } = await first.start(flaky, null)
    await untilIdle(first)
    const other = await first.start(quick, null)
    expect(await first.result(other.taskId)).toBe('quick')
    await first.close()
    const second = await openInMemory({ disk, clock, tasks: [flaky, quick], concurrency: 1 })
    await second.recovery.done
    expect(second.recovery.tasks).toMatchObject([
      { taskId, action: 'waiting', reason: expect.stringContaining('next attempt') },
    ])
    await clock.advance(60 * 60_000)
    expect(await second.result(taskId)).toBe('attempt 2')
    expect((await second.audit({ taskId })).map(({ action }) => action)).toEqual([
      'created',
      'retried',
      'started',
      'completed',
    ])
  })
})

describe('a step that takes too long', () => {
  test('has its signal aborted, has failed, and what it does later is not recorded', async () => {
    const clock = new ManualClock()
    const reasons: unknown[] = []
    let finish = (_: string) => {}
    const task = defineTask({ name: 'slow' }, async (task) => {
      const error = await task
        .step(
          'wait',
          ({ signal }) => {
            signal.addEventListener('abort', () => reasons.push(signal.reason))
            return new Promise<string>((resolve) => {
              finish = resolve
            })
          },
          { timeout: '10s' },
        )
        .catch((thrown: Error) => thrown)
      return [(error as Error).message, await task.step('after', () => 'went on')]
    })
    const warnings: string[] = []
    const logger = { debug() {}, info() {}, warn: (message: string) => warnings.push(message), error() {} }
    const holdfast = await openInMemory({ tasks: [task], clock, logger })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await clock.advance(10_000)
    expect(await holdfast.result(taskId)).toEqual([expect.stringContaining('took longer than 10000 ms'), 'went on'])
    expect(reasons).toMatchObject([{ code: 'STEP_TIMEOUT' }])
    await clock.advance(5_000)
    expect(warnings).toMatchObject([expect.stringContaining('ignores its signal')])
    finish('late')
    await untilIdle(holdfast)
    expect(await holdfast.steps(taskId)).toMatchObject([
      { steps: [{ name: 'wait', state: 'failed' }, { name: 'after' }] },
    ])
  })

  test('is tried again like one that threw, each attempt with the whole time', async () => {
    const clock = new ManualClock()
    let calls = 0
    const task = defineTask({ name: 'slow' }, (task) =>
      task.step('wait', () => (++calls < 3 ? new Promise<string>(() => {}) : 'third'), {
        timeout: '10s',
        retry: { maximumAttempts: 3, initialInterval: 0 },
      }),
    )
    const holdfast = await openInMemory({ tasks: [task], clock })
    const { taskId } = await holdfast.start(task, null)
    for (let attempt = 0; attempt < 2; attempt++) {
      await untilIdle(holdfast)
      await clock.advance(10_000)
    }
    expect(await holdfast.result(taskId)).toBe('third')
  })

  test.each([0, -1, Number.NaN, '10 parsecs'])('with the timeout %j is refused', async (timeout) => {
    const task = defineTask({ name: 'bad' }, (task) => task.step('a', () => 1, { timeout: timeout as number }))
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(/`timeout`/)
  })
})
