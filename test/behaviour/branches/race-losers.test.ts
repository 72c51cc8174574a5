// Goal: a branch that lost a race is cleaned up before the body continues, and never comes back to life.
// Method: time in hand; scenarios are played with a crash before and after every write they make.
import { describe, expect, test } from 'vitest'
import { defineTask, type HoldfastError } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { expectSame, noneAfter, noted, run, start, times, untilSettled } from '../../helpers/branch-runs.js'
import { turns } from '../../helpers/turns.js'

describe('race', () => {
  test('is won by a value: what the losers did is undone before it returns, and none of them comes back', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask(
          {
            name: 'main',
            undo: {
              hold: (_, { result }) => log.push(`undo ${result}`),
              pay: async (context, { result }) => {
                await context.step('refund', () => log.push(`undo ${result}`))
                await context.step('tell', () => log.push('tell'))
              },
            },
          },
          async (task) => {
            const won = await task.race({
              slow: async (t) => {
                await t.step('hold', () => noted(log, 'hold', 'h1'))
                await t.all({
                  x: (t) => t.step('hold', () => noted(log, 'hold', 'h2')),
                  y: (t) => t.step('pay', () => noted(log, 'pay', 'p1')),
                })
                await t.sleep('long', '2h')
                await t.step('never', () => log.push('NEVER'))
              },
              quick: async (t) => {
                await t.sleep('short', '10s')
                return t.step('hold', () => noted(log, 'win', 'quick'))
              },
            })
            log.push('told')
            return [won, await task.step('after', () => log.push('after') && 'after')]
          },
        ),
      ],
      ({ log }, where) => {
        expect(log, where).not.toContain('NEVER')
        expect(log, where).not.toContain('undo quick')
        for (const undone of ['undo h1', 'undo h2', 'undo p1', 'tell']) {
          expect(times(log, undone), `${where}: ${undone}`).toBeGreaterThanOrEqual(1)
          expect(times(log, undone), `${where}: ${undone}`).toBeLessThanOrEqual(2)
          expect(noneAfter(log, 'told', /undo|tell/), where).toEqual([])
        }
        expect(noneAfter(log, 'undo p1', /^(hold|pay)$/), where).toEqual([])
        // The newest first.
        expect(log.lastIndexOf('undo h1'), where).toBeGreaterThan(log.lastIndexOf('undo p1'))
      },
      {
        look: async (_, taskId, disk) =>
          [...disk.content.keys()].filter((key) => key.startsWith(`note/${taskId}`)).length,
      },
    )
    expect(calm.outcome).toMatchObject({ value: ['quick', 'after'], status: 'completed', seen: 0 })
    expect(calm.effects.log.filter((entry) => entry.startsWith('undo'))).toHaveLength(3)
  })

  test('takes back the questions, waits, messages and children of its losers before it returns', async () => {
    const calm = await expectSame(
      ({ log }) => [
        defineTask({ name: 'kid', onCancel: () => log.push('kid cleaned up') }, async (task) => {
          await task.sleep('k', '5h')
          log.push('NEVER')
        }),
        defineTask({ name: 'main' }, async (task) => {
          const won = await task.race({
            quick: async (t) => {
              await t.receive('go')
              await t.sleep('short', '10s')
              return 'quick'
            },
            asks: (t) => t.input('sure', { message: 'sure?' }),
            takes: async (t) => {
              await t.receive('m')
              await t.all({ one: (t) => t.receive('m'), two: (t) => t.receive('nothing', { timeout: '9h' }) })
            },
            raises: (t) => t.child('kid', null),
            sleeps: (t) => t.sleep('long', '9h'),
          })
          log.push('told')
          const taken = [await task.receive('m'), await task.receive('m'), await task.receive('m')]
          return { won, taken }
        }),
      ],
      ({ log }, where) => {
        expect(log, where).not.toContain('NEVER')
        expect(log.indexOf('kid cleaned up'), where).toBeGreaterThanOrEqual(0)
        expect(log.indexOf('kid cleaned up'), where).toBeLessThan(log.indexOf('told'))
      },
      {
        drive: async (holdfast) => {
          const taskId = await start('main')(holdfast)
          const messages = [
            ['m', 1],
            ['m', 2],
            ['m', 3],
            ['go', 0],
          ] as const
          for (const [name, value] of messages) {
            await holdfast.send(taskId, name, value, { idempotencyKey: `${name}${value}` }).catch((error) => {
              if (!['TASK_SETTLED', 'CLOSED'].includes(error.code)) throw error
            })
          }
          return taskId
        },
        look: async (holdfast, taskId, disk) => {
          const view = await holdfast.get(taskId)
          const keys = [...disk.content.keys()].filter((key) => /^(note|message)\//.test(key) && key.includes(taskId))
          return { inputs: view.inputRequests, cleanUp: view.cleanUp, keys }
        },
      },
    )
    expect(calm.outcome).toMatchObject({
      value: { won: 'quick', taken: [1, 2, 3] },
      seen: { inputs: undefined, cleanUp: 'none', keys: [] },
    })
  })

  test('shows no question of a loser, and is running again', async () => {
    const clock = new ManualClock()
    const task = defineTask({ name: 'main' }, async (task) => {
      await task.race({ asks: (t) => t.input('sure'), waits: (t) => t.sleep('w', '10s') })
      await task.sleep('after', '1h')
    })
    const holdfast = await openInMemory({ tasks: [task], clock })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    const before = await holdfast.get(taskId)
    expect(before.status).toBe('input_required')
    const [key = ''] = Object.keys(before.inputRequests ?? {})
    await clock.advance(10_000)
    await untilIdle(holdfast)
    const after = await holdfast.get(taskId)
    expect(after.status).toBe('running')
    expect(after.inputRequests ?? {}).toEqual({})
    expect(await holdfast.respond(taskId, { [key]: 1 })).toEqual({
      open: [],
      accepted: [],
      ignored: [{ key, reason: 'answered' }],
    })
  })

  test('a message that goes back is received by a branch beside it that waits for one', async () => {
    const value = await run(async (task) => {
      return task.all({
        race: (t) =>
          t.race({
            takes: async (t) => {
              await t.receive('m')
              await t.sleep('long', '9h')
            },
            quick: (t) => t.sleep('short', '10s').then(() => 'quick'),
          }),
        // A moment later, so that the other is served first.
        waits: async (t) => {
          await t.sleep('moment', 1)
          return t.receive('m', { timeout: '2h' }).catch((error: HoldfastError) => error.code)
        },
        sends: async (t) => t.step('send', () => 0),
      })
    }, {}).catch((error: Error) => error.message)
    // No message is sent in this run. The message comes below.
    expect(value).toEqual({ race: 'quick', waits: 'RECEIVE_TIMEOUT', sends: 0 })

    const clock = new ManualClock()
    const task = defineTask({ name: 'main' }, (task) =>
      task.all({
        race: (t) =>
          t.race({
            takes: async (t) => {
              await t.receive('m')
              await t.sleep('long', '9h')
            },
            quick: (t) => t.sleep('short', '10s').then(() => 'quick'),
          }),
        waits: async (t) => {
          await t.sleep('moment', 1)
          return t.receive('m')
        },
      }),
    )
    const holdfast = await openInMemory({ tasks: [task], clock, unloadAfter: '10d' })
    const { taskId } = await holdfast.start(task, null)
    await holdfast.send(taskId, 'm', 'the one')
    await untilIdle(holdfast)
    await clock.advance(60_000)
    await untilIdle(holdfast)
    const view = await holdfast.get(taskId)
    expect(view.status).toBe('completed')
    expect(await holdfast.result(taskId)).toEqual({ race: 'quick', waits: 'the one' })
  })

  test('a message that a loser took in the very commit that decided goes back too', async () => {
    for (let before = 0; before <= 12; before++) {
      const disk = new MemoryDisk()
      const clock = new ManualClock()
      const task = defineTask({ name: 'main' }, async (task) => {
        await task.race({
          wins: async (t) => {
            for (let at = 0; at < before % 4; at++) await t.uuid()
            return t.step('win', () => turns(before))
          },
          takes: (t) => t.receive('m').then(() => t.sleep('long', '9h')),
        })
        return task.receive('m')
      })
      const holdfast = await openInMemory({ tasks: [task], clock, disk })
      const { taskId } = await holdfast.start(task, null)
      await turns(Math.floor(before / 2))
      await holdfast.send(taskId, 'm', 'the one')
      const got = await untilSettled(clock, holdfast.result(taskId)).catch((error: Error) => error.message)
      expect(got, `after ${before} turns`).toBe('the one')
    }
  })

  test('aborts the signals of its losers, and lets what returns late change nothing', async () => {
    const seen: string[] = []
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    let release = () => {}
    const late = new Promise<void>((resolve) => {
      release = resolve
    })
    const task = defineTask({ name: 'main' }, async (task) => {
      const won = await task.race({
        slow: async (t) => {
          t.signal.addEventListener('abort', () => seen.push('branch'))
          await t.step('slow', async ({ signal, saveCheckpoint }) => {
            signal.addEventListener('abort', () => seen.push('step'))
            await late
            seen.push('late')
            await saveCheckpoint({ from: 'a loser' }).then(
              () => seen.push('saved'),
              () => seen.push('not saved'),
            )
            return 'late'
          })
          seen.push('NEVER')
        },
        quick: async (t) => {
          t.signal.addEventListener('abort', () => seen.push('WINNER'))
          await t.sleep('s', 100)
          return 'quick'
        },
      })
      seen.push('told')
      await task.sleep('more', '50s')
      return won
    })
    const holdfast = await openInMemory({ tasks: [task], clock, disk })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await clock.advance(100)
    await untilIdle(holdfast)
    expect(seen.sort()).toEqual(['branch', 'step', 'told'])
    const before = await holdfast.steps(taskId)
    release()
    await untilIdle(holdfast)
    expect(await holdfast.steps(taskId)).toEqual(before)
    expect(seen).not.toContain('NEVER')
    expect(seen).toContain('late')
    expect(seen).not.toContain('saved')
    expect([...disk.content].filter(([key, value]) => key.startsWith('note/') && value.includes('a loser'))).toEqual([])
    await clock.advance(50_000)
    expect(await holdfast.result(taskId)).toBe('quick')
  })

  test('hands the undo a result that arrives within the grace, and begins it no sooner', async () => {
    const seen: string[] = []
    const value = await run(
      async (task, clock) => {
        const won = await task.race({
          slow: (t) =>
            t.step('hold', ({ signal }) => {
              return new Promise((resolve) => {
                signal.addEventListener('abort', () =>
                  clock.setTimer(clock.now() + 3_000, () => {
                    seen.push('late')
                    resolve('late result')
                  }),
                )
              })
            }),
          deaf: (t) => t.step('deaf', () => new Promise(() => {})),
          quick: (t) => t.sleep('s', '10s').then(() => 'quick'),
        })
        seen.push('told')
        return won
      },
      {
        undo: {
          hold: (_: unknown, { result }: { result: unknown }) => seen.push(`undo ${result}`),
          deaf: (_: unknown, { result }: { result: unknown }) => seen.push(`undo deaf ${result}`),
        },
      },
    )
    expect(value).toBe('quick')
    expect(seen).toEqual(['late', 'undo deaf undefined', 'undo late result', 'told'])
  })

  test('a crash in an undo never revives the loser: its undo goes on, and only that', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const log: string[] = []
    let deaths = 0
    const task = defineTask(
      {
        name: 'main',
        undo: {
          hold: async (context) => {
            await context.step('first', () => log.push('first'))
            if (deaths++ < 2) {
              disk.crash()
              await new Promise(() => {})
            }
            log.push('second')
          },
        },
      },
      async (task) => {
        const won = await task.race({
          held: async (t) => {
            await t.step('hold', () => log.push('hold'))
            await t.sleep('long', '10s')
            await t.step('NEVER', () => log.push('NEVER'))
            return 'held'
          },
          quick: (t) => t.sleep('q', '1s').then(() => 'quick'),
        })
        return [won, await task.step('after', () => void log.push('after'))]
      },
    )
    let outcome: unknown
    for (let life = 0; life < 3; life++) {
      // Down for so long that the loser's own wait is over too.
      await clock.advance(60_000)
      let died = false
      disk.onDeath(() => {
        died = true
      })
      const holdfast = await openInMemory({ tasks: [task], clock, disk })
      const taskId = await start('main')(holdfast)
      const result = holdfast.result(taskId).then((value) => {
        outcome = value
      })
      for (let moves = 0; !died && outcome === undefined && moves < 100; moves++) {
        await untilIdle(holdfast)
        if (!died && clock.nextDueAt !== undefined) await clock.advanceTo(clock.nextDueAt)
      }
      void result
    }
    expect(outcome).toEqual(['quick', null])
    expect(log).toEqual(['hold', 'first', 'second', 'after'])
  })
})
