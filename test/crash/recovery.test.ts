/**
 * Goal: every open takes up what the last process left, whatever state it is in, and says what it did (recovery-1, recovery-4 to recovery-7).
 * Method: processes that die on a disk in memory, at every write where that matters; copies of one crashed store, each
 * with another record damaged; and a disk that counts what an open reads.
 */
import { defineTask } from 'holdfast'
import { ManualClock } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { Machine, reported, wholeOutput } from '../helpers/recovery-machine.js'
import { randomOf, seedFor, until, within } from '../helpers/simulation.js'
import { turns } from '../helpers/turns.js'

const code = (wanted: string) => ({ code: wanted })

describe('after a crash', () => {
  test('the report says of every task what was replayed, resumed, parked, settled or kept, and why', async () => {
    const machine = new Machine()
    const other = defineTask({ name: 'other' }, (task) => task.step('wait', () => new Promise<void>(() => {})))
    const brief = defineTask({ name: 'brief', timeout: '500ms' }, (task) =>
      task.step('wait', () => new Promise(() => {})),
    )
    let holdfast = await machine.open({ tasks: [machine.job, other, brief] })
    const atOne = await machine.startUpTo('one', 'a')
    const atFour = await machine.startUpTo('four', 'b')
    const { taskId: unknown } = await holdfast.start(other, null)
    const { taskId: late } = await holdfast.start(brief, null)
    const { taskId: session } = await holdfast.createSessionTask({ type: 'talk' })
    const settled = await machine.startUpTo('three', 'c')
    await holdfast.cancel(settled)
    machine.die()

    machine.held.clear()
    holdfast = await machine.open({ tasks: [machine.job, brief] })
    const report = await within(machine.clock, 'the recovery', holdfast.recovery.done)
    expect(report.found).toBe(5)
    expect(reported(holdfast)).toEqual({
      [atOne]: { action: 'resumed', replayed: 0, resumedAt: "step 'one'" },
      // The checkpoint is restored, so what was before it is not handed over again.
      [atFour]: { action: 'resumed', replayed: 2, resumedAt: "step 'four'" },
      [unknown]: { action: 'parked', replayed: 0, resumedAt: undefined },
      [late]: { action: 'settled', replayed: 0, resumedAt: undefined },
      [session]: { action: 'kept', replayed: 0, resumedAt: undefined },
    })
    const reasons = Object.fromEntries(report.tasks.map(({ taskId, reason }) => [taskId, reason]))
    expect(reasons[unknown]).toContain('TASK_TYPE_UNKNOWN')
    expect(reasons[late]).toContain('TIMEOUT')
    expect(report.startedAt).toBeDefined()
    expect(report.finishedAt).toBeGreaterThanOrEqual(Number(report.startedAt))
    await expect(machine.result(atOne)).resolves.toEqual(wholeOutput('a'))
    await expect(machine.result(atFour)).resolves.toEqual(wholeOutput('b'))
    await expect(machine.result(late)).rejects.toMatchObject(code('TIMEOUT'))
    expect(machine.notes.broken).toEqual([])
    const recovered = await holdfast.audit({ taskId: atFour })
    expect(recovered.map(({ action }) => action)).toContain('recovered')
  })

  test('a store with nothing unfinished is recovered at once', async () => {
    const machine = new Machine()
    const holdfast = await machine.open()
    const { taskId } = await holdfast.start(machine.job, 'a')
    await machine.result(taskId)
    machine.die()
    const report = await within(machine.clock, 'the recovery', (await machine.open()).recovery.done)
    expect(report).toMatchObject({ found: 0, tasks: [] })
  })

  test('the oldest task is resumed first where one runs at a time', async () => {
    const machine = new Machine()
    await machine.open()
    const names = ['e', 'b', 'd', 'a', 'c', 'f']
    const taskIds: string[] = []
    for (const name of names) taskIds.push(await machine.startUpTo('two', name))
    machine.die()

    machine.held.clear()
    const begun: string[] = []
    const holdfast = await machine.open({ concurrency: 1, recover: 'manual' })
    holdfast.on('task:started', ({ taskId }) => begun.push(taskId))
    await holdfast.recover()
    for (const taskId of taskIds) await machine.result(taskId)
    expect(begun).toEqual(taskIds)
  })

  test('a task that was queued and never ran is taken up as well, with its input', async () => {
    const machine = new Machine()
    const holdfast = await machine.open({ concurrency: 1 })
    await machine.startUpTo('one', 'first')
    const { taskId } = await holdfast.start(machine.job, 'second')
    expect((await holdfast.get(taskId)).status).toBe('pending')
    machine.die()
    machine.held.clear()
    await machine.open({ concurrency: 1 })
    await expect(machine.result(taskId)).resolves.toEqual(wholeOutput('second'))
  })
})

