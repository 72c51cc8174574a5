// Goal: the same branch decides a race in every run, whatever write the process dies at, and a retry decides anew only where it has to.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { ManualClock, openInMemory } from '../../../src/testing/index.js'
import { expectSame, noneAfter, noted, times, untilSettled } from '../../helpers/branch-runs.js'
import { turns } from '../../helpers/turns.js'

describe('race', () => {
  test('is won by a rejection too', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask({ name: 'main', undo: { hold: () => log.push('undo') } }, async (task) => {
          const said = await task
            .race({
              bad: async (t) => {
                await t.sleep('x', '5s')
                await t.step('bad', () => Promise.reject(new RangeError('bad')))
              },
              held: async (t) => {
                await t.step('hold', () => log.push('hold'))
                await t.sleep('long', '1h')
                log.push('NEVER')
              },
            })
            .catch((error: Error) => `${error.message}/${(error.cause as Error).name}`)
          return [said, await task.step('after', () => 1)]
        }),
      ],
      ({ log }, where) => {
        expect(log, where).not.toContain('NEVER')
        expect(log, where).toContain('undo')
        expect(noneAfter(log, 'undo', /^hold$/), where).toEqual([])
      },
    )
    expect(calm.outcome).toMatchObject({ value: ["Step 'bad' failed: bad/RangeError", 1] })
  })

  test('inside a race that is decided while it cleans up: each step is undone once', async () => {
    for (const heeds of [false, true]) {
      const seen: string[] = []
      const clock = new ManualClock()
      const undo = async ({ signal }: { signal: AbortSignal }) => {
        seen.push('begins')
        await new Promise<void>((resolve, reject) => {
          clock.setTimer(clock.now() + 8_000, resolve)
          if (heeds) signal.addEventListener('abort', () => reject(new Error('aborted')))
        })
        seen.push('ends')
      }
      const task = defineTask({ name: 'main', undo: { hold: undo } }, async (task) => {
        const won = await task.race({
          outer: async (t) => {
            await t.race({
              held: async (t) => {
                await t.step('hold', () => 'h')
                await t.sleep('long', '9h')
              },
              quick: (t) => t.sleep('q', '5s'),
            })
            seen.push('NEVER')
          },
          quick: (t) => t.sleep('q', '10s').then(() => 'quick'),
        })
        seen.push('told')
        return won
      })
      const holdfast = await openInMemory({ tasks: [task], clock })
      const { taskId } = await holdfast.start(task, null)
      expect(await untilSettled(clock, holdfast.result(taskId))).toBe('quick')
      // An attempt that heeds its signal has not happened: it is made again.
      expect(seen).toEqual(heeds ? ['begins', 'begins', 'ends', 'told'] : ['begins', 'ends', 'told'])
    }
  })

  test.each([
    ['the race around it is decided', false],
    ['the task is cancelled', true],
  ])('undoes each step once, at whatever moment of that %s', async (_, isCancelled) => {
    // Number of turns that the undo continues after the other event: it ends before the check, at the check, or after it.
    for (let length = 0; length < 40; length++) {
      const clock = new ManualClock()
      let begun = 0
      let other = () => {}
      const happens = new Promise<void>((resolve) => {
        other = resolve
      })
      const undo = async () => {
        begun++
        other()
        await turns(length)
      }
      // Ending it takes a while too.
      const child = defineTask({ name: 'child', onCancel: () => turns(20) }, (t) => t.sleep('long', '9h'))
      const held = async (t: TaskContext) => {
        await t.step('hold', () => 'h')
        await t.sleep('long', '9h')
      }
      const task = defineTask({ name: 'main', undo: { hold: undo } }, (task) =>
        task.race({
          outer: (t) =>
            t.all({
              child: (t) => t.child(child, null),
              race: (t) => t.race({ held, quick: (t) => t.sleep('q', '5s') }),
            }),
          quick: (t) => (isCancelled ? t.sleep('q', '1h') : t.step('q', () => happens)),
        }),
      )
      const holdfast = await openInMemory({ tasks: [task], clock })
      const { taskId } = await holdfast.start(task, null)
      if (isCancelled) void happens.then(() => holdfast.cancel(taskId))
      await untilSettled(
        clock,
        holdfast.result(taskId).catch(() => {}),
      )
      expect(begun, `after ${length} turns`).toBe(1)
      await holdfast.close()
    }
  })

  test('inside a branch that lost stays decided when the task is tried again', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask(
          {
            name: 'main',
            retry: { maximumAttempts: 2, initialInterval: '1m' },
            undo: { hold: () => log.push('undo hold') },
          },
          async (task) => {
            const won = await task.race({
              fast: async (t) => {
                await t.sleep('a moment', '10s')
                return 'fast'
              },
              slow: async (t) => {
                // Its step decides it, and is undone when the branch around it loses.
                await t.race({
                  x: (t) => t.step('hold', () => noted(log, 'hold', 'held')),
                  y: (t) => t.sleep('long', '50s'),
                })
                await t.sleep('longer', '90s')
                return 'slow'
              },
            })
            await task.step('flaky', () => {
              if (task.attempt === 1) throw new Error('flaky')
            })
            return won
          },
        ),
      ],
      ({ log }, where) => {
        expect(times(log, 'undo hold'), where).toBeGreaterThanOrEqual(1)
        expect(log.lastIndexOf('undo hold'), where).toBeGreaterThan(log.lastIndexOf('hold'))
      },
    )
    expect(calm.outcome).toMatchObject({ value: 'fast', attempt: 2 })
    expect(calm.effects.log).toEqual(['hold', 'undo hold'])
  })

  test('inside a branch that lost is decided anew when the race around it is', async () => {
    const calm = await expectSame(
      ({ log, keys }) => [
        defineTask(
          {
            name: 'main',
            retry: { maximumAttempts: 2, initialInterval: '1m' },
            undo: { hold: () => log.push('undo hold') },
          },
          (task) =>
            task.race({
              fast: async (t) => {
                await t.sleep('a moment', '10s')
                await t.step('flaky', () => {
                  if (task.attempt === 1) throw new Error('flaky')
                })
                await t.sleep('very long', '5m')
              },
              slow: async (t) => {
                const won = await t.race({
                  x: (t) =>
                    t.step('hold', ({ idempotencyKey }) => {
                      keys.add(idempotencyKey)
                      return noted(log, 'hold', 'held')
                    }),
                  y: (t) => t.sleep('long', '50s'),
                })
                await t.sleep('longer', '90s')
                return won
              },
            }),
        ),
      ],
      ({ keys }, where) => expect(keys.size, where).toBe(2),
    )
    expect(calm.outcome).toMatchObject({ value: 'held', attempt: 2 })
    expect(calm.effects.log).toEqual(['hold', 'undo hold', 'hold'])
  })

  test('goes by the log where two waits are over at once, after any crash and any time down', async () => {
    const calm = await expectSame(({ said }) => [
      defineTask({ name: 'main' }, async (task) => {
        const won: string[] = []
        for (let round = 0; round < 3; round++) {
          const winner = await task.race({
            a: (t) => t.sleep('s', 1_000).then(() => 'a'),
            b: (t) => t.sleep('s', 1_000).then(() => 'b'),
            c: async (t) => {
              for (let at = 0; at <= round; at++) await t.step('s', () => turns(at))
              return 'c'
            },
          })
          won.push(winner)
          said.set(`${round}`, (said.get(`${round}`) ?? new Set()).add(winner))
        }
        return won.length
      }),
    ])
    expect(calm.outcome).toMatchObject({ value: 3 })
  })

  test('in a loop with checkpoints: a branch that lost in one round may win in the next', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask(
          {
            name: 'main',
            undo: { hold: (_, { result }) => log.push(`undo ${result}`) },
          },
          async (task) => {
            let { round, won } = (await task.restoreCheckpoint<{ round: number; won: string[] }>())?.state ?? {
              round: 0,
              won: [],
            }
            while (round < 3) {
              const winner = await task.race({
                even: async (t) => {
                  const held = await t.step('hold', () => `even ${round}`)
                  await t.sleep('s', round % 2 === 0 ? '1s' : '1h')
                  return held
                },
                odd: async (t) => {
                  const held = await t.step('hold', () => `odd ${round}`)
                  await t.sleep('s', round % 2 === 1 ? '1s' : '1h')
                  return held
                },
              })
              won = [...won, winner]
              round++
              await task.saveCheckpoint({ round, won }, { prune: round % 2 === 0 })
            }
            return won
          },
        ),
      ],
      ({ log }, where) => {
        expect(new Set(log), where).toEqual(new Set(['undo odd 0', 'undo even 1', 'undo odd 2']))
      },
    )
    expect(calm.outcome).toMatchObject({ value: ['even 0', 'odd 1', 'even 2'] })
    expect(calm.effects.log).toHaveLength(3)
  })
})
