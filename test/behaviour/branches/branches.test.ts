// Goal: branches side by side end as `all`, `race` and `any` say, whatever write the process dies at: the same branch
// decides in every run, and one that lost is cleaned up before the body goes on, and never comes back to life.
// Method: time in hand; scenarios are played with a crash before and after every write they make.

import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type HoldfastError, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash, type Played } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'

interface Effects {
  readonly log: string[]
  readonly keys: Set<string>
  /** What was said to a body under one name; more than one value shows a replay that saw something else. */
  readonly said: Map<string, Set<string>>
}
const noEffects = (): Effects => ({ log: [], keys: new Set(), said: new Map() })

const start = (name: string) => async (holdfast: Holdfast) =>
  (await holdfast.start(name, null, { idempotencyKey: 'the one' })).taskId

/** Moves time on from timer to timer until `promise` has settled. */
async function untilSettled<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let settled = false
  const over = () => {
    settled = true
  }
  promise.then(over, over)
  for (let moves = 0; !settled && moves < 500; moves++) {
    await clock.advance(0)
    const { nextDueAt } = clock
    if (!settled && nextDueAt !== undefined) await clock.advanceTo(nextDueAt)
  }
  if (!settled) throw new Error('Nothing more happens')
  return promise
}

/** Starts a task of this body and waits for its end. */
async function run(body: (task: TaskContext, clock: ManualClock) => unknown, options: object = {}): Promise<unknown> {
  const clock = new ManualClock()
  const task = defineTask({ name: 'main', ...options }, (context) => body(context, clock))
  const holdfast = await openInMemory({ tasks: [task], clock })
  const { taskId } = await holdfast.start(task, null)
  return untilSettled(clock, holdfast.result(taskId))
}

/** Plays it with every crash, and expects the outcome of the play without one. */
async function expectSame(
  make: (effects: Effects, clock: ManualClock) => ReturnType<typeof defineTask>[],
  law: (effects: Effects, where: string) => void = () => {},
  more: Partial<Parameters<typeof everyCrash<Effects>>[0]> = {},
): Promise<Played<Effects>> {
  const { calm, crashed } = await everyCrash({
    effects: noEffects,
    tasks: make as (effects: Effects, clock: ManualClock) => ReturnType<typeof defineTask>[],
    drive: start('main'),
    ...more,
  })
  law(calm.effects, calm.where)
  for (const { where, outcome, effects } of crashed) {
    expect(orderless(outcome), where).toEqual(orderless(calm.outcome))
    law(effects, where)
    for (const [what, values] of effects.said) expect([...values], `${where}: ${what}`).toHaveLength(1)
  }
  return calm
}

/** Branches that run side by side may be recorded in another order after a crash; who lost may have come further by then. */
function orderless(outcome: unknown): unknown {
  const { log: _, completedSteps: __, ...rest } = outcome as Record<string, unknown>
  return rest
}

const noted = (log: string[], what: string, value: string) => {
  log.push(what)
  return value
}
const times = (log: readonly string[], what: string) => log.filter((entry) => entry === what).length
/** Nothing of `what` comes after `first`. */
const noneAfter = (log: readonly string[], first: string, what: RegExp) => {
  const from = log.indexOf(first)
  return from < 0 ? [] : log.slice(from).filter((entry) => what.test(entry))
}

