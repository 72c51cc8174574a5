// Goal: a question is asked once, under a key of its own, and an answer that was accepted is the answer, whatever dies.
// Method: time in hand; scenarios are played with a crash before and after every write, races at every turn.
import { describe, expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'
import { cameTo, keysOf } from '../../helpers/waiting.js'

const HOUR = 3_600_000
const ask = defineTask({ name: 'ask' }, (task) => task.input('ok', { message: 'sure?' }))

describe('an answer', () => {
  test('moves the status there and back, and the audit says who answered', async () => {
    const clock = new ManualClock()
    const body = defineTask({ name: 'two' }, async (task) => {
      const got = await Promise.all([task.input('a', { q: 1 }, { timeout: '1h' }), task.input('b')])
      await task.sleep('nap', '10s')
      return got
    })
    const holdfast = await openInMemory({ clock, tasks: [body] })
    const told: string[] = []
    holdfast.on('task:input-required', ({ key }) => told.push(key))
    const { taskId } = await holdfast.start(body, null, { owner: 'ann' })
    await untilIdle(holdfast)
    expect(told).toEqual(['a', 'b'])
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'input_required',
      inputRequests: {
        a: { name: 'a', request: { q: 1 }, requestedAt: clock.now(), dueAt: clock.now() + HOUR },
        b: { name: 'b', requestedAt: clock.now() },
      },
    })
    expect(await holdfast.respond(taskId, { b: 'B' }, { owner: 'ann' })).toMatchObject({ accepted: ['b'], ignored: [] })
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'input_required', inputRequests: { a: {} } })
    expect(await keysOf(holdfast, taskId)).toEqual(['a'])
    expect(await holdfast.respond(taskId, { a: 'A' })).toMatchObject({ accepted: ['a'], ignored: [] })
    const after = await holdfast.get(taskId)
    expect(after.status).toBe('running')
    expect(after.inputRequests).toBeUndefined()
    await untilIdle(holdfast)
    await clock.advance(10_000)
    expect(await holdfast.result(taskId)).toEqual(['A', 'B'])
    const audit = await holdfast.audit({ taskId })
    expect(audit.filter(({ action }) => action === 'answered')).toMatchObject([
      { by: 'ann', why: 'b' },
      { by: 'admin', why: 'a' },
    ])
    expect(audit.map(({ from, to }) => `${from} ${to}`)).toEqual(
      expect.arrayContaining(['running input_required', 'input_required running']),
    )
    expect(JSON.stringify(audit)).not.toMatch(/"[AB]"/)
  })

  test('that comes early, twice, late or for an unknown key is ignored, and said to be', async () => {
    const clock = new ManualClock()
    const body = defineTask({ name: 'two' }, async (task) => {
      const first = await task.input('a')
      const second = await task.input('b', null, { timeout: '10s' }).catch((error) => error.code)
      await task.sleep('nap', '10s')
      return [first, second]
    })
    const holdfast = await openInMemory({ clock, tasks: [body] })
    const { taskId } = await holdfast.start(body, null)
    await untilIdle(holdfast)
    expect(await holdfast.respond(taskId, { b: 'early', 'c-9': 'unknown', 'a-1': 'no key' })).toMatchObject({
      accepted: [],
      ignored: [
        { key: 'b', reason: 'unknown' },
        { key: 'c-9', reason: 'unknown' },
        { key: 'a-1', reason: 'unknown' },
      ],
    })
    expect(await holdfast.respond(taskId, {})).toMatchObject({ accepted: [], ignored: [] })
    expect(await holdfast.respond(taskId, { a: 'A', 'c-9': 'unknown' })).toMatchObject({
      accepted: ['a'],
      ignored: [{ key: 'c-9', reason: 'unknown' }],
    })
    const twice = { accepted: [], ignored: [{ key: 'a', reason: 'answered' }], open: [] }
    expect(await holdfast.respond(taskId, { a: 'again' })).toEqual(twice)
    await untilIdle(holdfast)
    expect(await holdfast.respond(taskId, { a: 'again' })).toEqual({ ...twice, open: ['b'] })
    await clock.advance(10_000)
    await untilIdle(holdfast)
    const late = { accepted: [], ignored: [{ key: 'b', reason: 'answered' }], open: [] }
    expect(await holdfast.respond(taskId, { b: 'late' })).toEqual(late)
    await clock.advance(10_000)
    expect(await holdfast.result(taskId)).toEqual(['A', 'INPUT_TIMEOUT'])
    expect(await holdfast.respond(taskId, { a: 1, 'x-1': 1 })).toMatchObject({
      accepted: [],
      ignored: [
        { key: 'a', reason: 'settled' },
        { key: 'x-1', reason: 'settled' },
      ],
    })
  })

  test('of twenty to the same key at once is one, and it is the one that was told so', async () => {
    const holdfast = await openInMemory({ tasks: [ask] })
    const { taskId } = await holdfast.start(ask, null)
    await untilIdle(holdfast)
    const told = await Promise.all(Array.from({ length: 20 }, (_, n) => holdfast.respond(taskId, { ok: n })))
    const accepted = told.flatMap(({ accepted }, n) => (accepted.length > 0 ? [n] : []))
    expect(accepted).toHaveLength(1)
    for (const [n, { ignored }] of told.entries())
      if (n !== accepted[0]) expect(['answered', 'settled']).toContain(ignored[0]?.reason)
    expect(await holdfast.result(taskId)).toBe(accepted[0])
  })

  test.each(['10s', '2m'] as const)('that races a timeout of %s counts exactly if it was accepted', async (timeout) => {
    const ends = new Set<string>()
    // The answer is given some turns before, in, and some turns after the moment of the timeout.
    for (let offset = -8; offset <= 28; offset += 2) {
      const clock = new ManualClock()
      const body = defineTask({ name: 'late' }, async (task) => {
        const got = await task.input('ok', null, { timeout }).catch((error) => error.code)
        return [got, await task.step('after', () => 1)]
      })
      const holdfast = await openInMemory({ clock, tasks: [body] })
      const { taskId } = await holdfast.start(body, null)
      await untilIdle(holdfast)
      const ms = timeout === '10s' ? 10_000 : 120_000
      await clock.advance(ms - 1)
      const responding = async () => {
        await turns(offset)
        return holdfast.respond(taskId, { ok: 'answer' })
      }
      let told: ReturnType<typeof responding>
      if (offset <= 0) {
        told = responding()
        await turns(-offset / 4)
        await clock.jump(1)
      } else {
        const advancing = clock.jump(1)
        told = responding()
        await advancing
      }
      const { accepted } = await told
      await untilIdle(holdfast)
      const [got] = (await holdfast.result(taskId)) as [string]
      expect(got, `${offset}`).toBe(accepted.length > 0 ? 'answer' : 'INPUT_TIMEOUT')
      ends.add(got)
    }
    expect(ends).toEqual(new Set(['answer', 'INPUT_TIMEOUT']))
  })

  test('survives a kill right after `respond` resolved, and was not accepted if it does not', async () => {
    for (let atWrite = 1; atWrite <= 3; atWrite++) {
      for (const applied of [false, true]) {
        const disk = new MemoryDisk()
        const first = await openInMemory({ disk, tasks: [ask] })
        const { taskId } = await first.start(ask, null)
        await untilIdle(first)
        disk.dieAt({ atWrite, applied })
        const told = await cameTo(first.respond(taskId, { ok: 'mine' }), 30)
        disk.crash()
        const second = await openInMemory({ disk, tasks: [ask] })
        await second.recovery.done
        const late = await second.respond(taskId, { ok: 'of another' })
        const isMine = late.accepted.length === 0
        if (told !== 'pending') expect(isMine).toBe(true)
        expect(await second.result(taskId)).toBe(isMine ? 'mine' : 'of another')
      }
    }
  })

  test('in a step beside it that fails the attempt is not lost once it was accepted', async () => {
    // The answer and the failure meet at every turn.
    for (let offset = 0; offset < 20; offset++) {
      const clock = new ManualClock()
      let fail = () => {}
      const body = defineTask({ name: 'pair', retry: { maximumAttempts: 2, initialInterval: '5s' } }, async (task) => {
        const answer = task.input('ok')
        await task.step('boom', () =>
          task.attempt > 1
            ? 'fine'
            : new Promise((_, reject) => {
                fail = () => reject(new Error('boom'))
              }),
        )
        return answer
      })
      const holdfast = await openInMemory({ clock, tasks: [body] })
      const { taskId } = await holdfast.start(body, null)
      await untilIdle(holdfast)
      fail()
      await turns(offset)
      expect(await holdfast.respond(taskId, { ok: 'kept' })).toMatchObject({ accepted: ['ok'] })
      await untilIdle(holdfast)
      await clock.advance(10_000)
      expect(await cameTo(holdfast.result(taskId), 40), `${offset}`).toEqual({ value: 'kept' })
    }
  })
})

