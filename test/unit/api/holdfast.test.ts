// Goal: what the docs say of the public API holds.
// Method: the real engine and commit path over a disk in memory, with time in hand.
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask, type TaskContext, TaskInterruptedError } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { double, failing, gate } from '../../helpers/api-tasks.js'

describe('starting', () => {
  test('answers once the task is durable, and the result is typed and awaited', async () => {
    const holdfast = await openInMemory({ tasks: [double] })
    const { taskId, created } = await holdfast.start(double, { n: 21 }, { owner: 'alice' })
    expect(created).toBe(true)
    expect(taskId).toMatch(/^task-[0-9A-Z]{36}$/)
    const output: { n: number } = await holdfast.result(taskId)
    expect(output).toEqual({ n: 42 })
    expect(await holdfast.get(taskId)).toMatchObject({
      type: 'double',
      owner: 'alice',
      status: 'completed',
      durability: 'synced',
      completedSteps: 1,
      cleanUp: 'none',
      outcome: { kind: 'result', result: { n: 42 } },
    })
  })

  test('by name needs a registered definition; by definition registers it', async () => {
    const holdfast = await openInMemory()
    const { taskId } = await holdfast.start(double, { n: 1 })
    expect(await holdfast.result(taskId)).toEqual({ n: 2 })
    const again = await holdfast.start('double', { n: 2 })
    expect(await holdfast.result(again.taskId)).toEqual({ n: 4 })
  })

  test('stores the parsed input and never parses it again', async () => {
    const parsed = vi.fn((text: string) => `${text}!`)
    const shout = defineTask({ name: 'shout', input: z.string().transform(parsed) }, (_, text) => text)
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [shout], recover: 'manual', concurrency: 1 })
    const { taskId } = await first.start(shout, 'hey')
    await first.close()
    const second = await openInMemory({ disk, tasks: [shout] })
    expect(await second.result(taskId)).toBe('hey!')
    expect(parsed).toHaveBeenCalledTimes(1)
  })

  test('task IDs sort by creation', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [double], clock })
    const made: string[] = []
    for (let n = 0; n < 5; n++) {
      made.push((await holdfast.start(double, { n })).taskId)
      await clock.advance(1)
    }
    expect([...made].sort()).toEqual(made)
    expect((await holdfast.list()).tasks.map(({ taskId }) => taskId)).toEqual(made)
  })
})

