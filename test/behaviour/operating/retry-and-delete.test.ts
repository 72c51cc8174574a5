// Goal: `retry` begins the next attempt now and `delete` deletes a settled task, whatever write the process dies at.
// Method: time in hand; each scenario is played with a crash before and after every write.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const HOUR = 3_600_000
const keysOf = (disk: MemoryDisk, taskId: string) =>
  [...disk.content].filter(([key]) => key.includes(taskId) && !/^(audit|trail)\//.test(key)).map(([key]) => key)

/** Tasks that fail once, with a delay of hours, in a step or in the body. */
function flaky() {
  const at: number[] = []
  const retry = { maximumAttempts: 3, initialInterval: '9h' } as const
  const clock = new ManualClock()
  const fail = () => {
    at.push(clock.now())
    if (at.length === 1) throw new Error('not yet')
    return at.length
  }
  const inStep = defineTask({ name: 'in-step' }, (task) => task.step('pay', fail, { retry }))
  const inBody = defineTask({ name: 'in-body', retry }, async (task) => {
    await task.step('before', () => 1)
    return fail()
  })
  return { at, clock, tasks: [inStep, inBody] }
}

describe('retry', () => {
  test.each(['in-step', 'in-body'])(
    'begins the attempt of a failure %s now, and a second call is refused',
    async (name) => {
      for (const isUnloaded of [false, true]) {
        const { at, clock, tasks } = flaky()
        const holdfast = await openInMemory({ clock, tasks })
        const { taskId } = await holdfast.start(name, null)
        await untilIdle(holdfast)
        if (isUnloaded) await clock.advance(61_000)
        await untilIdle(holdfast)
        expect(at).toHaveLength(1)
        await holdfast.retry(taskId)
        expect(await holdfast.result(taskId)).toBe(2)
        expect(at[1]).toBeLessThan((at[0] ?? 0) + HOUR)
        await expect(holdfast.retry(taskId)).rejects.toMatchObject({ code: 'TASK_SETTLED' })
        const actions = (await holdfast.audit({ taskId })).map(({ action, by }) => `${action} ${by}`)
        expect(actions).toContain('retry-requested admin')
        await holdfast.close()
      }
    },
  )

  test.each(['in-step', 'in-body'])('of a failure %s is kept through a crash at every write', async (name) => {
    const play = async (death?: { atWrite: number; applied: boolean }) => {
      const { at, clock, tasks } = flaky()
      const disk = new MemoryDisk()
      const first = await openInMemory({ clock, disk, tasks })
      const { taskId } = await first.start(name, null)
      await untilIdle(first)
      await clock.advance(61_000)
      await untilIdle(first)
      const before = disk.writes
      const died = new Promise<'died'>((resolve) => disk.onDeath(() => resolve('died')))
      if (death) disk.dieAt(death)
      const acknowledged = await Promise.race([first.retry(taskId).then(() => true), died.then(() => false)])
      if (death) {
        await Promise.race([untilIdle(first), died])
        disk.crash()
        expect(brokenFormatLaws(disk.content)).toEqual([])
        const next = await openInMemory({ clock, disk, tasks })
        await untilIdle(next)
        const { status } = await next.get(taskId)
        // An acknowledged request is kept: no time passes, and the attempt has been made.
        if (acknowledged) expect(status).toBe('completed')
        else if (status !== 'completed') expect(await next.retry(taskId).then(() => next.result(taskId))).toBe(2)
        await next.close()
      } else expect(await first.result(taskId)).toBe(2)
      expect(at.length).toBeLessThanOrEqual(3)
      return disk.writes - before
    }
    const writes = await play()
    for (let atWrite = 1; atWrite <= writes; atWrite++) {
      for (const applied of [false, true]) await play({ atWrite, applied })
    }
  })

  test('is refused for a task that waits for something else, or is parked', async () => {
    const sleeper = defineTask({ name: 'sleeper' }, (task) => task.sleep('night', '8h'))
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, clock, tasks: [sleeper] })
    const { taskId } = await holdfast.start(sleeper, null, { owner: 'ann' })
    const session = await holdfast.createSessionTask({ type: 'talk' })
    await untilIdle(holdfast)
    await expect(holdfast.retry(taskId)).rejects.toMatchObject({ code: 'NO_NEXT_ATTEMPT' })
    await expect(holdfast.retry(session.taskId)).rejects.toMatchObject({ code: 'NO_NEXT_ATTEMPT' })
    await expect(holdfast.forOwner('bob').retry(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await holdfast.close()
    const next = await openInMemory({ disk, clock, tasks: [] })
    await next.recovery.done
    await expect(next.forOwner('ann').retry(taskId)).rejects.toMatchObject({
      code: 'TASK_PARKED',
      message: expect.stringContaining('resume'),
    })
    await next.close()
  })

  test('does not skip the delay of a failure that follows it', async () => {
    const at: number[] = []
    const clock = new ManualClock()
    const failing = defineTask({ name: 'failing' }, (task) =>
      task.step(
        'pay',
        () => {
          at.push(clock.now())
          throw new Error('no')
        },
        { retry: { maximumAttempts: 5, initialInterval: '9h' } },
      ),
    )
    const holdfast = await openInMemory({ clock, tasks: [failing] })
    const { taskId } = await holdfast.start(failing, null)
    await untilIdle(holdfast)
    await holdfast.retry(taskId)
    await untilIdle(holdfast)
    expect(at).toHaveLength(2)
    expect(await holdfast.explain(taskId)).toMatchObject({ waits: [{ for: 'attempt', attempt: 3 }] })
    await holdfast.close()
  })
})

describe('delete', () => {
  const small = defineTask({ name: 'small' }, (task) => task.step('a', () => 1))
  const large = defineTask({ name: 'large' }, async (task) => {
    for (let n = 0; n < 150; n++) await task.step('a', () => n)
  })
  const endless = defineTask({ name: 'endless' }, (task) => task.receive('never'))
  const tasks = [small, large, endless]

  test.each([
    ['small', undefined],
    ['large', undefined],
    ['large', '9d'],
  ])(
    'of a %s task (ttl %s) leaves nothing but its audit and its key, at whatever write the process dies',
    async (name, ttl) => {
      const play = async (death?: { atWrite: number; applied: boolean }) => {
        const disk = new MemoryDisk()
        const clock = new ManualClock()
        const holdfast = await openInMemory({ disk, clock, tasks })
        const { taskId } = await holdfast.start(name, null, { idempotencyKey: 'once', ...(ttl && { ttl: '9d' }) })
        await holdfast.result(taskId)
        await untilIdle(holdfast)
        const before = disk.writes
        const died = new Promise<'died'>((resolve) => disk.onDeath(() => resolve('died')))
        if (death) disk.dieAt(death)
        await Promise.race([holdfast.delete(taskId), died])
        const writes = disk.writes - before
        let last: Holdfast = holdfast
        if (death) {
          disk.crash()
          expect(brokenFormatLaws(disk.content)).toEqual([])
          last = await openInMemory({ disk, clock, tasks })
          await clock.advance(61_000)
          await untilIdle(last)
          const isThere = await last.get(taskId).then(
            () => true,
            () => false,
          )
          // The first batch decides: before it the task is whole, and after it the sweep of the next opening ends the work.
          if (isThere) await last.delete(taskId)
        }
        await expect(last.get(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
        await expect(last.delete(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
        const left = keysOf(disk, taskId).filter((key) => !key.includes('/forget-key/'))
        expect(left).toEqual([])
        const entries = (await last.audit({ taskId })).filter(({ action }) => action === 'deleted')
        expect(entries).toHaveLength(1)
        await expect(last.start(name, null, { idempotencyKey: 'once' })).rejects.toMatchObject({ code: 'RESULT_GONE' })
        expect(brokenFormatLaws(disk.content)).toEqual([])
        await last.close()
        return writes
      }
      const writes = await play()
      for (let atWrite = 1; atWrite <= writes; atWrite++) {
        for (const applied of [false, true]) await play({ atWrite, applied })
      }
    },
  )

  test('is refused for an unfinished task, a pending clean-up and another owner’s task, and changes nothing', async () => {
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks })
    const { taskId } = await holdfast.start(endless, null, { owner: 'ann' })
    await untilIdle(holdfast)
    await expect(holdfast.delete(taskId)).rejects.toMatchObject({ code: 'NOT_SETTLED' })
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    await expect(holdfast.forOwner('bob').delete(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await holdfast.forOwner('ann').delete(taskId)
    await expect(holdfast.get(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    expect((await holdfast.list()).tasks).toEqual([])
    await holdfast.close()
  })
})
