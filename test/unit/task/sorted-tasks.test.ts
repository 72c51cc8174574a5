// Goal: tasks that are kept sorted are those that were added and not deleted, in any part and both orders.
// Method: what a random row of adds and deletes leaves is compared with a list that is sorted at the end.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SortedTasks } from '../../../src/task/sorted-tasks.js'

test('sorted tasks are the same as a sorted list, whatever was added and deleted', () => {
  const id = fc.integer({ min: 0, max: 2_000 }).map((n) => `task-${String(n).padStart(4, '0')}`)
  const action = fc.record({ taskId: id, adds: fc.constantFrom(true, true, false) })
  const runs = fc.array(fc.record({ from: fc.integer({ min: 0, max: 1_500 }), adds: fc.boolean() }), { maxLength: 3 })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), runs, id, id, (actions, runs, gte, lt) => {
      const sorted = new SortedTasks<{ taskId: string }>()
      const left = new Map<string, { taskId: string }>()
      const rows = runs.flatMap(({ from, adds }) =>
        Array.from({ length: 500 }, (_, n) => ({ taskId: `task-${String(from + n).padStart(4, '0')}`, adds })),
      )
      for (const { taskId, adds } of [...rows, ...actions]) {
        const task = { taskId }
        if (adds) left.set(taskId, task)
        else left.delete(taskId)
        if (adds) sorted.add(task)
        else sorted.delete(task)
      }
      const all = [...left.values()].sort((one, other) => (one.taskId < other.taskId ? -1 : 1))
      expect(sorted.size).toBe(all.length)
      const ends = { gte: 'task-', lt: 'task.' }
      expect([...sorted.inOrder(ends, 'oldest')]).toEqual(all)
      expect([...sorted.inOrder(ends, 'newest')]).toEqual([...all].reverse())
      const some = all.filter(({ taskId }) => gte <= taskId && taskId < lt)
      expect([...sorted.inOrder({ gte, lt }, 'oldest')]).toEqual(some)
      expect([...sorted.inOrder({ gte, lt }, 'newest')]).toEqual([...some].reverse())
      // The newest one of an ID is kept.
      expect([...sorted.inOrder(ends, 'oldest')].every((task) => left.get(task.taskId) === task)).toBe(true)
    }),
    { numRuns: 60 },
  )
})
