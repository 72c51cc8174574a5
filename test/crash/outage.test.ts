/**
 * Goal: a disk that refuses writes costs nobody a false answer, a finished step or a stuck task (commit-3, commit-7, commit-8).
 * Method: one scenario on a disk in memory, played with a fault at each of its writes in turn, applied or not: the disk
 * takes writes again at once, later, or only after a crash or a close. What is left is held against a whole run.
 */
import { defineTask, type Holdfast, HoldfastError, type TaskView } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { Notebook, until, within } from '../helpers/simulation.js'
import { turns } from '../helpers/turns.js'

/** `get`, asked again while the store is down; `undefined` for a task that doesn't exist. */
async function lookFor(clock: ManualClock, holdfast: Holdfast, taskId: string): Promise<TaskView | undefined> {
  const look = async () => {
    for (;;) {
      try {
        return await holdfast.get(taskId)
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error
        if (error.code === 'TASK_NOT_FOUND') return undefined
        if (error.code !== 'STORE_UNAVAILABLE') throw error
        await turns(2)
      }
    }
  }
  return within(clock, `get ${taskId}`, look())
}

// --- one by one -----------------------------------------------------------------------------------------------------

/** A store that refuses everything, until it is mended. */
async function brokenStore(limits = {}) {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const notes = new Notebook()
  let openGate = () => {}
  const gate = new Promise<void>((resolve) => {
    openGate = resolve
  })
  const job = defineTask({ name: 'job' }, async (task) => {
    const slow = async () => {
      notes.called('slow')
      await gate
      return 'slow'
    }
    await task.step('slow', slow)
    return task.step('after', () => {
      notes.called('after')
      return 'done'
    })
  })
  const options = { disk, clock, logger: notes.logger, tasks: [job], limits }
  const holdfast = await openInMemory(options)
  const breakIt = async () => {
    const { taskId } = await holdfast.createSessionTask({ type: 'other' })
    disk.full = true
    await holdfast.saveCheckpoint(taskId, null).catch(() => {})
    expect(notes.isDown).toBe(true)
  }
  const mendIt = async () => {
    disk.full = false
    await until(clock, 'the store', () => !notes.isDown)
  }
  const running = async () => {
    const { taskId } = await holdfast.start(job, null)
    await until(clock, 'the slow step', () => notes.countOf('slow') > 0)
    return taskId
  }
  const result = (taskId: string) => within(clock, 'the result', holdfast.result(taskId))
  return { clock, disk, notes, holdfast, job, openGate, breakIt, mendIt, running, result, options }
}

const unavailable = { code: 'STORE_UNAVAILABLE' }

