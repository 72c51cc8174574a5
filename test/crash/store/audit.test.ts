// Goal: the audit is one value for each commit, is found by instant and by task, outlives tasks, and is bounded.
// Method: an engine on a disk in memory with a manual clock; what is on the disk is looked at, with a crash at each write.
import { defineTask, type Holdfast, type Logger } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import type { Level, LevelRange } from '../../../src/store/disk/level.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const DAY = 86_400_000
const quick = defineTask({ name: 'quick' }, (task) => task.step('one', () => 1))
const keysOf = (disk: MemoryDisk, kind: string) =>
  [...disk.content.keys()].filter((key) => key.startsWith(`${kind}/`) && !key.endsWith('/~')).sort()

/** A disk that counts the values of the audit that ranges are read of. */
class CountingDisk extends MemoryDisk {
  auditValues = 0

  override async open(): Promise<Level> {
    const level = await super.open()
    const page = level.page.bind(level)
    return Object.assign(level, {
      page: async (range: LevelRange, size: number) => {
        const found = await page(range, size)
        this.auditValues += found.filter(([key]) => key.startsWith('audit/')).length
        return found
      },
    })
  }
}

async function run(holdfast: Holdfast, count: number, options = {}): Promise<string[]> {
  const taskIds: string[] = []
  for (let n = 0; n < count; n++) taskIds.push((await holdfast.start(quick, undefined, options)).taskId)
  for (const taskId of taskIds) await holdfast.result(taskId)
  await untilIdle(holdfast)
  return taskIds
}

describe('on disk', () => {
  test('all entries of one commit are one value, with a key of the trail for each task', async () => {
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, tasks: [quick] })
    const before = disk.writes
    const starts = await Promise.all(Array.from({ length: 20 }, () => holdfast.start(quick, undefined)))
    await Promise.all(starts.map(({ taskId }) => holdfast.result(taskId)))
    await untilIdle(holdfast)
    const audit = keysOf(disk, 'audit')
    const entries = await holdfast.audit()
    expect(entries).toHaveLength(40)
    expect(audit.length).toBeLessThanOrEqual(disk.writes - before)
    expect(audit.length).toBeLessThan(20)
    expect(keysOf(disk, 'trail')).toHaveLength(40)
    expect(brokenFormatLaws(disk.content)).toEqual([])
    expect(disk.content.get(audit[0] as string)).toContain(`{"prev":"${'0'.repeat(64)}","at":`)
    await holdfast.close()
  })

  test('a commit with two entries of a task has one key of the trail, and both entries in order', async () => {
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, tasks: [quick] })
    const { taskId } = await holdfast.start(quick, undefined, { deadline: 1 })
    expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toEqual(['created', 'failed'])
    expect(keysOf(disk, `trail/${taskId}`)).toHaveLength(1)
    await holdfast.close()
  })

  test('IDs sort as the entries were written, over a restart and a clock that was set back', async () => {
    const disk = new MemoryDisk()
    const late = new ManualClock(1_000_000)
    let holdfast = await openInMemory({ disk, tasks: [quick], clock: late })
    await run(holdfast, 2)
    await holdfast.close()
    holdfast = await openInMemory({ disk, tasks: [quick], clock: new ManualClock(5_000) })
    const [earlier] = await run(holdfast, 1)
    const entries = await holdfast.audit()
    const ids = entries.map(({ id }) => id)
    expect(ids).toEqual([...ids].sort())
    expect(new Set(ids).size).toBe(ids.length)
    expect(entries.at(-1)).toMatchObject({ taskId: earlier, at: 5_000 })
    expect(brokenFormatLaws(disk.content)).toEqual([])
    await holdfast.close()
  })
})

