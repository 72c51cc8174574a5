// Goal: what happens while tasks run (inspections, registrations, cancels, sweeps, outages) is neither mistaken for
// damage nor does any.
// Method: the real engine over a disk in memory; each case came from trying to break it.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { defineTask, Holdfast, silentLogger } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))
afterEach(() => expect(unhandled.splice(0)).toEqual([]))

test('checkpoints saved in one millisecond are restored in the order they were saved', async () => {
  const holdfast = await openInMemory({ clock: new ManualClock() })
  for (let task = 0; task < 30; task++) {
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    for (let save = 1; save <= 4; save++) await holdfast.saveCheckpoint(taskId, { save })
    expect(await holdfast.restoreCheckpoint(taskId)).toMatchObject({ state: { save: 4 } })
    expect((await holdfast.listCheckpoints(taskId)).map(({ seq }) => seq)).toEqual([2, 3, 4, 5])
  }
})

test('a task that goes on, and prunes, can be looked at all the time', async () => {
  const busy = defineTask({ name: 'busy' }, async (task) => {
    let { row } = (await task.restoreCheckpoint<{ row: number }>())?.state ?? { row: 0 }
    while (row < 200) {
      row = await task.step('load', () => row + 1)
      await task.saveCheckpoint({ row }, { prune: true })
    }
    return row
  })
  const holdfast = await openInMemory({ tasks: [busy] })
  const { taskId } = await holdfast.start(busy, null)
  let looks = 0
  while ((await holdfast.get(taskId)).status === 'running') {
    await holdfast.steps(taskId)
    await holdfast.listCheckpoints(taskId)
    await holdfast
      .restoreCheckpoint(taskId)
      .catch((error: { code?: string }) => expect(error.code).toBe('CHECKPOINT_NOT_FOUND'))
    looks++
    await turns(1)
  }
  expect(looks).toBeGreaterThan(10)
  expect(await holdfast.result(taskId)).toBe(200)
})

test('a definition that is registered directly after open takes up its tasks, and nobody is told that they are parked', async () => {
  const disk = new MemoryDisk()
  const job = defineTask({ name: 'job' }, (task) =>
    task.step('a', () => new Promise((resolve) => setTimeout(resolve, 5))),
  )
  const first = await openInMemory({ disk, tasks: [job] })
  const ids = await Promise.all([1, 2, 3].map(() => first.start(job, null)))
  await first.close({ grace: 0 })
  const second = await openInMemory({ disk })
  const results = Promise.all(ids.map(({ taskId }) => second.result(taskId)))
  second.register(job)
  await results
  await second.recovery.done
  expect(second.recovery.tasks.map(({ action }) => action)).toEqual(['resumed', 'resumed', 'resumed'])
})

test('a cancel of a body that awaits its chains one after the other leaves no rejection unheard', async () => {
  const chains = defineTask({ name: 'chains' }, async (task) => {
    const chain = async (name: string) => task.step(name, () => new Promise(() => {}))
    const a = chain('a')
    const b = chain('b')
    await a
    await b
  })
  const holdfast = await openInMemory({ tasks: [chains] })
  const { taskId } = await holdfast.start(chains, null)
  await untilIdle(holdfast)
  await holdfast.cancel(taskId)
  await untilIdle(holdfast)
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled' })
})

test('an async listener that throws harms nobody', async () => {
  const holdfast = await openInMemory()
  holdfast.on('task:created', async () => {
    throw new Error('later')
  })
  await holdfast.createSessionTask({ type: 'talk' })
  await untilIdle(holdfast)
})

test('a longer retention puts off what was to be forgotten, and the sweep comes to an end', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const quick = defineTask({ name: 'quick' }, () => 1)
  const first = await openInMemory({ disk, clock, tasks: [quick], idempotencyRetention: '1s', concurrency: 50 })
  const ids = await Promise.all(
    Array.from({ length: 600 }, (_, n) => first.start(quick, null, { idempotencyKey: `k${n}` })),
  )
  await Promise.all(ids.map(({ taskId }) => first.result(taskId)))
  await first.close()
  const second = await openInMemory({ disk, clock, tasks: [quick], idempotencyRetention: '7d' })
  await clock.advance(120_000)
  await untilIdle(second)
  expect(await second.start(quick, null, { idempotencyKey: 'k5' })).toMatchObject({ created: false })
  await clock.advance(8 * 86_400_000)
  for (let sweep = 0; sweep < 10; sweep++) {
    await turns(1_000)
    await clock.advance(60_000)
  }
  expect([...disk.content.keys()].filter((key) => /^(key|timer)\//.test(key))).toEqual([])
})

test('definitions that cannot be registered leave the directory free', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-free-'))
  const tasks = [defineTask({ name: 'same' }, () => 1), defineTask({ name: 'same' }, () => 2)]
  await expect(Holdfast.open({ dir, tasks, logger: silentLogger })).rejects.toThrow(/'same'/)
  await (await Holdfast.open({ dir, logger: silentLogger })).close()
  await rm(dir, { recursive: true })
})

