// Goal: an old live head that the database brings back is never believed over a settled one, nor over a log.
// Method: a disk in memory on which an earlier value of a live head is put back, at open and while the store is open.
import { defineTask, type Logger } from 'holdfast'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { decodeMoving } from '../../../../src/store/operations.js'
import { readHead } from '../../../../src/store/reads.js'

const ran: string[] = []
const work = defineTask({ name: 'work' }, async (task) => {
  await task.step('a', () => void ran.push('a'))
  return task.step('b', () => Math.random())
})

/** Runs a task, with every value that its live head has had. */
async function settledTask(disk: MemoryDisk) {
  const holdfast = await openInMemory({ disk, tasks: [work], concurrency: 1 })
  const heads = new Set<string>()
  const blocking = defineTask(
    { name: 'first' },
    async (task) => void (await task.step('wait', () => new Promise<void>((go) => setImmediate(go)))),
  )
  await holdfast.start(blocking, undefined)
  const started = holdfast.start(work, undefined)
  let result: unknown
  void started.then(async ({ taskId }) => {
    result = await holdfast.result(taskId)
  })
  while (result === undefined) {
    for (const [key, value] of disk.content) {
      const [kind, taskId = ''] = key.split('/')
      if (kind === 'live' && disk.content.get(`task/${taskId}`)?.includes('"work"')) heads.add(value)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { taskId } = await started
  await untilIdle(holdfast)
  await holdfast.close()
  ran.length = 0
  return { taskId, result, heads: [...heads] }
}

test('a settled task stays settled, whichever earlier head comes back; the stale one is reported and deleted', async () => {
  const first = await settledTask(new MemoryDisk())
  expect(first.heads.length).toBeGreaterThan(2)
  for (let which = 0; which < first.heads.length; which++) {
    const disk = new MemoryDisk()
    const { taskId, result, heads } = await settledTask(disk)
    disk.damage(`live/${taskId}`, heads[Math.min(which, heads.length - 1)])
    const lines: string[] = []
    const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => void lines.push(line) } as Logger
    const holdfast = await openInMemory({ disk, tasks: [work], logger })
    await holdfast.recovery.done
    await untilIdle(holdfast)
    expect(holdfast.recovery.tasks).toMatchObject([
      { taskId, action: 'damaged', reason: expect.stringMatching(/^stale head/) },
    ])
    expect(lines).toEqual(['A settled task was found as unfinished too. It stays settled; the stale head is deleted.'])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
    expect(await holdfast.result(taskId)).toBe(result)
    expect(ran).toEqual([])
    expect(disk.content.has(`live/${taskId}`)).toBe(false)
    await holdfast.close()
  }
})

test('a settled head is read over a live one that comes back while the store is open', async () => {
  const disk = new MemoryDisk()
  const { taskId, heads } = await settledTask(disk)
  const level = await disk.open()
  disk.damage(`live/${taskId}`, heads[0])
  expect(await readHead(level, taskId)).toMatchObject({ taskId, status: 'completed' })
  await level.close()
})

test('a head that counts no record beside records of its log parks the task, and no step runs again', async () => {
  const disk = new MemoryDisk()
  const { taskId, heads } = await settledTask(disk)
  const parts = heads.map((head) => ({ head, moving: decodeMoving(`live/${taskId}`, head) }))
  for (const { head } of parts.filter(({ moving }) => moving.row[4] === 0)) {
    // As after a sweep that lost its last batch: the settled head is gone, the log is there.
    disk.damage(`done/${taskId}`, undefined)
    disk.damage(`live/${taskId}`, head)
    const holdfast = await openInMemory({ disk, tasks: [work] })
    await holdfast.recovery.done
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({ parked: { code: 'RECORD_DAMAGED' } })
    expect(ran).toEqual([])
    await holdfast.close()
  }
  expect(parts.some(({ moving }) => moving.status === 'pending')).toBe(true)
})
