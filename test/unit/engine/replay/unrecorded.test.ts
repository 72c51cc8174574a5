/**
 * Goal: a body that loops over calls which no record answers holds up nothing else, and comes to an end; and what it sees
 * meanwhile has one order, in the first run and in every replay.
 * Method: bodies on a disk in memory, killed inside a step and played again; an immediate that goes on beside them counts
 * how often the event loop has turned.
 */
import { describe, expect, test } from 'vitest'
import { Turns } from '../../../../src/engine/replay/turns.js'
import {
  type CleanUpContext,
  type Duration,
  defineTask,
  type HoldfastError,
  type TaskContext,
} from '../../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../../src/testing/index.js'
import { type Body, dies, play, refusal } from '../../../helpers/play.js'

/** Counts turns of the event loop until `work` is over. */
async function turnsDuring<T>(work: () => Promise<T>): Promise<{ turns: number; result: T }> {
  let turns = 0
  let isOver = false
  const count = () => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const result = await work()
  isOver = true
  return { turns, result }
}

const never = () => new Promise<never>(() => {})
const whatever = (value: unknown) => value as never

describe('a body that is refused again and again', () => {
  const calls: [string, (task: TaskContext) => Promise<unknown>][] = [
    ['saveCheckpoint(…)', (task) => task.saveCheckpoint({})],
    ['restoreCheckpoint(…)', (task) => task.restoreCheckpoint('cp-none')],
    ["step('', …)", (task) => task.step('', never)],
    ["step('x', …)", (task) => task.step('x', whatever('no function'))],
    ["isolated('x', …)", (task) => task.isolated('x', './relative.js')],
    ["sleep('x', …)", (task) => task.sleep('x', 'soon' as never)],
    ["sleepUntil('x', …)", (task) => task.sleepUntil('x', whatever('soon' as never))],
    ["input('x', …)", (task) => task.input('x', null, { timeout: 'soon' as never })],
    ["receive('x', …)", (task) => task.receive('x', { timeout: 'soon' as never })],
    ["child('x', …)", (task) => task.child('x', 1, { name: '' })],
    ['all(…)', (task) => task.all(whatever({ one: 'no function' }))],
    ['race(…)', (task) => task.race({})],
    ["patched('…', …)", (task) => task.patched(whatever(5))],
  ]

  test.each(calls)('fails with REFUSED_TOO_OFTEN, and the event loop turns: %s', async (name, call) => {
    let caught = 0
    let last: unknown
    const { turns, result } = await turnsDuring(() =>
      play(new MemoryDisk(), async (task) => {
        void task.step('in flight', never)
        while (caught < 1_000) {
          try {
            return await call(task)
          } catch (error) {
            caught++
            last = error
          }
        }
        return 'never'
      }),
    )
    expect(result.code).toBe('REFUSED_TOO_OFTEN')
    expect(result.message).toContain(`the last time for task.${name}: `)
    expect(caught).toBe(100)
    expect(last).toMatchObject({ code: 'REFUSED_TOO_OFTEN', cause: expect.any(Error), details: { refusals: 100 } })
    expect(turns).toBeGreaterThan(99)
  })

  test('goes on if a record comes in between, and counts anew', async () => {
    const ended = await play(new MemoryDisk(), async (task) => {
      for (let round = 0; round < 5; round++) {
        for (let at = 0; at < 99; at++) await refusal(() => task.step('', never))
        await task.step('a', () => 1)
      }
      return 'done'
    })
    expect(ended).toMatchObject({ output: 'done' })
  })

  test('with what is refused at once counts what it was told, and fails with that', async () => {
    const ended = await play(new MemoryDisk(), (task) =>
      Promise.all(Array.from({ length: 200 }, () => task.step('', never))),
    )
    expect(ended).toMatchObject({ code: 'TASK_FAILED', error: { cause: { name: 'TypeError' } } })
  })

  test('may catch it and ask for something else', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const body: Body = async (task) => {
      const slow = task.step('slow', () => 'slow')
      const code = await refusal(() => task.saveCheckpoint({}))
      const other = await task.step('other', () => 'other')
      const seen = [code, other, await slow]
      await task.step('die', kill)
      return seen
    }
    expect((await play(disk, body)).died).toBe(true)
    expect(await play(disk, body)).toMatchObject({ output: ['STEPS_IN_FLIGHT', 'other', 'slow'] })
  })

  test('sees its refusals before the next record, however soon that is on disk, and in a replay', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const seen: string[][] = []
    const body: Body = async (task) => {
      const order: string[] = []
      seen.push(order)
      const refused = async (who: string) => {
        for (let at = 0; at < 3; at++) {
          await refusal(() => task.saveCheckpoint({}))
          order.push(`${who} ${at}`)
        }
        order.push(await task.step(who, () => `${who} step`))
      }
      const step = async () => void order.push(await task.step('a', () => 'a'))
      await Promise.all([step(), refused('b'), refused('c')])
      await task.step('die', kill)
    }
    await play(disk, body)
    expect((await play(disk, body)).message).toBe('')
    expect(seen[0]?.slice(0, 6)).toEqual(['b 0', 'c 0', 'b 1', 'c 1', 'b 2', 'c 2'])
    expect(seen[1]).toEqual(seen[0])
  })

  test('sees its refusals before what it restores, with a checkpoint and without one', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const seen: string[][] = []
    const body: Body = async (task) => {
      const order: string[] = []
      seen.push(order)
      const restoring = task.restoreCheckpoint().then((restored) => {
        order.push('restored')
        return restored
      })
      for (let at = 0; at < 3; at++) order.push(await refusal(() => task.step('a', never)))
      if (!(await restoring)) await task.saveCheckpoint({})
      await task.step('die', kill)
    }
    await play(disk, body)
    expect((await play(disk, body)).message).toBe('')
    expect(seen).toEqual(Array(2).fill([...Array(3).fill('STEPS_IN_FLIGHT'), 'restored']))
  })
})

