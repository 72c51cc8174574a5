// Goal: session tasks, checkpoints, lists and events are what the docs say of them.
// Method: the real engine and commit path over a disk in memory, with time in hand.
import { describe, expect, test, vi } from 'vitest'
import { defineTask, type HoldfastEvents } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { double, failing, gate } from '../../helpers/api-tasks.js'

describe('a session task', () => {
  test('is driven from outside through checkpoints, over a restart, and settled by its client', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock })
    const alice = first.forOwner('alice')
    const { taskId } = await alice.createSessionTask({ type: 'support', ttl: '30d' })
    const { checkpointId } = await alice.saveCheckpoint(taskId, { topic: 'refund' }, { label: 'asked' })
    await clock.advance(1)
    await alice.saveCheckpoint(taskId, { topic: 'refund', amount: 5 })
    await first.close()
    await clock.advance(1)

    const second = await openInMemory({ disk, clock })
    await second.recovery.done
    expect(second.recovery.tasks).toMatchObject([{ action: 'kept' }])
    const again = second.forOwner('alice')
    expect(await again.restoreCheckpoint(taskId)).toMatchObject({
      state: { topic: 'refund', amount: 5 },
      completedSteps: 0,
    })
    expect(await again.restoreCheckpoint(taskId, { checkpointId })).toMatchObject({
      checkpointId,
      state: { topic: 'refund' },
    })
    expect(await again.listCheckpoints(taskId)).toMatchObject([
      { label: 'asked', savedBy: 'client' },
      { savedBy: 'client' },
    ])
    expect(await again.completeSessionTask(taskId, { kind: 'result', result: { refunded: 5 } })).toMatchObject({
      status: 'completed',
    })
    expect(await again.result(taskId)).toEqual({ refunded: 5 })
    // A settled task never changes, and its states can still be read.
    expect(await again.restoreCheckpoint(taskId)).toMatchObject({ state: { amount: 5 } })
    const actions = (await second.audit({ taskId })).map(({ action, by }) => `${action} by ${by}`)
    expect(actions).toEqual([
      'created by alice',
      'checkpoint-saved by alice',
      'checkpoint-saved by alice',
      'checkpoint-restored by alice',
      'completed by alice',
    ])
  })

  test('may end as failed or cancelled', async () => {
    const holdfast = await openInMemory()
    const one = await holdfast.createSessionTask({ type: 'talk' })
    await holdfast.completeSessionTask(one.taskId, { kind: 'error', error: { name: 'Gone', message: 'left', code: 7 } })
    await expect(holdfast.result(one.taskId)).rejects.toMatchObject({
      code: 'TASK_FAILED',
      cause: { name: 'Gone', message: 'left' },
    })
    const two = await holdfast.createSessionTask({ type: 'talk' })
    await holdfast.completeSessionTask(two.taskId, { kind: 'cancelled', reason: 'bored' })
    await expect(holdfast.result(two.taskId)).rejects.toThrow(failing('TASK_CANCELLED', /bored/))
  })
})

describe('checkpoints of both kinds', () => {
  test('are told apart, and a client’s never moves the body', async () => {
    const { opened, open } = gate()
    const task = defineTask({ name: 'both' }, async (task) => {
      const restored = await task.restoreCheckpoint<{ row: number }>()
      await task.saveCheckpoint({ row: 1 }, { label: 'mine' })
      await task.step('wait', () => opened)
      return restored?.state ?? 'none'
    })
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [task], clock })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await clock.advance(1)
    await holdfast.saveCheckpoint(taskId, { theirs: true })
    expect(await holdfast.restoreCheckpoint(taskId)).toMatchObject({ state: { theirs: true } })
    expect(await holdfast.restoreCheckpoint(taskId, { savedBy: 'body' })).toMatchObject({ state: { row: 1 } })
    open()
    expect(await holdfast.result(taskId)).toBe('none')
  })
})

