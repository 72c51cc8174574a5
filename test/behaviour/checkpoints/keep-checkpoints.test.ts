// Goal: with `keepCheckpoints` a long task keeps few states, and replays as if it had kept them all.
// Method: bodies that restore, that don't, and that are tried again, played with a crash before and after every write.
import { describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

const failing = (code: string) => expect.objectContaining({ code })
const drive = async (holdfast: Awaited<ReturnType<typeof openInMemory>>) =>
  (await holdfast.start('job', null, { idempotencyKey: 'k' })).taskId
const states = (disk: MemoryDisk) => [...disk.content.keys()].filter((key) => key.startsWith('state/'))

const bodies: Record<string, (task: TaskContext) => Promise<unknown>> = {
  'that restores first': async (task) => {
    let { sum, n } = (await task.restoreCheckpoint())?.state ?? { sum: 0, n: 0 }
    for (; n < 6; ) {
      sum += await task.step('load', () => n)
      await task.saveCheckpoint({ sum, n: ++n })
    }
    return sum
  },
  'that restores after each save, and never first': async (task) => {
    let sum = 0
    for (let n = 0; n < 6; n++) {
      sum += await task.step('load', () => n)
      await task.saveCheckpoint({ sum })
      const restored = await task.restoreCheckpoint()
      expect(restored).toMatchObject({ completedSteps: n + 1 })
      sum = restored?.state.sum
    }
    return sum
  },
  'that never restores': async (task) => {
    let sum = 0
    for (let n = 0; n < 6; n++) {
      sum += await task.step('load', () => n)
      await task.saveCheckpoint({ sum })
    }
    return sum
  },
}

describe('a body', () => {
  test.each(Object.entries(bodies))('%s goes on from any write, and keeps two states', async (_, body) => {
    const { calm, crashed } = await everyCrash({
      effects: () => ({}),
      tasks: () => [defineTask({ name: 'job', keepCheckpoints: 2 }, body)],
      drive,
    })
    expect(calm.outcome).toMatchObject({ value: 15, status: 'completed', completedSteps: 6 })
    for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)

    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, tasks: [defineTask({ name: 'job' }, body)], keepCheckpoints: 2 })
    const { taskId } = await holdfast.start('job', null)
    await holdfast.result(taskId as never)
    const kept = await holdfast.listCheckpoints(taskId)
    expect(kept).toHaveLength(2)
    expect(states(disk)).toHaveLength(2)
    // Every save's record stays with its segment.
    const log = (await holdfast.steps(taskId)).flatMap(({ steps }) => steps)
    expect(log.filter(({ kind }) => kind === 'checkpoint')).toHaveLength(6)
    const first = log.find(({ kind }) => kind === 'checkpoint')?.name as string
    await expect(holdfast.restoreCheckpoint(taskId, { checkpointId: first })).rejects.toEqual(
      failing('CHECKPOINT_PRUNED'),
    )
    const { checkpointId } = kept[0] as { checkpointId: string }
    expect(await holdfast.restoreCheckpoint(taskId, { checkpointId })).toMatchObject({ completedSteps: 5 })
  })

  test('that restores a dropped one by its ID is told that it is pruned', async () => {
    const disk = new MemoryDisk()
    let wanted = ''
    const task = (isFirst: boolean) =>
      defineTask({ name: 'job', keepCheckpoints: 1 }, async (task) => {
        if (!isFirst) return (await task.restoreCheckpoint(wanted))?.state
        wanted = (await task.saveCheckpoint(1)).checkpointId
        await task.saveCheckpoint(2)
        return new Promise(() => {})
      })
    const first = await openInMemory({ disk, tasks: [task(true)] })
    const { taskId } = await first.start('job', null)
    await untilIdle(first)
    disk.crash()
    const second = await openInMemory({ disk, tasks: [task(false)] })
    await expect(second.result(taskId as never)).rejects.toThrow(/pruned/)
  })

  test('is not ended by `limits.checkpointsPerTaskMax`, and its definition’s own figure counts more', async () => {
    const task = defineTask({ name: 'job', keepCheckpoints: 3 }, async (task) => {
      for (let n = 0; n < 20; n++) await task.saveCheckpoint(n)
    })
    const limits = { checkpointsPerTaskMax: 5 }
    const holdfast = await openInMemory({ tasks: [task], keepCheckpoints: 1, limits })
    const { taskId } = await holdfast.start(task, null)
    await holdfast.result(taskId)
    expect(await holdfast.listCheckpoints(taskId)).toHaveLength(3)
    expect((await holdfast.stats()).bytes.counted).toBeLessThan(30_000)
  })

  test.each([
    ['without a prune goes on from its whole log', false, 'done'],
    ['that pruned what it would need is not tried from nothing', true, undefined],
  ])('tried again after its only state was dropped, %s', async (_, prune, done) => {
    const clock = new ManualClock()
    const ran: string[] = []
    let isDown = true
    const task = defineTask(
      { name: 'job', keepCheckpoints: 1, retry: { maximumAttempts: 2, initialInterval: '1s' } },
      async (task) => {
        const from = (await task.restoreCheckpoint())?.state ?? 'the beginning'
        if (from === 'the beginning') {
          await task.step('first', () => ran.push('first'))
          await task.saveCheckpoint('one', { prune })
        }
        try {
          await task.step('flaky', () => {
            ran.push('flaky')
            if (isDown) throw new Error('down')
          })
        } catch (error) {
          isDown = false
          await task.saveCheckpoint('two')
          throw error
        }
        return 'done'
      },
    )
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await clock.advance(60_000)
    const result = await holdfast.result(taskId, { timeout: 0 }).catch((error: { code: string }) => error.code)
    expect(ran.filter((step) => step === 'first')).toHaveLength(1)
    if (done) expect(result).toBe(done)
    else expect(result).not.toBe('WAIT_TIMEOUT')
    expect((await holdfast.get(taskId)).parked).toBeUndefined()
  })
})

