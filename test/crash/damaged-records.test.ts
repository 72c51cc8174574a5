/**
 * Goal: every open takes up what the last process left, whatever state it is in, and says what it did (recovery-1, recovery-4 to recovery-7).
 * Method: processes that die on a disk in memory, at every write where that matters; copies of one crashed store, each
 * with another record damaged; and a disk that counts what an open reads.
 */
import { defineTask } from 'holdfast'
import { MemoryDisk } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import type { Level } from '../../src/store/disk/level.js'
import { Machine, reported, wholeOutput } from '../helpers/recovery-machine.js'
import { until, within } from '../helpers/simulation.js'
import { turns } from '../helpers/turns.js'

const code = (wanted: string) => ({ code: wanted })

// --- damage ---------------------------------------------------------------------------------------------------------

describe('a damaged record', () => {
  type Harm = 'flipped' | 'removed'

  /** Names, and so inputs and outcomes, that are too large to be stored with the head. */
  const VICTIM = `victim ${'v'.repeat(600)}`
  const SETTLED = `settled ${'s'.repeat(600)}`

  /** A crashed store: the victim and two others rest in their fourth step, and one more is settled. */
  async function harmed(
    prefix: (victim: string) => string,
    harm: Harm,
    of: 'victim' | 'settled' = 'victim',
    names = { victim: VICTIM, settled: SETTLED },
  ) {
    const machine = new Machine()
    let holdfast = await machine.open()
    const older = await machine.startUpTo('four', 'older')
    const victim = await machine.startUpTo('four', names.victim, { owner: 'ann' })
    const younger = await machine.startUpTo('four', 'younger')
    const { taskId: settled } = await holdfast.start(machine.job, names.settled, { owner: 'ann' })
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
    expect(machine.notes.countOf(`${VICTIM}/four`)).toBe(1)
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
    // Its fixed part is there, so it isn't a task that never was.
    await expect(store.holdfast.get(store.victim)).rejects.toMatchObject(code('RECORD_DAMAGED'))
  })

  const SMALL = { victim: 'victim', settled: 'settled' }

  test.each(['flipped', 'removed'] as const)(
    'the fixed part of an unfinished task, with its input, %s: it is reported by its key, and the others go on',
    async (harm) => {
      const store = await harmed((taskId) => `task/${taskId}`, harm, 'victim', SMALL)
      const { machine, holdfast, victim } = store
      await othersGoOn(store)
      await within(machine.clock, 'the recovery', holdfast.recovery.done)
      const reason = expect.stringContaining(`task/${victim}`)
      expect(holdfast.recovery.tasks.find(({ taskId }) => taskId === victim)).toMatchObject({
        action: 'damaged',
        reason,
      })
      await expect(holdfast.get(victim)).rejects.toMatchObject(code('RECORD_DAMAGED'))
      expect(machine.notes.countOf('victim/four')).toBe(1)
      expect((await holdfast.list()).tasks).toHaveLength(3)
      expect(machine.disk.content.has(`live/${victim}`)).toBe(true)
    },
  )

  test.each(['flipped', 'removed'] as const)(
    'the fixed part of a settled task, %s: it is left out of lists, and asking for it says why',
    async (harm) => {
      const store = await harmed((taskId) => `task/${taskId}`, harm, 'settled', SMALL)
      const { machine, holdfast, settled, victim } = store
      await othersGoOn(store)
      await machine.result(victim)
      const lost = { ...code('RECORD_DAMAGED'), message: expect.stringContaining(`task/${settled}`) }
      await expect(holdfast.get(settled)).rejects.toMatchObject(lost)
      await expect(holdfast.get(settled, { owner: 'ann' })).rejects.toMatchObject(lost)
      expect((await holdfast.list()).tasks).toHaveLength(3)
    },
  )

  test('the head of a settled task, removed: it is damaged, and not unknown', async () => {
    const { holdfast, settled } = await harmed((taskId) => `done/${taskId}`, 'removed', 'settled', SMALL)
    await expect(holdfast.get(settled)).rejects.toMatchObject(code('RECORD_DAMAGED'))
    expect((await holdfast.list()).tasks).toHaveLength(3)
  })

  test('the head of a settled task, removed: a repeated start under its key is refused, and nothing runs again', async () => {
    const machine = new Machine()
    let holdfast = await machine.open()
    const { taskId } = await holdfast.start(machine.job, 'a', { idempotencyKey: 'k' })
    await machine.result(taskId)
    machine.die()
    machine.disk.damage(`done/${taskId}`, undefined)
    holdfast = await machine.open()
    await expect(holdfast.start(machine.job, 'a', { idempotencyKey: 'k' })).rejects.toMatchObject(
      code('RECORD_DAMAGED'),
    )
    await turns(50)
    expect(machine.notes.repeated).toEqual([])
  })

  test.each(['flipped', 'removed'] as const)(
    'the outcome of a settled task, %s: no answer is made up',
    async (harm) => {
      const store = await harmed((taskId) => `outcome/${taskId}`, harm, 'settled')
      const { machine, holdfast, settled, victim } = store
      await othersGoOn(store)
      await expect(machine.result(victim)).resolves.toEqual(wholeOutput(VICTIM))
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
    const taskId = await machine.startUpTo('four', VICTIM)
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
    await expect(machine.result(taskId, { waitParked: true })).resolves.toEqual(wholeOutput(VICTIM))
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
      readStarts: async (ranges) => {
        const starts = await level.readStarts(ranges)
        for (const [key] of starts.flatMap(({ entries }) => entries)) saw(key)
        return starts
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

  test('only unfinished heads, the chain of commits, the newest value of the audit, and the counters of hours', async () => {
    const { disk, machine } = await filled()
    await machine.open({ recover: 'manual' })
    await turns(50)
    expect([...disk.rows.keys()].filter((kind) => kind !== 'chain' && kind !== 'meta')).toEqual([
      'hour',
      'audit',
      'live',
      'task',
      'done',
    ])
    // The newest value, which says how large the audit is.
    expect(disk.rows.get('audit')).toBe(1)
    // One for each hour of the last 30 days in which a task settled.
    expect(disk.rows.get('hour')).toBe(1)
    expect(disk.rows.get('live')).toBe(LIVE_ROWS)
    expect(disk.rows.get('task')).toBe(3)
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
    // Each input is stored with its head, so it is not looked for under a key of its own.
    expect(disk.rows.has('input')).toBe(false)
  })
})
