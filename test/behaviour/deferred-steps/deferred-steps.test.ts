// Goal: deferred steps cost no wait for the disk, and a crash runs again only those that ended since the last commit.
// Method: a disk in memory that is read as it is, a clock that stands still, and a crash before and after every write.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  defineTask,
  type Holdfast,
  type HoldfastEvents,
  type StepContext,
  type StepOptions,
  type TaskContext,
} from '../../../src/index.js'
import { unseal } from '../../../src/store/integrity/envelope.js'
import { decodeRecord } from '../../../src/task/log/records.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { BusyClock, SlowDisk } from '../../helpers/waiting.js'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-deferred-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const DEFERRED = { commit: 'deferred' } as const

/** The names of the records on the disk, in their order; of one task, or of all. */
function onDisk(disk: MemoryDisk, taskId = ''): string[] {
  const records = [...disk.content].filter(([key]) => key.startsWith(`log/${taskId}`))
  return records
    .map(([key, value]) => decodeRecord(unseal(key, value).body))
    .sort((one, other) => one.seq - other.seq)
    .map((record) => (record.kind === 'checkpoint' ? 'checkpoint' : record.name))
}

/** What never resolves. */
const never = () => new Promise<never>(() => {})

/** Starts a task of the body on a disk, and waits until it can go no further by itself. */
async function startOn<Input>(
  disk: MemoryDisk,
  body: (task: TaskContext, input: Input) => unknown,
  { clock = new ManualClock(), ...options }: Partial<Parameters<typeof openInMemory>[0]> & { clock?: ManualClock } = {},
) {
  const definition = defineTask({ name: 'job' }, body as never)
  const holdfast = await openInMemory({ disk, clock, tasks: [definition], ...options })
  const { taskId } = await holdfast.start('job', null, { idempotencyKey: 'k' })
  await untilIdle(holdfast)
  return { holdfast, taskId, clock, disk }
}

