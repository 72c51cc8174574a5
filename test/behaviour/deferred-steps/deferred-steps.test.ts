// Goal: deferred steps cost no wait for the disk, and a crash runs again only those that ended since the last commit.
// Method: a disk in memory that is read as it is, a clock that stands still, and a crash before and after every write.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type StepContext, type StepOptions, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

import { DEFERRED, never, onDisk, startOn } from '../../helpers/deferred-steps.js'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-deferred-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

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