describe('an idempotency key', () => {
  test('answers a repeat with the first task, also when both come at once', async () => {
    const holdfast = await openInMemory({ tasks: [double] })
    const start = () => holdfast.start(double, { n: 1 }, { idempotencyKey: 'k' })
    const answers = await Promise.all([start(), start(), start()])
    expect(answers.map(({ created }) => created)).toEqual([true, false, false])
    expect(new Set(answers.map(({ taskId }) => taskId)).size).toBe(1)
  })

  test('is compared with the raw input in canonical form', async () => {
    const pair = defineTask({ name: 'pair' }, (_: TaskContext, input: { a: number; b: number }) => input)
    const holdfast = await openInMemory({ tasks: [pair] })
    const one = await holdfast.start(pair, { a: 1, b: 2 }, { idempotencyKey: 'k' })
    expect(await holdfast.start(pair, { b: 2, a: 1 }, { idempotencyKey: 'k' })).toEqual({ ...one, created: false })
  })

  test('belongs to its owner and its task type', async () => {
    const other = defineTask({ name: 'other' }, () => 1)
    const holdfast = await openInMemory({ tasks: [double, other] })
    const ids = await Promise.all([
      holdfast.start(double, { n: 1 }, { idempotencyKey: 'k' }),
      holdfast.start(double, { n: 1 }, { idempotencyKey: 'k', owner: 'alice' }),
      holdfast.start(double, { n: 1 }, { idempotencyKey: 'k', owner: 'bob' }),
      holdfast.start(other, null, { idempotencyKey: 'k' }),
    ])
    expect(new Set(ids.map(({ taskId }) => taskId)).size).toBe(4)
  })

  test('outlives its task by the retention, over a restart, and is then forgotten', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const options = { disk, clock, tasks: [double], idempotencyRetention: '1h' } as const
    const first = await openInMemory(options)
    const one = await first.start(double, { n: 1 }, { idempotencyKey: 'k' })
    await first.result(one.taskId)
    await first.close()
    const second = await openInMemory(options)
    await clock.advance(59 * 60_000)
    expect(await second.start(double, { n: 1 }, { idempotencyKey: 'k' })).toEqual({ ...one, created: false })
    expect([...disk.content.keys()].filter((key) => key.startsWith('key/'))).toHaveLength(1)
    await clock.advance(2 * 60_000)
    expect([...disk.content.keys()].filter((key) => /^(key|timer)\//.test(key))).toEqual([])
    const two = await second.start(double, { n: 9 }, { idempotencyKey: 'k' })
    expect(two).toMatchObject({ created: true })
  })
})

describe('the first to settle a task wins', () => {
  test('a cancel against a body that ends at the same time', async () => {
    const { opened, open } = gate()
    const slow = defineTask({ name: 'slow' }, async (task) => {
      await task.step('wait', () => opened)
      return 'done'
    })
    const holdfast = await openInMemory({ tasks: [slow] })
    const { taskId } = await holdfast.start(slow, null)
    open()
    const cancelled = holdfast.cancel(taskId, { reason: 'enough' })
    await expect(holdfast.cancel(taskId)).rejects.toThrow(failing('TASK_SETTLED', /'cancelled'/))
    expect(await cancelled).toMatchObject({ status: 'cancelled' })
    await expect(holdfast.result(taskId)).rejects.toThrow(failing('TASK_CANCELLED', /enough/))
    await untilIdle(holdfast)
    const audit = await holdfast.audit({ taskId })
    expect(audit.map(({ action }) => action)).toEqual(['created', 'cancelled'])
    expect(audit.at(-1)).toMatchObject({ from: 'running', to: 'cancelled', by: 'admin', why: 'enough' })
  })

  test('a cancelled body is interrupted, and whatever it does then changes nothing', async () => {
    const seen: unknown[] = []
    const stubborn = defineTask({ name: 'stubborn' }, async (task) => {
      try {
        await task.step(
          'wait',
          ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        )
      } catch (error) {
        seen.push(error, task.signal.aborted)
        await task.step('never', () => seen.push('ran')).catch((again: unknown) => seen.push(again))
      }
      return 'ignored'
    })
    const holdfast = await openInMemory({ tasks: [stubborn] })
    const { taskId } = await holdfast.start(stubborn, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    expect(seen).toEqual([expect.any(TaskInterruptedError), true, expect.any(TaskInterruptedError)])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', completedSteps: 0 })
    expect(await holdfast.steps(taskId)).toEqual([])
  })

  test('a task that waits its turn can be cancelled, and never runs', async () => {
    const { opened, open } = gate()
    const ran: string[] = []
    const slow = defineTask({ name: 'slow' }, async (task, name: string) => {
      ran.push(name)
      await task.step('wait', () => opened)
    })
    const holdfast = await openInMemory({ tasks: [slow], concurrency: 1 })
    const [one, two, three] = [
      await holdfast.start(slow, 'one'),
      await holdfast.start(slow, 'two'),
      await holdfast.start(slow, 'three'),
    ]
    expect(await holdfast.get(two.taskId)).toMatchObject({ status: 'pending' })
    await holdfast.cancel(two.taskId)
    open()
    await Promise.all([holdfast.result(one.taskId), holdfast.result(three.taskId)])
    expect(ran).toEqual(['one', 'three'])
  })
})

describe('time', () => {
  const hang = defineTask({ name: 'hang', timeout: '10m' }, (task) => task.step('hang', () => new Promise(() => {})))
  const timedOut = { status: 'failed', error: { code: 'TIMEOUT' } }

  test('a task that takes longer than its timeout fails, even if its body ignores the signal', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [hang], clock, concurrency: 1 })
    const [one, two] = [await holdfast.start(hang, null), await holdfast.start(hang, null)]
    await clock.advance(10 * 60_000 - 1)
    expect(await holdfast.get(one.taskId)).toMatchObject({ status: 'running' })
    await clock.advance(1)
    expect(await holdfast.get(one.taskId)).toMatchObject(timedOut)
    await expect(holdfast.result(one.taskId)).rejects.toThrow(failing('TIMEOUT', /its `timeout` of \d+ ms passed/))
    // Its slot is free again, and the second one's time counts from its own start.
    expect(await holdfast.get(two.taskId)).toMatchObject({ status: 'running' })
    await clock.advance(10 * 60_000)
    expect(await holdfast.get(two.taskId)).toMatchObject(timedOut)
  })

  test('a deadline counts for a task that waits its turn too', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [hang], clock, concurrency: 1 })
    await holdfast.start(hang, null)
    const { taskId } = await holdfast.start(hang, null, { deadline: clock.now() + 1_000 })
    await clock.advance(1_000)
    expect(await holdfast.get(taskId)).toMatchObject(timedOut)
    await expect(holdfast.result(taskId)).rejects.toThrow(failing('TIMEOUT', /its `deadline` passed/))
  })

  test('that passed while the server was down fails the task at the next open', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [hang], clock })
    const { taskId } = await first.start(hang, null)
    await first.close({ grace: 0 })
    await clock.advance(11 * 60_000)
    const second = await openInMemory({ disk, tasks: [hang], clock })
    await second.recovery.done
    expect(second.recovery.tasks).toMatchObject([
      { taskId, action: 'settled', reason: expect.stringContaining('TIMEOUT') },
    ])
    await expect(second.result(taskId)).rejects.toThrow(failing('TIMEOUT'))
  })

  test('that is left is left after a restart too', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [hang], clock })
    const { taskId } = await first.start(hang, null)
    await clock.advance(9 * 60_000)
    await first.close({ grace: 0 })
    const second = await openInMemory({ disk, tasks: [hang], clock })
    await second.recovery.done
    expect(await second.get(taskId)).toMatchObject({ status: 'running' })
    await clock.advance(60_000)
    expect(await second.get(taskId)).toMatchObject(timedOut)
  })

  test('a settled task leaves no timer behind', async () => {
    const clock = new ManualClock()
    const quick = defineTask({ name: 'quick', timeout: '1h' }, () => 1)
    const holdfast = await openInMemory({ tasks: [quick], clock })
    const idle = clock.armed
    const { taskId } = await holdfast.start(quick, null)
    await holdfast.result(taskId, { timeout: '1m' })
    expect(clock.armed).toBe(idle)
  })
})

