// Goal: what a retry drops is dropped by one small commit, is never seen again, and is deleted in the end, whatever dies.
// Method: scenarios are played with a crash before and after every write they make; the disk is looked at.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

const NOTES = 150
const keysOf = (disk: MemoryDisk, prefix: string) => [...disk.content.keys()].filter((key) => key.startsWith(prefix))

/** Fails in its first attempt, catches that, does much more on the strength of it, and throws the failure. */
async function body(task: TaskContext, messages: number): Promise<unknown> {
  await task.step('before', () => 'b')
  await task.saveCheckpoint('before')
  const received: unknown[] = []
  try {
    await task.step('pay', () => {
      if (task.attempt === 1) throw new Error('declined')
    })
  } catch (error) {
    for (let n = 0; n < messages; n++) received.push(await task.receive('m'))
    for (let n = 0; n < NOTES; n++) await task.step('note', () => n)
    await task.saveCheckpoint('after', { label: 'goes' })
    await task.patched('new way')
    await task.step('late', () => 'l')
    throw error
  }
  const isPatched = await task.patched('new way')
  for (let n = 0; n < messages; n++) received.push(await task.receive('m'))
  await task.saveCheckpoint('after')
  return { received, isPatched }
}

const taskOf = (messages: number) =>
  defineTask({ name: 'careful', retry: { maximumAttempts: 2, initialInterval: '1m' } }, (task) => body(task, messages))

