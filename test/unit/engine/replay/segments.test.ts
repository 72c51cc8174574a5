// Goal: a checkpoint opens a segment: what is before it is never replayed, and what is after it is numbered anew.
// Method: bodies on a disk in memory, killed and opened again.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { HoldfastError, TaskContext } from '../../../../src/index.js'
import { MemoryDisk } from '../../../../src/testing/index.js'
import { type Body, bareWait, dies, play, refusal } from '../../../helpers/play.js'

const unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)

let disk: MemoryDisk
beforeAll(() => void process.on('unhandledRejection', note))
beforeEach(() => {
  disk = new MemoryDisk()
})
afterAll(async () => {
  await bareWait()
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

describe('segments', () => {
  test('a loop that starts again at a checkpoint gets its own iterations’ results', async () => {
    const kill = dies(disk)
    const effects: string[] = []
    const body: Body = async (task) => {
      let { at, got } = (await task.restoreCheckpoint())?.state ?? { at: 0, got: [] as string[] }
      for (; at < 5; await task.saveCheckpoint({ at, got })) {
        const effect = async (what: string) => {
          effects.push(`${at}${what}`)
          return `${at}${what}`
        }
        const first = await task.step('load', () => effect('a'))
        const second = await task.step('load', () => effect('b'))
        if (at === 3) await task.step('die', kill)
        got = [...got, first, second]
        at++
      }
      return got
    }
    expect((await play(disk, body)).died).toBe(true)
    const all = ['0a', '0b', '1a', '1b', '2a', '2b', '3a', '3b', '4a', '4b']
    expect((await play(disk, body)).output).toEqual(all)
    expect(effects).toEqual(all)
  })

  test('a log of many hundred records is answered from its first to its last', async () => {
    const kill = dies(disk)
    let effects = 0
    const body: Body = async (task) => {
      let sum = 0
      for (let at = 0; at < 700; at++) {
        sum += await task.step('load', () => {
          effects++
          return at
        })
        if (at % 150 === 149) await task.saveCheckpoint({})
      }
      await task.step('die', kill)
      return sum
    }
    await play(disk, body)
    expect((await play(disk, body)).output).toBe((700 * 699) / 2)
    expect(effects).toBe(700)
  })

  test('a body restores a checkpoint by its ID', async () => {
    const kill = dies(disk)
    const ids: string[] = []
    await play(disk, async (task) => {
      ids.push((await task.saveCheckpoint('first')).checkpointId)
      await task.step('a', () => 'a')
      ids.push((await task.saveCheckpoint('second')).checkpointId)
      await task.step('b', kill)
    })
    const ended = await play(disk, async (task) => {
      const restored = await task.restoreCheckpoint(ids[0])
      const a = await task.step('a', () => 'again')
      await task.saveCheckpoint('second')
      return [restored?.state, restored?.completedSteps, a]
    })
    expect(ended.output).toEqual(['first', 0, 'a'])
  })

  test('a restore directly after a save answers it', async () => {
    const ended = await play(disk, async (task) => {
      const { checkpointId } = await task.saveCheckpoint({ at: 7 })
      const restored = await task.restoreCheckpoint()
      return [restored?.state, restored?.checkpointId === checkpointId]
    })
    expect(ended.output).toEqual([{ at: 7 }, true])
  })

  test('a restore directly after a save answers it in a replay too, with what came after it recorded', async () => {
    // It stays in its segment, so the records that a replay has ahead in there are no change of code.
    const kill = dies(disk)
    const body: Body = async (task) => {
      await task.saveCheckpoint({ at: 7 })
      const restored = await task.restoreCheckpoint()
      await task.step('a', () => 'a')
      await task.step('die', kill)
      return restored?.state
    }
    await play(disk, body)
    expect(await play(disk, body)).toMatchObject({ output: { at: 7 } })
  })

  test('a checkpoint restored twice in the prefix is the same one', async () => {
    // The second restore stays in the segment too, whatever is recorded in there.
    const kill = dies(disk)
    const body: Body = async (task) => {
      const first = await task.restoreCheckpoint()
      const second = await task.restoreCheckpoint()
      if (!first) await task.saveCheckpoint({ at: 1 })
      await task.step('a', () => 'a')
      await task.step('die', kill)
      return [first, second]
    }
    await play(disk, body)
    const { output, message } = await play(disk, body)
    expect(message).toBe('')
    const [first, second] = output as { state: unknown }[]
    expect(first).toMatchObject({ state: { at: 1 } })
    expect(second).toEqual(first)
  })

  test('a state that changes after it was saved is saved as it was', async () => {
    const kill = dies(disk)
    const body: Body = async (task) => {
      const restored = await task.restoreCheckpoint()
      if (restored) return restored.state
      const state = { at: 1 }
      const saving = task.saveCheckpoint(state)
      state.at = 2
      await saving
      state.at = 3
      return task.step('die', kill)
    }
    await play(disk, body)
    // The step that died is not recorded, so the second run may end without it.
    expect((await play(disk, body)).output).toEqual({ at: 1 })
  })
})

describe('a checkpoint at the wrong moment', () => {
  /** Plays `ask`, which is to be refused with `code`, and returns what the task failed with. */
  async function refused(code: string, ask: (task: TaskContext) => Promise<unknown>): Promise<string> {
    const ended = await play(disk, ask)
    expect(ended.error?.cause).toMatchObject({ code })
    return ended.message
  }

  test('is STEPS_IN_FLIGHT while a step is, for a save and for a restore', async () => {
    for (const ask of [
      (task: TaskContext) => task.saveCheckpoint(1),
      (task: TaskContext) => task.restoreCheckpoint(),
    ]) {
      disk = new MemoryDisk()
      const said = await refused('STEPS_IN_FLIGHT', async (task) => {
        void task.step('a', bareWait)
        await ask(task)
      })
      expect(said).toContain('while calls are pending')
    }
  })

  test('is STEPS_IN_FLIGHT while another save, or a restore, is', async () => {
    const calls = (task: TaskContext) => [() => task.saveCheckpoint(1), () => task.restoreCheckpoint()]
    const ended = await play(disk, async (task) => {
      const [save, restore] = calls(task) as [() => Promise<unknown>, () => Promise<unknown>]
      await save()
      const codes: string[] = []
      for (const [first, second] of [
        [save, save],
        [save, restore],
        [restore, save],
        [restore, restore],
      ] as const) {
        const one = first()
        codes.push(await refusal(second))
        await one
      }
      return codes
    })
    expect(ended.output).toEqual(Array(4).fill('STEPS_IN_FLIGHT'))
  })

  test('is STEPS_IN_FLIGHT for a step that is asked for while a save is', async () => {
    // A forgotten `await` before a save: the step's record would land in a segment whose sum is closed.
    const kill = dies(disk)
    const body: Body = async (task) => {
      const saving = task.saveCheckpoint({ at: 1 })
      const code = await refusal(() => task.step('a', () => 'a'))
      await saving
      await task.step('die', kill)
      return code
    }
    await play(disk, body)
    expect(await play(disk, body)).toMatchObject({ output: 'STEPS_IN_FLIGHT' })
  })

  test('is CHECKPOINT_BEHIND once anything was asked for after the restore or the save', async () => {
    const said = await refused('CHECKPOINT_BEHIND', async (task) => {
      await task.restoreCheckpoint()
      await task.step('a', () => 1)
      await task.restoreCheckpoint()
    })
    expect(said).toContain('A body restores in its first lines, or directly after a save')
  })

  test('is CHECKPOINT_BEHIND for an older one directly after a save', async () => {
    await refused('CHECKPOINT_BEHIND', async (task) => {
      const { checkpointId } = await task.saveCheckpoint(1)
      await task.step('a', () => 1)
      await task.saveCheckpoint(2)
      await task.restoreCheckpoint(checkpointId)
    })
  })

  test('is CHECKPOINT_PRUNED for one that a later save dropped', async () => {
    const kill = dies(disk)
    const ids: string[] = []
    await play(disk, async (task) => {
      await task.restoreCheckpoint()
      for (let at = 1; at <= 2; at++) {
        ids.push((await task.saveCheckpoint({ at }, { prune: true })).checkpointId)
        await task.step('a', () => 1)
      }
      await task.step('die', kill)
    })
    const { output, message } = await play(disk, async (task) => {
      const error = await task.restoreCheckpoint(ids[0]).catch((thrown: HoldfastError) => thrown)
      const restored = await task.restoreCheckpoint()
      await task.step('a', () => 1)
      return [(error as HoldfastError).code, (error as HoldfastError).message, restored?.state]
    })
    expect(message).toBe('')
    expect(output).toEqual(['CHECKPOINT_PRUNED', expect.stringContaining(ids[0] ?? ''), { at: 2 }])
    expect((output as string[])[1]).toContain('Restore the latest by naming none')
  })

  test('is CHECKPOINT_NOT_FOUND for one that never was', async () => {
    await refused('CHECKPOINT_NOT_FOUND', (task) => task.restoreCheckpoint('cp-nonsense'))
  })

  test('is PRUNE_NEEDS_RESTORE where the body did not restore', async () => {
    const said = await refused('PRUNE_NEEDS_RESTORE', (task) => task.saveCheckpoint(1, { prune: true }))
    expect(said).toContain('await task.restoreCheckpoint()')
  })

  test('is PRUNE_NEEDS_RESTORE where the restore was refused', async () => {
    // It moved nothing: what the body would prune now, its next run would need.
    const kill = dies(disk)
    const codes: string[] = []
    const body: Body = async (task) => {
      await task.restoreCheckpoint('cp-nonsense').catch(() => {})
      for (let at = 0; at < 3; at++) {
        codes.push(await refusal(() => task.saveCheckpoint({ at }, { prune: true })))
        await task.step('load', () => at)
      }
      await task.step('die', kill)
    }
    await play(disk, body)
    expect((await play(disk, body)).message).toBe('')
    expect(new Set(codes)).toEqual(new Set(['PRUNE_NEEDS_RESTORE']))
  })

  test('is refused in a replay as it was in the first run', async () => {
    // A replay has records of the segment ahead, and the refused call leaves no segment.
    for (const ask of [
      (task: TaskContext) => task.saveCheckpoint(1, { prune: true }),
      (task: TaskContext) => task.restoreCheckpoint('cp-nonsense'),
    ]) {
      disk = new MemoryDisk()
      const kill = dies(disk)
      const seen: string[] = []
      const body: Body = async (task) => {
        seen.push(await refusal(() => ask(task)))
        await task.step('a', () => 'a')
        await task.step('die', kill)
      }
      await play(disk, body)
      expect((await play(disk, body)).message).toBe('')
      expect(seen[1]).toBe(seen[0])
    }
  })

  test('is STEPS_IN_FLIGHT for a step that is asked for while a restore is', async () => {
    // Also where there is no checkpoint yet: a later run, which has one, would have to refuse it.
    const ended = await play(disk, async (task) => {
      const restoring = task.restoreCheckpoint()
      const code = await refusal(() => task.step('a', () => 'a'))
      await restoring
      return code
    })
    expect(ended.output).toBe('STEPS_IN_FLIGHT')
  })

  test('parks the task as damaged where the state on disk is, and tells the body nothing', async () => {
    // A body that were told could catch it, and go on without its state.
    const kill = dies(disk)
    let told = 0
    const body: Body = async (task) => {
      const restored = await task.restoreCheckpoint().catch(() => told++)
      if (!restored) await task.saveCheckpoint({ at: 1 })
      await task.step('die', kill)
    }
    await play(disk, body)
    const key = [...disk.content.keys()].find((known) => known.startsWith('state/')) ?? ''
    disk.damage(key, 'rot')
    const ended = await play(disk, body)
    expect(ended).toMatchObject({ code: 'TASK_PARKED' })
    expect(ended.message).toContain('RECORD_DAMAGED')
    expect(told).toBe(0)
  })
})

describe('a step’s own checkpoint', () => {
  test('survives a crash, and is gone once the step is recorded', async () => {
    const seen: unknown[] = []
    const kill = dies(disk)
    const states = () => [...disk.content.keys()].filter((key) => key.startsWith('note/'))
    const body: Body = async (task) => {
      await task.step('long', async ({ checkpoint, saveCheckpoint }) => {
        seen.push(checkpoint)
        const { done } = (checkpoint ?? { done: 0 }) as { done: number }
        await saveCheckpoint({ done: done + 1 })
        expect(states()).toHaveLength(1)
        await kill()
      })
      expect(states()).toHaveLength(0)
      return task.step('next', ({ checkpoint }) => String(checkpoint))
    }
    expect((await play(disk, body)).died).toBe(true)
    expect((await play(disk, body)).output).toBe('undefined')
    expect(seen).toEqual([undefined, { done: 1 }])
  })

  test('is not kept when it is saved after the step ended', async () => {
    // Nothing would ever delete it.
    let saveLate: (state: unknown) => Promise<void> = async () => {}
    const ended = await play(disk, async (task) => {
      await task.step('long', ({ saveCheckpoint }) => {
        saveLate = saveCheckpoint
      })
      return task.step('next', () => saveLate('late').catch(() => 'refused'))
    })
    expect(ended.message).toBe('')
    expect([...disk.content.keys()].filter((key) => key.startsWith('note/'))).toEqual([])
  })
})