describe('a body that asks for nothing that is recorded', () => {
  const calls: [string, (task: TaskContext) => Promise<unknown>][] = [
    ['now()', (task) => task.now()],
    ['uuid()', (task) => task.uuid()],
    ["patched('x', …)", (task) => task.patched('x')],
    ['all(…)', (task) => task.all({})],
    ['race(…)', (task) => task.race({ one: () => 1 })],
    ['any(…)', (task) => task.any({ one: () => 1 })],
  ]

  test.each(calls)('lets the event loop turn at every hundredth answer: %s', async (_, call) => {
    let answers = 0
    const { turns, result } = await turnsDuring(() =>
      play(new MemoryDisk(), async (task) => {
        for (; answers < 5_000; answers++) await call(task)
        return 'done'
      }),
    )
    expect(result).toMatchObject({ output: 'done' })
    expect(turns).toBeGreaterThan(5_000 / 100)
  })

  test.each<[string, (task: TaskContext) => Promise<unknown>]>([
    ['now()', (task) => task.now()],
    ['all(…)', (task) => task.all({})],
    ['restoreCheckpoint(…)', (task) => task.restoreCheckpoint()],
  ])('fails with NO_PROGRESS: %s', { timeout: 60_000 }, async (name, call) => {
    let answers = 0
    const ended = await play(new MemoryDisk(), async (task) => {
      for (; answers < 200_000; answers++) await call(task)
    })
    expect(ended.code).toBe('NO_PROGRESS')
    expect(ended.message).toContain(`task.${name}`)
    expect(ended.message).toContain('`task.now()` stays the time of the last record')
    expect(ended.message).toContain("await task.sleep('a name', duration)")
    expect(answers).toBe(99_999)
  })

  test('counts anew after a record, and after it has gone on from a checkpoint', { timeout: 60_000 }, async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const spend = async (task: TaskContext) => {
      for (let at = 0; at < 60_000; at++) await task.now()
    }
    const body: Body = async (task) => {
      await spend(task)
      const restored = await task.restoreCheckpoint()
      if (!restored) {
        await task.step('a', () => 1)
        await task.saveCheckpoint({})
      }
      await spend(task)
      await task.step('die', kill)
      return 'done'
    }
    expect((await play(disk, body)).died).toBe(true)
    expect(await play(disk, body)).toMatchObject({ output: 'done' })
  })

  describe('meanwhile', () => {
    /** A task that loops; what its body was told at its end. */
    async function looping(timeout?: Duration) {
      const told: string[] = []
      const clock = new ManualClock()
      const loop = defineTask({ name: 'loop', ...(timeout && { timeout }) }, async (task) => {
        try {
          for (let at = 0; at < 1_000_000; at++) await task.now()
        } catch (error) {
          told.push((error as HoldfastError).code)
          throw error
        } finally {
          told.push('finally')
        }
      })
      const holdfast = await openInMemory({ tasks: [loop], clock })
      const { taskId } = await holdfast.start(loop, undefined)
      const code = holdfast.result(taskId).catch((error: HoldfastError) => error.code)
      await untilIdle(holdfast)
      return { told, clock, holdfast, taskId, code }
    }

    test('is cancelled', async () => {
      const { told, holdfast, taskId, code } = await looping()
      await holdfast.cancel(taskId)
      expect(await code).toBe('TASK_CANCELLED')
      await untilIdle(holdfast)
      expect(told).toEqual(['TASK_INTERRUPTED', 'finally'])
      await holdfast.close()
    })

    test('runs out of time', async () => {
      const { told, clock, holdfast, code } = await looping('1m')
      // `advance` would wait until the body rests, which it does not.
      await clock.jump(60_000)
      expect(await code).toBe('TIMEOUT')
      await untilIdle(holdfast)
      expect(told).toEqual(['TASK_INTERRUPTED', 'finally'])
      await holdfast.close()
    })

    test('is left by a close, and told nothing', async () => {
      const { told, holdfast, code } = await looping()
      await holdfast.close({ grace: 0 })
      expect(await code).toBe('CLOSED')
      expect(told).toEqual([])
    })
  })

  test('is interrupted where it waits for a refusal, each chain once', async () => {
    const told: string[] = []
    const loop = defineTask({ name: 'loop' }, async (task) => {
      const chain = async (who: string) => {
        for (let at = 0; at < 1_000; at++) {
          const code = await refusal(() => task.step('', never))
          if (code === 'TASK_INTERRUPTED') return told.push(who)
        }
      }
      await Promise.all([chain('a'), chain('b')])
    })
    const holdfast = await openInMemory({ tasks: [loop] })
    const { taskId } = await holdfast.start(loop, undefined)
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    expect(told).toEqual(['a', 'b'])
    await holdfast.close()
  })

  test('in a branch that lost is answered no more, not even with an interrupt', async () => {
    const told: string[] = []
    const loop = defineTask({ name: 'loop' }, async (task) => {
      await task.race({
        slow: async (branch) => {
          told.push(await refusal(() => branch.step('', never)))
        },
        quick: () => 'quick',
      })
      await task.step('next', never).catch((error: HoldfastError) => told.push(error.code))
    })
    const holdfast = await openInMemory({ tasks: [loop] })
    const { taskId } = await holdfast.start(loop, undefined)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    expect(told).toEqual(['TASK_INTERRUPTED'])
    await holdfast.close()
  })
})