describe('a retry that drops more than a batch holds', () => {
  test('gives the next attempt messages, checkpoints and patches anew, and leaves nothing behind, at any crash', async () => {
    const messages = 3
    const { calm, crashed } = await everyCrash({
      effects: () => ({}),
      tasks: () => [taskOf(messages)],
      drive: async (holdfast) => {
        const { taskId } = await holdfast.start('careful', null, { idempotencyKey: 'the one' })
        for (let n = 0; n < messages; n++) {
          await holdfast.send(taskId, 'm', n, { idempotencyKey: `m${n}` }).catch(() => {})
        }
        return taskId
      },
      look: async (holdfast, taskId, disk) => {
        while (keysOf(disk, 'dropped/').length > 0) await untilIdle(holdfast)
        return {
          records: keysOf(disk, `log/${taskId}/`).length,
          messages: keysOf(disk, `message/${taskId}/`).length,
          patches: keysOf(disk, `patch/${taskId}/`).length,
          states: keysOf(disk, `state/${taskId}/`).length,
          labels: (await holdfast.listCheckpoints(taskId)).map(({ label }) => label),
        }
      },
    })
    expect(calm.outcome).toEqual({
      value: { received: [0, 1, 2], isPatched: true },
      status: 'completed',
      attempt: 2,
      completedSteps: 2,
      log: [
        'prefix before#1 completed after 1',
        '1 checkpoint',
        '1 pay#1 completed after 1',
        ...Array.from({ length: messages }, (_, n) => `1 m#${n + 1} completed after 1`),
        '2 checkpoint',
      ],
      seen: { records: 7, messages: 0, patches: 1, states: 2, labels: [undefined, undefined] },
    })
    for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)
  }, 120_000)

  test('is decided by one commit of a few operations; until they are deleted, readers pass over the records', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [taskOf(1)] })
    const { taskId } = await first.start('careful', null)
    await first.send(taskId, 'm', 'hi')
    // Dies with the commit of the decision: on disk, and nothing after it.
    const writes: string[][] = []
    let before = new Map(disk.content)
    while (keysOf(disk, 'dropped/').length === 0) {
      disk.dieAt({ atWrite: 1_000_000, applied: true })
      before = new Map(disk.content)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const changed = [...disk.content].filter(([key, text]) => before.get(key) !== text).map(([key]) => key)
    const gone = [...before.keys()].filter((key) => !disk.content.has(key))
    writes.push(changed.map((key) => key.split('/')[0] as string).sort())
    disk.crash()
    expect(gone).toEqual([])
    expect(writes).toEqual([['audit', 'chain', 'dropped', 'live', 'trail']])
    expect(keysOf(disk, `log/${taskId}/`).length).toBeGreaterThan(NOTES)

    // Held, so that nothing of the task runs and nothing is deleted: everything is read past the dropped records.
    const held = await openInMemory({ disk, clock, tasks: [taskOf(1)], recover: 'manual' })
    expect(await held.get(taskId)).toMatchObject({ attempt: 2, completedSteps: 1 })
    const steps = (await held.steps(taskId)).flatMap(({ steps }) =>
      steps.map(({ name, kind }) => (kind === 'step' ? name : kind)),
    )
    expect(steps).toEqual(['before', 'checkpoint'])
    expect((await held.listCheckpoints(taskId)).map(({ label }) => label)).toEqual([undefined])
    expect(await held.restoreCheckpoint(taskId)).toMatchObject({ state: 'before' })
    const copy = await held.fork(taskId, { afterStep: 'before' })
    expect((await held.steps(copy.taskId)).flatMap(({ steps }) => steps)).toHaveLength(1)
    await held.close()

    const again = await openInMemory({ disk, clock, tasks: [taskOf(1)] })
    await clock.advance(60_000)
    expect(await again.result(taskId)).toEqual({ received: ['hi'], isPatched: true })
    await untilIdle(again)
    expect(keysOf(disk, 'dropped/')).toEqual([])
    expect(keysOf(disk, `log/${taskId}/`)).toHaveLength(5)
    await again.close()
  })

  test('is added to by the next retry, if that comes before its records are deleted', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const task = defineTask({ name: 'twice', retry: { maximumAttempts: 3, initialInterval: 0 } }, async (task) => {
      try {
        await task.step('pay', () => {
          if (task.attempt < 3) throw new Error('declined')
        })
      } catch (error) {
        for (let n = 0; n < 500 && task.attempt === 1; n++) await task.step('note', () => n)
        throw error
      }
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    const lists = new Set<string>()
    while (keysOf(disk, 'done/').length === 0) {
      const text = disk.content.get(`dropped/${taskId}`)
      if (text !== undefined) lists.add(text.slice(text.indexOf('{')))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await untilIdle(holdfast)
    expect([...lists].map((text) => JSON.parse(text).numbers)).toEqual([
      [0, 500],
      [0, 501],
    ])
    expect(keysOf(disk, 'dropped/')).toEqual([])
    expect(keysOf(disk, `log/${taskId}/`)).toHaveLength(1)
    await holdfast.close()
  })

  test('is deleted at the next open of a task that was cancelled meanwhile, and its list goes with a task that is swept', async () => {
    for (const isSwept of [false, true]) {
      const clock = new ManualClock()
      const disk = new MemoryDisk()
      const first = await openInMemory({ disk, clock, tasks: [taskOf(0)] })
      const { taskId } = await first.start('careful', null, { ttl: '1h' })
      while (keysOf(disk, 'dropped/').length === 0) await new Promise((resolve) => setImmediate(resolve))
      disk.crash()
      const held = await openInMemory({ disk, clock, tasks: [taskOf(0)], recover: 'manual' })
      await held.cancel(taskId)
      await untilIdle(held)
      expect(keysOf(disk, 'dropped/')).toHaveLength(1)
      if (isSwept) {
        for (let minutes = 0; minutes < 70; minutes++) {
          await clock.advance(60_000)
          await untilIdle(held)
        }
        // The audit outlives its task.
        const left = [...disk.content.keys()].filter((key) => key.includes(taskId) && !key.startsWith('trail/'))
        expect(left).toEqual([])
        expect((await held.list()).tasks).toEqual([])
      }
      await held.close()
      if (isSwept) continue
      const again = await openInMemory({ disk, clock, tasks: [taskOf(0)] })
      await untilIdle(again)
      expect(keysOf(disk, 'dropped/')).toEqual([])
      expect(keysOf(disk, `log/${taskId}/`)).toHaveLength(2)
      expect((await again.steps(taskId)).flatMap(({ steps }) => steps)).toHaveLength(2)
      await again.close()
    }
  })
})
