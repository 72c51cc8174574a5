// Goal: deaths at any write park nobody who is innocent; a store whose every start dies is opened with its recovery held.
// Method: processes that die on a disk in memory, when a step of a body says so or at every write; time in hand.
import { describe, expect, test } from 'vitest'
import { defineTask } from '../../../src/index.js'
import { openInMemory } from '../../../src/testing/index.js'
import { hasCode, Machine, parkedOf } from '../../helpers/poison-machine.js'

describe('a death at any write', () => {
  test('of a recovery with a suspect and a poisoned task is counted once, and never against a bystander', async () => {
    const prepared = async () => {
      const machine = new Machine()
      const ids = await machine.startAndDie('bad', 'long', 'short')
      await machine.live()
      machine.die()
      machine.deadly.add('bad')
      machine.hanging.delete('short')
      return { machine, ids }
    }
    // Long enough for the turns of all three.
    const untilAllHadTheirTurn = async (machine: Machine) => {
      for (let deaths = 0; deaths < 20; deaths++) {
        await machine.live()
        for (let turn = 0; turn < 3 && !machine.isDead; turn++) await machine.clock.advance(30_000)
        if (!machine.isDead) return deaths
      }
      throw new Error('They die for ever')
    }
    const calm = await prepared()
    const before = calm.machine.disk.writes
    const deaths = await untilAllHadTheirTurn(calm.machine)
    expect(deaths).toBe(3)
    const writes = calm.machine.disk.writes - before
    expect(writes).toBeGreaterThan(15)
    for (let atWrite = 1; atWrite <= writes; atWrite++) {
      for (const applied of [false, true]) {
        const { machine, ids } = await prepared()
        const [bad, long, short] = ids as [string, string, string]
        machine.disk.dieAt({ atWrite, applied })
        const where = `write ${atWrite}, ${applied ? 'after' : 'before'}`
        const more = await untilAllHadTheirTurn(machine)
        // The death at the write is one more, or takes the place of one: it is never counted twice.
        expect([deaths, deaths + 1], where).toContain(more)
        expect((await parkedOf(machine, bad))?.code, where).toBe('POISONED')
        expect((await machine.open.get(long)).parked, where).toBeUndefined()
        expect((await machine.open.get(short)).status, where).toBe('completed')
      }
    }
  })

  test('of a resume leaves the task parked, or resumed', async () => {
    for (const applied of [false, true]) {
      const machine = new Machine()
      await machine.live()
      machine.deadly.add('bad')
      const { taskId } = await machine.open.start(machine.raw, 'bad')
      await machine.idle()
      await machine.liveUntilOneSurvives()
      machine.deadly.clear()
      machine.disk.dieAt({ atWrite: 1, applied })
      void machine.open.resume(taskId)
      await machine.idle()
      expect(machine.isDead).toBe(true)
      await machine.live()
      const { status, parked } = await machine.open.get(taskId)
      expect(applied ? status : parked?.code).toBe(applied ? 'completed' : 'POISONED')
    }
  })

  test('that fails and may have landed: a resume that was refused goes on if it did', async () => {
    for (const applied of [false, true]) {
      const machine = new Machine()
      await machine.live()
      machine.deadly.add('bad')
      const { taskId } = await machine.open.start(machine.raw, 'bad')
      await machine.idle()
      await machine.liveUntilOneSurvives()
      machine.deadly.clear()
      machine.disk.failAt({ atWrite: 1, applied })
      await expect(machine.open.resume(taskId)).rejects.toMatchObject(hasCode('STORE_UNAVAILABLE'))
      await machine.clock.advance(1_000)
      await machine.idle()
      const { status, parked } = await machine.open.get(taskId)
      expect(applied ? status : parked?.code).toBe(applied ? 'completed' : 'POISONED')
    }
  })
})

describe('resume', () => {
  test('tries code that was changed again, and parks it again where it still does not fit', async () => {
    const machine = new Machine()
    const task = (step: string) =>
      defineTask({ name: 'job' }, async (task) => {
        await task.step(step, () => 1)
        return task.step('rest', () => (machine.hanging.has('x') ? new Promise(() => {}) : 2))
      })
    machine.hanging.add('x')
    await machine.live({ tasks: [task('one')] })
    const { taskId } = await machine.open.start('job')
    await machine.idle()
    machine.die()
    await machine.live({ tasks: [task('two')] })
    expect((await parkedOf(machine, taskId))?.code).toBe('CODE_CHANGED')
    await machine.open.resume(taskId)
    await machine.idle()
    expect((await parkedOf(machine, taskId))?.code).toBe('CODE_CHANGED')
  })

  test('refuses a task that runs, one whose type nobody knows, and one that is not there', async () => {
    const machine = new Machine()
    await machine.live()
    machine.hanging.add('one')
    const taskId = await machine.start('raw', 'one')
    await expect(machine.open.resume(taskId)).rejects.toMatchObject(hasCode('NOT_PARKED'))
    await expect(machine.open.resume('task-none')).rejects.toMatchObject(hasCode('TASK_NOT_FOUND'))
    await expect(machine.open.resume(7 as never)).rejects.toThrow(TypeError)
    machine.die()
    await machine.live({ tasks: [] })
    expect((await parkedOf(machine, taskId))?.code).toBe('TASK_TYPE_UNKNOWN')
    await expect(machine.open.resume(taskId)).rejects.toMatchObject(hasCode('TASK_TYPE_UNKNOWN'))
    await machine.open.close()
    await expect(machine.open.resume(taskId)).rejects.toMatchObject(hasCode('CLOSED'))
  })
})

