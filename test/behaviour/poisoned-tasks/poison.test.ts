// Goal: a task that kills its process is found, parked and named, and nobody else is; a death from outside fails nobody.
// Method: processes that die on a disk in memory, when a step of a body says so or at every write; time in hand.

import { describe, expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { ManualClock } from '../../../src/testing/index.js'
import { hasCode, Machine, parkedOf } from '../../helpers/poison-machine.js'

describe('a task that kills its process', () => {
  test.each(['raw', 'job'] as const)(
    'is parked after five deaths, its step named, and goes on when it is resumed (%s)',
    async (type) => {
      const machine = new Machine()
      await machine.live()
      machine.deadly.add('bad')
      const { taskId } = await machine.open.start<string, unknown>(machine[type], 'bad', { owner: 'alice' })
      await machine.idle()
      expect(machine.isDead).toBe(true)
      // What recorded a step was not counted for that death.
      expect(await machine.liveUntilOneSurvives()).toBe(type === 'raw' ? 4 : 5)

      const parked = await parkedOf(machine, taskId)
      expect(parked?.code).toBe('POISONED')
      const step = type === 'raw' ? "step 'boom'" : "step 'load'"
      expect(parked?.reason).toBe(`5 processes in a row crashed running it and recorded nothing, the last in ${step}`)
      const report = await machine.open.recovery.done
      expect(report.tasks).toMatchObject([{ taskId, action: 'parked', reason: `POISONED: ${parked?.reason}` }])
      await expect(machine.open.result(taskId as never)).rejects.toMatchObject(hasCode('TASK_PARKED'))

      // It stays parked through closes and deaths.
      await machine.open.close()
      await machine.live()
      machine.die()
      await machine.live()
      expect(await parkedOf(machine, taskId)).toEqual(parked)
      expect(machine.open.recovery.tasks).toMatchObject([{ taskId, action: 'parked' }])

      await expect(machine.open.forOwner('bob').resume(taskId)).rejects.toMatchObject(hasCode('TASK_NOT_FOUND'))
      machine.deadly.clear()
      const view = await machine.open.forOwner('alice').resume(taskId)
      expect(view).toMatchObject({ status: 'running', parked: undefined })
      await expect(machine.open.resume(taskId)).rejects.toMatchObject(hasCode('NOT_PARKED'))
      await machine.idle()
      expect((await machine.open.get(taskId)).status).toBe('completed')
      const actions = (await machine.open.audit({ taskId })).map(
        ({ action, by, why }) => `${action} by ${by} ${why ?? ''}`,
      )
      expect(actions).toContain('resumed by alice POISONED')
      await expect(machine.open.resume(taskId)).rejects.toMatchObject(hasCode('TASK_SETTLED'))
    },
  )

  test('is parked as often as it is resumed without being mended, after five more deaths each time', async () => {
    const machine = new Machine()
    await machine.live()
    machine.deadly.add('bad')
    const { taskId } = await machine.open.start(machine.raw, 'bad')
    await machine.idle()
    await machine.liveUntilOneSurvives()
    const resuming = machine.open.resume(taskId)
    await Promise.race([resuming, machine.idle()])
    await machine.idle()
    expect(machine.isDead).toBe(true)
    expect(await machine.liveUntilOneSurvives()).toBe(4)
    expect((await parkedOf(machine, taskId))?.code).toBe('POISONED')
    await machine.open.cancel(taskId, { force: true })
    expect((await machine.open.get(taskId)).status).toBe('cancelled')
  })

  test('is cancelled without `force`, and a clean-up that kills the process too is counted like a run', async () => {
    const machine = new Machine()
    const make = () =>
      defineTask({ name: 'lethal', undo: { first: () => machine.act('undo') } }, async (task) => {
        await task.step('first', () => 'done')
        await task.step('boom', () => machine.act('bad'))
      })
    const tasks = { tasks: [make()] }
    await machine.live(tasks)
    machine.deadly.add('bad').add('undo')
    const { taskId } = await machine.open.start('lethal', null, { owner: 'alice' })
    await machine.idle()
    await machine.liveUntilOneSurvives(tasks)
    expect((await parkedOf(machine, taskId))?.code).toBe('POISONED')

    await Promise.race([machine.open.forOwner('alice').cancel(taskId), machine.idle()])
    await machine.idle()
    expect(machine.isDead).toBe(true)
    // The process that cancelled it was the first of five.
    expect(await machine.liveUntilOneSurvives(tasks)).toBe(4)
    const settled = { status: 'cancelled', cleanUp: 'pending', parked: hasCode('POISONED') }
    expect(await machine.open.get(taskId)).toMatchObject(settled)

    machine.deadly.clear()
    await machine.open.resume(taskId)
    await machine.idle()
    expect(await machine.open.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
    expect(machine.calls.filter((call) => call === 'undo')).toHaveLength(6)
  })

  test('is found when it dies in its first line, before any step', async () => {
    // A slow disk: what is not waited for is not on it yet.
    const machine = new Machine(5)
    let lethal = true
    const sudden = defineTask({ name: 'sudden' }, () => {
      if (!lethal) return 'well'
      machine.die()
      return new Promise<string>(() => {})
    })
    const tasks = [sudden]
    await machine.live({ tasks })
    const { taskId } = await machine.open.start(sudden, null)
    await machine.idle()
    expect(await machine.liveUntilOneSurvives({ tasks })).toBe(4)
    const parked = await parkedOf(machine, taskId)
    expect(parked?.reason).toContain('the last in its body, before a step began that is known (0 completed)')
    expect(machine.errors).toEqual([])
    lethal = false
    await machine.open.resume(taskId)
    await machine.idle()
    expect((await machine.open.get(taskId)).outcome).toEqual({ kind: 'result', result: 'well' })
  })

  test.each([1, 2, 3, 4] as const)(
    'is parked after %i deaths where `maximumRecoveries` says so',
    async (maximumRecoveries) => {
      const machine = new Machine()
      await machine.live({ maximumRecoveries })
      machine.deadly.add('bad')
      const { taskId } = await machine.open.start(machine.raw, 'bad')
      await machine.idle()
      expect(await machine.liveUntilOneSurvives({ maximumRecoveries })).toBe(maximumRecoveries - 1)
      const { reason } = (await parkedOf(machine, taskId)) ?? { reason: '' }
      // One that is never tried again was never suspected, so nothing more than the death is known of it.
      expect(reason).toContain(maximumRecoveries === 1 ? 'before a step began that is known' : "step 'boom'")
    },
  )

  test('takes nobody with it, and those that died with it are no longer suspected once they recorded something', async () => {
    const machine = new Machine()
    await machine.live()
    const names = ['a', 'b', 'c', 'd', 'e']
    for (const name of [...names, 'bad']) machine.hanging.add(name)
    const others: string[] = []
    for (const name of names.slice(0, 3)) others.push(await machine.start('raw', name))
    const bad = await machine.start('raw', 'bad')
    for (const name of names.slice(3)) others.push(await machine.start('raw', name))
    await machine.idle()
    machine.die()
    machine.deadly.add('bad')
    expect(await machine.live()).toBeUndefined()
    // Two deaths: from here on each runs alone, and those that have died least come first.
    machine.hanging.clear()
    machine.calls.length = 0
    expect(await machine.live()).toBeUndefined()
    expect(machine.calls).toEqual(['a', 'b', 'c', 'bad'])
    machine.calls.length = 0
    expect(await machine.live()).toBeUndefined()
    expect(machine.calls).toEqual(['d', 'e', 'bad'])
    expect(await machine.liveUntilOneSurvives()).toBe(1)
    expect((await parkedOf(machine, bad))?.code).toBe('POISONED')
    for (const taskId of others) expect((await machine.open.get(taskId)).status).toBe('completed')
  })

  test('is told apart from one that saves something new before each death; saving the same again is no sign of life', async () => {
    for (const isNew of [true, false]) {
      const machine = new Machine()
      let row = 0
      const long = defineTask({ name: 'long' }, (task) =>
        task.step('load', async ({ saveCheckpoint }) => {
          if (isNew) row++
          await saveCheckpoint({ row })
          if (row < 12) machine.die()
          return row < 12 ? new Promise<never>(() => {}) : row
        }),
      )
      const tasks = [long]
      await machine.live({ tasks })
      const { taskId } = await machine.open.start(long, null)
      await machine.idle()
      await machine.liveUntilOneSurvives({ tasks })
      const { status, parked } = await machine.open.get(taskId)
      expect(isNew ? status : parked?.code).toBe(isNew ? 'completed' : 'POISONED')
    }
  })
})

describe('a suspect', () => {
  test('is named in the report, with its deaths and its step, in the order in which they run', async () => {
    const machine = new Machine()
    const [one, two] = (await machine.startAndDie('one', 'two')) as [string, string]
    await machine.live()
    machine.die()
    const holdfast = await machine.live()
    const reason = 'the last 2 processes crashed running it and recorded nothing; such tasks run one at a time'
    expect(holdfast?.recovery.suspects).toEqual([
      { taskId: one, type: 'raw', deaths: 2, reason },
      { taskId: two, type: 'raw', deaths: 2, reason },
    ])
    expect(holdfast?.recovery.tasks).toMatchObject([
      { taskId: one, action: 'resumed', resumedAt: "step 'boom'", reason },
    ])
    machine.die()
    const next = await machine.live()
    expect(next?.recovery.suspects).toMatchObject([
      { taskId: two, deaths: 2 },
      { taskId: one, deaths: 3, reason: expect.stringContaining("the last in step 'boom'") as string },
    ])
  })

  test('has its turn until it has run for 30 s; a death after that counts against the next one alone', async () => {
    const machine = new Machine()
    const [one, two] = (await machine.startAndDie('one', 'two')) as [string, string]
    await machine.live()
    machine.die()
    machine.calls.length = 0
    await machine.live()
    await machine.clock.advance(29_999)
    expect(machine.calls).toEqual(['one'])
    await machine.clock.advance(1)
    await machine.idle()
    expect(machine.calls).toEqual(['one', 'two'])
    machine.die()
    const holdfast = await machine.live()
    expect(holdfast?.recovery.suspects).toMatchObject([
      { taskId: one, deaths: 2 },
      { taskId: two, deaths: 3 },
    ])
  })

  test('that is killed from outside again and again after its turn is never parked', async () => {
    const machine = new Machine()
    const [taskId] = (await machine.startAndDie('long')) as [string]
    for (let death = 0; death < 12; death++) {
      await machine.live()
      await machine.clock.advance(30_000)
      machine.die()
    }
    machine.hanging.clear()
    await machine.live()
    expect((await machine.open.get(taskId)).status).toBe('completed')
  })

  test('waits for those that one process died of, for 30 s at the most', async () => {
    const machine = new Machine()
    await machine.startAndDie('old')
    await machine.live()
    machine.hanging.add('new')
    await machine.start('raw', 'new')
    machine.die()
    machine.calls.length = 0
    await machine.live()
    expect(machine.calls).toEqual(['new'])
    await machine.clock.advance(30_000)
    await machine.idle()
    expect(machine.calls).toEqual(['new', 'old'])
  })

  test('ends its turn when it sleeps, is cancelled or parked, and the next one begins', async () => {
    const machine = new Machine()
    let calls: string[] = []
    const napper = (nap: string) =>
      defineTask({ name: 'napper' }, async (task, name: string) => {
        calls.push(name)
        if (machine.hanging.has(name)) await task.step('hang', () => new Promise(() => {}))
        await task.sleep(nap, '10s')
      })
    await machine.live({ tasks: [napper('nap')] })
    const names = ['sleeps', 'cancelled', 'last']
    for (const name of names) machine.hanging.add(name)
    const ids: string[] = []
    for (const name of names) {
      await machine.clock.advance(1)
      ids.push((await machine.open.start('napper', name)).taskId)
    }
    await machine.idle()
    machine.die()
    await machine.live({ tasks: [napper('nap')] })
    machine.die()

    calls = []
    machine.hanging.delete('sleeps')
    await machine.live({ tasks: [napper('nap')] })
    expect(calls).toEqual(['sleeps', 'cancelled'])
    await machine.open.cancel(ids[1] as string)
    await machine.idle()
    expect(calls).toEqual(['sleeps', 'cancelled', 'last'])
    machine.die()

    calls = []
    const holdfast = await machine.live({ tasks: [napper('another')] })
    // That it slept is no record; that it slept when the process died is not counted either.
    expect(holdfast?.recovery.suspects.map(({ deaths }) => deaths)).toEqual([2, 3])
    expect((await parkedOf(machine, ids[0] as string))?.code).toBe('CODE_CHANGED')
    expect(calls).toEqual(['sleeps', 'last'])
  })

  test('that is settled while it waits for its turn is passed over', async () => {
    const machine = new Machine()
    const ids = await machine.startAndDie('one', 'two', 'three')
    await machine.live()
    machine.die()
    await machine.live()
    await machine.open.cancel(ids[1] as string)
    await machine.open.cancel(ids[0] as string)
    await machine.idle()
    machine.hanging.clear()
    expect(machine.calls.slice(-1)).toEqual(['three'])
  })
})

describe('what does not count', () => {
  test('a close, however often, and whatever it interrupts', async () => {
    const machine = new Machine()
    machine.hanging.add('one')
    await machine.live()
    const taskId = await machine.start('raw', 'one')
    for (let close = 0; close < 12; close++) {
      await machine.open.close({ grace: 0 })
      await machine.live()
      expect(machine.open.recovery.suspects).toEqual([])
    }
    machine.die()
    await machine.live()
    // One death is no suspicion yet.
    expect(machine.open.recovery.suspects).toEqual([])
    expect((await machine.open.get(taskId)).parked).toBeUndefined()
  })

  test('a death while the task waits in the queue, sleeps, or is between two attempts', async () => {
    const machine = new Machine()
    const patient = defineTask({ name: 'patient' }, async (task, how: string) => {
      if (how === 'sleep') await task.sleep('nap', '50s')
      if (how === 'long') await task.sleep('nap', '5d')
      let tries = 0
      const fails = () => {
        if (how === 'retry' && tries++ === 0) throw new Error('again')
        return how
      }
      return task.step('end', fails, { retry: { maximumAttempts: 2, initialInterval: '40s' } })
    })
    const tasks = [patient]
    await machine.live({ tasks })
    for (const how of ['sleep', 'long', 'retry']) await machine.open.start(patient, how)
    await machine.idle()
    for (let death = 0; death < 8; death++) {
      machine.die()
      await machine.live({ tasks })
      expect(machine.open.recovery.suspects).toEqual([])
    }
    const { tasks: views } = await machine.open.list()
    expect(views.map(({ parked }) => parked)).toEqual([undefined, undefined, undefined])
  })

  test('a death of a process that had the recovery in hand and did not begin it', async () => {
    const machine = new Machine()
    await machine.startAndDie('one')
    for (let death = 0; death < 8; death++) {
      await machine.live({ recover: 'manual' })
      machine.die()
    }
    await machine.live()
    expect(machine.open.recovery.suspects).toEqual([])
    expect(machine.open.recovery.heldReason).toBeUndefined()
  })

  test('a clock that jumps, in either direction', async () => {
    const machine = new Machine()
    const ids = await machine.startAndDie('one', 'two')
    await machine.live()
    machine.die()
    for (const jump of [-10 * 365 * 86_400_000, 20 * 365 * 86_400_000]) {
      machine.clock = new ManualClock(machine.clock.now() + jump)
      await machine.live()
      expect(machine.open.recovery.suspects.length).toBe(2)
      await machine.open.close({ grace: 0 })
    }
    machine.hanging.clear()
    await machine.live()
    for (const taskId of ids) expect((await machine.open.get(taskId)).status).toBe('completed')
  })
})