describe('a read', () => {
  test('from an instant begins with the first entry of it, wherever that is, and reads few values on the way', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock(1_000)
    const holdfast = await openInMemory({ disk, tasks: [quick], clock })
    const instants: number[] = []
    for (let n = 0; n < 40; n++) {
      instants.push(clock.now())
      await run(holdfast, 1)
      await clock.advance(10)
    }
    const all = await holdfast.audit()
    for (const since of [0, 999, ...instants, ...instants.map((at) => at + 1), clock.now(), 9_999_999]) {
      const wanted = all.filter(({ at }) => at >= since)
      expect(await holdfast.audit({ since })).toEqual(wanted)
      expect(await holdfast.audit({ since, limit: 3 })).toEqual(wanted.slice(0, 3))
    }
    const taskId = all.at(-1)?.taskId as string
    expect(await holdfast.audit({ taskId, since: instants[39] as number })).toEqual(all.slice(-2))
    expect(await holdfast.audit({ taskId, since: clock.now() })).toEqual([])
    expect(await holdfast.audit({ taskId, limit: 1 })).toEqual(all.slice(-2, -1))
    expect(await holdfast.audit({ taskId: 'task-x' })).toEqual([])
    await holdfast.close()
  })

  test('of a damaged value fails with its key, and one of other tasks does not', async () => {
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, tasks: [quick] })
    const [one = '', other = ''] = await run(holdfast, 2)
    const [trail = ''] = keysOf(disk, `trail/${one}`)
    const key = `audit/${trail.split('/')[2]}`
    disk.damage(key, 'rot')
    const damaged = { code: 'RECORD_DAMAGED', details: { key } }
    await expect(holdfast.audit({ taskId: one })).rejects.toMatchObject(damaged)
    expect(await holdfast.audit({ taskId: other })).toHaveLength(2)
    disk.damage(key, undefined)
    await expect(holdfast.audit({ taskId: one })).rejects.toMatchObject(damaged)
    // Deleted meanwhile, with what led to it.
    disk.damage(trail, undefined)
    expect(await holdfast.audit({ taskId: one })).toHaveLength(1)
    await holdfast.close()
  })
})