describe('a store that every start dies of', () => {
  async function fruitless(machine: Machine, starts: number): Promise<void> {
    for (let start = 0; start < starts; start++) {
      // Right after its first write: nothing else is written.
      machine.disk.dieAt({ atWrite: 1, applied: true })
      expect(await machine.live()).toBeUndefined()
    }
  }

  test('is opened with its recovery held after five starts that wrote nothing, and says so loudly', async () => {
    const machine = new Machine()
    const [taskId] = (await machine.startAndDie('one')) as [string]
    // The death above is counted by the first of them; that start writes no more than that.
    await fruitless(machine, 5)
    machine.hanging.clear()
    const holdfast = await machine.live()
    expect(holdfast?.recovery.heldReason).toContain('the last 5 starts crashed while they recovered')
    expect(holdfast?.recovery.startedAt).toBeUndefined()
    expect(machine.errors.join()).toContain('The recovery is held')
    expect((await machine.open.get(taskId)).status).toBe('running')

    // Held stays held, whatever else the process did before it died.
    await machine.start('raw', 'new')
    machine.die()
    const again = await machine.live()
    expect(again?.recovery.heldReason).toBeDefined()
    const report = await again?.recover()
    expect((await report?.done)?.found).toBe(2)
    await machine.idle()
    expect((await machine.open.get(taskId)).status).toBe('completed')
    machine.die()
    expect((await machine.live())?.recovery.heldReason).toBeUndefined()
  })

  test('is held again if it dies of `recover()`', async () => {
    const machine = new Machine()
    await machine.startAndDie('one')
    await fruitless(machine, 5)
    await machine.live()
    machine.disk.dieAt({ atWrite: 1, applied: true })
    void machine.open.recover()
    await machine.idle()
    expect(machine.isDead).toBe(true)
    expect((await machine.live())?.recovery.heldReason).toContain('the last 6 starts')
  })

  test('begins the count anew after a close, a start that wrote something, or a recovery that came through', async () => {
    for (const how of ['close', 'write', 'recovery'] as const) {
      const machine = new Machine()
      await machine.startAndDie('one')
      await fruitless(machine, 4)
      if (how === 'write') {
        machine.disk.dieAt({ atWrite: 2, applied: true })
        await machine.live()
      } else {
        await machine.live()
        if (how === 'close') await machine.open.close({ grace: 0 })
        else machine.die()
      }
      await fruitless(machine, 4)
      expect((await machine.live())?.recovery.heldReason, how).toBeUndefined()
    }
  })

  test('is not seen where there is nothing to recover, or where a person has it in hand', async () => {
    const machine = new Machine()
    await machine.live()
    machine.die()
    await fruitless(machine, 7)
    expect((await machine.live())?.recovery.heldReason).toBeUndefined()
  })

  test('an idle server that is killed again and again, with a task that sleeps for weeks, is not held', async () => {
    const machine = new Machine()
    const sleeper = defineTask({ name: 'sleeper' }, (task) => task.sleep('long', '21d'))
    await machine.live({ tasks: [sleeper] })
    await machine.open.start(sleeper, null)
    await machine.idle()
    for (let death = 0; death < 20; death++) {
      machine.die()
      const holdfast = await machine.live({ tasks: [sleeper] })
      expect(holdfast?.recovery.heldReason).toBeUndefined()
    }
  })

  test('a kill within the grace of a close is a crash of no task, however often it happens', async () => {
    const machine = new Machine()
    const [taskId] = (await machine.startAndDie('one')) as [string]
    for (let kill = 0; kill < 7; kill++) {
      const holdfast = await machine.live()
      // The step hangs, so the close waits for the end of its grace, which never comes.
      void holdfast?.close()
      await machine.idle()
      machine.die()
    }
    await machine.live()
    expect(await parkedOf(machine, taskId)).toBeUndefined()
    expect((await machine.open.get(taskId)).status).toBe('running')
  })

  test('a note that cannot be read harms nobody', async () => {
    const machine = new Machine()
    const [taskId] = (await machine.startAndDie('one')) as [string]
    machine.disk.damage('meta/life', 'rot')
    machine.hanging.clear()
    await machine.live()
    expect((await machine.open.get(taskId)).status).toBe('completed')
  })
})

describe('bad input', () => {
  test.each([
    ['maximumRecoveries', 0],
    ['maximumRecoveries', -1],
    ['maximumRecoveries', 1.5],
    ['maximumRecoveries', Number.POSITIVE_INFINITY],
    ['maximumRecoveries', '5'],
  ])('%s: %s is refused', async (option, value) => {
    await expect(openInMemory({ [option]: value } as never)).rejects.toThrow(
      expect.objectContaining({
        name: 'TypeError',
        message: expect.stringContaining(`\`${option}\``) as string,
      }) as Error,
    )
  })
})
