/**
 * Goal: every open takes up what the last process left, whatever state it is in, and says what it did (recovery-1, recovery-4 to recovery-7).
 * Method: processes that die on a disk in memory, at every write where that matters; copies of one crashed store, each
 * with another record damaged; and a disk that counts what an open reads.
 */
import { defineTask, type Holdfast, type OpenOptions, type RecoveredTask } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import type { Level } from '../../src/store/disk/level.js'
import { endOfTime, Notebook, randomOf, seedFor, until, within } from '../helpers/simulation.js'
import { turns } from '../helpers/turns.js'

/** A machine: its disk, its clock, and a task type whose steps wait for a signal where a test wants it. */
class Machine {
  clock = new ManualClock()
  readonly notes = new Notebook()
  /** The steps that don't end, by key. */
  readonly held = new Set<string>()
  holdfast: Holdfast | undefined

  constructor(readonly disk = new MemoryDisk()) {}

  /** Two steps, a checkpoint, two steps: `<name>/one` to `<name>/four`. */
  readonly job = defineTask({ name: 'job' }, async (task, name: string) => {
    const ask = async (step: string) => {
      const key = `${name}/${step}`
      const call = () => {
        this.notes.called(key)
        return this.held.has(key) ? new Promise<string>(() => {}) : key
      }
      const value = await task.step(step, call)
      this.notes.answered(key)
      return value
    }
    const first = await ask('one')
    const { got } = (await task.restoreCheckpoint<{ got: string[] }>())?.state ?? { got: [] }
    if (got.length === 0) {
      got.push(first, await ask('two'))
      await task.saveCheckpoint({ got })
    }
    return [...got, await ask('three'), await ask('four')]
  })

  async open(options: Partial<OpenOptions> = {}): Promise<Holdfast> {
    const { disk, clock, notes, job } = this
    // What is killed here is innocent, however often; poison.test.ts is about those that are not.
    const base = { disk, clock, logger: notes.logger, tasks: [job], maximumRecoveries: 1_000 }
    const opening = openInMemory({ ...base, ...options })
    this.holdfast = await within(clock, 'open', opening)
    return this.holdfast
  }

  /** Opens, with a process that may die of it at any write. */
  async openAndDie(): Promise<void> {
    const { disk, clock, notes, job } = this
    const opening = openInMemory({ disk, clock, logger: notes.logger, tasks: [job], maximumRecoveries: 1_000 })
    void opening.then((holdfast) => holdfast.recover())
    for (let turn = 0; turn < 500 && (turn < 20 || disk.isOpen); turn++) await turns(1)
    this.die()
  }

  /** The process dies, and time goes on. */
  die(): void {
    this.disk.crash()
    endOfTime(this.clock)
    this.clock = new ManualClock(this.clock.now() + 1_000)
  }

  /** Starts a job that comes to rest in `step`. */
  async startUpTo(step: string, name: string, options = {}): Promise<string> {
    const { holdfast, held, notes, clock, job } = this
    if (!holdfast) throw new Error('No process is running')
    held.add(`${name}/${step}`)
    const { taskId } = await holdfast.start(job, name, options)
    await until(clock, `${name}/${step}`, () => notes.countOf(`${name}/${step}`) > 0)
    await clock.advance(10)
    return taskId
  }

  result(taskId: string, options = {}): Promise<unknown> {
    if (!this.holdfast) throw new Error('No process is running')
    return within(this.clock, `the result of ${taskId}`, this.holdfast.result(taskId, options))
  }

  /** The same disk once more, as it is now. */
  copy(): Machine {
    const disk = new MemoryDisk()
    for (const [key, value] of this.disk.content) disk.damage(key, value)
    const copy = new Machine(disk)
    copy.clock = new ManualClock(this.clock.now() + 1_000)
    return copy
  }
}

const wholeOutput = (name: string) => ['one', 'two', 'three', 'four'].map((step) => `${name}/${step}`)

const code = (wanted: string) => ({ code: wanted })

function reported(holdfast: Holdfast): Record<string, Pick<RecoveredTask, 'action' | 'replayed' | 'resumedAt'>> {
  return Object.fromEntries(
    holdfast.recovery.tasks.map(({ taskId, action, replayed, resumedAt }) => [taskId, { action, replayed, resumedAt }]),
  )
}

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

