// Goal: what is kept for a task counts in its bytes or in its audit's pace, and goes when the task goes.
// Method: a disk in memory whose keys are looked at, a manual clock, and a sweep that is held between its reads and writes.
import { defineTask, type Holdfast } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { bindingOf } from '../../../src/api/binding.js'

const waits = defineTask({ name: 'waits' }, async (task) => task.receive('the end'))
const takes = defineTask({ name: 'takes' }, async (task) => {
  for (let n = 0; n < 200; n++) await task.receive('part')
})
const MINUTE_MS = 60_000

const keysOf = (disk: MemoryDisk, prefix: string) => [...disk.content.keys()].filter((key) => key.startsWith(prefix))

describe('idempotency keys of messages', () => {
  const opened = async (disk: MemoryDisk) => openInMemory({ disk, tasks: [takes], limits: { messagesPerTaskMax: 100 } })
  const sendParts = async (holdfast: Holdfast, taskId: string, from: number, to: number) => {
    for (let n = from; n < to; n++) await holdfast.send(taskId, 'part', n, { idempotencyKey: `key ${n}` })
  }

  test('outlive their message, and the newest are kept', async () => {
    const disk = new MemoryDisk()
    let holdfast = await opened(disk)
    const { taskId } = await holdfast.start(takes, undefined)
    await sendParts(holdfast, taskId, 0, 100)
    await untilIdle(holdfast)
    // Received long ago, and the repeat is no second message.
    expect(await holdfast.send(taskId, 'part', 3, { idempotencyKey: 'key 3' })).toEqual({ order: 3, created: false })

    await sendParts(holdfast, taskId, 100, 163)
    expect(keysOf(disk, 'message-key/task')).toHaveLength(163)
    disk.crash()
    holdfast = await opened(disk)
    await holdfast.recovery.done
    await sendParts(holdfast, taskId, 163, 164)
    expect(keysOf(disk, 'message-key/task')).toHaveLength(100)
    expect(await holdfast.send(taskId, 'part', 64, { idempotencyKey: 'key 64' })).toEqual({ order: 64, created: false })
    expect(await holdfast.send(taskId, 'part', 63, { idempotencyKey: 'key 63' })).toEqual({ order: 164, created: true })
    await holdfast.close()
  })

  test('count in the bytes of the task', async () => {
    const holdfast = await openInMemory({ tasks: [waits] })
    const { taskId } = await holdfast.start(waits, undefined)
    await untilIdle(holdfast)
    const before = (await holdfast.stats()).bytes.counted
    await sendParts(holdfast, taskId, 10, 60)
    const keyBytes = JSON.stringify({ key: 'key 10', order: 1, fingerprint: 'f'.repeat(64) }).length + 120
    const counted = (await holdfast.stats()).bytes.counted - before
    expect(counted).toBeGreaterThanOrEqual(50 * keyBytes)
    expect(counted).toBeLessThan(50 * (keyBytes + 2))
    await holdfast.close()
  })
})

test('restores of a checkpoint are counted, and audited once a minute for each task and actor', async () => {
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock })
  const { taskId } = await holdfast.createSessionTask({ type: 'chat', owner: 'ann' })
  await holdfast.saveCheckpoint(taskId, { at: 1 })
  const seen: string[] = []
  holdfast.on('checkpoint:restored', ({ checkpointId }) => seen.push(checkpointId))
  const restores = async () =>
    (await holdfast.audit({ taskId })).filter(({ action }) => action === 'checkpoint-restored')
  for (let n = 0; n < 1_000; n++) await holdfast.restoreCheckpoint(taskId, { owner: 'ann' })
  await holdfast.restoreCheckpoint(taskId)
  expect(seen).toHaveLength(1_001)
  expect((await restores()).map(({ by, why }) => [by, why?.replace(/^cp-\w+/, 'cp')])).toEqual([
    ['ann', 'cp'],
    ['admin', 'cp'],
  ])
  await clock.advance(MINUTE_MS)
  await holdfast.restoreCheckpoint(taskId, { owner: 'ann' })
  expect((await restores()).at(-1)?.why).toMatch(/^cp-\w+; 999 more since the entry before$/)
  // The clock goes back by a year: no entry from the future holds up the next ones.
  await clock.jump(-365 * 24 * 60 * MINUTE_MS)
  await holdfast.restoreCheckpoint(taskId, { owner: 'ann' })
  expect(await restores()).toHaveLength(4)
  await holdfast.close()
})

describe('records of a binding', () => {
  const settledTask = async (holdfast: Holdfast) => {
    const task = defineTask({ name: 'at once' }, async () => 1)
    const { taskId } = await holdfast.start(task, undefined, { ttl: MINUTE_MS })
    await holdfast.result(taskId)
    return taskId
  }

  test('of its own that a record of a task names are deleted with the task', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ clock, disk })
    const records = bindingOf(holdfast).records('test')
    const taskId = await settledTask(holdfast)
    const own = ['call/a', 'call/gone']
    await records.write([
      records.beside(taskId, 'origin', JSON.stringify({ own })),
      records.beside(taskId, 'note', 'no JSON'),
      records.own('call/a', 'x'),
      records.own('call/b', 'x'),
    ])
    await clock.advance(3 * MINUTE_MS)
    await untilIdle(holdfast)
    await expect(holdfast.get(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    expect(keysOf(disk, 'beside/task')).toEqual([])
    expect(keysOf(disk, 'binding/')).toEqual(['binding/test/call/b'])
    await holdfast.close()
  })

  test('that are written for a task while it is swept do not stay', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ clock, disk })
    const records = bindingOf(holdfast).records('test')
    const taskId = await settledTask(holdfast)
    const sweeping = clock.advance(3 * MINUTE_MS)
    const writes: Promise<void>[] = []
    let isOver = false
    const writing = (async () => {
      while (!isOver) {
        writes.push(records.write([records.beside(taskId, `answer ${writes.length}`, 'x'), records.own('kept', 'x')]))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await sweeping
    await clock.advance(2 * MINUTE_MS)
    isOver = true
    await writing
    await Promise.all(writes)
    await clock.advance(2 * MINUTE_MS)
    await untilIdle(holdfast)
    await records.write([records.beside(taskId, 'too late', 'x'), records.own('kept', 'y')])
    expect(keysOf(disk, `beside/${taskId}`)).toEqual([])
    expect(await records.get('kept')).toBe('y')
    await expect(holdfast.get(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await holdfast.close()
  })
})
