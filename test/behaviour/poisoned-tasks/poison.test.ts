// Goal: a task that kills its process is found, parked and named, and nobody else is; a death from outside fails nobody.
// Method: processes that die on a disk in memory, when a step of a body says so or at every write; time in hand.

import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type Logger, silentLogger } from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'

/** A machine whose process dies when a step kills it, and one body that does as it is told by its input. */
class Machine {
  clock = new ManualClock()
  readonly errors: string[] = []
  /** @param latency turns of the event loop that a write waits for */
  constructor(latency = 1) {
    this.disk = new MemoryDisk(() => turns(latency))
  }

  readonly disk: MemoryDisk
  /** Inputs whose step brings the process down. */
  readonly deadly = new Set<string>()
  /** Inputs whose step never ends. */
  readonly hanging = new Set<string>()
  readonly calls: string[] = []
  holdfast: Holdfast | undefined
  isDead = false

  readonly logger: Logger = {
    ...silentLogger,
    error: (message, fields) => void this.errors.push(`${message} ${JSON.stringify(fields)}`),
  }

  readonly job = defineTask({ name: 'job' }, async (task, name: string) => {
    const first = await task.step('first', () => name)
    const second = await task.step('load', () => this.act(name))
    return [first, second]
  })
  /** Dies, or hangs, before anything of it is recorded. */
  readonly raw = defineTask({ name: 'raw' }, (task, name: string) => task.step('boom', () => this.act(name)))

  act(name: string): unknown {
    this.calls.push(name)
    if (this.deadly.has(name)) {
      this.die()
      return new Promise(() => {})
    }
    return this.hanging.has(name) ? new Promise(() => {}) : `${name} done`
  }

  die(): void {
    this.isDead = true
    this.disk.crash()
  }

  /** Resolves once nothing can continue unless time passes, whether the process lives or not. */
  idle(): Promise<void> {
    return this.clock.advance(0)
  }

  /** One process, until it has nothing more to do or is dead. */
  async live(options: Partial<InMemoryOptions> = {}): Promise<Holdfast | undefined> {
    this.isDead = false
    this.clock = new ManualClock(this.clock.now() + 1_000)
    this.disk.onDeath(() => {
      this.isDead = true
    })
    const { disk, clock, logger, job, raw } = this
    this.holdfast = undefined
    const opening = openInMemory({ disk, clock, logger, tasks: [job, raw], ...options }).then((holdfast) => {
      this.holdfast = holdfast
    })
    opening.catch(() => {})
    await this.idle()
    return this.isDead ? undefined : this.holdfast
  }

  /** Processes, one after the other, until one survives. Returns how many died. */
  async liveUntilOneSurvives(options: Partial<InMemoryOptions> = {}): Promise<number> {
    for (let deaths = 0; deaths < 60; deaths++) if (await this.live(options)) return deaths
    throw new Error('They die for ever')
  }

  get open(): Holdfast {
    if (!this.holdfast || this.isDead) throw new Error('No process is running')
    return this.holdfast
  }

  async start(type: 'job' | 'raw', name: string): Promise<string> {
    // The order of the IDs is that of time.
    await this.clock.advance(1)
    const starting = this.open.start<string, unknown>(this[type], name)
    const started = await Promise.race([starting, this.idle().then(() => undefined)])
    if (started) return started.taskId
    throw new Error(`${name} was not started`)
  }

  /** Starts tasks whose steps hang, and dies. */
  async startAndDie(...names: string[]): Promise<string[]> {
    await this.live()
    for (const name of names) this.hanging.add(name)
    const taskIds: string[] = []
    for (const name of names) taskIds.push(await this.start('raw', name))
    await this.idle()
    this.die()
    return taskIds
  }
}

const hasCode = (code: string) => ({ code })
const parkedOf = async (machine: Machine, taskId: string) => (await machine.open.get(taskId)).parked

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
