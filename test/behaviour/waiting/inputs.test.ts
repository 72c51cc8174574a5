// Goal: a question is asked once, under a key of its own, and an answer that was accepted is the answer, whatever dies.
// Method: time in hand; scenarios are played with a crash before and after every write, races at every turn.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'
import { answerAll, cameTo, keysOf, NOT_YET, SlowDisk } from '../../helpers/waiting.js'

const HOUR = 3_600_000
const startMain = async (holdfast: Holdfast) => (await holdfast.start('main', null, { idempotencyKey: 'k' })).taskId
const ask = defineTask({ name: 'ask' }, (task) => task.input('ok', { message: 'sure?' }))

interface Seen {
  /** The question of each key: a key that is used twice shows two. */
  readonly keys: Map<string, Set<string>>
  readonly ran: string[]
}
const seen = (): Seen => ({ keys: new Map(), ran: [] })
const note = ({ keys }: Seen, key: string, question: unknown) =>
  void keys.set(key, (keys.get(key) ?? new Set()).add(JSON.stringify(question)))

/** Plays the body with a crash at every write; every play ends like the one without, and no key meant two questions. */
async function playAsking(
  body: (task: TaskContext, effects: Seen) => unknown,
  answer: (question: { key: string; name: string; request: unknown }, effects: Seen) => unknown,
  options: object = {},
) {
  let current = seen()
  const { calm, crashed } = await everyCrash({
    effects: () => {
      current = seen()
      return current
    },
    tasks: (effects) => [defineTask({ name: 'main', ...options }, (task) => body(task, effects))],
    drive: async (holdfast) => {
      const effects = current
      const taskId = await startMain(holdfast)
      answerAll(holdfast, taskId, (question) => {
        note(effects, question.key, [question.name, question.request])
        return answer(question, effects)
      })
      return taskId
    },
  })
  for (const { where, outcome, effects } of [calm, ...crashed]) {
    expect(inOrder(outcome), where).toEqual(inOrder(calm.outcome))
    for (const [key, questions] of effects.keys) expect([...questions], `${where}: ${key}`).toHaveLength(1)
    expect(effects.keys.size, where).toBe(calm.effects.keys.size)
  }
  return { calm, crashed }
}

/** The order of answers side by side is the answerer's. */
function inOrder(outcome: unknown) {
  const { log, ...rest } = outcome as { log: readonly string[] }
  return { ...rest, log: [...log].sort() }
}

describe('an input, with a crash at every write,', () => {
  test('is asked once, answered once, and its answer is what the body gets in every run', async () => {
    const { calm } = await playAsking(
      async (task) => {
        const first = await task.input<{ yes: boolean }>('ok', { message: 'sure?' })
        return [first, await task.step('after', () => 'done')]
      },
      () => ({ yes: true }),
    )
    expect(calm.outcome).toMatchObject({
      value: [{ yes: true }, 'done'],
      log: ['prefix ok#1 completed after 1', 'prefix after#1 completed after 1'],
    })
    expect([...calm.effects.keys.keys()]).toEqual(['ok'])
  })

  test('among several side by side is answered by its key, in whatever order', async () => {
    const { calm } = await playAsking(
      (task) => Promise.all(['a', 'b', 'c'].map((name) => task.input(name, { of: name }))),
      // The last one first: `a` only once nothing else is open.
      ({ name }, { keys }) => (name === 'a' && keys.size < 3 ? NOT_YET : `answer ${name}`),
    )
    expect(calm.outcome).toMatchObject({ value: ['answer a', 'answer b', 'answer c'], status: 'completed' })
    expect([...calm.effects.keys.keys()].sort()).toEqual(['a', 'b', 'c'])
  })

  test('in a loop has another key each time', async () => {
    const { calm } = await playAsking(
      async (task) => {
        const answers = []
        for (let n = 0; n < 3; n++) answers.push(await task.input('next', { n }))
        return answers
      },
      ({ request }) => (request as { n: number }).n * 10,
    )
    expect(calm.outcome).toMatchObject({ value: [0, 10, 20] })
    expect([...calm.effects.keys.keys()]).toEqual(['next', 'next-2', 'next-3'])
  })

  test('that a retry of the task drops is asked again under a new key', async () => {
    const { calm } = await playAsking(
      async (task) => {
        try {
          const attempt = await task.input('kept', 0)
          await task.step('boom', () => {
            if (task.attempt === 1) throw new Error('boom')
          })
          return [attempt, await task.input('why', 'after')]
        } catch (error) {
          // Asked after the failure that escapes: the next attempt knows nothing of it.
          await task.input('why', 'before')
          throw error
        }
      },
      ({ name, request }) => `${name} ${String(request)}`,
      { retry: { maximumAttempts: 2, initialInterval: '10s' } },
    )
    expect(calm.outcome).toMatchObject({ value: ['kept 0', 'why after'], attempt: 2 })
    expect([...calm.effects.keys.keys()]).toEqual(['kept', 'why', 'why-3'])
  })

  test('that waits beside a step that fails the attempt keeps its key and its answer', async () => {
    let answered = false
    const { calm } = await playAsking(
      async (task) => {
        const asked = task.input('beside')
        await task.sleep('a while', '20s')
        await task.step('boom', () => {
          if (task.attempt === 1) throw new Error('boom')
        })
        return asked
      },
      // Asked in the first attempt, answered in the second.
      ({ key }, { keys }) => {
        answered = keys.has(key)
        return 'kept'
      },
      { retry: { maximumAttempts: 2, initialInterval: '10s' } },
    )
    expect(answered).toBe(true)
    expect(calm.outcome).toMatchObject({ value: 'kept', attempt: 2 })
    expect([...calm.effects.keys.keys()]).toEqual(['beside'])
  })

  test('in branches has its own answer in each, and an inner one too', async () => {
    const { calm } = await playAsking(
      (task) =>
        task.all({
          a: (branch) => branch.input('ok', 'a'),
          b: async (branch) => [
            await branch.input('ok', 'b'),
            await branch.all({ c: (inner) => inner.input('ok', 'c') }),
          ],
        }),
      ({ request }) => `to ${String(request)}`,
    )
    expect(calm.outcome).toMatchObject({ value: { a: 'to a', b: ['to b', { c: 'to c' }] } })
  })

  test('that times out fails with INPUT_TIMEOUT, which the body may catch', async () => {
    const { calm } = await playAsking(
      async (task) => {
        const code = (error: { code: string }) => error.code
        const late = await task.input('late', 1, { timeout: '5s' }).catch(code)
        return [late, await task.input('later', 2, { timeout: '61s' }).catch(code)]
      },
      () => NOT_YET,
    )
    expect(calm.outcome).toMatchObject({ value: ['INPUT_TIMEOUT', 'INPUT_TIMEOUT'] })
  })

  test('of a branch that lost is asked no more', async () => {
    const { calm } = await playAsking(
      (task) =>
        task.race({
          answer: (branch) => branch.input('ok'),
          time: async (branch) => {
            await branch.sleep('short', '10s')
            return 'nobody answered'
          },
        }),
      () => NOT_YET,
    )
    expect(calm.outcome).toMatchObject({ value: 'nobody answered', status: 'completed' })
  })

  test('answers that are null, empty and undefined come as they are', async () => {
    const answers = [null, '', undefined]
    const { calm } = await playAsking(
      async (task) => {
        const got = []
        for (const [n] of answers.entries()) got.push(String(JSON.stringify(await task.input('any', n))))
        return got
      },
      ({ request }) => answers[request as number],
    )
    expect(calm.outcome).toMatchObject({ value: ['null', '""', 'undefined'] })
  })
})

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
