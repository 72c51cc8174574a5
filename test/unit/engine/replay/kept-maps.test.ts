// Goal: a live task in the middle of a step keeps few maps and sets, and a sleeping one keeps no part of a run.
// Method: V8 counts the maps and sets that are reachable, before and after many tasks began the same step.
import { setImmediate as turn } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { defineTask } from 'holdfast'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { Run } from '../../../../src/engine/replay/run.js'

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

test('a sleeping task that is unloaded keeps no map, set, promise or function', async () => {
  const nap = defineTask({ name: 'nap' }, (task) => task.sleep('nap', '1d'))
  const holdfast = await openInMemory({ tasks: [nap], unloadAfter: 0 })
  const count = () => [Map, Set, Promise, Function].map((kind) => queryObjects(kind, { format: 'count' }))
  const startAll = async () => {
    for (let started = 0; started < TASKS; started++) await holdfast.start(nap, undefined)
    await untilIdle(holdfast)
  }
  await startAll()
  const before = count()
  await startAll()
  const kept = count().map((after, kind) => (after - (before[kind] as number)) / TASKS)
  expect(Math.max(...kept)).toBeLessThan(0.5)
})

test('a run is not kept in memory while its unload is being written', async () => {
  let hold = false
  let letGo = () => {}
  const disk = new MemoryDisk(() => (hold ? new Promise<void>((resolve) => (letGo = resolve)) : turn()))
  const nap = defineTask({ name: 'nap' }, (task) => task.sleep('nap', '1d'))
  const holdfast = await openInMemory({ disk, tasks: [nap] })
  const before = queryObjects(Run, { format: 'count' })
  await holdfast.start(nap, undefined)
  hold = true
  await untilIdle(holdfast)
  expect((await holdfast.stats()).loadedRuns).toBe(1)
  expect(queryObjects(Run, { format: 'count' }) - before).toBe(0)
  hold = false
  letGo()
  await untilIdle(holdfast)
  expect((await holdfast.stats()).loadedRuns).toBe(0)
  await holdfast.close()
})
