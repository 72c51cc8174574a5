// Goal: a task that waits for an answer uses no slot and no memory, over restarts, parkings and writes that are refused.
// Method: time in hand; answers come while the task is loaded, unloaded, parked, or its store is down.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'
import { cameTo, keysOf, SlowDisk } from '../../helpers/waiting.js'

const HOUR = 3_600_000
const ask = defineTask({ name: 'ask' }, (task) => task.input('ok', { message: 'sure?' }))

describe('a task that waits for an answer', () => {
  test('for long is let go of, and run again by the answer', async () => {
    const clock = new ManualClock()
    let runs = 0
    const body = defineTask({ name: 'long' }, async (task) => {
      runs++
      await task.step('before', () => 1)
      return task.input('ok', null, { timeout: '30d' })
    })
    const holdfast = await openInMemory({ clock, tasks: [body] })
    const { taskId } = await holdfast.start(body, null)
    await untilIdle(holdfast)
    const whileItWaits = clock.armed
    await clock.advance(59_000)
    expect(clock.armed).toBe(whileItWaits)
    await clock.advance(2_000)
    await untilIdle(holdfast)
    // The timer that lets go of it is gone; its timeout is armed.
    expect(clock.armed).toBe(whileItWaits - 1)
    expect(runs).toBe(1)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'input_required', inputRequests: { ok: {} } })
    expect(await holdfast.respond(taskId, { ok: 'hello' })).toMatchObject({ accepted: ['ok'], ignored: [] })
    expect(await holdfast.result(taskId)).toBe('hello')
    expect(runs).toBe(2)
  })

  test.each([0, '5s', '2m'] as const)('with `unloadAfter` %j loses no answer at any moment', async (unloadAfter) => {
    for (let offset = 0; offset < 16; offset++) {
      const clock = new ManualClock()
      const holdfast = await openInMemory({ clock, tasks: [ask], unloadAfter })
      const { taskId } = await holdfast.start(ask, null)
      await untilIdle(holdfast)
      const moving = clock.advance(unloadAfter === '2m' ? 120_000 : 5_000)
      await turns(offset)
      expect(await holdfast.respond(taskId, { ok: offset })).toMatchObject({ accepted: ['ok'] })
      await moving
      expect(await cameTo(holdfast.result(taskId), 40), `${offset}`).toEqual({ value: offset })
    }
  })

  test('and is let go of in the very batch of its answer is run again', async () => {
    const clock = new ManualClock()
    const disk = new SlowDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [ask] })
    const { taskId } = await holdfast.start(ask, null)
    const other = await holdfast.createSessionTask({ type: 'talk' })
    await untilIdle(holdfast)
    disk.hold()
    void holdfast.saveCheckpoint(other.taskId, 1)
    await untilIdle(holdfast)
    await clock.advance(60_000)
    const told = holdfast.respond(taskId, { ok: 'now' })
    await untilIdle(holdfast)
    disk.resume()
    expect(await told).toMatchObject({ accepted: ['ok'] })
    expect(await cameTo(holdfast.result(taskId), 60)).toEqual({ value: 'now' })
  })

  test('holds no slot, and fifty of them no more', async () => {
    const clock = new ManualClock()
    const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 'quick'))
    const holdfast = await openInMemory({ clock, tasks: [ask, quick], concurrency: 1 })
    let asked = 0
    const allAsked = new Promise<void>((resolve) => {
      holdfast.on('task:input-required', () => ++asked === 50 && resolve())
    })
    const waiting = await Promise.all(Array.from({ length: 50 }, () => holdfast.start(ask, null)))
    await allAsked
    for (const unloaded of [false, true]) {
      if (unloaded) await clock.advance(61_000)
      for (const { taskId } of waiting) expect((await holdfast.get(taskId)).status).toBe('input_required')
      expect(await holdfast.result((await holdfast.start(quick, null)).taskId)).toBe('quick')
    }
    await Promise.all(waiting.map(({ taskId }, n) => holdfast.respond(taskId, { ok: n })))
    expect(await Promise.all(waiting.map(({ taskId }) => holdfast.result(taskId)))).toEqual(waiting.map((_, n) => n))
  })

  test('keeps its question over restarts, and its timeout while nobody is there', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'days' }, (task) =>
      task.input('ok', null, { timeout: '3d' }).catch((error) => [error.code, error.message]),
    )
    let holdfast = await openInMemory({ disk, clock, tasks: [body] })
    const { taskId } = await holdfast.start(body, null)
    const askedAt = clock.now()
    for (let day = 0; day < 2; day++) {
      await untilIdle(holdfast)
      expect(await holdfast.get(taskId)).toMatchObject({
        status: 'input_required',
        inputRequests: { ok: { requestedAt: askedAt, dueAt: askedAt + 72 * HOUR } },
      })
      if (day === 0) await holdfast.close()
      else disk.crash()
      await clock.advance(24 * HOUR)
      holdfast = await openInMemory({ disk, clock, tasks: [body] })
      await holdfast.recovery.done
    }
    await untilIdle(holdfast)
    await holdfast.close()
    await clock.advance(30 * HOUR)
    holdfast = await openInMemory({ disk, clock, tasks: [body] })
    expect(await holdfast.result(taskId)).toEqual(['INPUT_TIMEOUT', expect.stringContaining("'ok'")])
  })

  test('and whose time passed while nobody was there still takes an answer that comes before its timeout', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'days' }, (task) =>
      task.input('ok', null, { timeout: '1d' }).catch((error) => error.code),
    )
    const first = await openInMemory({ disk, clock, tasks: [body] })
    const { taskId } = await first.start(body, null)
    await untilIdle(first)
    await first.close()
    await clock.advance(30 * HOUR)
    const second = await openInMemory({ disk, clock, tasks: [body] })
    const { accepted } = await second.respond(taskId, { ok: 'just in time' })
    expect(await second.result(taskId)).toBe(accepted.length > 0 ? 'just in time' : 'INPUT_TIMEOUT')
  })

  test('and is parked keeps the answer until code fits again', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = (step: string) =>
      defineTask({ name: 'ask' }, async (task) => [await task.step(step, () => 1), await task.input('ok')])
    const first = await openInMemory({ disk, clock, tasks: [body('a')] })
    const { taskId } = await first.start('ask', null)
    await untilIdle(first)
    await first.close()
    // Without a definition it stays parked for the reason that it was parked for.
    const code = 'CODE_CHANGED'
    for (const tasks of [[body('renamed')], []]) {
      const parked = await openInMemory({ disk, clock, tasks })
      await parked.recovery.done
      expect(await parked.get(taskId)).toMatchObject({ status: expect.any(String), parked: { code } })
      if (tasks.length > 0) {
        expect(await parked.get(taskId)).toMatchObject({ inputRequests: { ok: {} } })
        expect(await parked.respond(taskId, { ok: 'kept' })).toMatchObject({ accepted: ['ok'] })
        await untilIdle(parked)
      }
      expect(await parked.respond(taskId, { ok: 'twice' })).toMatchObject({ ignored: [{ reason: 'answered' }] })
      expect(await parked.get(taskId)).toMatchObject({ parked: { code } })
      await parked.close()
    }
    const last = await openInMemory({ disk, clock, tasks: [body('a')] })
    expect(await last.result(taskId)).toEqual([1, 'kept'])
  })

  test('and was found by a manual open takes the answer, and runs once it is told to', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [ask] })
    const { taskId } = await first.start(ask, null)
    await untilIdle(first)
    await clock.advance(61_000)
    await first.close()
    const second = await openInMemory({ disk, clock, recover: 'manual' })
    expect(await second.respond(taskId, { ok: 'early' })).toMatchObject({ accepted: ['ok'] })
    await untilIdle(second)
    const waiting = await second.get(taskId)
    expect([waiting.status, waiting.parked]).toEqual(['running', undefined])
    second.register(ask)
    await untilIdle(second)
    expect((await second.get(taskId)).status).toBe('running')
    await second.recover()
    expect(await second.result(taskId)).toBe('early')
  })

  test('is another owner’s business', async () => {
    const holdfast = await openInMemory({ tasks: [ask] })
    const { taskId } = await holdfast.forOwner('ann').start(ask, null)
    await untilIdle(holdfast)
    const refused = { code: 'TASK_NOT_FOUND' }
    await expect(holdfast.forOwner('bob').respond(taskId, { ok: 1 })).rejects.toMatchObject(refused)
    await expect(holdfast.respond(taskId, { ok: 1 }, { owner: 'bob' })).rejects.toMatchObject(refused)
    await expect(holdfast.respond(`${taskId}X`, { ok: 1 })).rejects.toMatchObject(refused)
    expect(await keysOf(holdfast, taskId)).toEqual(['ok'])
    expect(await holdfast.forOwner('ann').respond(taskId, { ok: 'mine' })).toMatchObject({ accepted: ['ok'] })
    expect(await holdfast.result(taskId)).toBe('mine')
  })

  test('is cancelled with its question, which nobody can answer any more', async () => {
    const clock = new ManualClock()
    for (const unloaded of [false, true]) {
      const holdfast = await openInMemory({ clock, tasks: [ask], concurrency: 1 })
      const { taskId } = await holdfast.start(ask, null)
      await untilIdle(holdfast)
      if (unloaded) await clock.advance(61_000)
      const [cancelled, told] = await Promise.all([holdfast.cancel(taskId), holdfast.respond(taskId, { ok: 1 })])
      expect(cancelled.status).toBe('cancelled')
      expect([...told.accepted, ...told.ignored.map(({ reason }) => reason)]).toHaveLength(1)
      expect((await holdfast.get(taskId)).inputRequests).toBeUndefined()
      const reason = { ignored: [{ key: 'ok', reason: 'settled' }] }
      expect(await holdfast.respond(taskId, { ok: 1 })).toMatchObject(reason)
    }
  })
})