// --- damage ---------------------------------------------------------------------------------------------------------

describe('a damaged record', () => {
  type Harm = 'flipped' | 'removed'

  /** A crashed store: the victim and two others rest in their fourth step, and one more is settled. */
  async function harmed(prefix: (victim: string) => string, harm: Harm, of: 'victim' | 'settled' = 'victim') {
    const machine = new Machine()
    let holdfast = await machine.open()
    const older = await machine.startUpTo('four', 'older')
    const victim = await machine.startUpTo('four', 'victim', { owner: 'ann' })
    const younger = await machine.startUpTo('four', 'younger')
    const { taskId: settled } = await holdfast.start(machine.job, 'settled', { owner: 'ann' })
    await machine.result(settled)
    machine.die()
    machine.held.clear()

    const { disk } = machine
    const wanted = prefix(of === 'victim' ? victim : settled)
    const key = [...disk.content.keys()].sort().find((candidate) => candidate.startsWith(wanted))
    if (key === undefined) throw new Error(`Nothing is stored under ${wanted}`)
    disk.damage(key, harm === 'removed' ? undefined : flipped(disk.content.get(key) ?? ''))
    holdfast = await machine.open()
    return { machine, holdfast, older, victim, younger, settled }
  }

  /** One bit, near the end: where the values are. */
  function flipped(text: string): string {
    const at = text.length - 2
    return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1)
  }

  async function othersGoOn({ machine, older, younger }: { machine: Machine; older: string; younger: string }) {
    await expect(machine.result(older)).resolves.toEqual(wholeOutput('older'))
    await expect(machine.result(younger)).resolves.toEqual(wholeOutput('younger'))
  }

  const records = {
    'a log record of the prefix': (taskId: string) => `log/${taskId}/00000000/`,
    'a log record before the checkpoint': (taskId: string) => `log/${taskId}/00000001/`,
    'a log record after the checkpoint': (taskId: string) => `log/${taskId}/00000002/`,
    'the input': (taskId: string) => `input/${taskId}`,
    'what is known of the checkpoint': (taskId: string) => `checkpoint/${taskId}/`,
    'the state of the checkpoint': (taskId: string) => `state/${taskId}/`,
  }
  const cases = Object.entries(records).flatMap(([what, prefix]) =>
    (['flipped', 'removed'] as const).map((harm) => ({ what, harm, prefix })),
  )

  test.each(cases)('$what, $harm: the task is parked, and the others go on', async ({ prefix, harm }) => {
    const store = await harmed(prefix, harm)
    const { machine, holdfast, victim } = store
    await othersGoOn(store)
    await until(machine.clock, 'the report', () => holdfast.recovery.tasks.length === 3)
    const parked = { code: 'RECORD_DAMAGED', reason: expect.any(String) }
    expect(await holdfast.get(victim)).toMatchObject({ status: 'running', parked })
    await expect(holdfast.result(victim)).rejects.toMatchObject(code('TASK_PARKED'))
    expect(reported(holdfast)[victim]?.action).toBe('parked')
    // No effect on top of what can't be trusted.
    expect(machine.notes.countOf('victim/four')).toBe(1)
    expect(machine.notes.repeated.filter((step) => step.startsWith('victim'))).toEqual([])

    // By its owner as by an operator: nothing was left behind that is to be cleaned up.
    await holdfast.cancel(victim, harm === 'flipped' ? { owner: 'ann' } : { force: true })
    expect((await holdfast.get(victim)).status).toBe('cancelled')
    await within(machine.clock, 'close', holdfast.close())
    await expect((await machine.open()).get(victim)).resolves.toMatchObject({ status: 'cancelled' })
  })

  test.each(['flipped', 'removed'] as const)(
    'the state of the newest checkpoint, %s: the task is parked, not failed by an error that its body never made',
    async (harm) => {
      const machine = new Machine()
      await machine.open()
      const taskId = await machine.startUpTo('three', 'a')
      machine.die()
      machine.held.clear()
      const { disk } = machine
      const key = [...disk.content.keys()].find((each) => each.startsWith(`state/${taskId}/`)) ?? ''
      disk.damage(key, harm === 'removed' ? undefined : flipped(disk.content.get(key) ?? ''))
      const holdfast = await machine.open()
      await within(machine.clock, 'the recovery', holdfast.recovery.done)
      await turns(50)
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'running', parked: code('RECORD_DAMAGED') })
      expect(machine.notes.countOf('a/three')).toBe(1)
    },
  )

  test('the head of an unfinished task, flipped: it is reported and left alone, and the others go on', async () => {
    const store = await harmed((taskId) => `live/${taskId}`, 'flipped')
    const { machine, holdfast, victim } = store
    await othersGoOn(store)
    await within(machine.clock, 'the recovery', holdfast.recovery.done)
    expect(reported(holdfast)[victim]).toMatchObject({ action: 'damaged' })
    await expect(holdfast.get(victim)).rejects.toMatchObject(code('RECORD_DAMAGED'))
    await expect(holdfast.result(victim)).rejects.toMatchObject(code('RECORD_DAMAGED'))
    await expect(holdfast.cancel(victim, { force: true })).rejects.toMatchObject(code('RECORD_DAMAGED'))
    expect((await holdfast.list()).tasks).toHaveLength(3)
    expect((await holdfast.list({ owner: 'ann' })).tasks).toHaveLength(1)
    expect(machine.disk.content.has(`live/${victim}`)).toBe(true)
  })

  test('the head of an unfinished task, removed: whoever asks for it is told, and the others go on', async () => {
    const store = await harmed((taskId) => `live/${taskId}`, 'removed')
    await othersGoOn(store)
    // Its input, its log and its trail are there, so it isn't a task that never was.
    await expect(store.holdfast.get(store.victim)).rejects.toMatchObject(code('RECORD_DAMAGED'))
  })

  test.each(['flipped', 'removed'] as const)(
    'the outcome of a settled task, %s: no answer is made up',
    async (harm) => {
      const store = await harmed((taskId) => `outcome/${taskId}`, harm, 'settled')
      const { machine, holdfast, settled, victim } = store
      await othersGoOn(store)
      await expect(machine.result(victim)).resolves.toEqual(wholeOutput('victim'))
      await expect(holdfast.get(settled)).rejects.toMatchObject(code('RECORD_DAMAGED'))
      await expect(holdfast.result(settled)).rejects.toMatchObject(code('RECORD_DAMAGED'))
      expect((await holdfast.list({ owner: 'ann' })).tasks).toHaveLength(2)
    },
  )

  test('the head of a settled task, flipped: it is left out of lists, and asking for it says why', async () => {
    const store = await harmed((taskId) => `done/${taskId}`, 'flipped', 'settled')
    const { machine, holdfast, settled, victim } = store
    await othersGoOn(store)
    await machine.result(victim)
    await expect(holdfast.get(settled)).rejects.toMatchObject(code('RECORD_DAMAGED'))
    expect((await holdfast.list()).tasks).toHaveLength(3)
  })

  test('what a step had saved for its next attempt, flipped: the task is parked', async () => {
    const machine = new Machine()
    let begun = 0
    const long = defineTask({ name: 'long' }, (task) =>
      task.step('long', async ({ checkpoint, saveCheckpoint }) => {
        begun++
        if (checkpoint !== undefined) return checkpoint
        await saveCheckpoint({ at: 5 })
        return new Promise<unknown>(() => {})
      }),
    )
    let holdfast = await machine.open({ tasks: [long] })
    const { taskId } = await holdfast.start(long, null)
    const key = () => [...machine.disk.content.keys()].find((each) => each.startsWith(`note/${taskId}/`))
    await until(machine.clock, 'the state', () => key() !== undefined)
    machine.die()
    const healthy = machine.copy()
    machine.disk.damage(key() ?? '', flipped(machine.disk.content.get(key() ?? '') ?? ''))

    holdfast = await machine.open({ tasks: [long] })
    await within(machine.clock, 'the recovery', holdfast.recovery.done)
    expect((await holdfast.get(taskId)).parked?.code).toBe('RECORD_DAMAGED')
    expect(begun).toBe(1)
    await healthy.open({ tasks: [long] })
    await expect(healthy.result(taskId)).resolves.toEqual({ at: 5 })
  })

  test('a mended record lets the task go on at the next open', async () => {
    const machine = new Machine()
    await machine.open()
    const taskId = await machine.startUpTo('four', 'a')
    machine.die()
    machine.held.clear()
    const key = `input/${taskId}`
    const sound = machine.disk.content.get(key)
    machine.disk.damage(key, flipped(sound ?? ''))
    const holdfast = await machine.open()
    await within(machine.clock, 'the recovery', holdfast.recovery.done)
    expect((await holdfast.get(taskId)).parked?.code).toBe('RECORD_DAMAGED')
    await holdfast.close()
    machine.disk.damage(key, sound)
    await machine.open()
    await expect(machine.result(taskId, { waitParked: true })).resolves.toEqual(wholeOutput('a'))
  })
})

