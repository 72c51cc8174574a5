// Goal: a burst of steps, or of answers, is worked off a slice at a time: nobody else waits for all of it.
// Method: what happens between two turns of the event loop is counted; no time is measured.

import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { Engine } from '../../../../src/engine/core/engine.js'
import { CALLS_PER_SLICE } from '../../../../src/engine/replay/begin-calls.js'
import { ANSWERS_PER_TURN, TurnGate } from '../../../../src/engine/scheduling/turn-gate.js'
import { defineTask } from '../../../../src/index.js'
import type { Level } from '../../../../src/store/disk/level.js'
import { MemoryDisk, openInMemory, untilIdle } from '../../../../src/testing/index.js'
import { turns } from '../../../helpers/turns.js'

/** Counts something by turns of the event loop until `isOver`; resolves with the most that happened in one turn. */
async function mostInATurn(count: () => number, isOver: () => boolean): Promise<number> {
  let most = 0
  for (let before = count(); !isOver(); before = count()) {
    await turn()
    most = Math.max(most, count() - before)
  }
  return most
}

/** A disk that counts the notes that are read of it. */
class NoteCountingDisk extends MemoryDisk {
  notesRead = 0

  override async open(): Promise<Level> {
    const level = await super.open()
    const saw = (keys: readonly string[]) => {
      this.notesRead += keys.filter((key) => key.startsWith('note/')).length
    }
    return {
      batch: () => level.batch(),
      compactRange: (from, to) => level.compactRange(from, to),
      approximateSize: (from, to) => level.approximateSize(from, to),
      close: () => level.close(),
      get: (key) => {
        saw([key])
        return level.get(key)
      },
      getMany: (keys) => {
        saw(keys)
        return level.getMany(keys)
      },
      readStarts: (ranges) => level.readStarts(ranges),
      page: async (range, size) => {
        const page = await level.page(range, size)
        saw(page.map(([key]) => key))
        return page
      },
    }
  }
}

describe('answers in a burst', () => {
  const COUNT = 300
  const asks = defineTask({ name: 'asks' }, (task, count: number) =>
    Promise.all(Array.from({ length: count }, () => task.input('q', { message: 'yes?' }))),
  )
  const keys = Array.from({ length: COUNT }, (_, n) => (n === 0 ? 'q' : `q-${n + 1}`))

  test('to one of many open questions read its note, and wake nothing that waits for another', async () => {
    const disk = new NoteCountingDisk()
    let holdfast = await openInMemory({ disk, tasks: [asks] })
    const { taskId } = await holdfast.start(asks, COUNT)
    await untilIdle(holdfast)
    for (const key of ['q-7', 'q-300', 'q-9']) {
      disk.notesRead = 0
      expect(await holdfast.respond(taskId, { [key]: key })).toMatchObject({ accepted: [key], ignored: [] })
      await untilIdle(holdfast)
      // By whoever answers, and by the call that waits for the answer.
      expect(disk.notesRead).toBe(2)
    }
    disk.notesRead = 0
    expect(await holdfast.respond(taskId, { 'q-7': 'again', 'q-301': 1, x: 1 })).toMatchObject({
      accepted: [],
      ignored: [
        { key: 'q-7', reason: 'answered' },
        { key: 'q-301', reason: 'unknown' },
        { key: 'x', reason: 'unknown' },
      ],
    })
    expect(disk.notesRead).toBe(0)

    // Found at open, its questions are read once.
    disk.crash()
    holdfast = await openInMemory({ disk, tasks: [asks] })
    await untilIdle(holdfast)
    await holdfast.respond(taskId, { 'q-10': 10 })
    disk.notesRead = 0
    await holdfast.respond(taskId, { 'q-11': 11 })
    await untilIdle(holdfast)
    expect(disk.notesRead).toBe(2)
    await holdfast.respond(taskId, Object.fromEntries(keys.map((key) => [key, key])))
    const expected: unknown[] = [...keys]
    expected[9] = 10
    expected[10] = 11
    expect(await holdfast.result(taskId)).toEqual(expected)
    await holdfast.close()
  })

  test('of one call are accepted in their order, a hundred in a commit', async () => {
    const holdfast = await openInMemory({ tasks: [asks] })
    const { taskId } = await holdfast.start(asks, COUNT)
    await untilIdle(holdfast)
    const recorded = vi.spyOn(Engine.prototype, 'recordForCaller')
    const answers = Object.fromEntries(['none', ...keys].map((key, n) => [key, n]))
    expect(await holdfast.respond(taskId, answers)).toEqual({
      accepted: keys,
      ignored: [{ key: 'none', reason: 'unknown' }],
      open: [],
    })
    const sizes = recorded.mock.calls.map(([, event]) => (event.kind === 'answer' ? event.notes.length : 0))
    recorded.mockRestore()
    expect(sizes).toEqual([99, 100, 100, 1])
    expect(await holdfast.result(taskId)).toEqual(keys.map((_, n) => n + 1))
    await holdfast.close()
  })

  test('to many tasks are decided a slice in each turn of the event loop', async () => {
    const holdfast = await openInMemory({ tasks: [asks], concurrency: COUNT })
    const taskIds: string[] = []
    for (let n = 0; n < COUNT; n++) taskIds.push((await holdfast.start(asks, 1)).taskId)
    await untilIdle(holdfast)
    const decided = vi.spyOn(Engine.prototype, 'recordForCaller')
    const responses = taskIds.map((taskId) => holdfast.respond(taskId, { q: taskId }))
    const count = () => decided.mock.calls.length
    const most = await mostInATurn(count, () => count() === COUNT)
    decided.mockRestore()
    // The first of them pass in the turn of the calls.
    expect(most).toBeLessThanOrEqual(2 * ANSWERS_PER_TURN)
    for (const { accepted } of await Promise.all(responses)) expect(accepted).toEqual(['q'])
    for (const taskId of taskIds) expect(await holdfast.result(taskId)).toEqual([taskId])
    await holdfast.close()
  })

  test('pass a gate in their order, so many in each turn', async () => {
    const gate = new TurnGate(3)
    const passed: number[] = []
    for (let n = 0; n < 10; n++) {
      const waits = gate.pass()
      if (waits) void waits.then(() => passed.push(n))
      else passed.push(n)
    }
    const seen = [passed.length]
    while (passed.length < 10) {
      await turn()
      seen.push(passed.length)
    }
    expect(seen).toEqual([3, 6, 9, 10])
    expect(passed).toEqual([...passed.keys()])
    await turn()
    expect(gate.pass()).toBeUndefined()
  })
})

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
      await turns(20)
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
