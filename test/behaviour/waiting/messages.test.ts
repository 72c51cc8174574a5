// Goal: a message that was acknowledged is received exactly once, in the order it was sent, whatever dies in between.
// Method: time in hand; scenarios are played with a crash before and after every write, races with crashes at random.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'
import { cameTo, SlowDisk } from '../../helpers/waiting.js'

const startMain = async (holdfast: Holdfast) => (await holdfast.start('main', null, { idempotencyKey: 'k' })).taskId
const takeOne = defineTask({ name: 'take' }, (task) => task.receive('m'))
/** It had come to its end before the process died; or the process is dead, and nobody is told anything. */
const unlessSettledOrDead = (error: { code?: string }) => {
  if (error.code === 'CLOSED') return new Promise<never>(() => {})
  if (error.code !== 'TASK_SETTLED') throw error
  return undefined
}

/** Plays the body with a crash at every write, while these messages are sent, each until it is acknowledged once. */
async function playReceiving(
  body: (task: TaskContext) => unknown,
  messages: readonly (readonly [name: string, payload: unknown])[],
  options: object = {},
) {
  const { calm, crashed } = await everyCrash({
    effects: () => ({}),
    tasks: () => [defineTask({ name: 'main', ...options }, body)],
    drive: async (holdfast) => {
      const taskId = await startMain(holdfast)
      for (const [n, [name, payload]] of messages.entries())
        await holdfast.send(taskId, name, payload, { idempotencyKey: `${n}` }).catch(unlessSettledOrDead)
      return taskId
    },
  })
  for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)
  return calm
}

describe('messages, with a crash at every write,', () => {
  test('come in the order they were sent, by name, whoever comes first', async () => {
    const calm = await playReceiving(
      async (task) => {
        const got = [await task.receive('b'), await task.receive('a'), await task.receive('a')]
        await task.step('pause', () => 1)
        return [...got, await task.receive('b'), await task.receive('a', { timeout: 0 }).catch((error) => error.code)]
      },
      [
        ['a', 'a1'],
        ['b', 'b1'],
        ['a', 'a2'],
        ['b', 'b2'],
      ],
    )
    expect(calm.outcome).toMatchObject({ value: ['b1', 'a1', 'a2', 'b2', 'RECEIVE_TIMEOUT'], completedSteps: 1 })
  })

  test('are each received by one of several receivers, in the order they asked', async () => {
    const calm = await playReceiving(
      (task) => Promise.all([1, 2, 3].map(() => task.receive('m'))),
      [
        ['m', 'first'],
        ['m', { n: 2 }],
        ['m', undefined],
      ],
    )
    expect(calm.outcome).toMatchObject({ value: ['first', { n: 2 }, null] })
  })

  test('that are awaited in vain fail with RECEIVE_TIMEOUT, and leave other names alone', async () => {
    const calm = await playReceiving(
      async (task) => {
        const none = await task.receive('none', { timeout: '70s' }).catch((error) => error.code)
        return [none, await task.receive('m')]
      },
      [['m', 'there']],
    )
    expect(calm.outcome).toMatchObject({ value: ['RECEIVE_TIMEOUT', 'there'] })
  })

  test('taken by what a retry of the task drops go back to the front', async () => {
    const calm = await playReceiving(
      async (task) => {
        const kept = await task.receive('m')
        try {
          await task.step('boom', () => {
            if (task.attempt === 1) throw new Error('boom')
          })
        } catch (error) {
          // The failure escapes: what was asked for after it is dropped, and the next attempt takes the same messages.
          await task.receive('m')
          await task.receive('m')
          throw error
        }
        return [kept, await task.receive('m'), await task.receive('m'), await task.receive('m')]
      },
      [
        ['m', 1],
        ['m', 2],
        ['m', 3],
        ['m', 4],
      ],
      { retry: { maximumAttempts: 2, initialInterval: '5s' } },
    )
    expect(calm.outcome).toMatchObject({ value: [1, 2, 3, 4], attempt: 2 })
  })

  test('taken by a branch that lost go back to the front', async () => {
    const calm = await playReceiving(
      async (task) => {
        const won = await task.race({
          talk: async (branch) => {
            await branch.receive('m')
            await branch.receive('m')
            await branch.receive('other')
          },
          time: async (branch) => {
            await branch.sleep('short', '10s')
            return 'time'
          },
        })
        return [won, await task.receive('m'), await task.receive('m'), await task.receive('m')]
      },
      [
        ['m', 1],
        ['m', 2],
        ['m', 3],
      ],
    )
    expect(calm.outcome).toMatchObject({ value: ['time', 1, 2, 3] })
  })
})