describe('a deferred step', () => {
  test('is written with the end of its task: two writes in all, and the log of any other step', async () => {
    const disk = new MemoryDisk()
    const logOf = async (options: StepOptions) => {
      const { holdfast, taskId } = await startOn(new MemoryDisk(), async (task) => {
        const values: unknown[] = []
        for (let at = 0; at < 5; at++) values.push(await task.step('load', () => at, options))
        await task.step('bad', () => Promise.reject(new Error('no')), options).catch(() => values.push('failed'))
        return values
      })
      const segments = await holdfast.steps(taskId)
      const view = await holdfast.get(taskId)
      return { output: await holdfast.result(taskId), segments, completedSteps: view.completedSteps, bytes: view }
    }
    const deferred = await logOf(DEFERRED)
    expect(deferred.output).toEqual([0, 1, 2, 3, 4, 'failed'])
    expect({ ...deferred, bytes: 0 }).toEqual({ ...(await logOf({})), bytes: 0 })

    const before = disk.writes
    const { holdfast, taskId } = await startOn(disk, async (task) => {
      for (let at = 0; at < 40; at++) await task.step('load', () => at, DEFERRED)
    })
    await holdfast.result(taskId)
    // The open itself, the creation, and the end with 40 records.
    const opening = new MemoryDisk()
    await openInMemory({ disk: opening })
    expect(disk.writes - before - opening.writes).toBe(2)
    expect(onDisk(disk)).toHaveLength(40)
  })

  test.each<[string, StepOptions, RegExp]>([
    ['`retry` of two attempts', { retry: { maximumAttempts: 2 } }, /`retry` of more than one attempt/],
    ['`retry` without an end', { retry: { maximumAttempts: 'unlimited' } }, /`retry` of more than one attempt/],
    ["`onInterrupted: 'fail'`", { onInterrupted: 'fail' }, /`onInterrupted`/],
    ["`onInterrupted: 'retry'`", { onInterrupted: 'retry' }, /`onInterrupted`/],
  ])('with %s is a TypeError', async (_, options, message) => {
    const refused = await startOn(new MemoryDisk(), (task) =>
      task.step('load', () => 1, { ...DEFERRED, ...options }).catch((error: Error) => [error.name, error.message]),
    )
    const [name, said] = (await refused.holdfast.result(refused.taskId)) as [string, string]
    expect(name).toBe('TypeError')
    expect(said).toMatch(/^Step 'load' has `commit: 'deferred'` and /)
    expect(said).toMatch(message)
  })

  test('with an undo is a TypeError, and one beside it is not', async () => {
    const definition = defineTask({ name: 'job', undo: { pay: () => {} } }, async (task) => {
      const said = await task.step('pay', () => 1, DEFERRED).catch((error: Error) => `${error.name}: ${error.message}`)
      return [said, await task.step('look', () => 2, DEFERRED)]
    })
    const holdfast = await openInMemory({ tasks: [definition] })
    const { taskId } = await holdfast.start(definition, null)
    const [said, value] = (await holdfast.result(taskId)) as [string, number]
    expect(said).toMatch(/^TypeError: Step 'pay' has `commit: 'deferred'` and an `undo` in its definition/)
    expect(value).toBe(2)
  })

  test('may have one attempt, and a timeout', async () => {
    const { holdfast, taskId, clock } = await startOn(new MemoryDisk(), async (task) => {
      await task.step('one', () => 1, { ...DEFERRED, retry: { maximumAttempts: 1 } })
      return task.step('late', never, { ...DEFERRED, timeout: '1s' }).catch((error) => error.cause.code)
    })
    await clock.advance(1_000)
    expect(await holdfast.result(taskId)).toBe('STEP_TIMEOUT')
  })

  test('that saved a state of its own is recorded at once, and finds the state after a crash', async () => {
    const disk = new MemoryDisk()
    const seen: unknown[] = []
    const body = async (task: TaskContext) => {
      await task.step(
        'load',
        async (step: StepContext) => {
          seen.push(step.checkpoint)
          if (step.checkpoint === undefined) {
            await step.saveCheckpoint('half')
            disk.crash()
            return never()
          }
          return 'whole'
        },
        DEFERRED,
      )
      expect(onDisk(disk)).toEqual(['load'])
      return 'done'
    }
    await startOn(disk, body)
    const { holdfast, taskId } = await startOn(disk, body)
    expect(await holdfast.result(taskId)).toBe('done')
    expect(seen).toEqual([undefined, 'half'])
    expect([...disk.content.keys()].filter((key) => key.startsWith(`note/${taskId}`))).toEqual([])
  })

  test('counts for the limit of the log while it is on no disk', async () => {
    const { holdfast, taskId } = await startOn(
      new MemoryDisk(),
      async (task) => {
        for (let at = 0; at < 11; at++) await task.step('load', () => at, DEFERRED)
      },
      { limits: { recordsPerTaskMax: 10 } },
    )
    await expect(holdfast.result(taskId)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    expect((await holdfast.steps(taskId))[0]?.steps).toHaveLength(10)
  })
})

describe('what was deferred is on disk (deferred-4) before', () => {
  const first = async (task: TaskContext) => {
    for (const name of ['a', 'b']) await task.step(name, () => name, DEFERRED)
  }
  const seenBy = async (body: (task: TaskContext, look: () => void) => unknown, options: object = {}) => {
    const disk = new MemoryDisk()
    let seen: string[] | undefined
    const look = () => {
      seen ??= onDisk(disk)
    }
    const definition = defineTask({ name: 'job', ...options }, async (task) => {
      await first(task)
      expect(onDisk(disk)).toEqual([])
      return body(task, look)
    })
    const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks: [definition] })
    const { taskId } = await holdfast.start('job', null)
    await untilIdle(holdfast)
    return { seen, disk, holdfast, taskId }
  }

  test('the function of an ordinary step', async () => {
    expect((await seenBy((task, look) => task.step('c', look))).seen).toEqual(['a', 'b'])
  })

  test('the function of an ordinary step that a chain of deferred steps runs beside', async () => {
    const { seen } = await seenBy(async (task, look) => {
      const chain = (async () => {
        for (let at = 0; at < 30; at++) await task.step('beside', () => at, DEFERRED)
      })()
      await task.step('c', look)
      await chain
    })
    expect(seen?.slice(0, 2)).toEqual(['a', 'b'])
    // It does not wait for the whole chain.
    expect(seen?.length).toBeLessThan(20)
  })

  test('the second attempt of an ordinary step', async () => {
    const disk = new MemoryDisk()
    const handed: string[] = []
    const seen: [handed: string[], there: string[]][] = []
    const clock = new ManualClock()
    const { holdfast, taskId } = await startOn(
      disk,
      async (task) => {
        const flaky = task.step(
          'flaky',
          ({ attempt }) => {
            seen.push([[...handed], onDisk(disk)])
            if (attempt === 1) throw new Error('again')
          },
          { retry: { maximumAttempts: 2, initialInterval: 50 } },
        )
        await task.sleep('a moment', 10)
        for (let at = 0; at < 3; at++) handed.push(await task.step(`d${at}`, () => `d${at}`, DEFERRED))
        await flaky
      },
      { clock },
    )
    await clock.advance(60)
    await holdfast.result(taskId)
    expect(seen).toEqual([
      [[], []],
      [
        ['d0', 'd1', 'd2'],
        ['a moment', 'd0', 'd1', 'd2'],
      ],
    ])
  })

  test('the function of an isolated step', async () => {
    const disk = new MemoryDisk()
    const file = join(folder, 'isolated')
    const died = new Promise<void>((resolve) => disk.onDeath(resolve))
    await startOn(disk, async (task) => {
      await first(task)
      disk.dieAt({ atWrite: 1, applied: false })
      await task.isolated(
        'c',
        new URL('../../helpers/isolated-work.mjs', import.meta.url),
        { file, n: 1 },
        { export: 'note' },
      )
    })
    await died
    // The next write was that of the records, and not that of what the function returned.
    expect(existsSync(file)).toBe(false)
  })

  test('the function of a step with an undo', async () => {
    const { seen } = await seenBy((task, look) => task.step('c', look), { undo: { c: () => {} } })
    expect(seen).toEqual(['a', 'b'])
  })

  test('a question', async () => {
    const { disk, holdfast, taskId } = await seenBy((task) => task.input('who'))
    expect((await holdfast.get(taskId)).status).toBe('input_required')
    expect(onDisk(disk)).toEqual(['a', 'b'])
  })

  test('a child', async () => {
    const disk = new MemoryDisk()
    let seen: string[] | undefined
    const child = defineTask({ name: 'child' }, () => {
      seen = onDisk(disk)
    })
    const parent = defineTask({ name: 'job' }, async (task) => {
      await first(task)
      await task.child(child, null)
    })
    const holdfast = await openInMemory({ disk, tasks: [parent, child], clock: new ManualClock() })
    const { taskId } = await holdfast.start(parent, null)
    await holdfast.result(taskId)
    expect(seen).toEqual(['a', 'b'])
  })

  test('a message that a step of the body sends', async () => {
    let seen: string[] | undefined
    let job = ''
    const disk = new MemoryDisk()
    const holdfast: Holdfast = await openInMemory({
      disk,
      clock: new ManualClock(),
      tasks: [
        defineTask({ name: 'other' }, async (task) => {
          await task.receive('hello')
          seen = onDisk(disk, job)
        }),
        defineTask({ name: 'job' }, async (task, to: string) => {
          job = task.taskId
          await first(task)
          await task.step('send', async () => void (await holdfast.send(to, 'hello')))
        }),
      ],
    })
    const { taskId } = await holdfast.start('other', null)
    await holdfast.start('job', taskId)
    await holdfast.result(taskId)
    expect(seen?.slice(0, 2)).toEqual(['a', 'b'])
  })

  test('the undoing of a branch that lost', async () => {
    const disk = new MemoryDisk()
    let seen: string[] | undefined
    const definition = defineTask(
      {
        name: 'job',
        undo: {
          reserve: () => {
            seen = onDisk(disk)
          },
        },
      },
      async (task) =>
        task.race({
          slow: async (branch) => {
            await branch.step('reserve', () => 1)
            await branch.sleep('long', '1h')
          },
          fast: async (branch) => {
            await branch.sleep('short', '1s')
            await first(branch)
          },
        }),
    )
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, tasks: [definition], clock })
    const { taskId } = await holdfast.start(definition, null)
    await clock.advance(1_000)
    await holdfast.result(taskId)
    expect(seen).toEqual(expect.arrayContaining(['a', 'b']))
  })

  test('the unloading of its run, with which it is written', async () => {
    const { disk, holdfast } = await seenBy(async (task) => {
      const sleeping = task.sleep('long', '1h')
      await task.step('c', () => 1, DEFERRED)
      await sleeping
    })
    expect((await holdfast.stats()).loadedRuns).toBe(0)
    expect(onDisk(disk)).toEqual(['a', 'b', 'c'])
  })

  test('a retry of the task, which continues behind it', async () => {
    let calls = 0
    const disk = new MemoryDisk()
    const definition = defineTask({ name: 'job', retry: { maximumAttempts: 2, initialInterval: 10 } }, async (task) => {
      const value = await task.step('once', () => ++calls, DEFERRED)
      if (task.attempt === 1) throw new Error('again')
      return value
    })
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, tasks: [definition], clock })
    const { taskId } = await holdfast.start(definition, null)
    await clock.advance(20)
    expect(await holdfast.result(taskId)).toBe(1)
    expect(calls).toBe(1)
  })
})

