// Goal: a page has what was asked for, in its order, and ends where something may be missing behind it.
// Method: ranges of IDs, filters and merges are compared with what they have to be, by hand and at random.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createIds, firstTaskIdAt } from '../../../src/base/ids.js'
import { createTask } from '../../../src/task/decisions/create.js'
import type { TaskHead } from '../../../src/task/head.js'
import { type FoundTasks, idRangeOf, isListed, mergeFound, rangeAfter } from '../../../src/task/list-query.js'

const LIMIT = 10
const isIn = (taskId: string, { gte, lt }: { gte: string; lt: string }) => gte <= taskId && taskId < lt

describe('the IDs of a page', () => {
  const ids = createIds()
  const [first, second, third] = [1_000, 2_000, 3_000].map((at) => ids.taskId(at)) as [string, string, string]
  const inRange = (query: Partial<Parameters<typeof idRangeOf>[0]>) => {
    const range = idRangeOf({ order: 'oldest', limit: LIMIT, ...query })
    return [first, second, third].filter((taskId) => isIn(taskId, range))
  }

  test('are all of them without a bound', () => expect(inRange({})).toEqual([first, second, third]))

  test('have the instant of `createdAfter`, and not that of `createdBefore`', () => {
    expect(inRange({ createdAfter: 2_000 })).toEqual([second, third])
    expect(inRange({ createdBefore: 2_000 })).toEqual([first])
    expect(inRange({ createdAfter: 1_001, createdBefore: 3_000 })).toEqual([second])
    expect(inRange({ createdAfter: -5, createdBefore: 8.64e15 })).toEqual([first, second, third])
  })

  test('continue after the page before, whichever order that had', () => {
    expect(inRange({ after: second })).toEqual([third])
    expect(inRange({ after: second, order: 'newest' })).toEqual([first])
    const beginning = second.slice(0, 17)
    expect(inRange({ after: beginning })).toEqual([third])
    expect(inRange({ after: beginning, order: 'newest' })).toEqual([first])
  })

  test('never reach beyond the bounds, whatever the page before ended with', () => {
    const range = { gte: second, lt: third }
    expect(rangeAfter(range, 'oldest', first)).toEqual(range)
    expect(rangeAfter(range, 'newest', firstTaskIdAt(9_000))).toEqual(range)
  })
})

test('a head is listed if it fits every filter, and is not being swept', () => {
  const about = {
    taskId: 'task-1',
    seed: '',
    type: 'a',
    kind: 'body',
    durability: 'synced',
    by: '',
    startNow: true,
  } as const
  const { head } = createTask({ ...about, owner: 'ann', parentId: 'task-0' }, 0)
  const fits = { owner: 'ann', statuses: ['running'], type: 'a', parent: 'task-0' } as const
  expect(isListed(head, {})).toBe(true)
  expect(isListed(head, fits)).toBe(true)
  for (const other of [{ owner: 'bob' }, { statuses: ['failed'] as const }, { type: 'b' }, { parent: 'task-2' }]) {
    expect(isListed(head, { ...fits, ...other }), JSON.stringify(other)).toBe(false)
  }
  expect(isListed({ ...head, sweeping: true } as TaskHead, fits)).toBe(false)
})

describe('a merged page', () => {
  const taskOf = (taskId: string, from = '') => ({ taskId, from })
  const place = (taskIds: string, upTo?: string, from = ''): FoundTasks<{ taskId: string; from: string }> => {
    return { tasks: [...taskIds].map((taskId) => taskOf(taskId, from)), upTo }
  }
  const merged = (places: Parameters<typeof place>[], limit = LIMIT, order: 'oldest' | 'newest' = 'oldest') => {
    const { tasks, next } = mergeFound(
      places.map((one) => place(...one)),
      { order, limit },
    )
    return [tasks.map(({ taskId }) => taskId).join(''), next?.after, next?.isListed]
  }

  test('has the tasks of all places in its order', () => {
    expect(merged([['adf'], ['be'], ['c']])).toEqual(['abcdef', undefined, undefined])
    expect(merged([['fda'], ['eb'], ['c']], LIMIT, 'newest')).toEqual(['fedcba', undefined, undefined])
  })

  test('ends with its limit, after the last task that it has', () => {
    expect(merged([['ad'], ['bc']], 3)).toEqual(['abc', 'c', true])
    expect(merged([['da'], ['cb']], 3, 'newest')).toEqual(['dcb', 'b', true])
    expect(merged([['abc']], 3)).toEqual(['abc', undefined, undefined])
  })

  test('ends where one of the places was not read on', () => {
    expect(merged([['ae', 'f'], ['bd', 'd'], ['cg']])).toEqual(['abcd', 'd', false])
    expect(merged([['ea', 'A'], ['db', 'b'], ['gc']], LIMIT, 'newest')).toEqual(['gedcb', 'b', false])
    expect(merged([['', 'c'], ['d']])).toEqual(['', 'c', false])
  })

  test('has the first of two that are the same task', () => {
    const places = [place('b', undefined, 'disk'), place('ab', undefined, 'memory')]
    const { tasks } = mergeFound(places, { order: 'oldest', limit: LIMIT })
    expect(tasks.map(({ taskId, from }) => `${taskId} ${from}`)).toEqual(['a memory', 'b disk'])
  })

  test('and those after it have every task once, whatever the places have', () => {
    const letters = fc.uniqueArray(fc.constantFrom(...'abcdefghijklmnop'), { maxLength: 16 })
    const trial = fc.record({
      places: fc.array(letters, { minLength: 1, maxLength: 4 }),
      cuts: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 4, maxLength: 4 }),
      limit: fc.integer({ min: 1, max: 6 }),
      order: fc.constantFrom('oldest', 'newest'),
    })
    fc.assert(
      fc.property(trial, ({ places, cuts, limit, order }) => {
        const direction = order === 'oldest' ? 1 : -1
        const sorted = places.map((letters) => [...letters].sort((one, other) => (one < other ? -1 : 1) * direction))
        const found: string[] = []
        let after: string | undefined
        do {
          const read = sorted.map((letters, index): FoundTasks<{ taskId: string }> => {
            const left = letters.filter(
              (letter) => after === undefined || ((letter > after ? 1 : -1) * direction > 0 && letter !== after),
            )
            const tasks = left.slice(0, cuts[index]).map((taskId) => ({ taskId }))
            return { tasks, upTo: left.length > tasks.length ? tasks.at(-1)?.taskId : undefined }
          })
          const { tasks, next } = mergeFound(read, { order, limit })
          found.push(...tasks.map(({ taskId }) => taskId))
          after = next?.after
        } while (after !== undefined)
        const all = [...new Set(places.flat())].sort((one, other) => (one < other ? -1 : 1) * direction)
        expect(found).toEqual(all)
      }),
    )
  })
})
