// Goal: a task of one function has two commits, and its outcome is its record; everything else is as for a task with a body.
// Method: a disk in memory, a clock that stands still, and a crash before and after every write.
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask, NonRetryableError, RetryAfterError, type StepContext, silentLogger } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'

const never = () => new Promise<never>(() => {})
const drive = async (holdfast: Awaited<ReturnType<typeof openInMemory>>) =>
  (await holdfast.start('job', { n: 2 }, { idempotencyKey: 'k' })).taskId

describe('a task of one function', () => {
  test('has two commits, and its result as its outcome', async () => {
    const disk = new MemoryDisk()
    const job = defineTask({
      name: 'job',
      version: '7',
      input: z.object({ n: z.number(), by: z.number().default(2) }),
      output: z.object({ product: z.number() }),
      run: ({ n, by }, step) => {
        expect(step).toMatchObject({ attempt: 1, checkpoint: undefined })
        expect(step.signal.aborted).toBe(false)
        return { product: n * by, more: 1 }
      },
    })
    const warnings: string[] = []
    const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) }
    const holdfast = await openInMemory({ disk, logger, tasks: [job] })
    const before = disk.writes
    const { taskId } = await holdfast.start(job, { n: 21 })
    const { product } = await holdfast.result(taskId)
    expect(product.toFixed(1)).toBe('42.0')
    expect(disk.writes - before).toBe(2)
    // The call of the function is over with it: none is left behind.
    expect(warnings).toEqual([])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed', completedSteps: 0, version: '7' })
    expect(await holdfast.steps(taskId)).toEqual([])
    expect([...disk.content.keys()].filter((key) => /^(log|note|intent)\/task/.test(key))).toEqual([])
  })

  test('is shown as one step named `run` while it runs', async () => {
    const job = defineTask({ name: 'job', run: never })
    const holdfast = await openInMemory({ tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await untilIdle(holdfast)
    const [segment] = await holdfast.steps(taskId)
    expect(segment?.steps).toMatchObject([{ kind: 'step', name: 'run', state: 'running' }])
  })

  test('runs again after a crash, under the same key, until its end is on disk', async () => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({ keys: [] as string[] }),
      tasks: (effects) => [
        defineTask({
          name: 'job',
          run: ({ n }: { n: number }, { idempotencyKey }) => {
            effects.keys.push(idempotencyKey)
            return n
          },
        }),
      ],
      drive,
    })
    expect(calm.outcome).toMatchObject({ value: 2, status: 'completed' })
    expect(calm.effects.keys).toHaveLength(1)
    let again = 0
    for (const { where, outcome, effects } of crashed) {
      expect(outcome, where).toMatchObject({ value: 2, status: 'completed' })
      expect(effects.keys.length, where).toBeLessThanOrEqual(2)
      expect(new Set(effects.keys).size, where).toBe(1)
      again += effects.keys.length - 1
    }
    // Before the write that settles it, and nowhere else.
    expect(again).toBe(1)
  })

  test('has the attempts of the task, each under the same key', async () => {
    const clock = new ManualClock()
    const seen: { attempt: number; key: string; at: number }[] = []
    const job = defineTask({
      name: 'job',
      retry: { maximumAttempts: 4, initialInterval: '1s' },
      run: (_: null, { attempt, idempotencyKey: key }) => {
        seen.push({ attempt, key, at: clock.now() })
        if (attempt === 1) throw new RetryAfterError('1h')
        if (attempt === 2) throw new Error('again')
        throw new NonRetryableError('never')
      },
    })
    const holdfast = await openInMemory({ clock, tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await clock.advance(2 * 3_600_000)
    await expect(holdfast.result(taskId)).rejects.toMatchObject({
      code: 'TASK_FAILED',
      message: expect.stringContaining('never'),
    })
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    expect(new Set(seen.map(({ key }) => key)).size).toBe(1)
    expect((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0)).toBe(3_600_000)
  })

  test('keeps its attempts and the state that it saved over a crash at any write', async () => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({ attempts: [] as number[], states: [] as unknown[] }),
      tasks: (effects) => [
        defineTask({
          name: 'job',
          retry: { maximumAttempts: 3, initialInterval: '1m' },
          run: async (_: unknown, step: StepContext) => {
            effects.attempts.push(step.attempt)
            effects.states.push(step.checkpoint)
            if (step.checkpoint === undefined) await step.saveCheckpoint({ done: 1 })
            if (step.attempt < 3) throw new Error('again')
            return step.checkpoint
          },
        }),
      ],
      drive,
    })
    expect(calm.effects).toEqual({ attempts: [1, 2, 3], states: [undefined, { done: 1 }, { done: 1 }] })
    for (const { where, outcome, effects } of crashed) {
      expect(outcome, where).toMatchObject({ value: { done: 1 }, attempt: 3 })
      expect(effects.attempts.length, where).toBeLessThanOrEqual(4)
    }
  })

  test('ends with TIMEOUT, its signal aborted', async () => {
    const clock = new ManualClock()
    let signal: AbortSignal | undefined
    const job = defineTask({
      name: 'job',
      timeout: '1m',
      run: (_: null, step) => {
        signal = step.signal
        return never()
      },
    })
    const holdfast = await openInMemory({ clock, tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await clock.advance(60_000)
    await expect(holdfast.result(taskId)).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(signal?.aborted).toBe(true)
    await clock.advance(60_000)
    expect((await holdfast.stats()).leakedFunctions).toBe(1)
  })

  test('is undone, and `onCancel` runs, when it is cancelled: at any write of that', async () => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({ undone: [] as unknown[], cancelled: 0 }),
      tasks: (effects) => [
        defineTask({
          name: 'job',
          undo: { run: (_, { step, input }) => void effects.undone.push([step, input]) },
          onCancel: () => void effects.cancelled++,
          cleanUp: { grace: 0 },
          run: never,
        }),
      ],
      drive: async (holdfast) => {
        const taskId = await drive(holdfast)
        await turns(30)
        await holdfast.cancel(taskId).catch(() => {})
        return taskId
      },
      look: async (holdfast, taskId) => (await holdfast.get(taskId)).cleanUp,
    })
    for (const { where, outcome, effects } of [calm, ...crashed]) {
      expect(outcome, where).toMatchObject({ status: 'cancelled' })
      expect(effects.undone.length, where).toBeGreaterThan(0)
      expect(effects.undone[0], where).toEqual(['run', { n: 2 }])
      expect(effects.cancelled, where).toBeGreaterThan(0)
    }
  })

  test('hands its result to the undo where its output does not fit', async () => {
    const results: unknown[] = []
    const job = defineTask({
      name: 'job',
      output: z.object({ n: z.number() }),
      undo: { run: (_, { result }) => void results.push(result) },
      run: () => ({ n: 'no number' }) as never,
    })
    const holdfast = await openInMemory({ tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await expect(holdfast.result(taskId)).rejects.toMatchObject({ code: 'INVALID_OUTPUT' })
    await untilIdle(holdfast)
    expect(results).toEqual([{ n: 'no number' }])
  })

  test('may end within the grace of a close; after that it runs again at the next open', async () => {
    const disk = new MemoryDisk()
    let end = (_: string) => {}
    let calls = 0
    const job = defineTask({
      name: 'job',
      run: () => {
        calls++
        return new Promise<string>((resolve) => {
          end = resolve
        })
      },
    })
    const first = await openInMemory({ disk, tasks: [job] })
    const { taskId } = await first.start(job, null)
    await untilIdle(first)
    await first.close({ grace: 5 })
    end('too late')
    const second = await openInMemory({ disk, tasks: [job] })
    await untilIdle(second)
    expect(calls).toBe(2)
    const closing = second.close({ grace: 60_000 })
    end('in time')
    await closing
    const third = await openInMemory({ disk, tasks: [job] })
    expect(await third.result(taskId)).toBe('in time')
    expect(calls).toBe(2)
  })

  test('that crashes its process is poisoned, and named', async () => {
    const disk = new MemoryDisk()
    const job = defineTask({
      name: 'job',
      run: () => {
        disk.crash()
        return never()
      },
    })
    let taskId = ''
    for (let process = 0; process < 5; process++) {
      const holdfast = await openInMemory({ disk, tasks: [job] })
      taskId = (await holdfast.start(job, null, { idempotencyKey: 'k' })).taskId
      await turns(30)
    }
    const holdfast = await openInMemory({ disk, tasks: [job] })
    await untilIdle(holdfast)
    expect((await holdfast.get(taskId)).parked).toMatchObject({
      code: 'POISONED',
      reason: expect.stringContaining("the last in step 'run'"),
    })
  })

  test('calls its function once through an outage at any write', async () => {
    for (let atWrite = 1; atWrite <= 1; atWrite++) {
      for (const applied of [false, true]) {
        let calls = 0
        const [disk, clock] = [new MemoryDisk(), new ManualClock()]
        const job = defineTask({ name: 'job', run: () => ++calls })
        const holdfast = await openInMemory({ disk, clock, tasks: [job] })
        const { taskId } = await holdfast.start(job, null)
        disk.failAt({ atWrite, applied })
        for (let moves = 0; moves < 20 && (await holdfast.list({ status: 'completed' })).tasks.length === 0; moves++) {
          await clock.advance(1_000)
        }
        expect(await holdfast.result(taskId)).toBe(1)
        expect(calls).toBe(1)
      }
    }
  })

  test('is not run in place of a body whose steps are recorded', async () => {
    const disk = new MemoryDisk()
    const before = defineTask({ name: 'job' }, async (task) => {
      await task.step('load', () => 1)
      await task.step('hang', never)
    })
    const first = await openInMemory({ disk, tasks: [before] })
    const { taskId } = await first.start(before, null)
    await untilIdle(first)
    disk.crash()
    let calls = 0
    const second = await openInMemory({ disk, tasks: [defineTask({ name: 'job', run: () => void calls++ })] })
    await untilIdle(second)
    expect((await second.get(taskId)).parked).toMatchObject({ code: 'CODE_CHANGED' })
    expect(calls).toBe(0)
  })

  test.each<[string, () => unknown, RegExp]>([
    ['no function', () => defineTask({ name: 'job', run: 5 as never }), /`run`/],
    [
      'a body too',
      () => (defineTask as (...given: unknown[]) => void)({ name: 'job', run: never }, never),
      /either `run` or a body/,
    ],
    ['neither', () => (defineTask as (...given: unknown[]) => void)({ name: 'job' }), /`body`/],
    ['`onInterrupted`', () => defineTask({ name: 'job', run: never, onInterrupted: 'fail' } as never), /onInterrupted/],
  ])('with %s is a TypeError', (_, define, message) => {
    expect(define).toThrow(TypeError)
    expect(define).toThrow(message)
  })
})
