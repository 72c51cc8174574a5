// Goal: what a task did is taken back when it does not complete: the newest first, each step once, with what it returned,
// whatever happens meanwhile.
// Method: time in hand. Scenarios are played with a crash before and after every write they make; what an undo is handed is
// looked at with functions that end early, late, and never.

import { describe, expect, test } from 'vitest'
import {
  type CleanUpContext,
  type CleanUpOptions,
  type Duration,
  defineTask,
  type StepToUndo,
  type TaskContext,
  type TaskView,
} from '../../../src/index.js'
import { noting } from '../../helpers/clean-up.js'
import { everyCrash } from '../../helpers/every-crash.js'

const statesOf = ({ undone = [] }: TaskView) => undone.map(({ step, number, state }) => `${step}#${number} ${state}`)

describe('a task that fails', () => {
  interface Seen {
    readonly log: string[]
    readonly keys: Map<string, Set<string>>
    view?: TaskView
  }

  /** Plays it with a crash at every write. What was seen last is that of the life in which it came to its end. */
  async function play(
    body: (task: TaskContext, seen: Seen) => unknown,
    options: { timeout?: Duration; retry?: object; cleanUp?: CleanUpOptions; undoes?: (log: string[]) => void } = {},
  ) {
    let seen: Seen = { log: [], keys: new Map() }
    const { undoes, ...rest } = options
    const { calm, crashed } = await everyCrash<Seen>({
      effects: () => {
        seen = { log: [], keys: new Map() }
        return seen
      },
      tasks: (mine) => {
        const undo = (context: CleanUpContext, step: StepToUndo) => {
          keyOf(mine, `undo ${step.step}#${step.number}`, context.idempotencyKey)
          noting(mine.log)(context, step)
          undoes?.(mine.log)
        }
        return [defineTask({ name: 'main', undo: { a: undo, b: undo, c: undo }, ...rest }, (task) => body(task, mine))]
      },
      drive: async (holdfast) => {
        const mine = seen
        const { taskId } = await holdfast.start('main', { file: 'x' }, { idempotencyKey: 'k' })
        await holdfast.result(taskId, { waitParked: true }).catch(() => {})
        mine.view = await holdfast.get(taskId)
        return taskId
      },
    })
    return { calm, crashed }
  }

  const keyOf = ({ keys }: Seen, what: string, key: string) => keys.set(what, (keys.get(what) ?? new Set()).add(key))

  const undosOf = ({ log }: Seen) => log.filter((line) => line.startsWith('undo'))

  const step = (task: TaskContext, seen: Seen, name: string, value: unknown = name.toUpperCase()) =>
    task.step(name, ({ idempotencyKey }) => {
      keyOf(seen, name, idempotencyKey)
      seen.log.push(name)
      return value
    })

  const fails = () => {
    throw new Error('no')
  }

  test('undoes what it did, the newest first, each once, whatever write the process dies at', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await step(task, seen, 'a')
      await step(task, seen, 'b', { id: 7 })
      await step(task, seen, 'other')
      await step(task, seen, 'a', null)
      fails()
    })
    const undone = ['undo a#2 null', 'undo b#1 {"id":7}', 'undo a#1 "A"']
    expect(undosOf(calm.effects)).toEqual(undone)
    for (const { where, effects } of [calm, ...crashed]) {
      expect(effects.view, where).toMatchObject({ status: 'failed', cleanUp: 'done', error: { message: 'no' } })
      expect(statesOf(effects.view as TaskView), where).toEqual(['a#2 undone', 'b#1 undone', 'a#1 undone'])
      expect([...new Set(undosOf(effects))], where).toEqual(undone)
      expect(undosOf(effects).length, where).toBeLessThanOrEqual(undone.length + 1)
      // In every life an undo has one key, and it is not the step's.
      for (const what of ['undo a#1', 'undo a#2', 'undo b#1', 'b']) expect(effects.keys.get(what)?.size, where).toBe(1)
      const all = [...effects.keys].filter(([what]) => what !== 'other').flatMap(([, keys]) => [...keys])
      expect(new Set(all).size, where).toBe(6)
    }
  })

  test('undoes a step that failed, with nothing for a result: a client that timed out may hide a charge', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await step(task, seen, 'a')
      await task.step('b', fails, { retry: { maximumAttempts: 2, initialInterval: '2m' } }).catch(() => {})
      await step(task, seen, 'c')
      fails()
    })
    const undone = ['undo c#1 "C"', 'undo b#1 undefined', 'undo a#1 "A"']
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))], where).toEqual(undone)
      expect(effects.view, where).toMatchObject({ cleanUp: 'done' })
    }
  })

  test('undoes nothing between its attempts, and everything once when it is out of them', async () => {
    const { calm, crashed } = await play(
      async (task, seen) => {
        await step(task, seen, 'a')
        await task.step('b', () => {
          seen.log.push('b failed')
          return fails()
        })
      },
      { retry: { maximumAttempts: 3, initialInterval: '2m' } },
    )
    expect(calm.effects.log).toEqual(['a', 'b failed', 'b failed', 'b failed', 'undo b#1 undefined', 'undo a#1 "A"'])
    for (const { where, effects } of crashed) {
      const at = effects.log.findIndex((line) => line.startsWith('undo'))
      expect(
        effects.log.slice(at).filter((line) => !line.startsWith('undo')),
        where,
      ).toEqual([])
      expect([...new Set(undosOf(effects))], where).toEqual(['undo b#1 undefined', 'undo a#1 "A"'])
    }
  })

  test('undoes what a prune has dropped from its log, and what came before a checkpoint that it restored', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      let { page } = (await task.restoreCheckpoint<{ page: number }>())?.state ?? { page: 0 }
      while (page < 3) {
        await step(task, seen, 'a', page)
        page++
        await task.saveCheckpoint({ page }, { prune: true })
      }
      await step(task, seen, 'b')
      fails()
    })
    const undone = ['undo b#1 "B"', 'undo a#1 2', 'undo a#1 1', 'undo a#1 0']
    expect(undosOf(calm.effects)).toEqual(undone)
    for (const { where, effects } of crashed) {
      expect([...new Set(undosOf(effects))], where).toEqual(undone)
      expect(effects.view, where).toMatchObject({ cleanUp: 'done' })
      expect(effects.view?.undone, where).toHaveLength(4)
    }
  })

  test('runs a step again that a race undid under another key, and undoes it again under another', async () => {
    const { calm, crashed } = await play(
      async (task, seen) => {
        await task.race({
          slow: async (branch) => {
            await step(branch, seen, 'a', `A${task.attempt}`)
            await branch.sleep('nap', '3m')
          },
          quick: async (branch) => {
            await branch.sleep('nap', '30s')
            await branch.step('b', fails)
          },
        })
      },
      { retry: { maximumAttempts: 2, initialInterval: '2m' } },
    )
    // Undone when its branch lost, begun once more by the second attempt, and undone once more: four effects, four keys.
    expect(calm.effects.log.filter((line) => line.includes('a'))).toEqual(['a', 'undo a#1 "A1"', 'a', 'undo a#1 "A2"'])
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))].slice(0, 2), where).toEqual(['undo a#1 "A1"', 'undo a#1 "A2"'])
      expect(effects.keys.get('a')?.size, where).toBe(2)
      expect(effects.keys.get('undo a#1')?.size, where).toBe(2)
      expect(effects.view, where).toMatchObject({ status: 'failed', attempt: 2, cleanUp: 'done' })
      expect(statesOf(effects.view as TaskView).sort(), where).toEqual(['a#1 undone', 'b#1 undone'])
    }
  })

  test('that begins steps side by side undoes them against their order too', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await Promise.all(['c', 'a', 'b', 'a', 'c'].map((name) => step(task, seen, name)))
      fails()
    })
    const undone = ['undo c#2 "C"', 'undo a#2 "A"', 'undo b#1 "B"', 'undo a#1 "A"', 'undo c#1 "C"']
    expect(undosOf(calm.effects)).toEqual(undone)
    for (const { where, effects } of crashed) expect([...new Set(undosOf(effects))], where).toEqual(undone)
  })

  test('hands an undo what was found out of a step that was interrupted', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      const options = { onInterrupted: () => (seen.log.includes('a') ? 'found' : 'not found') }
      await task.step('a', () => seen.log.push('a') && 'A', options)
      await task.step('b', () => seen.log.push('b') && 'B', { onInterrupted: 'fail' }).catch(() => {})
      await step(task, seen, 'c')
      fails()
    })
    expect(undosOf(calm.effects)).toEqual(['undo c#1 "C"', 'undo b#1 "B"', 'undo a#1 "A"'])
    const handed = new Set<string>()
    for (const { where, effects } of crashed) {
      const [c, b, a, ...more] = [...new Set(undosOf(effects))]
      expect([c, more], where).toEqual(['undo c#1 "C"', []])
      expect(['undo b#1 "B"', 'undo b#1 undefined'], where).toContain(b)
      expect(effects.view, where).toMatchObject({ status: 'failed', cleanUp: 'done' })
      handed.add(String(a))
    }
    expect([...handed].sort()).toEqual(['undo a#1 "A"', 'undo a#1 "found"', 'undo a#1 "not found"'])
  })

  test('by its timeout undoes too, and by its deadline while nobody ran it', async () => {
    const { calm, crashed } = await play(
      async (task, seen) => {
        await step(task, seen, 'a')
        await task.sleep('nap', '30d')
        await step(task, seen, 'b')
      },
      { timeout: '3m' },
    )
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))], where).toEqual(['undo a#1 "A"'])
      expect(effects.view, where).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' }, cleanUp: 'done' })
    }
  })

  test('undoes nothing if it completes, also where a step of it failed', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await step(task, seen, 'a')
      await task.step('b', fails).catch(() => {})
      return 'done'
    })
    for (const { where, effects } of [calm, ...crashed]) {
      expect(undosOf(effects), where).toEqual([])
      expect(effects.view, where).toMatchObject({ status: 'completed', cleanUp: 'none' })
      expect(effects.view, where).not.toHaveProperty('undone')
    }
  })

  test('tries an undo that throws again, with patience, in whatever life', async () => {
    let failures = 0
    const { calm, crashed } = await play(
      async (task, seen) => {
        if (seen.log.length === 0) failures = 0
        await step(task, seen, 'a')
        await step(task, seen, 'b')
        fails()
      },
      {
        cleanUp: { retry: { initialInterval: '2m', maximumAttempts: 4 } },
        undoes: (log) => {
          if (log.at(-1) === 'undo b#1 "B"' && failures++ < 2) throw new Error('not yet')
        },
      },
    )
    expect(undosOf(calm.effects)).toEqual(['undo b#1 "B"', 'undo b#1 "B"', 'undo b#1 "B"', 'undo a#1 "A"'])
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))], where).toEqual(['undo b#1 "B"', 'undo a#1 "A"'])
      expect(effects.keys.get('undo b#1')?.size, where).toBe(1)
      expect(effects.view, where).toMatchObject({ cleanUp: 'done', undone: [{ step: 'b' }, { step: 'a' }] })
    }
  })
})

describe('defineTask refuses', () => {
  test.each([
    [{ undo: 5 }, /^Expected `undo` to be an object of functions, by the names of steps, got 5/],
    [{ undo: null }, /^Expected `undo` to be an object of functions, .* got null/],
    [{ undo: [] }, /^Expected `undo` to be an object of functions, .* got an array/],
    [{ undo: () => 1 }, /^Expected `undo` to be an object of functions, .* got a function/],
    [{ undo: { charge: 'refund' } }, /^Expected `undo.charge` to be a function, got 'refund'/],
    [{ undo: { charge: undefined } }, /^Expected `undo.charge` to be a function, got undefined/],
  ])('%j', (options, message) => {
    const define = () => defineTask({ name: 'bad', ...options } as never, () => 1)
    expect(define).toThrow(TypeError)
    expect(define).toThrow(message)
  })
})