describe('a message', () => {
  test('that comes early waits, also while its task is queued, and for whoever asks weeks later', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'later' }, async (task) => {
      await task.sleep('weeks', '14d')
      return [await task.receive('m'), await task.receive('m')]
    })
    let free = () => {}
    const gate = new Promise<void>((resolve) => {
      free = resolve
    })
    const block = defineTask({ name: 'block' }, (task) => task.step('a', () => gate))
    const first = await openInMemory({ disk, clock, tasks: [body, block], concurrency: 1 })
    await first.start(block, null)
    const { taskId } = await first.start(body, null)
    expect(await first.send(taskId, 'm', 'queued')).toEqual({ order: 0, created: true })
    expect((await first.get(taskId)).status).toBe('pending')
    free()
    await untilIdle(first)
    expect(await first.send(taskId, 'm', 'asleep')).toEqual({ order: 1, created: true })
    await first.close()
    await clock.advance(15 * 86_400_000)
    const second = await openInMemory({ disk, clock, tasks: [body, block] })
    expect(await second.result(taskId)).toEqual(['queued', 'asleep'])
  })

  test('is the same one under the same idempotency key, received or not, and another one is refused', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'body' }, async (task) => [await task.receive('m'), await task.receive('m')])
    let holdfast = await openInMemory({ disk, clock, tasks: [body] })
    const { taskId } = await holdfast.start(body, null)
    const key = { idempotencyKey: 'k1' }
    const [one, two] = await Promise.all([
      holdfast.send(taskId, 'm', { a: 1, b: 2 }, key),
      holdfast.send(taskId, 'm', { a: 1, b: 2 }, key),
    ])
    expect([one, two]).toEqual([
      { order: 0, created: true },
      { order: 0, created: false },
    ])
    await untilIdle(holdfast)
    disk.crash()
    holdfast = await openInMemory({ disk, clock, tasks: [body] })
    // The order of fields is no other payload.
    expect(await holdfast.send(taskId, 'm', { b: 2, a: 1 }, key)).toEqual({ order: 0, created: false })
    const conflict = { code: 'IDEMPOTENCY_CONFLICT', details: { taskId, idempotencyKey: 'k1' } }
    await expect(holdfast.send(taskId, 'm', { a: 2 }, key)).rejects.toMatchObject(conflict)
    await expect(holdfast.send(taskId, 'other', { a: 1, b: 2 }, key)).rejects.toMatchObject(conflict)
    expect(await holdfast.send(taskId, 'm', { a: 1, b: 2 }, { idempotencyKey: 'k2' })).toEqual({
      order: 1,
      created: true,
    })
    expect(await holdfast.result(taskId)).toEqual([
      { a: 1, b: 2 },
      { a: 1, b: 2 },
    ])
  })

  test('past `limits.messagesPerTaskMax` is refused until some are received', async () => {
    const clock = new ManualClock()
    const body = defineTask({ name: 'body' }, async (task) => {
      await task.sleep('nap', '1m')
      const got = [await task.receive('m'), await task.receive('m')]
      await task.sleep('again', '1m')
      return [...got, await task.receive('m'), await task.receive('m', { timeout: 0 }).catch((error) => error.code)]
    })
    const holdfast = await openInMemory({ clock, tasks: [body], limits: { messagesPerTaskMax: 2 } })
    const { taskId } = await holdfast.start(body, null)
    const told = await Promise.allSettled([1, 2, 3, 4].map((n) => holdfast.send(taskId, 'm', n)))
    expect(told.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    const refused = { code: 'LIMIT_EXCEEDED', details: { taskId, max: 2, option: 'limits.messagesPerTaskMax' } }
    expect((told[2] as PromiseRejectedResult).reason).toMatchObject(refused)
    await expect(holdfast.send(taskId, 'other')).rejects.toMatchObject(refused)
    await clock.advance(60_000)
    expect(await holdfast.send(taskId, 'm', 5)).toEqual({ order: 2, created: true })
    await clock.advance(60_000)
    expect(await holdfast.result(taskId)).toEqual([1, 2, 5, 'RECEIVE_TIMEOUT'])
  })

  test('to a settled task is refused, and to another owner’s is not found', async () => {
    const holdfast = await openInMemory({ tasks: [takeOne] })
    const ann = holdfast.forOwner('ann')
    const { taskId } = await ann.start(takeOne, null)
    await expect(holdfast.forOwner('bob').send(taskId, 'm', 1)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await expect(holdfast.send('task-NONE', 'm', 1)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await ann.send(taskId, 'm', 'mine')
    expect(await ann.result(taskId)).toBe('mine')
    await expect(ann.send(taskId, 'm', 2)).rejects.toMatchObject({ code: 'TASK_SETTLED' })
    const audit = await holdfast.audit({ taskId })
    expect(audit.filter(({ action }) => action === 'message-sent')).toMatchObject([{ by: 'ann', why: 'm' }])
    expect(JSON.stringify(audit)).not.toContain('mine')
  })

  test('that was sent is told so again under its key, also once the task has taken it and ended', async () => {
    const holdfast = await openInMemory({ tasks: [takeOne] })
    const ann = holdfast.forOwner('ann')
    const { taskId } = await ann.start(takeOne, null)
    const key = { idempotencyKey: 'k' }
    expect(await ann.send(taskId, 'm', 'mine', key)).toEqual({ order: 0, created: true })
    expect(await ann.result(taskId)).toBe('mine')
    expect(await ann.send(taskId, 'm', 'mine', key)).toEqual({ order: 0, created: false })
    await expect(ann.send(taskId, 'm', 'other', key)).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
    await expect(ann.send(taskId, 'm', 'mine', { idempotencyKey: 'new' })).rejects.toMatchObject({
      code: 'TASK_SETTLED',
    })
    await expect(holdfast.forOwner('bob').send(taskId, 'm', 'mine', key)).rejects.toMatchObject({
      code: 'TASK_NOT_FOUND',
    })
  })

  test('to a session task, which has no body, changes nothing of it', async () => {
    const holdfast = await openInMemory({ tasks: [takeOne] })
    for (const type of ['talk', 'take']) {
      const { taskId } = await holdfast.createSessionTask({ type })
      await holdfast.send(taskId, 'm', 1)
      await untilIdle(holdfast)
      expect(await holdfast.get(taskId)).toMatchObject({ kind: 'session', status: 'running', parked: undefined })
      await holdfast.completeSessionTask(taskId, { kind: 'result', result: 'over' })
    }
  })

  test('for a task that a manual open found is kept, and runs nothing before `recover`', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [takeOne] })
    const { taskId } = await first.start(takeOne, null)
    await untilIdle(first)
    await clock.advance(61_000)
    await first.close()
    let ran = false
    const watched = defineTask({ name: 'take' }, (task) => {
      ran = true
      return task.receive('m')
    })
    const second = await openInMemory({ disk, clock, tasks: [watched], recover: 'manual' })
    await second.send(taskId, 'm', 'kept')
    await untilIdle(second)
    expect(ran).toBe(false)
    await second.recover()
    expect(await second.result(taskId)).toBe('kept')
  })

  test('to a queued task does not hasten its next attempt', async () => {
    const clock = new ManualClock()
    const attempts: number[] = []
    const failing = defineTask({ name: 'fail', retry: { maximumAttempts: 2, initialInterval: '2m' } }, () => {
      attempts.push(clock.now())
      throw new Error('no')
    })
    let free = () => {}
    const gate = new Promise<void>((resolve) => {
      free = resolve
    })
    const block = defineTask({ name: 'block' }, (task) => task.step('a', () => gate))
    const holdfast = await openInMemory({ clock, tasks: [failing, block], concurrency: 1 })
    await holdfast.start(block, null)
    const { taskId } = await holdfast.start(failing, null)
    await holdfast.send(taskId, 'm')
    free()
    await untilIdle(holdfast)
    await holdfast.send(taskId, 'm')
    await untilIdle(holdfast)
    expect(attempts).toHaveLength(1)
    await clock.advance(240_000)
    await untilIdle(holdfast)
    expect(attempts).toHaveLength(2)
    expect((attempts[1] as number) - (attempts[0] as number)).toBeGreaterThan(60_000)
  })
})