describe('a store that refuses writes', () => {
  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('loses no answer (written all the same: %j, body let go of: %j)', async (applied, unloaded) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [ask] })
    const { taskId } = await holdfast.start(ask, null)
    await untilIdle(holdfast)
    if (unloaded) await clock.advance(61_000)
    await untilIdle(holdfast)
    disk.failAt({ atWrite: 1, applied })
    await expect(holdfast.respond(taskId, { ok: 'mine' })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await clock.advance(5_000)
    await untilIdle(holdfast)
    if (!applied) {
      expect(await keysOf(holdfast, taskId)).toEqual(['ok'])
      expect(await holdfast.respond(taskId, { ok: 'mine' })).toMatchObject({ accepted: ['ok'] })
    }
    expect(await cameTo(holdfast.result(taskId), 60)).toEqual({ value: 'mine' })
  })

  test('answers with STORE_UNAVAILABLE while it is down, and the question stays', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [ask] })
    const { taskId } = await holdfast.start(ask, null)
    const other = await holdfast.createSessionTask({ type: 'talk' })
    await untilIdle(holdfast)
    disk.full = true
    await expect(holdfast.saveCheckpoint(other.taskId, 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    for (let n = 0; n < 3; n++) {
      const told = holdfast.respond(taskId, { ok: n })
      await expect(told).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
      await clock.advance(1_000)
    }
    disk.full = false
    await clock.advance(5_000)
    await untilIdle(holdfast)
    expect(await holdfast.respond(taskId, { ok: 'last' })).toMatchObject({ accepted: ['ok'] })
    expect(await holdfast.result(taskId)).toBe('last')
  })

  test('that is closed at any moment refuses the answer, or keeps it', async () => {
    for (let ticks = 0; ticks < 24; ticks += 2) {
      const disk = new MemoryDisk()
      const first = await openInMemory({ disk, tasks: [ask] })
      const { taskId } = await first.start(ask, null)
      await untilIdle(first)
      const told = first.respond(taskId, { ok: 'mine' })
      const end = cameTo(told, 80)
      for (let tick = 0; tick < ticks; tick++) await null
      await first.close()
      const second = await openInMemory({ disk, tasks: [ask] })
      await second.recovery.done
      const isAccepted = JSON.stringify(await end) === '{"value":{"accepted":["ok"],"ignored":[],"open":[]}}'
      if (!isAccepted) expect(await end, `${ticks}`).toEqual({ code: 'CLOSED' })
      const again = await second.respond(taskId, { ok: 'other' })
      expect(again.accepted, `${ticks}`).toEqual(isAccepted ? [] : ['ok'])
      expect(await second.result(taskId)).toBe(isAccepted ? 'mine' : 'other')
    }
  })
})

