// Goal: a burst of steps, or of answers, is worked off a slice at a time: nobody else waits for all of it.
// Method: what happens between two turns of the event loop is counted; no time is measured.
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { CALLS_PER_SLICE } from '../../src/engine/beginnings.js'
import { defineTask } from '../../src/index.js'
import { MemoryDisk, openInMemory } from '../../src/testing/index.js'

/** Counts something by turns of the event loop until `isOver`; resolves with the most that happened in one turn. */
async function mostInATurn(count: () => number, isOver: () => boolean): Promise<number> {
  let most = 0
  for (let before = count(); !isOver(); before = count()) {
    await turn()
    most = Math.max(most, count() - before)
  }
  return most
}

describe('steps that are asked for at once', () => {
  const COUNT = 5 * CALLS_PER_SLICE + 1

  test('begin a slice in each turn of the event loop, in the order of the calls', async () => {
    const begun: number[] = []
    const task = defineTask({ name: 'burst' }, (task) =>
      Promise.all(Array.from({ length: COUNT }, (_, n) => task.step(`s${n}`, () => begun.push(n) - 1))),
    )
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    expect(
      await mostInATurn(
        () => begun.length,
        () => begun.length === COUNT,
      ),
    ).toBe(CALLS_PER_SLICE)
    expect(begun).toEqual([...begun.keys()])
    expect(await holdfast.result(taskId)).toEqual([...begun.keys()])
    await holdfast.close()
  })

  test('do not begin any more once their branch has lost, the task has ended, or a close has begun', async () => {
    for (const end of ['lost', 'cancelled', 'closed'] as const) {
      let begun = 0
      const task = defineTask({ name: 'burst' }, (task) =>
        task.race({
          burst: (branch) =>
            Promise.all(
              Array.from({ length: COUNT }, (_, n) =>
                branch.step(`s${n}`, () => {
                  begun++
                  return n === 0 && end === 'lost' ? Promise.reject(new Error('no')) : new Promise(() => {})
                }),
              ),
            ),
        }),
      )
      const disk = new MemoryDisk()
      const holdfast = await openInMemory({ disk, tasks: [task] })
      const { taskId } = await holdfast.start(task, null)
      while (begun === 0) await turn()
      if (end === 'cancelled') await holdfast.cancel(taskId)
      if (end === 'lost') await holdfast.result(taskId).catch(() => {})
      if (end === 'closed') await holdfast.close({ grace: 0 })
      const before = begun
      for (let turns = 0; turns < 20; turns++) await turn()
      expect(begun, end).toBe(before)
      expect(begun, end).toBeLessThan(COUNT)
      await holdfast.close({ grace: 0 })
    }
  })

  test('go on beginning while the first of them are recorded and handed over', async () => {
    let begun = 0
    let first = -1
    const task = defineTask({ name: 'burst' }, (task) =>
      Promise.all(
        Array.from({ length: COUNT }, async (_, n) => {
          await task.step(`s${n}`, () => ++begun)
          if (first < 0) first = begun
          return task.step(`t${n}`, () => n)
        }),
      ),
    )
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    expect(await holdfast.result(taskId)).toHaveLength(COUNT)
    expect(first).toBeGreaterThanOrEqual(CALLS_PER_SLICE)
    expect(first).toBeLessThan(COUNT)
    await holdfast.close()
  })
})