describe('a client', () => {
  test('keeps the newest of its own, counted apart from the body’s, and never reaches the limit', async () => {
    const disk = new MemoryDisk()
    const limits = { checkpointsPerTaskMax: 3 }
    const holdfast = await openInMemory({ disk, keepCheckpoints: 2, limits })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    const saved: string[] = []
    for (let n = 0; n < 7; n++) saved.push((await holdfast.saveCheckpoint(taskId, { n })).checkpointId)
    // Side by side they make room one after the other.
    const more = await Promise.all([7, 8, 9].map((n) => holdfast.saveCheckpoint(taskId, { n })))
    saved.push(...more.map(({ checkpointId }) => checkpointId))
    expect((await holdfast.listCheckpoints(taskId)).map(({ checkpointId }) => checkpointId)).toEqual(saved.slice(-2))
    expect(states(disk)).toHaveLength(2)
    expect(await holdfast.restoreCheckpoint(taskId)).toMatchObject({ state: { n: 9 } })
    await expect(holdfast.restoreCheckpoint(taskId, { checkpointId: saved[0] })).rejects.toEqual(
      failing('CHECKPOINT_PRUNED'),
    )
  })

  test('whose figure was lowered lets the rest go with the next saves', async () => {
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk })
    const { taskId } = await first.createSessionTask({ type: 'talk' })
    for (let n = 0; n < 50; n++) await first.saveCheckpoint(taskId, n)
    await first.close()
    const second = await openInMemory({ disk, keepCheckpoints: 2 })
    await second.saveCheckpoint(taskId, 50)
    expect(await second.listCheckpoints(taskId)).toHaveLength(21)
    await second.saveCheckpoint(taskId, 51)
    expect(await second.listCheckpoints(taskId)).toHaveLength(2)
    expect(states(disk)).toHaveLength(2)
  })

  test('loses nothing to a crash before or after any write', async () => {
    for (const applied of [false, true]) {
      for (let atWrite = 1; atWrite <= 6; atWrite++) {
        const disk = new MemoryDisk()
        const first = await openInMemory({ disk, keepCheckpoints: 2 })
        const { taskId } = await first.createSessionTask({ type: 'talk' })
        disk.dieAt({ atWrite, applied })
        let acknowledged = -1
        void (async () => {
          for (let n = 0; n < 9; n++) {
            await first.saveCheckpoint(taskId, n)
            acknowledged = n
          }
        })()
        await untilIdle(first)
        expect(disk.isOpen).toBe(false)
        const second = await openInMemory({ disk, keepCheckpoints: 2 })
        const kept = await second.listCheckpoints(taskId)
        expect(kept).toHaveLength(Math.min(2, atWrite - 1 + (applied ? 1 : 0)))
        if (kept.length > 0) {
          const { state } = await second.restoreCheckpoint<number>(taskId)
          expect(state).toBeGreaterThanOrEqual(acknowledged)
        }
        expect(states(disk)).toHaveLength(kept.length)
      }
    }
  })
})

test.each([[0], [-1], [1.5], ['3'], [Number.POSITIVE_INFINITY], [Number.NaN]])(
  '`keepCheckpoints: %j` is refused by name, of open and of a definition',
  async (keepCheckpoints) => {
    const options = { keepCheckpoints: keepCheckpoints as number }
    await expect(openInMemory(options)).rejects.toThrow(/`keepCheckpoints`.*>= 1/)
    expect(() => defineTask({ name: 'job', ...options }, () => 1)).toThrow(/`keepCheckpoints`/)
  },
)