describe('deferred records are written', () => {
  /** A body of `count` deferred steps, and one that never ends. */
  const many =
    (count: number, value: unknown = 1) =>
    async (task: TaskContext) => {
      for (let at = 0; at < count; at++) await task.step('load', () => value, DEFERRED)
      await task.step('last', never, DEFERRED)
    }

  test('after 100 ms, and not before', async () => {
    const { disk, clock } = await startOn(new MemoryDisk(), many(3))
    await clock.advance(99)
    expect(onDisk(disk)).toEqual([])
    await clock.advance(1)
    expect(onDisk(disk)).toHaveLength(3)
  })

  test('100 ms after the first of each lot', async () => {
    const { disk, clock, holdfast } = await startOn(
      new MemoryDisk(),
      async (task) => {
        await task.step('a', () => 1, DEFERRED)
        await task.step(
          'wait',
          () => new Promise<void>((resolve) => clock60.setTimer(clock60.now() + 60, resolve)),
          DEFERRED,
        )
        await task.step('last', never, DEFERRED)
      },
      { clock: clock60 },
    )
    await clock.advance(99)
    expect(onDisk(disk)).toEqual([])
    await clock.advance(1)
    await untilIdle(holdfast)
    expect(onDisk(disk)).toEqual(['a', 'wait'])
  })

  test('by 100 of them: no more are ever missing, however slow the disk is', async () => {
    const disk = new SlowDisk()
    let ended = 0
    let held = false
    const { holdfast } = await startOn(disk, async (task) => {
      for (let at = 0; at < 400; at++) {
        await task.step('load', () => 1, DEFERRED)
        ended++
        if (at === 9) {
          disk.hold()
          held = true
        }
      }
      await task.step('last', never, DEFERRED)
    })
    expect(held).toBe(true)
    expect(ended - onDisk(disk).length).toBeLessThanOrEqual(100)
    expect(ended - onDisk(disk).length).toBeGreaterThan(90)
    disk.resume()
    await untilIdle(holdfast)
    expect(ended).toBe(400)
    expect(400 - onDisk(disk).length).toBeLessThan(100)
  })

  test('without a wait of the body where the disk keeps up: fifty in each write', async () => {
    const disk = new MemoryDisk()
    const definition = defineTask({ name: 'job' }, many(500))
    const holdfast = await openInMemory({ disk, tasks: [definition], clock: new ManualClock() })
    const before = disk.writes
    await holdfast.start(definition, null)
    await untilIdle(holdfast)
    expect(disk.writes - before).toBe(1 + 10)
  })

  test('by 1 MiB of them', async () => {
    const disk = new SlowDisk()
    let ended = 0
    await startOn(disk, async (task) => {
      disk.hold()
      for (let at = 0; at < 10; at++) {
        await task.step('load', () => 'ä'.repeat(100_000), DEFERRED)
        ended++
      }
    })
    // Each takes 200,000 bytes and a little more.
    expect(ended).toBe(5)
    disk.resume()
  })

  test('at once where one alone is larger than that', async () => {
    const disk = new MemoryDisk()
    let seen: string[] = []
    await startOn(
      disk,
      async (task) => {
        await task.step('large', () => 'x'.repeat(1024 * 1024), DEFERRED)
        seen = onDisk(disk)
      },
      { limits: { resultBytesMax: 2 * 1024 * 1024 } },
    )
    expect(seen).toEqual(['large'])
  })

  test('when the store is closed', async () => {
    const { disk, holdfast } = await startOn(new MemoryDisk(), many(3))
    expect(onDisk(disk)).toEqual([])
    await holdfast.close({ grace: 0 })
    expect(onDisk(disk)).toHaveLength(3)
  })

  test('with what ends within the grace of a close, which is deferred no more', async () => {
    let end = () => {}
    const { disk, holdfast } = await startOn(new MemoryDisk(), async (task) => {
      await task.step('a', () => 1, DEFERRED)
      await task.step(
        'b',
        () =>
          new Promise<void>((resolve) => {
            end = resolve
          }),
        DEFERRED,
      )
      await task.step('c', () => 1, DEFERRED)
    })
    const closing = holdfast.close({ grace: 1_000 })
    end()
    await closing
    expect(onDisk(disk)).toEqual(['a', 'b'])
  })

  test.each<[string, (holdfast: Holdfast, taskId: string) => Promise<unknown>]>([
    ['a cancel', (holdfast, taskId) => holdfast.cancel(taskId)],
    ['a message', (holdfast, taskId) => holdfast.send(taskId, 'hello', null)],
    ["a client's checkpoint", (holdfast, taskId) => holdfast.saveCheckpoint(taskId, 'state')],
  ])('with %s from outside, in one batch', async (_, act) => {
    const { disk, holdfast, taskId } = await startOn(new MemoryDisk(), many(3))
    const before = disk.writes
    await act(holdfast, taskId)
    expect(disk.writes - before).toBe(1)
    expect(onDisk(disk)).toHaveLength(3)
    expect((await holdfast.get(taskId)).completedSteps).toBe(3)
  })

  test('with the end of its time', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const definition = defineTask({ name: 'job', timeout: 50 }, many(3))
    const holdfast = await openInMemory({ disk, tasks: [definition], clock })
    const { taskId } = await holdfast.start(definition, null)
    await clock.advance(50)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', completedSteps: 3 })
    expect(onDisk(disk)).toHaveLength(3)
  })

  test('with the checkpoint that closes their segment', async () => {
    const { disk, holdfast, taskId } = await startOn(new MemoryDisk(), async (task) => {
      const { state } = (await task.restoreCheckpoint<number>()) ?? { state: 0 }
      for (let at = state; at < 3; at++) {
        await task.step('a', () => 1, DEFERRED)
        await task.step('b', () => 1, DEFERRED)
        await task.saveCheckpoint(at, { prune: at === 2 })
      }
      await task.step('last', never)
    })
    expect(onDisk(disk)).toEqual(['checkpoint'])
    expect((await holdfast.get(taskId)).completedSteps).toBe(6)
  })
})