describe('the retention', () => {
  test('keeps the entries of a task that is deleted, for 90 days, and then nothing is left of either', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, tasks: [quick], clock })
    const [taskId = ''] = await run(holdfast, 1, { ttl: '1h' })
    await clock.advance(DAY)
    await untilIdle(holdfast)
    await expect(holdfast.get(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toEqual(['created', 'completed'])
    await clock.advance(88 * DAY)
    await untilIdle(holdfast)
    expect(await holdfast.audit({ taskId })).toHaveLength(2)
    await clock.advance(2 * DAY)
    await untilIdle(holdfast)
    expect(await holdfast.audit()).toEqual([])
    const left = [...disk.content.keys()].filter((key) => !/^(meta|chain)\/|\/~$/.test(key))
    expect(left).toEqual([])
    await holdfast.close()
  })

  test('is `auditRetention`, counted from each change: an old entry of a live task goes, and the task stays', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [quick], clock, auditRetention: '1h' })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    await clock.advance(50 * 60_000)
    await holdfast.saveCheckpoint(taskId, 1)
    await clock.advance(20 * 60_000)
    await untilIdle(holdfast)
    expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toEqual(['checkpoint-saved'])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
    await holdfast.close()
  })

  test('ends early where the audit takes more than `auditBytesMax`: the oldest go, and a line says so', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const lines: [string, unknown][] = []
    const logger = {
      debug() {},
      info() {},
      warn: (line: string, fields: unknown) => lines.push([line, fields]),
      error() {},
    } as unknown as Logger
    const holdfast = await openInMemory({ disk, tasks: [quick], clock, logger, auditBytesMax: 20_000 })
    await run(holdfast, 100)
    const all = await holdfast.audit()
    expect(all).toHaveLength(200)
    await clock.advance(120_000)
    await untilIdle(holdfast)
    const left = await holdfast.audit()
    expect(left).toEqual(all.slice(-left.length))
    const bytes = [...disk.content]
      .filter(([key]) => /^(audit|trail)\//.test(key))
      .reduce((sum, [key, text]) => sum + key.length + text.length, 0)
    expect(bytes).toBeLessThan(20_000)
    expect(bytes).toBeGreaterThan(10_000)
    expect(brokenFormatLaws(disk.content)).toEqual([])
    const said = 'Audit entries were deleted before `auditRetention` was over: `auditBytesMax` was reached'
    expect(lines).toEqual([[said, { auditBytesMax: 20_000, until: expect.stringMatching(/^\d{4}-/) }]])
    // The size is counted over a restart too.
    await holdfast.close()
    const second = await openInMemory({ disk, tasks: [quick], clock, auditBytesMax: 10_000 })
    await clock.advance(120_000)
    await untilIdle(second)
    const fewer = await second.audit()
    expect(fewer.length).toBeLessThan(left.length)
    expect(fewer).toEqual(left.slice(-fewer.length))
    await second.close()
  })

  test('reads one value in a pass that deletes nothing, however large the audit is', async () => {
    const disk = new CountingDisk()
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, tasks: [quick], clock })
    await run(holdfast, 50)
    await clock.advance(120_000)
    await untilIdle(holdfast)
    disk.auditValues = 0
    await clock.advance(60_000)
    await untilIdle(holdfast)
    expect(disk.auditValues).toBe(1)
    await holdfast.close()
  })

  test('leaves a damaged value where it is, and goes on behind it; the next open says so', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    let holdfast = await openInMemory({ disk, tasks: [quick], clock })
    await run(holdfast, 3)
    const keys = keysOf(disk, 'audit')
    disk.damage(keys[1] as string, 'rot')
    disk.damage(keys.at(-1) as string, 'rot')
    await holdfast.close()
    const errors: unknown[] = []
    const logger = { debug() {}, info() {}, warn() {}, error: (...line: unknown[]) => errors.push(line) } as Logger
    holdfast = await openInMemory({ disk, tasks: [quick], clock, logger, auditRetention: '1d' })
    expect(errors).toMatchObject([[expect.stringMatching(/^A value of the audit is damaged/), { key: keys.at(-1) }]])
    await clock.advance(2 * DAY)
    await untilIdle(holdfast)
    expect(keysOf(disk, 'audit')).toEqual([keys[1], keys.at(-1)])
    await run(holdfast, 1)
    await holdfast.close()
  })

  test('that dies at any write leaves the trail and the values agreeing, and the next pass does the rest', async () => {
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, tasks: [quick], clock: new ManualClock() })
    await run(first, 90)
    await first.close()
    const content = new Map(disk.content)
    const copy = () => {
      const again = new MemoryDisk()
      for (const [key, text] of content) again.damage(key, text)
      return again
    }
    const pass = async (on: MemoryDisk, death?: { atWrite: number; applied: boolean }) => {
      let isDead = false
      on.onDeath(() => {
        isDead = true
      })
      const clock = new ManualClock(Date.now() + 100 * DAY)
      const opening = openInMemory({ disk: on, clock, tasks: [quick] })
      const holdfast = await opening
      const opened = on.writes
      if (death) on.dieAt(death)
      const moving = clock.advance(120_000).then(() => untilIdle(holdfast))
      await Promise.race([moving, new Promise<void>((over) => on.onDeath(over))])
      if (!isDead) await holdfast.close()
      return on.writes - opened
    }
    const writes = await pass(copy())
    expect(writes).toBeGreaterThan(3)
    for (let atWrite = 1; atWrite < writes; atWrite++) {
      for (const applied of [false, true]) {
        const on = copy()
        await pass(on, { atWrite, applied })
        expect(brokenFormatLaws(on.content), `write ${atWrite}`).toEqual([])
        await pass(on)
        expect([...keysOf(on, 'audit'), ...keysOf(on, 'trail')], `write ${atWrite}`).toEqual([])
      }
    }
  })
})