describe('an answer to a task that asks for nothing', () => {
  const nothing = { accepted: [], ignored: [{ key: 'ok', reason: 'unknown' }], open: [] }

  test('because it sleeps, or is queued, or has no body, is unknown and changes nothing', async () => {
    const clock = new ManualClock()
    const sleepy = defineTask({ name: 'sleepy' }, async (task) => {
      await task.sleep('nap', '2m')
      return 'slept'
    })
    const block = defineTask({ name: 'block' }, (task) => task.step('a', () => new Promise(() => {})))
    const holdfast = await openInMemory({ clock, tasks: [sleepy, block], concurrency: 1 })
    const { taskId } = await holdfast.start(sleepy, null)
    await untilIdle(holdfast)
    expect(await holdfast.respond(taskId, { ok: 1 })).toEqual(nothing)
    await clock.advance(60_000)
    expect(await holdfast.respond(taskId, { ok: 1 })).toEqual(nothing)
    await clock.advance(60_000)
    expect(await holdfast.result(taskId)).toBe('slept')
    await holdfast.start(block, null)
    const queued = await holdfast.start(sleepy, null)
    expect(await holdfast.respond(queued.taskId, { ok: 1 })).toEqual(nothing)
    expect((await holdfast.get(queued.taskId)).status).toBe('pending')
    const session = await holdfast.createSessionTask({ type: 'sleepy' })
    expect(await holdfast.respond(session.taskId, { ok: 1 })).toEqual(nothing)
    await untilIdle(holdfast)
    expect(await holdfast.get(session.taskId)).toMatchObject({ status: 'running', parked: undefined })
  })
})
