/**
 * Goal: the rules of the log hold case by case, and whoever breaks one is told what to do instead.
 * Method: small bodies on a disk in memory, killed inside a step and played again on what is left.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { defineTask, type HoldfastError, type TaskContext } from '../../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../../../src/testing/index.js'
import { type Body, bareWait, dies, play } from '../../../helpers/play.js'

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