describe('recovering again', () => {
  /** A crashed store with tasks at every stage. */
  async function crashed(): Promise<{ machine: Machine; taskIds: Record<string, string> }> {
    const machine = new Machine()
    await machine.open()
    const taskIds: Record<string, string> = {}
    for (const step of ['one', 'two', 'three', 'four']) taskIds[step] = await machine.startUpTo(step, step)
    machine.die()
    machine.held.clear()
    return { machine, taskIds }
  }

  async function judge(machine: Machine, taskIds: Record<string, string>): Promise<string[]> {
    const holdfast = await machine.open()
    // Held, where five starts in a row died before anything was written: somebody has to say that it is wanted.
    if (holdfast.recovery.heldReason !== undefined) await holdfast.recover()
    const wrong: string[] = []
    for (const [name, taskId] of Object.entries(taskIds)) {
      const output = await machine.result(taskId)
      if (String(output) !== String(wholeOutput(name))) wrong.push(`${name} answered ${String(output)}`)
      const audit = await holdfast.audit({ taskId })
      const times = audit.filter(({ action }) => action === 'completed').length
      if (times !== 1) wrong.push(`${name} settled ${times} times`)
      const saved = (await holdfast.listCheckpoints(taskId)).length
      if (saved !== 1) wrong.push(`${name} has ${saved} checkpoints`)
    }
    const recovered = holdfast.recovery.tasks.length
    if (recovered !== holdfast.recovery.found) wrong.push(`${recovered} of ${holdfast.recovery.found} are reported`)
    return [...wrong, ...machine.notes.broken]
  }

  test('a recovery that dies at any write is done again by the next one', async () => {
    const { machine, taskIds } = await crashed()
    const undisturbed = machine.copy()
    const before = undisturbed.disk.writes
    expect(await judge(undisturbed, taskIds)).toEqual([])
    const writes = undisturbed.disk.writes - before
    expect(writes).toBeGreaterThan(5)
    const wrong: string[] = []
    for (let atWrite = 1; atWrite <= writes; atWrite++) {
      for (const applied of [false, true]) {
        const copy = machine.copy()
        copy.disk.dieAt({ atWrite, applied })
        await copy.openAndDie()
        for (const sentence of await judge(copy, taskIds)) wrong.push(`death at write ${atWrite}: ${sentence}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('a store whose process dies again and again gets on all the same', async () => {
    const random = randomOf(seedFor('RECOVERY_SEED'))
    const { machine, taskIds } = await crashed()
    const wrong: string[] = []
    for (let round = 0; round < 20; round++) {
      const copy = machine.copy()
      for (let death = 0; death < 6; death++) {
        copy.disk.dieAt({ atWrite: 1 + Math.floor(random() * 4), applied: random() < 0.5 })
        await copy.openAndDie()
      }
      wrong.push(...(await judge(copy, taskIds)))
    }
    expect(wrong).toEqual([])
  })

  test('a close in the middle of a recovery leaves everything to the next one', async () => {
    const { machine, taskIds } = await crashed()
    for (let wait = 0; wait < 30; wait += 2) {
      const copy = machine.copy()
      const holdfast = await copy.open()
      await turns(wait)
      await within(copy.clock, 'close', holdfast.close({ grace: 0 }))
      expect(await judge(copy, taskIds), `after ${wait} turns`).toEqual([])
    }
  })
})

describe('recover: manual', () => {
  test('no body runs before `recover`, and what is there can be read, changed and cancelled', async () => {
    const machine = new Machine()
    await machine.open()
    const kept = await machine.startUpTo('two', 'kept')
    const dropped = await machine.startUpTo('two', 'dropped')
    machine.die()
    machine.held.clear()
    const holdfast = await machine.open({ recover: 'manual' })
    await turns(50)
    expect(machine.notes.countOf('kept/two')).toBe(1)
    expect(holdfast.recovery).toMatchObject({ startedAt: undefined, found: 0, tasks: [] })
    expect((await holdfast.list({ status: 'running' })).tasks.map(({ taskId }) => taskId)).toEqual([kept, dropped])
    await holdfast.saveCheckpoint(kept, 'from outside')
    await holdfast.cancel(dropped)

    const report = await holdfast.recover()
    await within(machine.clock, 'the recovery', report.done)
    expect(report.found).toBe(1)
    await expect(machine.result(kept)).resolves.toEqual(wholeOutput('kept'))
    await expect(machine.result(dropped)).rejects.toMatchObject(code('TASK_CANCELLED'))
    expect(machine.notes.countOf('dropped/two')).toBe(1)
  })

  test('a second `recover` changes nothing', async () => {
    const machine = new Machine()
    await machine.open()
    const taskId = await machine.startUpTo('two', 'a')
    machine.die()
    const holdfast = await machine.open({ recover: 'manual' })
    const started: number[] = []
    holdfast.on('task:started', ({ run }) => started.push(run))
    const [first, second] = await Promise.all([holdfast.recover(), holdfast.recover()])
    expect(second).toBe(first)
    await until(machine.clock, 'step two', () => machine.notes.countOf('a/two') === 2)
    expect(await holdfast.recover()).toBe(first)
    await turns(50)
    expect(started).toEqual([2])
    expect(holdfast.recovery.tasks).toMatchObject([{ taskId, action: 'resumed' }])
  })

  test('a definition that is registered first does not make its parked tasks run before `recover`', async () => {
    const machine = new Machine()
    await machine.open()
    const taskId = await machine.startUpTo('two', 'a')
    machine.die()
    const without = await machine.open({ tasks: [] })
    await within(machine.clock, 'the parking', without.recovery.done)
    await until(machine.clock, 'the write', () => without.recovery.tasks.length === 1)
    await without.close()

    machine.held.clear()
    const holdfast = await machine.open({ tasks: [], recover: 'manual' })
    holdfast.register(machine.job)
    await turns(50)
    expect(machine.notes.countOf('a/two'), 'before recover()').toBe(1)
    await holdfast.recover()
    await expect(machine.result(taskId, { waitParked: true })).resolves.toEqual(wholeOutput('a'))
    expect(reported(holdfast)[taskId]).toMatchObject({ action: 'resumed', replayed: 1 })
  })

  test('an outage does not make a body run before `recover`', async () => {
    const machine = new Machine()
    await machine.open()
    const taskId = await machine.startUpTo('two', 'a')
    machine.die()
    machine.held.clear()
    const holdfast = await machine.open({ recover: 'manual' })
    machine.disk.failAt({ atWrite: 1, applied: false })
    await expect(holdfast.saveCheckpoint(taskId, 1)).rejects.toMatchObject(code('STORE_UNAVAILABLE'))
    await until(machine.clock, 'the store', () => !machine.notes.isDown)
    await turns(50)
    expect(machine.notes.countOf('a/two'), 'before recover()').toBe(1)
    await holdfast.recover()
    await expect(machine.result(taskId)).resolves.toEqual(wholeOutput('a'))
  })
})

describe('a task of a type that nobody registered', () => {
  async function orphaned(options = {}) {
    const machine = new Machine()
    await machine.open()
    const taskId = await machine.startUpTo('three', 'a', options)
    machine.die()
    machine.held.clear()
    const holdfast = await machine.open({ tasks: [] })
    await within(machine.clock, 'the recovery', holdfast.recovery.done)
    return { machine, holdfast, taskId }
  }

  test('is parked, and everybody who asks is told why', async () => {
    const { machine, holdfast, taskId } = await orphaned()
    const parked = { code: 'TASK_TYPE_UNKNOWN', reason: expect.stringContaining("'job'"), since: machine.clock.now() }
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running', parked })
    expect((await holdfast.list()).tasks).toMatchObject([{ taskId, parked }])
    await expect(holdfast.result(taskId)).rejects.toMatchObject(code('TASK_PARKED'))
    await expect(holdfast.start('job', 'b')).rejects.toMatchObject(code('TASK_TYPE_UNKNOWN'))
    expect(machine.notes.countOf('a/three')).toBe(1)
  })

  test('goes on as soon as its definition is registered, and who waited gets the result', async () => {
    const { machine, holdfast, taskId } = await orphaned()
    const waiting = holdfast.result(taskId, { waitParked: true })
    holdfast.register(machine.job)
    await expect(within(machine.clock, 'the result', waiting)).resolves.toEqual(wholeOutput('a'))
    expect((await holdfast.get(taskId)).parked).toBeUndefined()
    expect([machine.notes.countOf('a/one'), machine.notes.countOf('a/two')]).toEqual([1, 1])
    expect(machine.notes.broken).toEqual([])
  })

  test('goes on in a later process that knows it', async () => {
    const { machine, holdfast, taskId } = await orphaned()
    await holdfast.close()
    await machine.open()
    await expect(machine.result(taskId, { waitParked: true })).resolves.toEqual(wholeOutput('a'))
    expect(machine.notes.broken).toEqual([])
  })

  test('stays parked since the same time over any number of opens, with one entry in the audit', async () => {
    const { machine, holdfast, taskId } = await orphaned()
    const since = (await holdfast.get(taskId)).parked?.since
    let current = holdfast
    for (let open = 0; open < 3; open++) {
      await current.close()
      await machine.clock.advance(1_000)
      current = await machine.open({ tasks: [] })
      await within(machine.clock, 'the recovery', current.recovery.done)
    }
    expect((await current.get(taskId)).parked?.since).toBe(since)
    const parkings = (await current.audit({ taskId })).filter(({ action }) => action === 'parked')
    expect(parkings).toHaveLength(1)
    expect(reported(current)[taskId]?.action).toBe('parked')
  })

  test('is settled by a cancel with `force`', async () => {
    const { machine, holdfast, taskId } = await orphaned()
    await holdfast.cancel(taskId, { force: true, reason: 'gone' })
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', parked: undefined })
    holdfast.register(machine.job)
    await turns(50)
    expect(machine.notes.countOf('a/three')).toBe(1)
  })

  test('still times out; whether it has an `onCancel` is known only once it is registered', async () => {
    const { machine, holdfast, taskId } = await orphaned({ deadline: new ManualClock().now() + 60_000 })
    await machine.clock.advance(60_000)
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'failed',
      error: { code: 'TIMEOUT' },
      cleanUp: 'pending',
      parked: { code: 'TASK_TYPE_UNKNOWN' },
    })
    await expect(holdfast.result(taskId)).rejects.toMatchObject(code('TASK_PARKED'))
    const result = holdfast.result(taskId, { waitParked: true })
    holdfast.register(machine.job)
    await expect(result).rejects.toMatchObject(code('TIMEOUT'))
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', cleanUp: 'done' })
  })
})