describe('waiting for a result', () => {
  const hang = defineTask({ name: 'hang' }, (task) => task.step('hang', () => new Promise(() => {})))

  test('ends when it was told to, and the task goes on', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [hang], clock })
    const { taskId } = await holdfast.start(hang, null)
    const late = expect(holdfast.result(taskId, { timeout: '5s' })).rejects.toThrow(failing('WAIT_TIMEOUT'))
    const abort = new AbortController()
    const aborted = expect(holdfast.result(taskId, { signal: abort.signal })).rejects.toThrow('no longer')
    await untilIdle(holdfast)
    abort.abort(new Error('no longer'))
    await clock.advance(5_000)
    await Promise.all([late, aborted])
    await expect(holdfast.result(taskId, { signal: abort.signal })).rejects.toThrow('no longer')
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
  })

  test('of a parked task is refused with the reason, unless told to wait', async () => {
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [double], concurrency: 1, recover: 'manual' })
    const { taskId } = await first.start(double, { n: 1 })
    await first.close({ grace: 0 })
    const second = await openInMemory({ disk })
    await second.recovery.done
    expect(await second.get(taskId)).toMatchObject({
      parked: { code: 'TASK_TYPE_UNKNOWN', reason: expect.stringContaining("'double'") },
    })
    await expect(second.result(taskId)).rejects.toThrow(failing('TASK_PARKED', /TASK_TYPE_UNKNOWN/))
    const waiting = second.result(taskId, { waitParked: true })
    second.register(double)
    expect(await waiting).toEqual({ n: 2 })
  })

  test.each([true, false])('a parked task is cancelled, by force: %s', async (force) => {
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [hang] })
    const { taskId } = await first.start(hang, null)
    await first.close({ grace: 0 })
    const second = await openInMemory({ disk })
    await second.recovery.done
    expect(await second.cancel(taskId, { force })).toMatchObject({ status: 'cancelled', parked: undefined })
  })
})