describe('while the store is down', () => {
  test('a cancel is refused and leaves the task running to its end', async () => {
    const { holdfast, breakIt, mendIt, running, openGate, result, notes } = await brokenStore()
    const taskId = await running()
    await breakIt()
    await expect(holdfast.cancel(taskId)).rejects.toMatchObject({ ...unavailable, details: {} })
    openGate()
    await turns(20)
    await mendIt()
    await expect(result(taskId)).resolves.toBe('done')
    expect(notes.repeated).toEqual([])
    expect(notes.broken).toEqual([])
  })

  test('a cancel that was refused can be repeated, and counts then', async () => {
    const { holdfast, breakIt, mendIt, running, result } = await brokenStore()
    const taskId = await running()
    await breakIt()
    await expect(holdfast.cancel(taskId)).rejects.toMatchObject(unavailable)
    await expect(holdfast.cancel(taskId), 'again, still down').rejects.toMatchObject(unavailable)
    await mendIt()
    await expect(holdfast.cancel(taskId)).resolves.toMatchObject({ status: 'cancelled' })
    await expect(result(taskId)).rejects.toMatchObject({ code: 'TASK_CANCELLED' })
  })

  test('a session task whose completion was refused takes checkpoints and another completion afterwards', async () => {
    const { holdfast, breakIt, mendIt } = await brokenStore()
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    await breakIt()
    const end = () => holdfast.completeSessionTask(taskId, { kind: 'result', result: 1 })
    await expect(end()).rejects.toMatchObject(unavailable)
    await mendIt()
    expect((await holdfast.get(taskId)).status).toBe('running')
    await holdfast.saveCheckpoint(taskId, 'still here')
    await expect(end()).resolves.toMatchObject({ status: 'completed' })
  })

  test('checkpoints that were refused do not count against the limit', async () => {
    const { holdfast, breakIt, mendIt } = await brokenStore({ checkpointsPerTaskMax: 1 })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    await breakIt()
    for (let time = 0; time < 3; time++) {
      await expect(holdfast.saveCheckpoint(taskId, time)).rejects.toMatchObject(unavailable)
    }
    await mendIt()
    await expect(holdfast.saveCheckpoint(taskId, 'kept')).resolves.toHaveProperty('checkpointId')
    await expect(holdfast.saveCheckpoint(taskId, 'too many')).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
  })

  test('a start is refused, and there is no task of it afterwards', async () => {
    const { holdfast, job, breakIt, mendIt } = await brokenStore()
    await breakIt()
    await expect(holdfast.start(job, null, { owner: 'ann' })).rejects.toMatchObject(unavailable)
    await mendIt()
    expect((await holdfast.list({ owner: 'ann' })).tasks).toEqual([])
  })

  test('a caller who waits for a result waits on, and is told it', async () => {
    const { holdfast, breakIt, mendIt, running, openGate, clock } = await brokenStore()
    const taskId = await running()
    const waiting = holdfast.result(taskId)
    await breakIt()
    openGate()
    await clock.advance(5_000)
    await mendIt()
    await expect(within(clock, 'the result', waiting)).resolves.toBe('done')
  })

  test('no new step begins, and the one that ended meanwhile is recorded without being called again', async () => {
    const { holdfast, breakIt, mendIt, running, openGate, notes, result, clock } = await brokenStore()
    const taskId = await running()
    await breakIt()
    openGate()
    await clock.advance(60_000)
    expect([notes.countOf('slow'), notes.countOf('after')]).toEqual([1, 0])
    await mendIt()
    await expect(result(taskId)).resolves.toBe('done')
    expect([notes.countOf('slow'), notes.countOf('after')]).toEqual([1, 1])
    const [prefix] = await holdfast.steps(taskId)
    expect(prefix?.steps.map(({ name, state }) => `${name} ${state}`)).toEqual(['slow completed', 'after completed'])
  })

  test('a close ends within its grace, and the task goes on at the next open', async () => {
    const { holdfast, disk, breakIt, running, openGate, clock, notes, options } = await brokenStore()
    const taskId = await running()
    await breakIt()
    openGate()
    await within(clock, 'close', holdfast.close({ grace: '1s' }))
    expect(disk.isOpen).toBe(false)
    disk.full = false
    notes.isDown = false
    const next = await openInMemory(options)
    await expect(within(clock, 'the result', next.result(taskId))).resolves.toBe('done')
  })

  test('reading what is in memory still works, and the rest is refused rather than guessed', async () => {
    const { holdfast, breakIt, mendIt, running } = await brokenStore()
    const taskId = await running()
    await breakIt()
    expect((await holdfast.get(taskId)).status).toBe('running')
    await expect(holdfast.list()).rejects.toMatchObject(unavailable)
    await expect(holdfast.audit()).rejects.toMatchObject(unavailable)
    await expect(holdfast.steps(taskId)).rejects.toMatchObject(unavailable)
    await mendIt()
    expect((await holdfast.list()).tasks).toHaveLength(2)
  })
})