describe('a receive', () => {
  test('with a timeout of zero looks once, and takes what is there', async () => {
    const polling = defineTask({ name: 'poll' }, async (task) => {
      const none = await task.receive('m', { timeout: 0 }).catch((error) => error.code)
      await task.receive('go')
      return [none, await task.receive('m', { timeout: '0s' })]
    })
    const clock = new ManualClock()
    const holdfast = await openInMemory({ clock, tasks: [polling] })
    const { taskId } = await holdfast.start(polling, null)
    await untilIdle(holdfast)
    await holdfast.send(taskId, 'm', 'there')
    await holdfast.send(taskId, 'go')
    expect(await holdfast.result(taskId)).toEqual(['RECEIVE_TIMEOUT', 'there'])
  })

  test.each([0, '2m'] as const)('with `unloadAfter` %j is woken by a message at any moment', async (unloadAfter) => {
    for (let offset = 0; offset < 16; offset++) {
      const clock = new ManualClock()
      const holdfast = await openInMemory({ clock, tasks: [takeOne], unloadAfter })
      const { taskId } = await holdfast.start(takeOne, null)
      await turns(offset < 8 ? 60 : offset - 8)
      const moving = clock.advance(unloadAfter === 0 ? 1 : 120_000)
      await turns(offset)
      await holdfast.send(taskId, 'm', offset)
      await moving
      expect(await cameTo(holdfast.result(taskId), 40), `${offset}`).toEqual({ value: offset })
    }
  })

  test('that is let go of in the very batch of its message is woken', async () => {
    const clock = new ManualClock()
    const disk = new SlowDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [takeOne] })
    const { taskId } = await holdfast.start(takeOne, null)
    const other = await holdfast.createSessionTask({ type: 'talk' })
    await untilIdle(holdfast)
    disk.hold()
    void holdfast.saveCheckpoint(other.taskId, 1)
    await untilIdle(holdfast)
    await clock.advance(60_000)
    const sent = holdfast.send(taskId, 'm', 'now')
    await untilIdle(holdfast)
    disk.resume()
    await sent
    expect(await cameTo(holdfast.result(taskId), 60)).toEqual({ value: 'now' })
  })

  test('holds no slot, and fifty of them no more', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ clock, tasks: [takeOne], concurrency: 1 })
    const waiting = await Promise.all(Array.from({ length: 50 }, () => holdfast.start(takeOne, null)))
    await untilIdle(holdfast)
    await clock.advance(61_000)
    await Promise.all(waiting.map(({ taskId }, n) => holdfast.send(taskId, 'm', n)))
    expect(await Promise.all(waiting.map(({ taskId }) => holdfast.result(taskId)))).toEqual(waiting.map((_, n) => n))
  })

  test('that times out while nobody is there says so at the next open', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'wait' }, (task) =>
      task.receive('m', { timeout: '1d' }).catch((error) => error.code),
    )
    const first = await openInMemory({ disk, clock, tasks: [body] })
    const { taskId } = await first.start(body, null)
    await untilIdle(first)
    disk.crash()
    await clock.advance(25 * 3_600_000)
    const second = await openInMemory({ disk, clock, tasks: [body] })
    expect(await second.result(taskId)).toBe('RECEIVE_TIMEOUT')
  })

  test('and a message that meet at the timeout agree: it is received, or it is left', async () => {
    const ends = new Set<string>()
    for (let offset = 0; offset < 24; offset++) {
      const clock = new ManualClock()
      const body = defineTask({ name: 'meet' }, async (task) => {
        const got = await task.receive('m', { timeout: '10s' }).catch((error) => error.code)
        return [got, await task.receive('m', { timeout: '5s' }).catch((error) => error.code)]
      })
      const holdfast = await openInMemory({ clock, tasks: [body] })
      const { taskId } = await holdfast.start(body, null)
      await untilIdle(holdfast)
      await clock.advance(9_999)
      const late = offset % 12
      const sent = offset < 12 ? holdfast.send(taskId, 'm', 'it') : undefined
      await turns(late)
      const moving = clock.jump(1)
      await turns(late)
      await (sent ?? holdfast.send(taskId, 'm', 'it'))
      await moving
      await clock.advance(5_000)
      const got = (await holdfast.result(taskId)) as string[]
      expect(
        got.filter((one) => one === 'it'),
        `${offset}`,
      ).toHaveLength(1)
      ends.add(got.join())
    }
    expect(ends).toEqual(new Set(['it,RECEIVE_TIMEOUT', 'RECEIVE_TIMEOUT,it']))
  })
})
