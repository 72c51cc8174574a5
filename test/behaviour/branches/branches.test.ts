// Goal: branches side by side end as `all`, `race` and `any` say, whatever write the process dies at: the same branch
// decides in every run, and one that lost is cleaned up before the body goes on, and never comes back to life.
// Method: time in hand; scenarios are played with a crash before and after every write they make.

import { describe, expect, test } from 'vitest'
import { defineTask, type HoldfastError, type TaskContext } from '../../../src/index.js'
import { ManualClock, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { expectSame, run } from '../../helpers/branch-runs.js'
import { turns } from '../../helpers/turns.js'

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

  test('that are left waiting, or fail without a handler, never break the process', async () => {
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
      hear(new Error('no handler'))
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