describe('listing', () => {
  test('pages through every task once, by owner, status and type', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ tasks: [double], clock })
    const made: string[] = []
    for (let n = 0; n < 23; n++) {
      const owner = n % 2 ? 'alice' : 'bob/../x'
      const { taskId } =
        n % 3
          ? await holdfast.start(double, { n }, { owner })
          : await holdfast.createSessionTask({ type: 'talk', owner })
      made.push(taskId)
      await clock.advance(1)
    }
    const all = async (options: Parameters<typeof holdfast.list>[0]) => {
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await holdfast.list({ ...options, limit: 4, cursor })
        expect(page.tasks.length).toBeLessThanOrEqual(4)
        found.push(...page.tasks.map(({ taskId }) => taskId))
        cursor = page.cursor
      } while (cursor !== undefined)
      return found
    }
    expect(await all({})).toEqual(made)
    expect(await all({ owner: 'alice' })).toEqual(made.filter((_, n) => n % 2))
    expect(await all({ owner: 'bob/../x', type: 'talk' })).toEqual(made.filter((_, n) => n % 6 === 0))
    expect(await all({ status: 'completed' })).toEqual(made.filter((_, n) => n % 3))
    expect(await all({ status: ['running', 'failed'] })).toEqual(made.filter((_, n) => n % 3 === 0))
    expect(await all({ owner: 'bob' })).toEqual([])
  })
})

describe('what is told', () => {
  test('comes after it is on disk, in order', async () => {
    const holdfast = await openInMemory()
    const told: string[] = []
    const names: (keyof HoldfastEvents)[] = [
      'task:created',
      'task:started',
      'task:progress',
      'step:recorded',
      'checkpoint:saved',
      'task:settled',
    ]
    for (const name of names) holdfast.on(name, () => told.push(name))
    const task = defineTask({ name: 'told' }, async (task) => {
      await task.step('a', () => 1)
      task.progress({ done: 1, total: 2, message: 'half\nway' })
      await task.saveCheckpoint({})
    })
    const { taskId } = await holdfast.start(task, null)
    await holdfast.result(taskId)
    expect(told).toEqual([
      'task:created',
      'task:started',
      'step:recorded',
      'task:progress',
      'checkpoint:saved',
      'task:settled',
    ])
    expect(await holdfast.get(taskId)).toMatchObject({ progress: { done: 1, total: 2, message: 'half way' } })
  })

  test('a listener can stop listening', async () => {
    const holdfast = await openInMemory({ tasks: [double] })
    const listener = vi.fn()
    const stop = holdfast.on('task:created', listener)
    await holdfast.start(double, { n: 1 })
    stop()
    await holdfast.start(double, { n: 1 })
    expect(listener).toHaveBeenCalledTimes(1)
  })

  test('the audit is read from an instant on', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ clock })
    await holdfast.createSessionTask({ type: 'one' })
    await clock.advance(10)
    const since = clock.now()
    await holdfast.createSessionTask({ type: 'two' })
    expect(await holdfast.audit({ since })).toMatchObject([{ type: 'two', action: 'created', at: since }])
    expect(await holdfast.audit({ since: new Date(since + 1) })).toEqual([])
    expect(await holdfast.audit({ limit: 1 })).toMatchObject([{ type: 'one' }])
  })

  test('the log is read by segment, with what is running', async () => {
    const { opened, open } = gate()
    const task = defineTask({ name: 'log' }, async (task) => {
      await task.step('plan', () => 1)
      await task
        .step('odd', () => {
          throw new Error('no')
        })
        .catch(() => {})
      await task.saveCheckpoint({}, { label: 'here' })
      await Promise.all([task.step('load', () => 1), task.step('load', () => opened)])
    })
    const holdfast = await openInMemory({ tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    expect(await holdfast.steps(taskId)).toMatchObject([
      {
        segment: 'prefix',
        steps: [
          { name: 'plan', state: 'completed' },
          { name: 'odd', state: 'failed', error: { message: 'no' } },
        ],
      },
      {
        segment: 1,
        steps: [
          { kind: 'checkpoint', label: 'here' },
          { name: 'load', number: 1 },
          { name: 'load', number: 2, state: 'running' },
        ],
      },
    ])
    open()
    await holdfast.result(taskId)
  })

  test('a buffered store says so on every task', async () => {
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk })
    const { taskId } = await first.createSessionTask({ type: 'talk' })
    expect(await first.get(taskId)).toMatchObject({ durability: 'synced' })
    await first.close()
    const second = await openInMemory({ disk, durability: 'buffered' })
    await second.saveCheckpoint(taskId, 1)
    await second.close()
    const third = await openInMemory({ disk })
    expect(await third.get(taskId)).toMatchObject({ durability: 'buffered' })
  })
})
