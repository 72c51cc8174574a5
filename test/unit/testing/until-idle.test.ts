// Goal: `untilIdle` waits for all that can go on by itself, however many turns that takes, and for nothing else.
// Method: bodies of many steps on a disk in memory and on a real one; and each thing that only the test can end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { deferred } from '../../../src/base/promises.js'
import { defineTask, Holdfast, type OpenOptions } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, silentLogger, untilIdle } from '../../../src/testing/index.js'
import { SlowDisk } from '../../helpers/waiting.js'

const STEPS = 300

/** Records many steps and then sleeps for an hour. */
const busy = defineTask({ name: 'busy' }, async (task) => {
  for (let step = 0; step < STEPS; step++) await task.step('load', () => step)
  await task.sleep('night', '1h')
  return 'awake'
})

async function onDisk(options: Omit<OpenOptions, 'dir'>): Promise<Holdfast> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-idle-'))
  const holdfast = await Holdfast.open({ dir: join(dir, 'store'), logger: silentLogger, ...options })
  onTestFinished(async () => {
    await holdfast.close()
    rmSync(dir, { recursive: true, force: true })
  })
  return holdfast
}

async function recordsOf(holdfast: Holdfast, taskId: string): Promise<number> {
  return (await holdfast.steps(taskId)).reduce((sum, { steps }) => sum + steps.length, 0)
}

for (const [place, open] of [
  ['a disk in memory', openInMemory],
  ['a real disk', onDisk],
] as const) {
  test(`on ${place} it waits for every step of every body that can go on`, async () => {
    const clock = new ManualClock()
    const holdfast = await open({ clock, tasks: [busy], concurrency: 1 })
    const started = [await holdfast.start(busy, null), await holdfast.start(busy, null)]
    await untilIdle(holdfast)
    for (const { taskId } of started) expect(await recordsOf(holdfast, taskId)).toBe(STEPS)
    await clock.advance(3_600_000)
    await untilIdle(holdfast)
    for (const { taskId } of started) expect(await holdfast.get(taskId)).toMatchObject({ status: 'completed' })
  })

  test(`on ${place} it waits for a call that reads and for one that writes`, async () => {
    const holdfast = await open({ tasks: [busy] })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    const over: string[] = []
    void holdfast.get(taskId).then(() => over.push('get'))
    void holdfast.saveCheckpoint(taskId, { round: 1 }).then(() => over.push('save'))
    await untilIdle(holdfast)
    expect(over.sort()).toEqual(['get', 'save'])
  })
}

test('a function of a step that waits for the test counts as idle, and one that waits for immediates does not', async () => {
  const gate = deferred<string>()
  const seen: string[] = []
  const task = defineTask({ name: 'gated' }, async (task) => {
    seen.push(await task.step('ask', () => gate.promise))
    await task.step('turn', async () => {
      for (let left = STEPS; left > 0; left--) await turn()
    })
    seen.push('turned')
  })
  const holdfast = await openInMemory({ tasks: [task] })
  await holdfast.start(task, null)
  await untilIdle(holdfast)
  expect(seen).toEqual([])
  gate.resolve('answer')
  await untilIdle(holdfast)
  expect(seen).toEqual(['answer', 'turned'])
})

test('a write that the test holds back counts as idle', async () => {
  const disk = new SlowDisk()
  const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks: [busy] })
  const { taskId } = await holdfast.start(busy, null)
  disk.hold()
  await untilIdle(holdfast)
  disk.resume()
  await untilIdle(holdfast)
  expect(await recordsOf(holdfast, taskId)).toBe(STEPS)
})

test('a process that died is idle', async () => {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks: [busy] })
  disk.dieAt({ atWrite: 10, applied: false })
  await holdfast.start(busy, null)
  await untilIdle(holdfast)
  expect(disk.isOpen).toBe(false)
})

test('a store that is down counts as idle between two attempts to open it again', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, clock, tasks: [busy] })
  const { taskId } = await holdfast.start(busy, null)
  disk.full = true
  await untilIdle(holdfast)
  expect((await holdfast.stats().catch((error: unknown) => error)) as unknown).toMatchObject({
    code: 'STORE_UNAVAILABLE',
  })
  disk.full = false
  await clock.advance(2_000)
  await untilIdle(holdfast)
  expect(await recordsOf(holdfast, taskId)).toBe(STEPS)
})

test('two calls at a time both resolve, and so does one for a closed instance', async () => {
  const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [busy] })
  const { taskId } = await holdfast.start(busy, null)
  await Promise.all([untilIdle(holdfast), untilIdle(holdfast)])
  expect(await recordsOf(holdfast, taskId)).toBe(STEPS)
  await holdfast.close()
  await untilIdle(holdfast)
})

test('anything but an instance is a TypeError', async () => {
  await expect(untilIdle({} as Holdfast)).rejects.toThrow(TypeError)
})