test('turns begin in the order in which they were planned, also behind one that pauses', async () => {
  const order: string[] = []
  await new Promise<void>((resolve) => {
    const turns: Turns = new Turns(() => turns.planned || resolve())
    turns.plan(() => {
      order.push('first')
      turns.planAfterPause(() => void order.push('after a pause'))
      turns.plan(() => void order.push('behind it'))
      turns.planAfterPause(() => void order.push('no second pause'))
    })
    turns.plan(() => void order.push('second'))
  })
  expect(order).toEqual(['first', 'second', 'after a pause', 'behind it', 'no second pause'])
})

describe('a function that is refused again and again', () => {
  /** Calls until the event loop has turned ten times. Returns how often it did. */
  async function callOn(call: () => Promise<unknown>): Promise<number> {
    let calls = 0
    let turns = 0
    const count = () => {
      turns++
      if (turns < 10) setImmediate(count)
    }
    setImmediate(count)
    for (; turns < 10 && calls < 10_000; calls++) await call().catch(() => {})
    return calls
  }

  test('holds up nothing else: a step’s, by its own saveCheckpoint', async () => {
    const ended = await play(new MemoryDisk(), (task) =>
      task.step('a', ({ saveCheckpoint }) => callOn(() => saveCheckpoint(5n))),
    )
    expect(ended.output).toBeLessThan(20)
  })

  test('holds up nothing else: an undo’s, by its own step', async () => {
    const calls: number[] = []
    const undo = {
      a: async (context: CleanUpContext) => void calls.push(await callOn(() => context.step('', never))),
    }
    const job = defineTask({ name: 'job', undo }, async (task) => {
      await task.step('a', () => 1)
      throw new Error('no')
    })
    const holdfast = await openInMemory({ tasks: [job] })
    const { taskId } = await holdfast.start(job, undefined)
    await holdfast.result(taskId).catch(() => {})
    expect(calls).toEqual([expect.any(Number)])
    expect(calls[0]).toBeLessThan(20)
    await holdfast.close()
  })
})