describe('a write that fails under a caller', () => {
  test.each([true, false])('START_UNKNOWN names the task, and `get` tells the truth (applied: %s)', async (applied) => {
    const { holdfast, disk, job, clock, openGate, result } = await brokenStore()
    openGate()
    disk.failAt({ atWrite: 1, applied })
    const error = await holdfast.start(job, null, { idempotencyKey: 'once' }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'START_UNKNOWN', cause: expect.any(Error) })
    const taskId = String((error as HoldfastError).details['taskId'])
    const view = await lookFor(clock, holdfast, taskId)
    expect(view?.taskId).toBe(applied ? taskId : undefined)
    const again = await holdfast.start(job, null, { idempotencyKey: 'once' })
    expect(again.created).toBe(!applied)
    expect(again.taskId === taskId).toBe(applied)
    await expect(result(again.taskId)).resolves.toBe('done')
    expect((await holdfast.list()).tasks).toHaveLength(1)
  })

  test('a cancel that was refused but applied shows as cancelled, and whoever waits is told', async () => {
    const { holdfast, disk, running, clock, notes, openGate } = await brokenStore()
    const taskId = await running()
    const waiting = holdfast.result(taskId).catch((error: unknown) => error)
    disk.failAt({ atWrite: 1, applied: true })
    await expect(holdfast.cancel(taskId)).rejects.toMatchObject({ ...unavailable, mayBeWritten: true })
    expect(await within(clock, 'the waiter', waiting)).toMatchObject({ code: 'TASK_CANCELLED' })
    expect((await holdfast.get(taskId)).status).toBe('cancelled')
    openGate()
    await turns(50)
    expect(notes.countOf('after')).toBe(0)
    await expect(holdfast.cancel(taskId)).rejects.toMatchObject({ code: 'TASK_SETTLED' })
  })

  test('a cancel that was refused and not applied leaves the step that ended meanwhile recorded', async () => {
    const { holdfast, disk, running, result, openGate, notes } = await brokenStore()
    const taskId = await running()
    disk.failAt({ atWrite: 1, applied: false })
    const cancelled = holdfast.cancel(taskId)
    openGate()
    await expect(cancelled).rejects.toMatchObject({ ...unavailable, mayBeWritten: true })
    await expect(result(taskId)).resolves.toBe('done')
    expect(notes.repeated).toEqual([])
  })

  test.each([true, false])(
    'while the fate of a cancel is unknown nobody is told that the task is settled (applied: %s)',
    async (applied) => {
      const { holdfast, disk, running, mendIt, notes, openGate, result, clock } = await brokenStore()
      const taskId = await running()
      notes.onDown = () => {
        disk.full = true
      }
      disk.failAt({ atWrite: 1, applied })
      await expect(holdfast.cancel(taskId)).rejects.toMatchObject(unavailable)
      await expect(holdfast.cancel(taskId), 'cancel').rejects.toMatchObject(unavailable)
      await expect(holdfast.saveCheckpoint(taskId, 1), 'save').rejects.toMatchObject(unavailable)
      expect((await holdfast.get(taskId)).status, 'as far as is known').toBe('running')
      await mendIt()
      openGate()
      if (applied) await expect(result(taskId)).rejects.toMatchObject({ code: 'TASK_CANCELLED' })
      else await expect(result(taskId)).resolves.toBe('done')
      const status = applied ? 'cancelled' : 'completed'
      expect((await lookFor(clock, holdfast, taskId))?.status).toBe(status)
    },
  )

  test('several writes that fail one after the other are as harmless as one', async () => {
    const { holdfast, disk, running, result, openGate, notes } = await brokenStore()
    const taskId = await running()
    let left = 4
    notes.onDown = () => {
      if (left-- > 0) disk.failAt({ atWrite: 1, applied: left % 2 === 0 })
    }
    disk.failAt({ atWrite: 1, applied: false })
    openGate()
    await expect(result(taskId)).resolves.toBe('done')
    expect(left).toBeLessThanOrEqual(0)
    expect(notes.repeated).toEqual([])
    const audit = await holdfast.audit({ taskId })
    expect(audit.map(({ action }) => action)).toEqual(['created', 'completed'])
  })
})