const clock60 = new ManualClock()

describe('what is deferred', () => {
  test('is shown to nobody before it is on disk (commit-2); progress may be ahead', async () => {
    const disk = new MemoryDisk()
    const events: HoldfastEvents['step:recorded'][] = []
    const clock = new ManualClock()
    const definition = defineTask({ name: 'job' }, async (task) => {
      for (let at = 0; at < 3; at++) await task.step('load', () => at, DEFERRED)
      task.progress({ done: 3, total: 4 })
      await task.step('last', never, DEFERRED)
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [definition] })
    holdfast.on('step:recorded', (event) => void events.push(event))
    const { taskId } = await holdfast.start(definition, null)
    await untilIdle(holdfast)
    const look = async () => ({
      events: events.length,
      completedSteps: (await holdfast.get(taskId)).completedSteps,
      listed: (await holdfast.list()).tasks[0]?.completedSteps,
      steps: (await holdfast.steps(taskId)).flatMap(({ steps }) => steps.map(({ name, state }) => `${name} ${state}`)),
    })
    expect(await look()).toEqual({ events: 0, completedSteps: 0, listed: 0, steps: ['last running'] })
    expect((await holdfast.get(taskId)).progress).toEqual({ done: 3, total: 4 })
    await clock.advance(100)
    const loaded = Array.from({ length: 3 }, () => 'load completed')
    expect(await look()).toEqual({ events: 3, completedSteps: 3, listed: 3, steps: [...loaded, 'last running'] })
    expect(events.map(({ number }) => number)).toEqual([1, 2, 3])
  })

  test.each([false, true])('survives a lost write, applied: %s, without a call of a function', async (applied) => {
    const disk = new MemoryDisk()
    const clock = new BusyClock()
    const calls: string[] = []
    const events: string[] = []
    const nows: number[] = []
    const definition = defineTask({ name: 'job' }, async (task) => {
      const call = async (name: string, options: StepOptions = DEFERRED) => {
        const act = () => {
          calls.push(name)
          clock.fallBehind(1)
        }
        await task.step(name, act, options)
        nows.push(await task.now())
      }
      await task.step('0', () => {}, DEFERRED)
      for (const name of ['a', 'b']) await call(name)
      disk.failAt({ atWrite: 1, applied })
      // Its batch takes the two along, and fails.
      await call('c', {})
      for (const name of ['d', 'e']) await call(name)
      return nows
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [definition] })
    holdfast.on('step:recorded', ({ step }) => void events.push(step))
    const { taskId } = await holdfast.start(definition, null)
    for (let moves = 0; moves < 50 && (await holdfast.get(taskId)).settledAt === undefined; moves++) {
      await clock.advance(1_000)
    }
    expect((await holdfast.get(taskId)).status).toBe('completed')
    expect(calls).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(events).toEqual(['0', 'a', 'b', 'c', 'd', 'e'])
    const records = (await holdfast.steps(taskId)).flatMap(({ steps }) => steps)
    expect(records.map(({ name }) => name)).toEqual(['0', 'a', 'b', 'c', 'd', 'e'])
    // The time that the body was told is that of the record, also where it was decided again.
    expect(records.slice(1).map(({ recordedAt }) => recordedAt)).toEqual(nows)
  })

  test("survives a lost write of a caller's, who is refused", async () => {
    const { disk, holdfast, taskId, clock } = await startOn(new MemoryDisk(), async (task) => {
      for (const name of ['a', 'b']) await task.step(name, () => name, DEFERRED)
      await task.step('last', never, DEFERRED)
    })
    disk.failAt({ atWrite: 1, applied: false })
    await expect(holdfast.send(taskId, 'go', null)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(onDisk(disk)).toEqual([])
    await clock.advance(60_000)
    expect(onDisk(disk)).toEqual(['a', 'b'])
    expect((await holdfast.get(taskId)).completedSteps).toBe(2)
  })

  test('has the number of its order where it runs beside ordinary steps', async () => {
    const disk = new MemoryDisk()
    const handed: string[] = []
    const body = async (task: TaskContext) => {
      handed.length = 0
      const chain = async (name: string, options: StepOptions) => {
        for (let at = 0; at < 20; at++) {
          await task.step(`${name}${at}`, () => 1, options)
          handed.push(`${name}${at}`)
        }
      }
      await Promise.all([chain('deferred', DEFERRED), chain('ordinary', {}), chain('also deferred', DEFERRED)])
      await task.step('end', () => 1)
      return [...handed]
    }
    const { holdfast, taskId } = await startOn(disk, body)
    const output = await holdfast.result(taskId)
    expect(output).toHaveLength(60)
    expect(onDisk(disk)).toEqual([...(output as string[]), 'end'])
  })

  test('by a task that dies of it within 100 ms, again and again, poisons it, and the parking names where', async () => {
    const disk = new MemoryDisk()
    let calls = 0
    const body = async (task: TaskContext) => {
      for (let at = 0; at < 9; at++) await task.step('load', () => void calls++, DEFERRED)
      await task.step(
        'boom',
        () => {
          disk.crash()
          return never()
        },
        DEFERRED,
      )
    }
    for (let process = 0; process < 5; process++) await startOn(disk, body)
    expect(calls).toBe(45)
    const { holdfast, taskId } = await startOn(disk, body)
    const { parked } = await holdfast.get(taskId)
    expect(parked?.code).toBe('POISONED')
    expect(parked?.reason).toContain("the last in step 'load' or a step after it")
    expect(calls).toBe(45)
  })

  test('by a task that dies later than that does not count for it', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const body = async (task: TaskContext) => {
      for (let at = 0; at < 9; at++) await task.step('load', () => {}, DEFERRED)
      await task.step('hang', never, DEFERRED)
    }
    for (let process = 0; process < 2; process++) {
      await startOn(disk, body, { clock })
      await clock.advance(100)
      disk.crash()
    }
    expect(onDisk(disk)).toHaveLength(9)
  })
})

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