describe('bad input', () => {
  const fails = async (body: (task: TaskContext) => unknown, options: object = {}) => {
    const task = defineTask({ name: 'bad' }, body)
    const holdfast = await openInMemory({ tasks: [task], ...options })
    const { taskId } = await holdfast.start(task, null)
    return holdfast.result(taskId).then(
      () => expect.unreachable(),
      (error) => error,
    )
  }

  test.each([[-1], [0], ['0s'], ['soon'], ['5 weeks'], [Number.NaN], [Number.POSITIVE_INFINITY], [null], [{}], ['']])(
    'of %j as the timeout of an input is refused by name',
    async (timeout) => {
      expect((await fails((task) => task.input('ok', 1, { timeout: timeout as never }))).cause.message).toMatch(
        /`timeout`.*above zero/,
      )
    },
  )

  test.each([[''], [5], [undefined], ['line\nbreak'], ['x'.repeat(300)]])(
    'of %j as the name of an input is refused by name',
    async (name) => {
      expect((await fails((task) => task.input(name as never))).cause.message).toMatch(/`name`/)
    },
  )

  test('as a request fails the task, naming the input', async () => {
    const unserialisable = await fails((task) => task.input('ok', { rows: [1n] }))
    expect(unserialisable).toMatchObject({ code: 'NOT_SERIALIZABLE' })
    expect(unserialisable.message).toMatch(/`rows\[0\]` in the request of input 'ok'/)
    const large = await fails((task) => task.input('ok', 'x'.repeat(200)), { limits: { resultBytesMax: 100 } })
    expect(large).toMatchObject({ code: 'TOO_LARGE' })
    expect(large.message).toMatch(/The request of input 'ok'.*`limits.resultBytesMax`/)
  })

  test('as answers is refused as a whole, and the question stays', async () => {
    const two = defineTask({ name: 'two' }, (task) => Promise.all([task.input('a'), task.input('b')]))
    const holdfast = await openInMemory({ tasks: [two], limits: { resultBytesMax: 100 } })
    const { taskId } = await holdfast.start(two, null)
    await untilIdle(holdfast)
    for (const responses of [undefined, null, 5, 'ok', ['ok'], () => 1]) {
      await expect(holdfast.respond(taskId, responses as never)).rejects.toThrow(TypeError)
      await expect(holdfast.respond(taskId, responses as never)).rejects.toThrow(/`responses`/)
    }
    const not = { code: 'NOT_SERIALIZABLE', message: expect.stringContaining("the answer to input 'b'") }
    await expect(holdfast.respond(taskId, { a: 1, b: { n: 1n } })).rejects.toMatchObject(not)
    const large = { code: 'TOO_LARGE', details: { option: 'limits.resultBytesMax' } }
    await expect(holdfast.respond(taskId, { a: 1, b: 'x'.repeat(101) })).rejects.toMatchObject(large)
    expect(await keysOf(holdfast, taskId)).toEqual(['a', 'b'])
    await expect(holdfast.respond(5 as never, {})).rejects.toThrow(/`taskId`/)
    expect(await holdfast.respond(taskId, { a: 1, b: 2 })).toMatchObject({ accepted: ['a', 'b'] })
    expect(await holdfast.result(taskId)).toEqual([1, 2])
  })

  test.each([[-1], ['soon'], [Number.NaN], [Number.POSITIVE_INFINITY], [{}]])(
    'of %j as `unloadAfter` is refused by name',
    async (unloadAfter) => {
      await expect(openInMemory({ unloadAfter: unloadAfter as never })).rejects.toThrow(/`unloadAfter`/)
    },
  )

  test('in an input that nobody awaits harms nothing', async () => {
    const body = defineTask({ name: 'left' }, async (task) => {
      void task.input('left')
      void task.input('late', null, { timeout: '1s' })
      return task.step('a', () => 'done')
    })
    const holdfast = await openInMemory({ tasks: [body] })
    const { taskId } = await holdfast.start(body, null)
    expect(await holdfast.result(taskId)).toBe('done')
    expect((await holdfast.get(taskId)).inputRequests).toBeUndefined()
  })
})
