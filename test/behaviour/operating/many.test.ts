// Goal: a call on many tasks acts on those that still fit, counts the rest, and ends with a cursor.
// Method: time in hand; counts, not time, show what a call costs.
import { expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { notePrefix } from '../../../src/store/disk/layout.js'
import type { Level } from '../../../src/store/disk/level.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const waits = defineTask({ name: 'waits' }, (task) => task.receive('go'))
const quick = defineTask({ name: 'quick' }, () => 1)
const fails = defineTask({ name: 'fails', retry: { maximumAttempts: 9, initialInterval: '9h' } }, () => {
  throw new Error('no')
})
const tasks = [waits, quick, fails]
const open = (options: object = {}) => openInMemory({ clock: new ManualClock(), tasks, ...options })

/** A disk that counts the pages that are read. */
class PagesDisk extends MemoryDisk {
  pages = 0

  override async open(): Promise<Level> {
    const level = await super.open()
    const read = level.page.bind(level)
    const page: Level['page'] = (range, size) => {
      this.pages++
      return read(range, size)
    }
    return Object.assign(level, { page })
  }
}

const start = async (holdfast: Holdfast, name: string, count: number, owner?: string) => {
  const ids: string[] = []
  for (let n = 0; n < count; n++) ids.push((await holdfast.start(name, null, { owner })).taskId)
  await untilIdle(holdfast)
  return ids
}

test('a cancel of many cancels those that fit, and no other', async () => {
  const holdfast = await open()
  const ann = await start(holdfast, 'waits', 45, 'ann')
  const [bob = ''] = await start(holdfast, 'waits', 1, 'bob')
  await start(holdfast, 'quick', 3, 'ann')
  expect(await holdfast.cancelMany({ owner: 'ann', dryRun: true })).toMatchObject({
    dryRun: true,
    counts: { done: 45 },
  })
  expect(await holdfast.get(ann[0] as string)).toMatchObject({ status: 'running' })
  const counts = { done: 45, notApplicable: 0, changed: 0, failed: 0 }
  expect(await holdfast.cancelMany({ owner: 'ann', reason: 'stop' })).toEqual({
    dryRun: false,
    counts,
    failedBy: {},
    errors: [],
    cursor: undefined,
  })
  expect(await holdfast.get(bob)).toMatchObject({ status: 'running' })
  expect(await holdfast.cancelMany({ owner: 'ann' })).toMatchObject({ counts: { done: 0 } })
  await holdfast.close()
})

test('a limit ends a call with a cursor, at which the next one continues', async () => {
  const holdfast = await open()
  await start(holdfast, 'quick', 25)
  const first = await holdfast.deleteMany({ type: 'quick', limit: 10 })
  expect(first).toMatchObject({ counts: { done: 10 }, cursor: expect.any(String) })
  const second = await holdfast.deleteMany({ type: 'quick', cursor: first.cursor })
  expect(second).toMatchObject({ counts: { done: 15 }, cursor: undefined })
  expect((await holdfast.list()).tasks).toEqual([])
  await expect(holdfast.deleteMany({ type: 'waits', cursor: first.cursor })).rejects.toMatchObject({
    code: 'INVALID_CURSOR',
  })
  await holdfast.close()
})

test('two calls at once do everything once', async () => {
  const holdfast = await open()
  const ids = await start(holdfast, 'waits', 60)
  const both = await Promise.all([holdfast.cancelMany({ all: true }), holdfast.cancelMany({ all: true })])
  expect(both.reduce((sum, { counts }) => sum + counts.done, 0)).toBe(60)
  expect(both.flatMap(({ errors }) => errors)).toEqual([])
  for (const taskId of ids) {
    const settled = (await holdfast.audit({ taskId })).filter(({ action }) => action === 'cancelled')
    expect(settled).toHaveLength(1)
  }
  await holdfast.close()
})

test('a task that does not fit any more when its turn comes is left alone', async () => {
  const asks = defineTask({ name: 'asks' }, async (task) => {
    await task.input('ok')
    return task.receive('go')
  })
  const holdfast = await open({ tasks: [asks] })
  const ids = await start(holdfast, 'asks', 40)
  const last = ids.at(-1) as string
  let answered: Promise<unknown> | undefined
  // The first cancels are on disk, and the last task has not had its turn.
  holdfast.on('task:settled', () => {
    answered ??= holdfast.respond(last, { ok: true })
  })
  const { counts } = await holdfast.cancelMany({ status: 'input_required' })
  await answered
  expect(counts).toEqual({ done: 39, notApplicable: 0, changed: 1, failed: 0 })
  expect(await holdfast.get(last)).toMatchObject({ status: 'running' })
  await holdfast.close()
})

test('a retry of many finds the steps that wait for their next attempt, and reads those of several tasks at once', async () => {
  const retry = { maximumAttempts: 9, initialInterval: '9h' } as const
  let calls = 0
  const fail = () => {
    calls++
    throw new Error('no')
  }
  const flaky = defineTask({ name: 'flaky' }, (task) => task.step('call', fail, { retry }))
  const naps = defineTask({ name: 'naps' }, (task) => task.sleep('nap', '9h'))
  const disk = new PagesDisk()
  const clock = new ManualClock()
  const holdfast = await open({ disk, clock, tasks: [flaky, naps] })
  await start(holdfast, 'flaky', 40)
  await start(holdfast, 'naps', 160)
  disk.pages = 0
  const counts = { done: 40, notApplicable: 160, failed: 0 }
  expect(await holdfast.retryMany({ all: true, dryRun: true })).toMatchObject({ counts })
  // One page for each of the 200 tasks, if each were read alone.
  expect(disk.pages).toBeLessThan(50)
  expect(await holdfast.retryMany({ all: true })).toMatchObject({ counts })
  await untilIdle(holdfast)
  expect(calls).toBe(80)
  await holdfast.close()
})

test('a damaged record of one task does not keep a retry of many from the others', async () => {
  const retry = { maximumAttempts: 9, initialInterval: '9h' } as const
  const fail = () => {
    throw new Error('no')
  }
  const flaky = defineTask({ name: 'flaky' }, (task) => task.step('call', fail, { retry }))
  const disk = new MemoryDisk()
  const holdfast = await open({ disk, tasks: [flaky] })
  const [damaged = ''] = await start(holdfast, 'flaky', 20)
  for (const key of [...disk.content.keys()]) if (key.startsWith(notePrefix(damaged))) disk.damage(key, 'damaged')
  expect(await holdfast.retryMany({ all: true, dryRun: true })).toMatchObject({
    counts: { done: 19, failed: 1 },
    failedBy: { RECORD_DAMAGED: 1 },
    errors: [{ taskId: damaged }],
  })
  await holdfast.close()
})

test('retries and resumes only what waits for that', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const holdfast = await open({ disk, clock })
  const [failing = ''] = await start(holdfast, 'fails', 2)
  await start(holdfast, 'waits', 3)
  const counts = { done: 2, notApplicable: 3, failed: 0 }
  expect(await holdfast.retryMany({ all: true, dryRun: true })).toMatchObject({ counts })
  expect(await holdfast.retryMany({ all: true })).toMatchObject({ counts })
  await untilIdle(holdfast)
  expect(await holdfast.get(failing)).toMatchObject({ attempt: 3 })
  expect(await holdfast.resumeMany({ all: true })).toMatchObject({ counts: { done: 0, notApplicable: 5 } })
  await holdfast.close()
  const next = await open({ disk, clock, tasks: [] })
  await next.recovery.done
  const resumed = await next.resumeMany({ type: 'waits' })
  expect(resumed).toMatchObject({ counts: { done: 0, failed: 3 }, failedBy: { TASK_TYPE_UNKNOWN: 3 } })
  expect(resumed.errors).toHaveLength(3)
  await next.close()
})

test('an action without a filter is refused, and so are options that it does not have', async () => {
  const holdfast = await open()
  await expect(holdfast.cancelMany({ owner: undefined })).rejects.toThrow(/all: true/)
  await expect(holdfast.deleteMany({ all: true, limit: 10_001 })).rejects.toThrow(/limit/)
  await expect(holdfast.deleteMany({ all: true, reason: 'x' } as never)).rejects.toThrow(/reason/)
  await expect(holdfast.cancelMany({ all: 1 } as never)).rejects.toThrow(/all/)
  expect(await holdfast.deleteMany({ all: true, status: 'running' })).toMatchObject({ counts: { done: 0 } })
  await holdfast.close()
})
