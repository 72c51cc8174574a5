// Goal: a crash runs again only the deferred steps that ended since the last commit.
// Method: a crash, or a refused write, before and after every write of a body that mixes both kinds of steps.
import { describe, expect, test } from 'vitest'
import { defineTask, type StepContext, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { DEFERRED, never, onDisk } from '../../helpers/deferred-steps.js'
import { everyCrash } from '../../helpers/every-crash.js'

interface Effects {
  /** The names of the functions that were called, each with its key. */
  readonly calls: { readonly name: string; readonly key: string }[]
  /** Names of the steps whose result the body of the process now has, in their order. */
  handed: string[]
  /** What must not be, as sentences. */
  readonly broken: string[]
}

const namesOf = ({ calls }: Effects) => calls.map(({ name }) => name)
const noEffects = (): Effects => ({ calls: [], handed: [], broken: [] })
const ORDINARY: ReadonlySet<string> = new Set(['c', 'g', 'slow', 'k'])

/** A body in which deferred and ordinary steps, waits, a checkpoint and branches follow each other. */
function mixed(effects: Effects, disk: MemoryDisk) {
  // The code of a dead process goes on where it needs no answer of the disk.
  let isDead = false
  disk.onDeath(() => {
    isDead = true
  })
  const call =
    (name: string) =>
    ({ idempotencyKey: key }: StepContext) => {
      if (isDead) return never()
      const there = onDisk(disk)
      if (there.includes(name)) effects.broken.push(`${name} is recorded, and runs again`)
      const missing = effects.handed.filter((handed) => !there.includes(handed))
      if (ORDINARY.has(name) && missing.length > 0) effects.broken.push(`${name} begins before ${missing} is on disk`)
      effects.calls.push({ name, key })
      return name
    }
  const take = async (task: TaskContext, ...names: string[]) => {
    for (const name of names) {
      await task.step(name, call(name), ORDINARY.has(name) ? {} : DEFERRED)
      if (!isDead) effects.handed.push(name)
    }
  }
  return defineTask({ name: 'job', undo: { slow: () => {} } }, async (task) => {
    effects.handed = []
    await take(task, 'a', 'b', 'c', 'd')
    await task.sleep('rest', '1h')
    await take(task, 'e', 'f')
    const { state } = (await task.restoreCheckpoint<number>()) ?? { state: 0 }
    if (state === 0) {
      await take(task, 'g', 'h')
      await task.saveCheckpoint(1)
    }
    await take(task, 'i')
    await task.race({
      slow: async (branch) => {
        await take(branch, 'slow')
        await branch.sleep('long', '2h')
      },
      fast: async (branch) => {
        await branch.sleep('short', '1s')
        await take(branch, 'j')
      },
    })
    await take(task, 'k')
    await Promise.all(['l', 'm', 'n'].map((name) => take(task, name)))
    return 'done'
  })
}

describe('at any write, before or after it,', () => {
  test('a crash runs deferred steps again that are not on disk, under their keys, and nothing else', async () => {
    const { calm, crashed } = await everyCrash<Effects>({
      effects: noEffects,
      tasks: (effects, _, disk) => [mixed(effects, disk)],
      drive: async (holdfast) => (await holdfast.start('job', null, { idempotencyKey: 'k' })).taskId,
    })
    expect(calm.outcome).toMatchObject({ value: 'done', status: 'completed' })
    expect(namesOf(calm.effects)).toEqual([...'abcdefghi', 'slow', ...'jklmn'])
    let again = 0
    for (const { where, effects, outcome } of [calm, ...crashed]) {
      expect(effects.broken, where).toEqual([])
      expect(outcome, where).toEqual(calm.outcome)
      const calls = new Map<string, string[]>()
      for (const { name, key } of effects.calls) calls.set(name, [...(calls.get(name) ?? []), key])
      const repeated = [...calls].filter(([, keys]) => keys.length > 1)
      for (const [name, keys] of repeated) {
        expect(keys, `${where}: ${name}`).toEqual([keys[0], keys[0]])
        again++
      }
      // Of the others only that whose own record the crash took.
      expect(repeated.filter(([name]) => ORDINARY.has(name)).length, where).toBeLessThanOrEqual(1)
    }
    expect(again).toBeGreaterThan(10)
  })

  test('an outage calls no function again', async () => {
    const play = async (fault?: { atWrite: number; applied: boolean }) => {
      const effects = noEffects()
      const [disk, clock] = [new MemoryDisk(), new ManualClock()]
      const holdfast = await openInMemory({ disk, clock, tasks: [mixed(effects, disk)] })
      const { taskId } = await holdfast.start('job', null)
      const before = disk.writes
      if (fault) disk.failAt(fault)
      for (;;) {
        await untilIdle(holdfast)
        if ((await holdfast.list({ status: 'completed' })).tasks.length > 0) break
        await clock.advanceTo(clock.nextDueAt as number)
      }
      const { completedSteps } = await holdfast.get(taskId)
      return { output: await holdfast.result(taskId), completedSteps, effects, writes: disk.writes - before }
    }
    const { writes, effects: calm, ...ended } = await play()
    for (let atWrite = 1; atWrite <= writes; atWrite++) {
      for (const applied of [false, true]) {
        const where = `write ${atWrite}, ${applied ? 'after' : 'before'}`
        const { writes: _, effects, ...faulty } = await play({ atWrite, applied })
        expect(faulty, where).toEqual(ended)
        expect(effects.broken, where).toEqual([])
        expect(namesOf(effects), where).toEqual(namesOf(calm))
      }
    }
  })
})
