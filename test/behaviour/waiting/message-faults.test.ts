// Goal: a message that was acknowledged is received exactly once, also where processes are killed, writes fail or input is bad.
// Method: races with crashes at random, a disk that refuses writes, and values that are refused.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { randomOf, seedFor } from '../../helpers/simulation.js'
import { cameTo } from '../../helpers/waiting.js'

const takeOne = defineTask({ name: 'take' }, (task) => task.receive('m'))

test('a thousand messages that race their receiver are each received once, in order, through kills', async () => {
  const random = randomOf(seedFor('HOLDFAST_MESSAGES_SEED'))
  const MESSAGES = 1_000
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const body = defineTask({ name: 'take all' }, async (task) => {
    const got: unknown[] = []
    for (let n = 0; n < MESSAGES; n++) got.push(await task.receive('m'))
    return got
  })
  // Kills from outside, some of them five in a row before it records anything: none of them is its fault.
  const open = () => openInMemory({ disk, clock, tasks: [body], maximumRecoveries: 1_000 })
  let holdfast = await open()
  const { taskId } = await holdfast.start(body, null, { idempotencyKey: 'k' })
  const order = new Map<number, number>()
  let kills = 0
  for (let next = 0; order.size < MESSAGES; ) {
    if (!disk.isOpen) {
      kills++
      holdfast = await open()
    }
    if (random() < 0.5) disk.dieAt({ atWrite: 1 + Math.floor(random() * 40), applied: random() < 0.5 })
    const dead = new Promise<'dead'>((resolve) => disk.onDeath(() => resolve('dead')))
    const burst = Array.from({ length: Math.min(1 + Math.floor(random() * 60), MESSAGES - next) }, (_, at) => next + at)
    const sending = burst
      .filter((n) => !order.has(n))
      .map(async (n) => {
        const { order: at } = await holdfast.send(taskId, 'm', n, { idempotencyKey: `${n}` })
        order.set(n, at)
      })
    // Whoever was not told sends again, under the same key, to the next process.
    if ((await Promise.race([dead, Promise.all(sending)])) !== 'dead') next += burst.length
  }
  disk.crash()
  holdfast = await open()
  const got = (await holdfast.result(taskId)) as number[]
  console.info(`${MESSAGES} messages, ${kills} kills`)
  expect(kills).toBeGreaterThan(3)
  expect([...got].sort((one, other) => one - other)).toEqual(Array.from({ length: MESSAGES }, (_, n) => n))
  expect(got).toEqual([...order].sort(([, one], [, other]) => one - other).map(([n]) => n))
}, 60_000)

describe('a store that refuses writes', () => {
  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('loses no message and doubles none (written all the same: %j, body let go of: %j)', async (applied, unloaded) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'two' }, async (task) => [await task.receive('m'), await task.receive('m')])
    const holdfast = await openInMemory({ disk, clock, tasks: [body] })
    const { taskId } = await holdfast.start(body, null)
    await untilIdle(holdfast)
    if (unloaded) await clock.advance(61_000)
    disk.failAt({ atWrite: 1, applied })
    const key = { idempotencyKey: 'k' }
    await expect(holdfast.send(taskId, 'm', 'one', key)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await clock.advance(5_000)
    await untilIdle(holdfast)
    // Received already, if it landed: nobody has to send it twice.
    expect((await holdfast.steps(taskId)).flatMap(({ steps }) => steps.map(({ state }) => state))).toEqual(
      applied ? ['completed', 'running'] : unloaded ? [] : ['running'],
    )
    expect(await holdfast.send(taskId, 'm', 'one', key)).toEqual({ order: 0, created: !applied })
    await holdfast.send(taskId, 'm', 'two')
    expect(await cameTo(holdfast.result(taskId), 60)).toEqual({ value: ['one', 'two'] })
  })
})

describe('bad input', () => {
  const fails = async (body: (task: TaskContext) => unknown) => {
    const task = defineTask({ name: 'bad' }, body)
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    return holdfast.result(taskId).then(
      () => expect.unreachable(),
      (error) => error,
    )
  }

  test('as the timeout or the name of a receive is refused by name', async () => {
    const timeouts = [-1, 'soon', '5 weeks', Number.NaN, Number.POSITIVE_INFINITY, null, {}, '']
    for (const timeout of timeouts)
      expect((await fails((task) => task.receive('m', { timeout: timeout as never }))).cause.message).toMatch(
        /`timeout`/,
      )
    for (const name of ['', 5, undefined, 'line\nbreak', 'x'.repeat(300)])
      expect((await fails((task) => task.receive(name as never))).cause.message).toMatch(/`name`/)
  })

  test('to `send` is refused by name, and nothing is sent', async () => {
    const holdfast = await openInMemory({ tasks: [takeOne], limits: { resultBytesMax: 100 } })
    const { taskId } = await holdfast.start(takeOne, null)
    for (const name of ['', 5, undefined, null, 'line\nbreak', 'x'.repeat(300)])
      await expect(holdfast.send(taskId, name as never, 1)).rejects.toThrow(/`name`/)
    for (const idempotencyKey of ['', 5, null, 'x'.repeat(300)])
      await expect(holdfast.send(taskId, 'm', 1, { idempotencyKey: idempotencyKey as never })).rejects.toThrow(
        /`idempotencyKey`/,
      )
    const not = { code: 'NOT_SERIALIZABLE', message: expect.stringMatching(/message 'm'/i) }
    for (const payload of [1n, { n: Number.NaN }, () => 1, new Map()])
      await expect(holdfast.send(taskId, 'm', payload)).rejects.toMatchObject(not)
    const large = { code: 'TOO_LARGE', details: { option: 'limits.resultBytesMax' } }
    await expect(holdfast.send(taskId, 'm', 'x'.repeat(101))).rejects.toMatchObject(large)
    await expect(holdfast.send(5 as never, 'm')).rejects.toThrow(/`taskId`/)
    expect(await holdfast.send(taskId, 'm')).toEqual({ order: 0, created: true })
    expect(await holdfast.result(taskId)).toBeUndefined()
  })

  test.each([[0], [-1], [1.5], ['5'], [Number.POSITIVE_INFINITY], [null]])(
    'of %j as `limits.messagesPerTaskMax` is refused by name',
    async (messagesPerTaskMax) => {
      await expect(openInMemory({ limits: { messagesPerTaskMax: messagesPerTaskMax as never } })).rejects.toThrow(
        /`limits.messagesPerTaskMax`/,
      )
    },
  )
})