describe('branches', () => {
  test('have names, numbers, uuids and times of their own, nested ones too, and the same in every run', async () => {
    const calm = await expectSame(({ said, keys }) => [
      defineTask({ name: 'main' }, async (task) => {
        const say = async (what: string, t: TaskContext) => {
          const about = `${what}: ${await t.uuid()} ${await t.uuid()} ${await t.now()}`
          said.set(what, (said.get(what) ?? new Set()).add(about))
        }
        const load = (t: TaskContext, who: string) =>
          t.step('load', ({ idempotencyKey }) => {
            keys.add(idempotencyKey)
            return who
          })
        const both = await task.all({
          a: async (t) => {
            const got = [await load(t, 'a'), await load(t, 'a2')]
            await say('a', t)
            return got
          },
          b: async (t) => {
            await t.sleep('load', '1s')
            const inner = await t.all({
              a: async (t) => [await load(t, 'b.a'), await load(t, 'b.a2')],
              'b/c.d#1': async (t) => {
                await say('b.b', t)
                return load(t, 'b.b')
              },
            })
            await say('b', t)
            return { ...inner, own: await load(t, 'b') }
          },
        })
        const again = await task.all({ a: (t) => load(t, 'again') })
        await say('body', task)
        return { both, again, own: await load(task, 'body') }
      }),
    ])
    expect(calm.outcome).toMatchObject({
      value: {
        both: { a: ['a', 'a2'], b: { a: ['b.a', 'b.a2'], 'b/c.d#1': 'b.b', own: 'b' } },
        again: { a: 'again' },
        own: 'body',
      },
    })
    expect(calm.effects.keys.size).toBe(8)
    const uuids = [...calm.effects.said.values()].flatMap((values) =>
      [...values].flatMap((all) => all.split(' ').slice(1, 3)),
    )
    expect(new Set(uuids).size).toBe(8)
  })

  test('of several calls in a plain `Promise.all` do not get in each other’s way', async () => {
    const calm = await expectSame(({ log }) => [
      defineTask({ name: 'main' }, async (task) => {
        const call = (who: string, wait: number) =>
          task.all({
            x: async (t) => {
              await t.sleep('wait', wait)
              return t.step('load', () => {
                log.push(`${who}.x`)
                return `${who}.x`
              })
            },
            y: (t) => t.step('load', () => `${who}.y`),
          })
        const quick = task.race({
          one: (t) => t.step('load', () => 'one'),
          two: (t) => t.sleep('long', '9h').then(() => 'two'),
        })
        return Promise.all([call('p', 20), call('q', 10), quick, task.step('load', () => 'own')])
      }),
    ])
    expect(calm.outcome).toMatchObject({
      value: [{ x: 'p.x', y: 'p.y' }, { x: 'q.x', y: 'q.y' }, 'one', 'own'],
    })
  })

  test('that are none are refused, and the body goes on', async () => {
    const said = await run(async (task) => {
      const tried = (call: () => Promise<unknown>) =>
        call().then(
          (value) => JSON.stringify(value),
          (error: Error) => `${error.name}: ${error.message}`,
        )
      // biome-ignore lint/suspicious/noExplicitAny: what a caller without types may hand in
      const bad: any[] = [
        null,
        undefined,
        [],
        'x',
        1,
        { a: 1 },
        { a: null },
        { '': () => 1 },
        { ['n'.repeat(500)]: () => 1 },
      ]
      const messages: string[] = []
      for (const kind of ['all', 'race', 'any'] as const) {
        for (const given of bad) messages.push(await tried(() => task[kind](given)))
      }
      const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`b${at}`, () => at]))
      messages.push(await tried(() => task.race(many)))
      const empty = [await tried(() => task.all({})), await tried(() => task.race({})), await tried(() => task.any({}))]
      return { messages, empty, after: await task.step('after', () => 'fine') }
    })
    const { messages, empty, after } = said as { messages: string[]; empty: string[]; after: string }
    expect(messages).toHaveLength(28)
    for (const message of messages) expect(message).toMatch(/^TypeError: .*(branch|name)/)
    expect(empty[0]).toBe('{}')
    expect(empty[1]).toMatch(/TypeError.*`task\.race`.*at least one branch/)
    expect(empty[2]).toMatch(/TypeError.*`task\.any`.*at least one branch/)
    expect(after).toBe('fine')
  })

  test('refuse checkpoints, inside and beside them; a loser is no hindrance afterwards', async () => {
    const refused = async (call: () => Promise<unknown>) => {
      try {
        await call()
        return 'not refused'
      } catch (error) {
        return (error as HoldfastError).code
      }
    }
    const calm = await expectSame(() => [
      defineTask({ name: 'main' }, async (task) => {
        const inside = await task.all({
          save: (t) => refused(() => t.saveCheckpoint(1)),
          restore: (t) => refused(() => t.restoreCheckpoint()),
          body: () => refused(() => task.saveCheckpoint(1)),
        })
        const open = task.all({ a: (t) => t.sleep('a', '1s') })
        const beside = [await refused(() => task.saveCheckpoint(1)), await refused(() => task.restoreCheckpoint())]
        await open
        await task.race({
          quick: (t) => t.step('quick', () => 1),
          slow: (t) => t.race({ x: (t) => t.sleep('x', '1h'), y: (t) => t.sleep('y', '2h') }),
        })
        await task.saveCheckpoint(2)
        return { inside, beside }
      }),
    ])
    const code = 'STEPS_IN_FLIGHT'
    expect(calm.outcome).toMatchObject({
      value: { inside: { save: code, restore: code, body: code }, beside: [code, code] },
    })
  })

  test('that wait for something that is not a step are refused, whatever they then do', async () => {
    let come = () => {}
    const foreign = () =>
      new Promise<void>((resolve) => {
        come = resolve
      })
    const bodies: ((task: TaskContext) => unknown)[] = [
      (task) =>
        task
          .all({ a: () => foreign().then(() => 1), b: (t) => t.step('b', () => 1).then(() => t.sleep('b', 1e6)) })
          .then(() => task.step('x', () => 1)),
      // Another branch ends later, in a turn; after a crash it would end first.
      (task) =>
        task
          .all({ a: () => foreign().then(() => 1), b: (t) => t.sleep('b', '50s') })
          .then(() => task.step('x', () => 1)),
      (task) =>
        task
          .any({ a: () => foreign().then(() => Promise.reject(new Error('no'))), b: (t) => t.sleep('b', '50s') })
          .then(() => task.step('x', () => 1)),
      (task) => task.race({ a: () => foreign(), b: (t) => t.sleep('b', '50s') }),
      (task) => task.any({ a: () => foreign(), b: (t) => t.sleep('b', '50s') }),
      (task) =>
        task.all({ a: () => foreign().then(() => Promise.reject(new Error('no'))), b: (t) => t.sleep('b', '50s') }),
      (task) =>
        task
          .all({
            a: async (t) => {
              await foreign()
              await t.uuid()
            },
          })
          .catch(() => 'caught'),
      (task) =>
        task.race({
          a: async (t) => {
            await foreign()
            await t.all({ x: () => 1 })
          },
          b: (t) => t.sleep('b', '50s'),
        }),
    ]
    for (const [index, body] of bodies.entries()) {
      const clock = new ManualClock()
      const task = defineTask({ name: 'main' }, async (task) => {
        await task.step('first', () => 1)
        return body(task)
      })
      const holdfast = await openInMemory({ tasks: [task], clock })
      const { taskId } = await holdfast.start(task, null)
      const ended = holdfast.result(taskId).then(
        () => 'completed',
        (error: HoldfastError) => error.code,
      )
      await untilIdle(holdfast)
      come()
      await untilIdle(holdfast)
      await clock.advance(1e6)
      // A body that was unloaded meanwhile waits for it anew.
      await untilIdle(holdfast)
      come()
      expect(await Promise.race([ended, untilIdle(holdfast).then(() => 'nothing')]), `body ${index}`).toBe(
        'STEP_AMBIGUOUS',
      )
    }
  })

  test('that are left waiting, or fail with nobody to hear it, never break the process', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown) => void unhandled.push(reason)
    process.on('unhandledRejection', note)
    const clock = new ManualClock()
    const task = defineTask({ name: 'main' }, async (task) => {
      let hear = (_: unknown) => {}
      const heard = new Promise((_, reject) => {
        hear = reject
      })
      void task.race({
        bad: () => heard as Promise<never>,
        worse: (t) => t.step('worse', () => Promise.reject(new Error('w'))),
      })
      void task.all({ bad: () => Promise.reject(new Error('all')), slow: (t) => t.sleep('s', '1h') })
      void task.any({ bad: () => Promise.reject(new Error('any')) })
      void task.race({})
      await task.race({
        quick: (t) => t.step('quick', () => 1),
        slow: async (t) => {
          await t.step('slow', () => new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 5)))
        },
        late: async () => heard,
      })
      hear(new Error('nobody waits'))
      return task.step('after', () => 'after')
    })
    const holdfast = await openInMemory({ tasks: [task], clock })
    const { taskId } = await holdfast.start(task, null)
    expect(await holdfast.result(taskId)).toBe('after')
    await new Promise((resolve) => setTimeout(resolve, 20))
    const second = await holdfast.start(task, null)
    await turns(3)
    await holdfast.cancel(second.taskId).catch(() => {})
    await untilIdle(holdfast)
    await holdfast.close()
    await new Promise((resolve) => setTimeout(resolve, 20))
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })
})

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

  test('a message that goes back is heard by whoever waits for one beside it', async () => {
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
    // Nobody sent anything: this is the frame; the message comes below.
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
    // How long the undo goes on once the other thing has happened: over before it is looked for, at that moment, after it.
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