test('one damaged task does not keep the others down after an outage', async () => {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk })
  const one = await holdfast.createSessionTask({ type: 'talk' })
  const other = await holdfast.createSessionTask({ type: 'talk' })
  disk.damage(`live/${one.taskId}`, 'rot')
  disk.failAt({ atWrite: 1, applied: false })
  await expect(holdfast.saveCheckpoint(one.taskId, 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  await new Promise((resolve) => setTimeout(resolve, 150))
  await holdfast.saveCheckpoint(other.taskId, 2)
  await expect(holdfast.get(one.taskId)).rejects.toMatchObject({ code: 'RECORD_DAMAGED' })
})

test('what a step saved is not handed to another step that took its place', async () => {
  const disk = new MemoryDisk()
  const seen: unknown[] = []
  const version = (name: string) =>
    defineTask({ name: 'job' }, (task) =>
      task.step(name, async ({ checkpoint, saveCheckpoint }) => {
        seen.push(checkpoint)
        await saveCheckpoint({ of: name })
        return new Promise(() => {})
      }),
    )
  const first = await openInMemory({ disk, tasks: [version('a')] })
  const { taskId } = await first.start('job', null)
  await untilIdle(first)
  await first.close({ grace: 0 })
  const second = await openInMemory({ disk, tasks: [version('b')] })
  await second.recovery.done
  await untilIdle(second)
  expect(seen).toEqual([undefined])
  expect(await second.get(taskId)).toMatchObject({ parked: { code: 'CODE_CHANGED' } })
})

test('a close directly after a start leaves no timer behind', async () => {
  const clock = new ManualClock()
  const slow = defineTask({ name: 'slow', timeout: '30m' }, (task) => task.step('a', () => new Promise(() => {})))
  const holdfast = await openInMemory({ clock, tasks: [slow] })
  const starting = holdfast.start(slow, null).catch(() => {})
  await holdfast.close({ grace: 0 })
  await starting
  await untilIdle(holdfast)
  expect(clock.armed).toBe(0)
})

test('the outcome of a session task is kept with what belongs to it, and nothing else', async () => {
  const holdfast = await openInMemory()
  const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
  await expect(holdfast.completeSessionTask(taskId, { kind: 'cancelled', reason: { a: 1 } } as never)).rejects.toThrow(
    TypeError,
  )
  await holdfast.completeSessionTask(taskId, { kind: 'result', result: 1, more: 2 } as never)
  expect((await holdfast.get(taskId)).outcome).toEqual({ kind: 'result', result: 1 })
})

test.each([
  ['a typed array', new Uint8Array(2)],
  ['a DataView', new DataView(new ArrayBuffer(2))],
  ['headers', new Headers({ a: 'b' })],
  ['search parameters', new URLSearchParams('a=b')],
  ['a blob', new Blob(['x'])],
])('%s, whose content JSON loses, is refused', async (_, value) => {
  const echo = defineTask({ name: 'echo' }, (_, input: unknown) => input)
  const holdfast = await openInMemory({ tasks: [echo] })
  await expect(holdfast.start(echo, { value })).rejects.toMatchObject({ code: 'NOT_SERIALIZABLE' })
})

test('boxed values, buffers and plain instances are carried as JSON carries them', async () => {
  class Point {
    x = 1
    y = 2
  }
  const echo = defineTask({ name: 'echo' }, (_, input: unknown) => input)
  const holdfast = await openInMemory({ tasks: [echo] })
  const value = { n: new Number(5), point: new Point(), bytes: Buffer.from('a'), url: new URL('http://localhost/') }
  const { taskId } = await holdfast.start(echo, value)
  expect(await holdfast.result(taskId)).toEqual(JSON.parse(JSON.stringify(value)))
})