describe('concurrency', () => {
  test('is limited, and owners take turns', async () => {
    const order: string[] = []
    let running = 0
    let most = 0
    const task = defineTask({ name: 'turn' }, async (task, name: string) => {
      order.push(name)
      most = Math.max(most, ++running)
      await task.step('a', () => turn())
      running--
    })
    const holdfast = await openInMemory({ tasks: [task], concurrency: 2 })
    const starts: Promise<{ taskId: string }>[] = []
    for (let n = 0; n < 6; n++) starts.push(holdfast.start(task, `a${n}`, { owner: 'a' }))
    starts.push(holdfast.start(task, 'b0', { owner: 'b' }))
    for (const { taskId } of await Promise.all(starts)) await holdfast.result(taskId)
    expect(most).toBe(2)
    expect(order.indexOf('b0')).toBeLessThanOrEqual(3)
    expect(order.filter((name) => name.startsWith('a'))).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5'])
  })
})

describe('closing', () => {
  test('lets steps in flight finish and records them; the rest goes on at the next open', async () => {
    const disk = new MemoryDisk()
    const calls: string[] = []
    const { opened, open } = gate()
    const task = defineTask({ name: 'two' }, async (task) => {
      const one = await task.step('one', async () => {
        calls.push('one')
        await opened
        return 1
      })
      return one + (await task.step('two', () => calls.push('two')))
    })
    const first = await openInMemory({ disk, tasks: [task] })
    const { taskId } = await first.start(task, null)
    await untilIdle(first)
    const closing = first.close()
    open()
    await closing
    expect(calls).toEqual(['one'])
    const second = await openInMemory({ disk, tasks: [task] })
    expect(await second.result(taskId)).toBe(3)
    expect(calls).toEqual(['one', 'two'])
    expect(second.recovery.tasks).toMatchObject([{ taskId, action: 'resumed', replayed: 1, resumedAt: "step 'two'" }])
  })

  test('after the grace aborts what is left; it was interrupted, not failed', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const seen: string[] = []
    const task = defineTask({ name: 'abort' }, async (task) => {
      try {
        return await task.step(
          'wait',
          ({ signal }) =>
            new Promise<string>((resolve, reject) => {
              if (seen.includes('aborted')) resolve('second')
              signal.addEventListener('abort', () => {
                seen.push('aborted')
                reject(signal.reason)
              })
            }),
        )
      } catch {
        seen.push('caught')
      } finally {
        seen.push('finally')
      }
    })
    const first = await openInMemory({ disk, tasks: [task], clock })
    const { taskId } = await first.start(task, null)
    await untilIdle(first)
    const closing = first.close({ grace: '2s' })
    await clock.advance(2_000)
    await closing
    await untilIdle(first)
    expect(seen).toEqual(['aborted'])
    const second = await openInMemory({ disk, tasks: [task], clock })
    expect(await second.result(taskId)).toBe('second')
    expect(seen).toEqual(['aborted', 'finally'])
  })

  test('again, or by `await using`, is the same close', async () => {
    const holdfast = await openInMemory()
    await holdfast[Symbol.asyncDispose]()
    await holdfast.close()
  })
})
