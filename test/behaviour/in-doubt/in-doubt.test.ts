// Goal: a step that must not begin twice never does, and says so when nobody knows whether it took place.
// Method: played with a crash before and after every write; the effects count how often the function was called.
import { describe, expect, test } from 'vitest'
import { defineTask, type InterruptedStep, type StepContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'
import { answerAll, cameTo, keysOf } from '../../helpers/waiting.js'

const drive = async (holdfast: Awaited<ReturnType<typeof openInMemory>>) =>
  (await holdfast.start('trade', null, { idempotencyKey: 'k' })).taskId

describe('a step that was interrupted', () => {
  test("fails with STEP_IN_DOUBT under 'fail', and never begins twice", async () => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({ bought: 0 }),
      tasks: (effects) => [
        defineTask({ name: 'trade' }, async (task) => {
          await task.step('quote', () => 10)
          return task.step('buy', () => ++effects.bought, { onInterrupted: 'fail' })
        }),
      ],
      drive,
    })
    expect(calm.outcome).toMatchObject({ value: 1, status: 'completed' })
    let doubts = 0
    for (const { where, outcome, effects } of crashed) {
      expect(effects.bought, where).toBeLessThanOrEqual(1)
      const { status, error } = outcome as { status: string; error?: string }
      if (status === 'completed') expect(effects.bought, where).toBe(1)
      else {
        doubts++
        expect(error, where).toMatch(/was interrupted; whether its effect took place is not known/)
      }
    }
    expect(doubts).toBeGreaterThan(0)
  })

  test('is asked about where a function says how, and its answer is the result', async () => {
    const asked: InterruptedStep[] = []
    const keys = new Set<string>()
    const { calm, crashed } = await everyCrash({
      effects: () => ({ bought: 0 }),
      tasks: (effects) => [
        defineTask({ name: 'trade' }, (task) =>
          task.step(
            'buy',
            ({ idempotencyKey }) => {
              keys.add(idempotencyKey)
              effects.bought++
              return 'bought'
            },
            {
              onInterrupted: (step) => {
                asked.push(step)
                return effects.bought > 0 ? 'bought' : 'not bought'
              },
            },
          ),
        ),
      ],
      drive,
    })
    expect(calm.outcome).toMatchObject({ value: 'bought' })
    for (const { where, outcome, effects } of crashed) {
      expect(effects.bought, where).toBeLessThanOrEqual(1)
      expect(outcome, where).toMatchObject({ value: effects.bought === 1 ? 'bought' : 'not bought' })
    }
    expect(asked[0]).toMatchObject({ name: 'buy', attempt: 1, startedAt: expect.any(Number) })
    expect(asked.some(({ idempotencyKey }) => keys.has(idempotencyKey))).toBe(true)
  })

  test('that failed and is tried again is in doubt only while an attempt runs', async () => {
    const { crashed } = await everyCrash({
      effects: () => ({ calls: [] as number[] }),
      tasks: (effects) => [
        defineTask({ name: 'trade' }, (task) =>
          task.step(
            'buy',
            ({ attempt }) => {
              effects.calls.push(attempt)
              if (attempt < 3) throw new Error('closed')
              return 'bought'
            },
            { onInterrupted: 'fail', retry: { maximumAttempts: 3, initialInterval: '5m' } },
          ),
        ),
      ],
      drive,
    })
    for (const { where, effects } of crashed) expect(new Set(effects.calls).size, where).toBe(effects.calls.length)
  })

  test('shows its code on the task', async () => {
    const disk = new MemoryDisk()
    let begin = () => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const buy = () => {
      begin()
      return new Promise(() => {})
    }
    const trade = defineTask({ name: 'trade' }, (task) => task.step('buy', buy, { onInterrupted: 'fail' }))
    const first = await openInMemory({ disk, tasks: [trade] })
    const { taskId } = await first.start(trade, null)
    await begun
    await first.close({ grace: 20 })
    const second = await openInMemory({ disk, tasks: [trade] })
    await expect(second.result(taskId)).rejects.toMatchObject({ code: 'STEP_IN_DOUBT', cause: { step: 'buy' } })
  })

  test.each(['asks', 'twice', 5, null])('with %j for `onInterrupted` is refused', async (onInterrupted) => {
    const task = defineTask({ name: 'bad' }, (task) =>
      task.step('a', () => 1, { onInterrupted: onInterrupted as never }),
    )
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await expect(holdfast.result(taskId)).rejects.toThrow(/`onInterrupted`/)
  })
})

