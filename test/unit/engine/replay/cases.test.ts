/**
 * Goal: the rules of the log hold case by case, and whoever breaks one is told what to do instead.
 * Method: small bodies on a disk in memory, killed inside a step and played again on what is left.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { defineTask, type HoldfastError, type TaskContext } from '../../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../../src/testing/index.js'
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

describe('a wait that is not a step', () => {
  test('fails the task the first time it comes before a step, even if the body catches that', async () => {
    let effects = 0
    const ended = await play(disk, async (task) => {
      await task.step('a', () => 1)
      await bareWait()
      await task.step('b', () => effects++).catch(() => {})
      return 'went on'
    })
    expect(ended.code).toBe('STEP_AMBIGUOUS')
    expect(ended.message).toContain("task.step('b', …)")
    expect(ended.message).toContain("await task.step('a name', () => theWait())")
    expect(effects).toBe(0)
  })

  test.each<[string, (task: TaskContext) => Promise<unknown>]>([
    ['saveCheckpoint', (task) => task.saveCheckpoint({})],
    ['restoreCheckpoint', (task) => task.restoreCheckpoint()],
    ['now', (task) => task.now()],
    ['uuid', (task) => task.uuid()],
  ])('fails the task before %s too', async (call, ask) => {
    const ended = await play(disk, async (task) => {
      await bareWait()
      await ask(task)
    })
    expect(ended.code).toBe('STEP_AMBIGUOUS')
    expect(ended.message).toContain(`task.${call}(`)
  })

  test('is nobody’s business when nothing is asked for after it', async () => {
    const ended = await play(disk, async (task) => {
      const one = await task.step('a', () => 1)
      await bareWait()
      return one
    })
    expect(ended.output).toBe(1)
  })

  test('inside a step is what steps are for', async () => {
    const ended = await play(disk, async (task) => {
      await task.step('wait', bareWait)
      return task.step('b', () => 'b')
    })
    expect(ended.output).toBe('b')
  })
})

describe('code that changed', () => {
  const recorded =
    (kill: () => unknown): Body =>
    async (task) => {
      await task.step('a', () => 'a')
      await task.step('b', () => 'b')
      return task.step('c', async () => kill())
    }

  test.each<[string, string[], string[]]>([
    ['renamed', ['a', 'b2', 'c'], ["step 'b'", "step 'b2'"]],
    ['removed', ['a', 'c'], ["step 'b'", "step 'c'"]],
    ['inserted', ['a', 'x', 'b', 'c'], ["step 'b'", "step 'x'"]],
    ['moved', ['b', 'a', 'c'], ["step 'a'", "step 'b'"]],
    ['forgotten by a body that ends early', ['a'], ["step 'b'", 'ended']],
  ])('parks a task whose step is %s, before any effect, and code that fits resumes it', async (_, names, said) => {
    expect((await play(disk, recorded(dies(disk)))).died).toBe(true)
    let effects = 0
    const ended = await play(disk, async (task) => {
      for (const name of names) await task.step(name, () => effects++)
    })
    expect(ended.code).toBe('TASK_PARKED')
    for (const words of ['CODE_CHANGED', ...said]) expect(ended.message).toContain(words)
    expect(effects).toBe(0)
    expect(
      (
        await play(
          disk,
          recorded(() => 'fits'),
          { waitParked: true },
        )
      ).output,
    ).toBe('fits')
  })

  test('parks a task whose chain is gone', async () => {
    const kill = dies(disk)
    await play(disk, async (task) => {
      await Promise.all([task.step('a', () => 1), task.step('b', () => 2)])
      await task.step('c', kill)
    })
    let effects = 0
    const ended = await play(disk, async (task) => {
      await task.step('a', () => effects++)
      await task.step('c', () => effects++)
    })
    expect(ended.message).toContain('CODE_CHANGED')
    expect(ended.message).toContain("step 'b'")
    expect(effects).toBe(0)
  })

  test('parks a task before anything new begins, where a record is ahead that nobody asks for', async () => {
    const kill = dies(disk)
    let recorded: Promise<unknown> = Promise.resolve()
    await play(disk, async (task) => {
      const slow = task.step('a', () => recorded.then(kill))
      recorded = task.step('b', () => 'b')
      await Promise.all([slow, recorded])
    })
    // `a` was asked for first and has no record; it must wait for a log that `b`, which is gone, never lets run out.
    let effects = 0
    const ended = await play(disk, (task) => task.step('a', () => effects++))
    expect(ended.message).toContain('CODE_CHANGED')
    expect(ended.message).toContain("step 'b'")
    expect(effects).toBe(0)
  })

  test('parks a task that saves, or restores, before all of its segment is asked for', async () => {
    for (const leave of [
      (task: TaskContext) => task.saveCheckpoint(0),
      (task: TaskContext) => task.restoreCheckpoint(),
    ]) {
      disk = new MemoryDisk()
      await play(disk, recorded(dies(disk)))
      const ended = await play(disk, async (task) => {
        await task.step('a', () => 'a')
        await leave(task)
      })
      expect(ended.message).toContain('CODE_CHANGED')
      expect(ended.message).toContain("step 'b'")
    }
  })

  test('is not seen where an answer that was asked for is left at the end', async () => {
    const kill = dies(disk)
    const race = (task: TaskContext) => Promise.race([task.step('a', () => 'a'), task.step('b', () => 'b')])
    await play(disk, async (task) => {
      await race(task)
      await task.step('c', kill)
    })
    expect((await play(disk, race)).output).toBe('a')
  })
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

describe('a call on the context inside a step', () => {
  const calls: [string, (task: TaskContext) => Promise<unknown>][] = [
    ['step', (task) => task.step('inner', () => 1)],
    ['saveCheckpoint', (task) => task.saveCheckpoint({})],
    ['restoreCheckpoint', (task) => task.restoreCheckpoint()],
    ['now', (task) => task.now()],
    ['uuid', (task) => task.uuid()],
  ]

  test.each(calls)(
    'fails the task when it is %s, at once and after a wait, even if that is caught',
    async (name, call) => {
      for (const wait of [async () => {}, bareWait]) {
        disk = new MemoryDisk()
        const codes: string[] = []
        let effects = 0
        const ended = await play(disk, async (task) => {
          await task.step('outer', async () => {
            await wait()
            codes.push(await refusal(() => call(task)))
          })
          await task.step('after', () => effects++)
        })
        expect([codes, ended.code, effects]).toEqual([['STEP_AMBIGUOUS'], 'STEP_AMBIGUOUS', 0])
        expect(ended.message).toContain(`task.${name}(`)
        expect(ended.message).toContain("or inside a step's function")
        expect(ended.message).toContain('call in the body, before or after the step')
      }
    },
  )

  test('within the turn of another answer passes for the body’s, and a replay parks the task', async () => {
    // Nothing tells the two apart. The docs say so.
    const kill = dies(disk)
    const body: Body = async (task) => {
      const other = task.step('other', () => 'other')
      const outer = task.step('outer', async () => `${await other}, ${await task.step('inner', () => 'inner')}`)
      await outer
      await task.step('die', kill)
    }
    expect((await play(disk, body)).died).toBe(true)
    const ended = await play(disk, body)
    expect(ended.code).toBe('TASK_PARKED')
    expect(ended.message).toContain("CODE_CHANGED: the log continues with step 'inner'")
  })

  test('may report progress and log', async () => {
    const ended = await play(disk, (task) =>
      task.step('outer', () => {
        task.progress({ done: 1, total: 2 })
        task.log.info('half way')
        return 'fine'
      }),
    )
    expect(ended.output).toBe('fine')
  })

  test('is fine for a task that is started there', async () => {
    const inner = defineTask({ name: 'inner' }, async (task) => [
      await task.step('a', () => 'a'),
      await task.step('b', async () => {
        await bareWait()
        return 'b'
      }),
      await task.step('c', () => 'c'),
    ])
    const outer = defineTask({ name: 'outer' }, (task) =>
      task.step('start', async () => {
        const { taskId } = await holdfast.start(inner, undefined)
        return holdfast.result(taskId)
      }),
    )
    const holdfast = await openInMemory({ disk, tasks: [outer, inner] })
    const { taskId } = await holdfast.start(outer, undefined)
    expect(await holdfast.result(taskId)).toEqual(['a', 'b', 'c'])
    await holdfast.close()
  })
})

describe('first run and replay', () => {
  /** Plays `look` and dies, plays it again, and returns what it saw each time. */
  async function twice(look: (task: TaskContext) => Promise<unknown>): Promise<unknown[]> {
    const kill = dies(disk)
    const seen: unknown[] = []
    const clock = new ManualClock()
    const body: Body = async (task) => {
      seen.push(await look(task))
      await task.step('die', async () => {
        await clock.advance(60_000)
        return kill()
      })
    }
    await play(disk, body, { clock })
    expect((await play(disk, body, { clock })).message).toBe('')
    expect(seen).toHaveLength(2)
    return seen
  }

  test('see the same now() and uuid(), with and without a checkpoint', async () => {
    for (const save of [false, true]) {
      disk = new MemoryDisk()
      const clock = new ManualClock()
      const [first, second] = await twice(async (task) => {
        const seen = [await task.now(), await task.uuid(), await task.uuid()]
        await task.step('a', () => clock.advance(1_000))
        if (save) await task.saveCheckpoint({})
        return [...seen, await task.now(), await task.uuid()]
      })
      expect(second).toEqual(first)
      const uuids = (first as unknown[]).filter((value) => typeof value === 'string')
      expect(new Set(uuids).size).toBe(3)
    }
  })

  test('see the time of the checkpoint after a restore', async () => {
    const kill = dies(disk)
    const clock = new ManualClock()
    const seen: number[] = []
    const body: Body = async (task) => {
      const restored = await task.restoreCheckpoint()
      if (restored) {
        seen.push(await task.now(), restored.createdAt)
        return
      }
      await task.step('wait', () => clock.advance(5_000))
      await task.saveCheckpoint({})
      seen.push(await task.now())
      await clock.advance(5_000)
      await task.step('die', kill).catch(() => {})
    }
    await play(
      disk,
      async (task) => {
        const restored = await task.restoreCheckpoint()
        expect(restored).toBeUndefined()
        await task.step('wait', () => clock.advance(5_000))
        await task.saveCheckpoint({})
        seen.push(await task.now())
        await task.step('die', kill)
      },
      { clock },
    )
    await clock.advance(60_000)
    expect((await play(disk, body, { clock })).message).toBe('')
    expect(new Set(seen).size).toBe(1)
  })

  test('see the same result, whatever JSON makes of it', async () => {
    const [first, second] = await twice(async (task) => [
      await task.step('date', () => new Date(0)),
      await task.step('nothing', () => undefined),
      await task.step('zero', () => -0),
      await task.step('object', () => ({ at: new Date(1), gone: undefined, zero: -0, list: [undefined, 1] })),
    ])
    expect(first).toEqual([
      '1970-01-01T00:00:00.000Z',
      undefined,
      0,
      { at: '1970-01-01T00:00:00.001Z', zero: 0, list: [null, 1] },
    ])
    expect(Object.is((first as unknown[])[2], -0)).toBe(false)
    expect(Object.is((second as unknown[])[2], -0)).toBe(false)
    expect(second).toStrictEqual(first)
  })

  test('see the same failure', async () => {
    const [first, second] = await twice(async (task) => {
      const cause = Object.assign(new RangeError('too far'), { code: 'E_FAR', extra: 1 })
      const error = await task.step('fail', () => Promise.reject(cause)).catch((thrown: HoldfastError) => thrown)
      const inner = (error as HoldfastError).cause as Error & { code?: string; extra?: number }
      const { name, message, stack, code, extra } = inner
      return [(error as HoldfastError).code, (error as Error).message, name, message, stack, code, extra]
    })
    expect((first as unknown[]).slice(0, 4)).toEqual([
      'STEP_FAILED',
      "Step 'fail' failed: too far",
      'RangeError',
      'too far',
    ])
    expect(second).toStrictEqual(first)
  })

  test('see the result as it was recorded, whatever the body did to it', async () => {
    const shared = { list: [1] }
    const [first, second] = await twice(async (task) => {
      const result = await task.step('a', () => shared)
      const seen = structuredClone(result)
      result.list.push(2)
      shared.list.push(3)
      return seen
    })
    expect(first).toEqual({ list: [1] })
    expect(second).toEqual({ list: [1] })
  })

  test('hand a step the same idempotency key, and no two steps the same', async () => {
    const keys: string[][] = []
    const kill = dies(disk)
    const body: Body = async (task) => {
      const mine: string[] = []
      keys.push(mine)
      const keep = ({ idempotencyKey }: { idempotencyKey: string }) => void mine.push(idempotencyKey)
      await task.step('a', keep)
      await task.step('a', keep)
      await task.saveCheckpoint({})
      await task.step('a', async (step) => {
        keep(step)
        await kill()
      })
    }
    await play(disk, body)
    await play(disk, body)
    expect(new Set(keys[0]).size).toBe(3)
    expect(keys[1]).toEqual([keys[0]?.[2]])
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

describe('a body', () => {
  test('may ask for nothing', async () => {
    expect((await play(disk, () => 42)).output).toBe(42)
  })

  test('may end without waiting for a call of an earlier turn', async () => {
    const ended = await play(disk, async (task) => {
      void task.step('a', () => new Promise(() => {}))
      await task.step('b', () => 1)
      return 'early'
    })
    expect(ended.output).toBe('early')
  })

  test.each<[string, Body, string]>([
    [
      'throws before its first wait',
      () => {
        throw new Error('at once')
      },
      'at once',
    ],
    [
      'rejects',
      async () => {
        throw new Error('later')
      },
      'later',
    ],
    [
      'throws a text',
      () => {
        throw 'just text'
      },
      'just text',
    ],
    [
      'throws nothing',
      () => {
        throw undefined
      },
      'undefined',
    ],
    ['rejects with an object', () => Promise.reject({ why: 'no' }), '{"why":"no"}'],
    ['rejects with null', () => Promise.reject(null), 'null'],
    [
      'throws what cannot be read',
      () => {
        throw new Proxy(
          {},
          {
            get: () => {
              throw new Error('trap')
            },
          },
        )
      },
      'could not be read',
    ],
  ])('that %s fails once, with what was thrown as the cause', async (_, body, said) => {
    let runs = 0
    const counted: Body = (task) => {
      runs++
      return body(task)
    }
    const ended = await play(disk, counted)
    expect(ended.code).toBe('TASK_FAILED')
    expect(ended.message).toContain(said)
    expect(ended.error?.cause).toBeInstanceOf(Error)
    expect((await play(disk, counted)).message).toContain(said)
    expect(runs).toBe(1)
  })

  test('that fails harms no other', async () => {
    const one = defineTask({ name: 'one' }, async (task) => {
      void task.step('forgotten', () => Promise.reject(new Error('nobody waits for me')))
      await task.step('a', () => 1)
      throw new Error('one')
    })
    const other = defineTask({ name: 'other' }, async (task) => {
      await task.step('a', bareWait)
      return task.step('b', () => 'other')
    })
    const holdfast = await openInMemory({ disk, tasks: [one, other] })
    const bad = await holdfast.start(one, undefined)
    const good = await holdfast.start(other, undefined)
    await expect(holdfast.result(bad.taskId)).rejects.toMatchObject({ code: 'TASK_FAILED' })
    expect(await holdfast.result(good.taskId)).toBe('other')
    await holdfast.close()
  })

  test('of one definition keeps the values of its tasks apart', async () => {
    const task = defineTask({ name: 'shared' }, async (context, name: string) => {
      const got: unknown[] = [await context.uuid()]
      for (let at = 0; at < 3; at++) {
        got.push(
          await context.step('load', async () => {
            if (at === 1) await bareWait()
            return `${name}${at}`
          }),
        )
        await context.saveCheckpoint(name)
      }
      return [...got, (await context.restoreCheckpoint())?.state, await context.uuid()]
    })
    const holdfast = await openInMemory({ disk, tasks: [task] })
    const names = ['a', 'b', 'c']
    const started = await Promise.all(names.map((name) => holdfast.start(task, name)))
    const outputs = (await Promise.all(started.map(({ taskId }) => holdfast.result(taskId)))) as unknown[][]
    expect(outputs.map((output) => output.slice(1, -1))).toEqual(names.map((n) => [`${n}0`, `${n}1`, `${n}2`, n]))
    expect(new Set(outputs.flatMap((output) => [output[0], output.at(-1)])).size).toBe(6)
    await holdfast.close()
  })
})

describe('close', () => {
  test.each([0, '10s'] as const)(
    'with a grace of %s tells a body nothing, and its task goes on at the next open',
    async (grace) => {
      const told: string[] = []
      let began = () => {}
      const slow = new Promise<void>((resolve) => {
        began = resolve
      })
      const guarded =
        (wait: boolean): Body =>
        async (task) => {
          try {
            const [first] = await Promise.all([
              task.step('slow', ({ signal }) => {
                if (!wait) return 'finished'
                began()
                if (grace !== 0) return bareWait().then(() => 'finished')
                return new Promise<string>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
              }),
              task.step('other', () => 'other'),
            ])
            return await task.step('next', () => {
              if (wait) told.push('a step began')
              return `${first}, next`
            })
          } catch (error) {
            told.push(String(error))
            throw error
          } finally {
            if (wait) told.push('finally')
          }
        }
      const task = defineTask({ name: 'case' }, guarded(true))
      const holdfast = await openInMemory({ disk, tasks: [task] })
      const { taskId } = await holdfast.start(task, undefined, { idempotencyKey: 'the one' })
      const result = holdfast.result(taskId).catch((error: HoldfastError) => error.code)
      await slow
      await holdfast.close({ grace })
      expect(await result).toBe('CLOSED')
      for (let turn = 0; turn < 5; turn++) await bareWait()
      expect(told).toEqual([])
      expect((await play(disk, guarded(false))).output).toBe('finished, next')
      expect(told).toEqual([])
    },
  )

  test('hands a body no checkpoint that it waits for', async () => {
    // Closed in between the read and the turn that would hand it over.
    const told: string[] = []
    const kill = dies(disk)
    await play(disk, async (task) => {
      await task.saveCheckpoint({ at: 1 })
      await task.step('die', kill)
    })
    let closing: Promise<void> | undefined
    const task = defineTask({ name: 'case' }, async (context) => {
      const restoring = context.restoreCheckpoint()
      setImmediate(() => {
        closing = holdfast.close({ grace: 0 })
      })
      await restoring
      told.push('restored')
    })
    const holdfast = await openInMemory({ disk, tasks: [task], recover: 'manual' })
    await holdfast.recover()
    for (let turn = 0; turn < 5; turn++) await bareWait()
    await closing
    expect(told).toEqual([])
  })
})
