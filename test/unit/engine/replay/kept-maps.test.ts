// Goal: a live task in the middle of a step keeps few maps and sets: an empty one has 150 to 240 bytes.
// Method: V8 counts the maps and sets that are reachable, before and after many tasks began the same step.
import { setImmediate as turn } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { defineTask } from 'holdfast'
import { openInMemory } from 'holdfast/testing'
import { expect, test } from 'vitest'

const TASKS = 200

test('a live task keeps at most one map, and no set', async () => {
  let entered = 0
  const job = defineTask({ name: 'job' }, (task) =>
    task.step('wait', () => {
      entered++
      return new Promise<void>(() => {})
    }),
  )
  const holdfast = await openInMemory({ tasks: [job], concurrency: 2 * TASKS })
  const count = () => [queryObjects(Map, { format: 'count' }), queryObjects(Set, { format: 'count' })] as const
  const startAll = async () => {
    const before = entered
    for (let started = 0; started < TASKS; started++) await holdfast.start(job, undefined)
    while (entered < before + TASKS) await turn()
  }
  await startAll()
  const [maps, sets] = count()
  await startAll()
  const [mapsAfter, setsAfter] = count()
  expect(Math.round((mapsAfter - maps) / TASKS)).toBeLessThanOrEqual(1)
  expect(Math.round((setsAfter - sets) / TASKS)).toBe(0)
})