describe("a step that was interrupted, under 'ask',", () => {
  /** A disk on which `buy` is in doubt: its process died while its function ran. */
  async function inDoubt(buy: () => unknown, clock = new ManualClock()) {
    const disk = new MemoryDisk()
    const trade = (fn: () => unknown) =>
      defineTask({ name: 'trade' }, async (task) => {
        const bought = await task.step('buy', fn, { onInterrupted: 'ask' })
        return [bought, await task.step('after', () => 'after')]
      })
    const first = await openInMemory({ disk, clock, tasks: [trade(() => new Promise(() => {}))] })
    const { taskId } = await first.start('trade', null)
    await turns(60)
    disk.crash()
    const open = (options: object = {}) => openInMemory({ disk, clock, tasks: [trade(buy)], ...options })
    return { taskId, disk, clock, open }
  }

  test('takes place once where it is told the truth, whatever write the process dies at', async () => {
    const made = () => ({ bought: new Map<string, string>(), begun: 0, questions: new Set<string>() })
    let effects = made()
    const { calm, crashed } = await everyCrash({
      effects: () => {
        effects = made()
        return effects
      },
      tasks: (effects) => [
        defineTask({ name: 'trade' }, async (task) => {
          const buy = ({ idempotencyKey }: StepContext) => {
            const what = `bought ${++effects.begun}`
            effects.bought.set(idempotencyKey, what)
            return what
          }
          const one = await task.step('buy', buy, { onInterrupted: 'ask' })
          return [one, await task.step('buy', buy, { onInterrupted: 'ask' })]
        }),
      ],
      drive: async (holdfast) => {
        const mine = effects
        const taskId = await drive(holdfast)
        answerAll(holdfast, taskId, ({ key, request }) => {
          mine.questions.add(key)
          const { step } = request as { step: InterruptedStep }
          expect(step).toMatchObject({ name: 'buy', attempt: 1, idempotencyKey: expect.any(String) })
          const result = mine.bought.get(step.idempotencyKey)
          return { tookPlace: result !== undefined, result }
        })
        return taskId
      },
    })
    // Before each of the two records at least: the function ran, and nobody but the one who is asked knows.
    expect(crashed.filter(({ effects }) => effects.questions.size > 0).length).toBeGreaterThanOrEqual(2)
    for (const { where, effects, outcome } of [calm, ...crashed]) {
      expect(effects.questions.size, where).toBeLessThanOrEqual(1)
      expect(effects.begun, where).toBe(2)
      expect(outcome, where).toMatchObject({ value: ['bought 1', 'bought 2'] })
    }
  })

  test.each([true, false])(
    'takes the answer %j once, and its process may die at every write of that',
    async (tookPlace) => {
      let again = 0
      const play = async (death: { atWrite: number; applied: boolean } | undefined) => {
        let begun = 0
        const { taskId, disk, open } = await inDoubt(() => `bought ${++begun}`)
        const before = disk.writes
        if (death) disk.dieAt(death)
        let asked = 0
        for (let life = 0; life < 3; life++) {
          const died = new Promise<undefined>((resolve) => disk.onDeath(() => resolve(undefined)))
          const living = async () => {
            const holdfast = await open()
            answerAll(holdfast, taskId, () => {
              asked++
              return { tookPlace, result: 'they say so' }
            })
            const value = await holdfast.result(taskId)
            // Without those of the close: it has a result by then, and this is not about how it closes.
            const writes = disk.writes - before
            const answers = (await holdfast.audit({ taskId })).filter(({ action }) => action === 'answered').length
            return { value, begun, asked, answers, writes }
          }
          const end = await Promise.race([living(), died])
          if (end) return end
        }
        throw new Error('it did not come to an end')
      }
      const calm = await play(undefined)
      expect(calm).toMatchObject({
        value: [tookPlace ? 'they say so' : 'bought 1', 'after'],
        begun: tookPlace ? 0 : 1,
        asked: 1,
        answers: 1,
      })
      for (let atWrite = 1; atWrite <= calm.writes; atWrite++) {
        for (const applied of [false, true]) {
          const where = `write ${atWrite}, ${applied ? 'after' : 'before'}`
          const { value, begun, answers } = await play({ atWrite, applied })
          // It began once more, and the process died: in doubt again, it is asked again, and told again to begin.
          if (begun > 1) again++
          expect(begun, where).toBeLessThanOrEqual(tookPlace ? 0 : 2)
          // Or it died after it had written that it begins: it had not, and nobody but the one who is asked knows.
          expect(answers, where).toBeGreaterThanOrEqual(begun)
          expect(answers, where).toBeLessThanOrEqual(tookPlace ? 1 : 2)
          expect(value, where).toEqual([tookPlace ? 'they say so' : `bought ${begun}`, 'after'])
        }
      }
      expect(again > 0).toBe(!tookPlace)
    },
  )

  test('makes the task `input_required` under one key, over restarts and for as long as it takes', async () => {
    const { taskId, clock, disk, open } = await inDoubt(() => expect.unreachable())
    for (let life = 0; life < 3; life++) {
      const holdfast = await open()
      await turns(60)
      if (life === 1) await clock.advance(61_000)
      expect(await holdfast.get(taskId)).toMatchObject({
        status: 'input_required',
        inputRequests: {
          buy: {
            name: 'buy',
            request: {
              message: expect.stringMatching(/^Step 'buy' began at 2026-.*interrupted\. Did it take place\?$/),
              requestedSchema: { type: 'object', required: ['tookPlace'] },
              step: { name: 'buy', attempt: 1, startedAt: expect.any(Number), idempotencyKey: expect.any(String) },
            },
          },
        },
      })
      if (life === 0) await holdfast.close()
      else disk.crash()
    }
    const last = await open()
    await turns(60)
    await clock.advance(61_000)
    expect(await last.respond(taskId, { buy: { tookPlace: true } })).toMatchObject({ accepted: ['buy'] })
    expect(await last.result(taskId)).toEqual([null, 'after'])
  })

  test('takes nothing but whether it took place, and goes on asking', async () => {
    const { taskId, open } = await inDoubt(() => 'bought')
    const holdfast = await open()
    await turns(60)
    for (const answer of [
      undefined,
      null,
      true,
      'yes',
      [],
      {},
      { tookPlace: 'yes' },
      { tookplace: true },
      { result: 1 },
    ])
      expect(await holdfast.respond(taskId, { buy: answer })).toEqual({
        open: ['buy'],
        accepted: [],
        ignored: [{ key: 'buy', reason: 'invalid' }],
      })
    const not = { code: 'NOT_SERIALIZABLE' }
    await expect(holdfast.respond(taskId, { buy: { tookPlace: true, result: 1n } })).rejects.toMatchObject(not)
    expect(await keysOf(holdfast, taskId)).toEqual(['buy'])
    const [one, two] = await Promise.all([
      holdfast.respond(taskId, { buy: { tookPlace: false } }),
      holdfast.respond(taskId, { buy: { tookPlace: true, result: 'other' } }),
    ])
    expect([one.accepted, two.ignored]).toEqual([['buy'], [{ key: 'buy', reason: expect.any(String) }]])
    expect(await holdfast.result(taskId)).toEqual(['bought', 'after'])
  })

  test('is asked about again, under another key, when it is interrupted again', async () => {
    let begun = 0
    const { taskId, disk, open } = await inDoubt(() => {
      begun++
      return new Promise(() => {})
    })
    for (const key of ['buy', 'buy-2', 'buy-3']) {
      const holdfast = await open()
      await turns(60)
      expect(await keysOf(holdfast, taskId)).toEqual([key])
      await holdfast.respond(taskId, { [key]: { tookPlace: false } })
      await turns(60)
      expect((await holdfast.get(taskId)).status).toBe('running')
      disk.crash()
    }
    expect(begun).toBe(3)
    const last = await open()
    await turns(60)
    expect(await last.respond(taskId, { 'buy-2': { tookPlace: true } })).toMatchObject({
      ignored: [{ reason: 'answered' }],
    })
    await last.respond(taskId, { 'buy-4': { tookPlace: true, result: 'in the end' } })
    expect(await last.result(taskId)).toEqual(['in the end', 'after'])
  })

  test('is one of several, each with its own question, beside one that may run again', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const ran: string[] = []
    const trade = (hangs: boolean) =>
      defineTask({ name: 'trade' }, (task) => {
        const act = (name: string) => () => {
          ran.push(name)
          return hangs ? new Promise<string>(() => {}) : name
        }
        return task.all({
          a: (branch) => branch.step('buy', act('a'), { onInterrupted: 'ask' }),
          b: (branch) => branch.step('buy', act('b'), { onInterrupted: 'ask' }),
          c: (branch) => branch.step('look', act('c')),
        })
      })
    const first = await openInMemory({ disk, clock, tasks: [trade(true)] })
    const { taskId } = await first.start('trade', null)
    await turns(60)
    // Side by side: one that first writes down that it begins does so later than one that does not.
    expect(ran.splice(0).sort()).toEqual(['a', 'b', 'c'])
    disk.crash()
    const second = await openInMemory({ disk, clock, tasks: [trade(false)] })
    await turns(60)
    const [one, two] = (await keysOf(second, taskId)) as [string, string]
    expect(one).not.toBe(two)
    await second.respond(taskId, { [two]: { tookPlace: true, result: 'known' } })
    await turns(60)
    expect(await keysOf(second, taskId)).toEqual([one])
    await second.respond(taskId, { [one]: { tookPlace: false } })
    expect(Object.values((await second.result(taskId)) as object).sort()).toEqual(['a', 'c', 'known'])
    expect(ran).toEqual(['c', 'a'])
  })

  test('in its second attempt is asked about as that, and a close without end is an interruption too', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const attempts: number[] = []
    const trade = defineTask({ name: 'trade' }, (task) =>
      task.step(
        'buy',
        ({ attempt }) => {
          attempts.push(attempt)
          if (attempt === 1) throw new Error('closed')
          return attempts.length > 2 ? `attempt ${attempt}` : new Promise(() => {})
        },
        { onInterrupted: 'ask', retry: { maximumAttempts: 3, initialInterval: '5s' } },
      ),
    )
    const first = await openInMemory({ disk, clock, tasks: [trade] })
    const { taskId } = await first.start(trade, null)
    await turns(60)
    await clock.advance(10_000)
    await first.close({ grace: 0 })
    const second = await openInMemory({ disk, clock, tasks: [trade] })
    await turns(60)
    expect(await second.get(taskId)).toMatchObject({
      inputRequests: { buy: { request: { step: { attempt: 2 } } } },
    })
    await second.respond(taskId, { buy: { tookPlace: false } })
    expect(await second.result(taskId)).toBe('attempt 2')
    expect(attempts).toEqual([1, 2, 2])
  })

  test('and cancelled meanwhile is asked about no more', async () => {
    const { taskId, open } = await inDoubt(() => expect.unreachable())
    const holdfast = await open({ concurrency: 1 })
    await turns(60)
    await holdfast.cancel(taskId)
    expect((await holdfast.get(taskId)).inputRequests).toBeUndefined()
    expect(await cameTo(holdfast.respond(taskId, { buy: { tookPlace: false } }), 30)).toEqual({
      value: { accepted: [], ignored: [{ key: 'buy', reason: 'settled' }], open: [] },
    })
    expect(await cameTo(holdfast.result(taskId), 30)).toEqual({ code: 'TASK_CANCELLED' })
  })
})
