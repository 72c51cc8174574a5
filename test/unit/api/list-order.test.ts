// Goal: task IDs sort by creation, whatever the clock does, and keep enough random bits to serve as a bearer token.
// Method: IDs and tasks are created while the clock stands still or is set back, also over openings of one store.
import { describe, expect, test } from 'vitest'
import { createIds, taskIdTime } from '../../../src/base/ids.js'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'

const NOON = Date.UTC(2026, 0, 1, 12)
const HOUR = 3_600_000

describe('task IDs', () => {
  const inOrder = (ids: readonly string[]) => expect(ids).toEqual([...new Set(ids)].sort())

  test('of one millisecond sort by creation, more than the counter can count included', () => {
    const ids = createIds()
    const made = Array.from({ length: 5_000 }, () => ids.taskId(NOON))
    inOrder(made)
    expect(taskIdTime(made.at(-1) as string)).toBe(NOON + 4)
    inOrder([...made, ids.taskId(NOON + 5)])
  })

  test('never go back with the clock', () => {
    const ids = createIds()
    const made = [NOON, NOON + HOUR, NOON, NOON + HOUR - 1, NOON + HOUR, NOON + 2 * HOUR].map((at) => ids.taskId(at))
    inOrder(made)
    expect(made.map(taskIdTime)).toEqual([0, 1, 1, 1, 1, 2].map((hours) => NOON + hours * HOUR))
  })

  test('continue after an ID of an earlier opening, and ignore what is no task ID', () => {
    const earlier = createIds()
    const made = Array.from({ length: 40 }, () => earlier.taskId(NOON))
    const last = made.at(-1) as string
    expect(last).toMatch(earlier.newestOrder as string)
    expect(earlier.newestOrder).toHaveLength(17)
    const ids = createIds()
    for (const known of [last, made[0] as string, 'task-1', 'task-~', `task-${'Z'.repeat(36)}`])
      ids.continueAfter(known)
    inOrder([...made, ids.taskId(NOON - HOUR), ids.taskId(NOON), ids.taskId(NOON + 1)])
  })

  test('have 24 random characters after time and counter', () => {
    const ids = createIds()
    const made = Array.from({ length: 2_000 }, () => ids.taskId(NOON))
    for (let at = -24; at < 0; at++) expect(new Set(made.map((id) => id.at(at))).size).toBe(32)
    expect(made.every((id) => id.length === 'task-'.length + 36)).toBe(true)
  })
})

describe('a list is in the order of creation', () => {
  const task = defineTask({ name: 'job' }, (task) => task.receive('never'))
  const quick = defineTask({ name: 'quick' }, () => 1)

  async function listed(holdfast: Holdfast): Promise<string[]> {
    const ids: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await holdfast.list({ limit: 7, cursor })
      ids.push(...page.tasks.map(({ taskId }) => taskId))
      if (page.cursor === undefined) return ids
      cursor = page.cursor
    }
  }

  test('within one millisecond', async () => {
    const holdfast = await openInMemory({ tasks: [task], clock: new ManualClock(NOON), durability: 'buffered' })
    const created: string[] = []
    for (let n = 0; n < 50; n++) created.push((await holdfast.start(task, n)).taskId)
    expect(await listed(holdfast)).toEqual(created)
    await holdfast.close()
  })

  test('and no cursor skips a task that is created after the clock was set back and the store opened again', async () => {
    const disk = new MemoryDisk()
    const created: string[] = []
    let cursor: string | undefined
    for (const hours of [3, 2, 1]) {
      const holdfast = await openInMemory({ disk, tasks: [task, quick], clock: new ManualClock(NOON + hours * HOUR) })
      for (let n = 0; n < 3; n++) created.push((await holdfast.start(task, n)).taskId)
      const { taskId } = await holdfast.start(quick, null)
      await holdfast.result(taskId)
      created.push(taskId)
      expect(await listed(holdfast)).toEqual(created)
      if (cursor !== undefined) expect((await holdfast.list({ cursor })).tasks).toHaveLength(created.length - 3)
      cursor ??= (await holdfast.list({ limit: 3 })).cursor
      await (hours === 2 ? disk.crash() : holdfast.close())
    }
  })

  test('also after the newest task was swept before the store was opened again', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(NOON)
    const first = await openInMemory({ disk, clock, tasks: [quick] })
    const { taskId } = await first.start(quick, null, { ttl: '1s' })
    await first.result(taskId)
    await clock.advance(3 * 60_000)
    while ((await first.list()).tasks.length > 0) await new Promise((resolve) => setImmediate(resolve))
    await first.close()
    const second = await openInMemory({ disk, clock: new ManualClock(NOON - HOUR), tasks: [quick] })
    const next = await second.start(quick, null)
    expect(next.taskId > taskId).toBe(true)
    await second.close()
  })
})
