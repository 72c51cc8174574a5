// Goal: a step that must not begin twice never does, and says so when nobody knows whether it took place.
// Method: played with a crash before and after every write; the effects count how often the function was called.
import { describe, expect, test } from 'vitest'
import { defineTask, type InterruptedStep } from '../../src/index.js'
import { MemoryDisk, openInMemory } from '../../src/testing/index.js'
import { everyCrash } from './every-crash.js'

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
