// Goal: `all` waits for every branch and `any` for the first success, whatever write the process dies at.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { expectSame, noneAfter, noted, run, times } from '../../helpers/branch-runs.js'

describe('all', () => {
  test('cancels and awaits the others when one fails, then rejects; the body goes on', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask({ name: 'main' }, async (task) => {
          try {
            return await task.all({
              done: (t) => t.step('done', () => void log.push('done')),
              bad: async (t) => {
                await t.sleep('a while', '10s')
                await t.step('bad', () => {
                  throw new Error('bad luck')
                })
              },
              waits: async (t) => {
                await t.sleep('long', '3h')
                await t.step('never', () => log.push('NEVER'))
              },
            })
          } catch (error) {
            return [(error as Error).message, await task.step('after', () => void log.push('after'))]
          }
        }),
      ],
      ({ log }, where) => {
        expect(log, where).not.toContain('NEVER')
        expect(log.at(-1), where).toBe('after')
      },
    )
    expect(calm.outcome).toMatchObject({
      value: ["Step 'bad' failed: bad luck", null],
      log: [
        'prefix done#1 completed after 1',
        'prefix a while#1 completed after 1',
        'prefix bad#1 failed after 1',
        'prefix all#1 completed after 1',
        'prefix after#1 completed after 1',
      ].map((line) => expect.stringContaining(line.slice(0, 12))),
    })
  })

  test('waits for the functions of the others: to their end if that is soon, else as long as the grace', async () => {
    for (const [heeds, waited] of [
      [true, 1_000],
      [false, 5_000],
    ] as const) {
      const at: Record<string, number> = {}
      let told = 0
      const value = await run(async (task, clock) => {
        try {
          await task.all({
            bad: async (t) => {
              await t.sleep('a while', '10s')
              at['failed'] = clock.now()
              throw new Error('bad')
            },
            works: (t) =>
              t.step('works', ({ signal }) => {
                return new Promise((resolve) => {
                  signal.addEventListener('abort', () => {
                    told++
                    if (heeds) clock.setTimer(clock.now() + 1_000, () => resolve('late'))
                  })
                })
              }),
          })
        } catch {
          at['rejected'] = clock.now()
        }
        return task.step('after', () => 'after')
      })
      expect(value).toBe('after')
      expect(told).toBe(1)
      expect((at['rejected'] ?? 0) - (at['failed'] ?? 0)).toBe(waited)
    }
  })

  test('undoes what the others did, keeps what ended, and a retry of the task runs it under another key', async () => {
    const calm = await expectSame(
      ({ log, keys }) => [
        defineTask(
          {
            name: 'main',
            retry: { maximumAttempts: 2, initialInterval: '1m' },
            undo: {
              hold: (_, { result }) => log.push(`undo ${result}`),
              kept: (_, { result }) => log.push(`undo ${result}`),
            },
          },
          (task) =>
            task.all({
              kept: (t) => t.step('kept', () => noted(log, 'kept', 'kept')),
              held: async (t) => {
                const held = await t.step('hold', ({ idempotencyKey }) => {
                  keys.add(idempotencyKey)
                  log.push('hold')
                  return 'held'
                })
                await t.sleep('long', '50s')
                return held
              },
              flaky: async (t) => {
                const before = await t.step('before', () => noted(log, 'before', 'before'))
                await t.sleep('while', '10s')
                await t.step('flaky', () => {
                  if (task.attempt === 1) throw new Error('flaky')
                })
                return before
              },
            }),
        ),
      ],
      ({ log, keys }, where) => {
        expect(times(log, 'undo kept'), where).toBe(0)
        expect(times(log, 'undo held'), where).toBeGreaterThanOrEqual(1)
        expect(times(log, 'undo held'), where).toBeLessThanOrEqual(2)
        expect(times(log, 'kept'), where).toBeLessThanOrEqual(2)
        expect(times(log, 'before'), where).toBeLessThanOrEqual(2)
        expect(keys.size, where).toBe(2)
        // Undone, and then done once more: never the other way round.
        expect(log.lastIndexOf('hold'), where).toBeGreaterThan(log.lastIndexOf('undo held'))
      },
    )
    expect(calm.outcome).toMatchObject({ value: { kept: 'kept', held: 'held', flaky: 'before' }, attempt: 2 })
    expect(times(calm.effects.log, 'kept')).toBe(1)
    expect(times(calm.effects.log, 'before')).toBe(1)
    expect(times(calm.effects.log, 'hold')).toBe(2)
  })

  test('fails with the first failure in the order of the log, and the task with it', async () => {
    const calm = await expectSame(() => [
      defineTask({ name: 'main' }, (task) =>
        task.all({
          late: async (t) => {
            await t.sleep('x', '2s')
            throw new Error('late')
          },
          early: async (t) => {
            await t.sleep('x', '1s')
            throw new Error('early')
          },
        }),
      ),
    ])
    expect(calm.outcome).toMatchObject({ status: 'failed', error: expect.stringContaining('early') })
  })
})

describe('any', () => {
  test('passes over what fails, takes the first value, and cancels the rest', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask(
          {
            name: 'main',
            undo: { bad: (_, { result }) => log.push(`undo bad ${result}`), hold: () => log.push('undo hold') },
          },
          (task) =>
            task.any({
              bad: (t) => t.step('bad', () => Promise.reject(new Error('bad'))),
              good: async (t) => {
                await t.sleep('s', '10s')
                return t.step('good', () => 'good')
              },
              held: async (t) => {
                await t.step('hold', () => log.push('hold'))
                await t.sleep('s', '1h')
                log.push('NEVER')
              },
            }),
        ),
      ],
      ({ log }, where) => {
        expect(log, where).toContain('undo hold')
        expect(log, where).not.toContain('NEVER')
        expect(noneAfter(log, 'undo hold', /^hold/), where).toEqual([])
      },
    )
    expect(calm.outcome).toMatchObject({ value: 'good' })
  })

  test('rejects with an AggregateError when all fail, in the order of the branches, and a retry drops them all', async () => {
    const calm = await expectSame(({ log, said }) => [
      defineTask({ name: 'main', retry: { maximumAttempts: 2, initialInterval: '1m' } }, async (task) => {
        const before = await task.step('before', () => void log.push('before'))
        const tried = (who: string, wait: number) => async (t: TaskContext) => {
          await t.sleep('s', wait)
          return t.step('try', () => {
            if (task.attempt === 1) throw new Error(who)
            return who
          })
        }
        const any = task.any({ one: tried('one', 2_000), two: tried('two', 1_000) })
        await any.catch((error: AggregateError) => {
          const text = `${error.name} ${error.errors.map((each) => (each.cause as Error).message).join()}`
          said.set('error', (said.get('error') ?? new Set()).add(text))
        })
        return [before, await any]
      }),
    ])
    expect(calm.outcome).toMatchObject({ value: [null, 'two'], attempt: 2 })
    expect([...(calm.effects.said.get('error') ?? [])]).toEqual(['AggregateError one,two'])
  })
})