// --- what an open reads ---------------------------------------------------------------------------------------------

/** A disk that counts the rows that are read of it, by the first part of their keys. */
class CountingDisk extends MemoryDisk {
  readonly rows = new Map<string, number>()
  readonly keys = new Set<string>()

  override async open(): Promise<Level> {
    const level = await super.open()
    const saw = (key: string) => {
      const kind = key.slice(0, key.indexOf('/'))
      this.rows.set(kind, (this.rows.get(kind) ?? 0) + 1)
      this.keys.add(key)
    }
    return {
      batch: () => level.batch(),
      compactRange: (from, to) => level.compactRange(from, to),
      approximateSize: (from, to) => level.approximateSize(from, to),
      close: () => level.close(),
      get: (key) => {
        saw(key)
        return level.get(key)
      },
      getMany: (keys) => {
        for (const key of keys) saw(key)
        return level.getMany(keys)
      },
      page: async (range, size) => {
        const page = await level.page(range, size)
        for (const [key] of page) saw(key)
        return page
      },
    }
  }
}

describe('what an open reads', () => {
  async function filled() {
    const disk = new CountingDisk()
    const machine = new Machine(disk)
    const holdfast = await machine.open()
    const settled: string[] = []
    for (let task = 0; task < 40; task++) {
      settled.push(
        (await holdfast.start(machine.job, `settled ${task}`, { owner: 'ann', idempotencyKey: `${task}` })).taskId,
      )
    }
    for (const taskId of settled) await machine.result(taskId)
    const live: string[] = []
    for (const name of ['x', 'y', 'z']) live.push(await machine.startUpTo('four', name))
    machine.die()
    disk.rows.clear()
    disk.keys.clear()
    return { disk, machine, live, settled }
  }

  // Of each unfinished task it asks whether it is settled too, and of all tasks which ID is the newest: two keys.
  const LOOKS_AT_SETTLED = 3 + 1
  const LIVE_ROWS = 3 + 1

  test('only the heads of unfinished tasks, and the chain of commits', async () => {
    const { disk, machine } = await filled()
    await machine.open({ recover: 'manual' })
    await turns(50)
    expect([...disk.rows.keys()].filter((kind) => kind !== 'chain' && kind !== 'meta')).toEqual(['live', 'done'])
    expect(disk.rows.get('live')).toBe(LIVE_ROWS)
    expect(disk.rows.get('done')).toBe(LOOKS_AT_SETTLED)
  })

  test('a recovery reads the logs of unfinished tasks once each, and nothing of settled ones', async () => {
    const { disk, machine, live, settled } = await filled()
    const holdfast = await machine.open()
    await within(machine.clock, 'the recovery', holdfast.recovery.done)
    await turns(50)
    const ofSettled = [...disk.keys].filter((key) => settled.some((taskId) => key.includes(taskId)))
    expect(ofSettled).toEqual([`done/${settled.at(-1)}`])
    expect(disk.rows.get('done')).toBe(LOOKS_AT_SETTLED)
    expect(disk.rows.get('live')).toBe(LIVE_ROWS)
    // Three steps and the checkpoint; nothing is read before each step.
    expect(disk.rows.get('log')).toBe(live.length * 4)
    expect(disk.rows.get('input')).toBe(live.length)
  })
})
