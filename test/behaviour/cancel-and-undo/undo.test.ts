// Goal: what a task did is taken back when it does not complete: the newest first, each step once, with what it returned,
// whatever happens meanwhile.
// Method: time in hand. Scenarios are played with a crash before and after every write they make; what an undo is handed is
// looked at with functions that end early, late, and never.

import { describe, expect, test } from 'vitest'
import {
  type CleanUpContext,
  type CleanUpOptions,
  type Duration,
  defineTask,
  type Holdfast,
  type HoldfastError,
  type StepContext,
  type StepToUndo,
  type TaskContext,
  type TaskView,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'

const HOUR = 3_600_000

/** A promise, and how to end it. */
function gate<T = void>() {
  let open: (value: T) => void = () => {}
  let fail: (error: Error) => void = () => {}
  const opened = new Promise<T>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { open, fail, opened }
}

const never = () => new Promise<never>(() => {})

/** The error of a promise that must reject. */
const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it did not reject')
    },
    (error: HoldfastError) => error,
  )

const statesOf = ({ undone = [] }: TaskView) => undone.map(({ step, number, state }) => `${step}#${number} ${state}`)

/** An undo that notes what it was handed. */
const noting =
  (log: string[]) =>
  (_: CleanUpContext, { step, number, result }: StepToUndo) =>
    void log.push(`undo ${step}#${number} ${JSON.stringify(result)}`)

describe('a task that fails', () => {
  interface Seen {
    readonly log: string[]
    readonly keys: Map<string, Set<string>>
    view?: TaskView
  }

  /** Plays it with a crash at every write. What was seen last is that of the life in which it came to its end. */
  async function play(
    body: (task: TaskContext, seen: Seen) => unknown,
    options: { timeout?: Duration; retry?: object; cleanUp?: CleanUpOptions; undoes?: (log: string[]) => void } = {},
  ) {
    let seen: Seen = { log: [], keys: new Map() }
    const { undoes, ...rest } = options
    const { calm, crashed } = await everyCrash<Seen>({
      effects: () => {
        seen = { log: [], keys: new Map() }
        return seen
      },
      tasks: (mine) => {
        const undo = (context: CleanUpContext, step: StepToUndo) => {
          keyOf(mine, `undo ${step.step}#${step.number}`, context.idempotencyKey)
          noting(mine.log)(context, step)
          undoes?.(mine.log)
        }
        return [defineTask({ name: 'main', undo: { a: undo, b: undo, c: undo }, ...rest }, (task) => body(task, mine))]
      },
      drive: async (holdfast) => {
        const mine = seen
        const { taskId } = await holdfast.start('main', { file: 'x' }, { idempotencyKey: 'k' })
        await holdfast.result(taskId, { waitParked: true }).catch(() => {})
        mine.view = await holdfast.get(taskId)
        return taskId
      },
    })
    return { calm, crashed }
  }

  const keyOf = ({ keys }: Seen, what: string, key: string) => keys.set(what, (keys.get(what) ?? new Set()).add(key))

  const undosOf = ({ log }: Seen) => log.filter((line) => line.startsWith('undo'))

  const step = (task: TaskContext, seen: Seen, name: string, value: unknown = name.toUpperCase()) =>
    task.step(name, ({ idempotencyKey }) => {
      keyOf(seen, name, idempotencyKey)
      seen.log.push(name)
      return value
    })

  const fails = () => {
    throw new Error('no')
  }

  test('undoes what it did, the newest first, each once, whatever write the process dies at', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await step(task, seen, 'a')
      await step(task, seen, 'b', { id: 7 })
      await step(task, seen, 'other')
      await step(task, seen, 'a', null)
      fails()
    })
    const undone = ['undo a#2 null', 'undo b#1 {"id":7}', 'undo a#1 "A"']
    expect(undosOf(calm.effects)).toEqual(undone)
    for (const { where, effects } of [calm, ...crashed]) {
      expect(effects.view, where).toMatchObject({ status: 'failed', cleanUp: 'done', error: { message: 'no' } })
      expect(statesOf(effects.view as TaskView), where).toEqual(['a#2 undone', 'b#1 undone', 'a#1 undone'])
      expect([...new Set(undosOf(effects))], where).toEqual(undone)
      expect(undosOf(effects).length, where).toBeLessThanOrEqual(undone.length + 1)
      // In every life an undo has one key, and it is not the step's.
      for (const what of ['undo a#1', 'undo a#2', 'undo b#1', 'b']) expect(effects.keys.get(what)?.size, where).toBe(1)
      const all = [...effects.keys].filter(([what]) => what !== 'other').flatMap(([, keys]) => [...keys])
      expect(new Set(all).size, where).toBe(6)
    }
  })

  test('undoes a step that failed, with nothing for a result: a client that timed out may hide a charge', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await step(task, seen, 'a')
      await task.step('b', fails, { retry: { maximumAttempts: 2, initialInterval: '2m' } }).catch(() => {})
      await step(task, seen, 'c')
      fails()
    })
    const undone = ['undo c#1 "C"', 'undo b#1 undefined', 'undo a#1 "A"']
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))], where).toEqual(undone)
      expect(effects.view, where).toMatchObject({ cleanUp: 'done' })
    }
  })

  test('undoes nothing between its attempts, and everything once when it is out of them', async () => {
    const { calm, crashed } = await play(
      async (task, seen) => {
        await step(task, seen, 'a')
        await task.step('b', () => {
          seen.log.push('b failed')
          return fails()
        })
      },
      { retry: { maximumAttempts: 3, initialInterval: '2m' } },
    )
    expect(calm.effects.log).toEqual(['a', 'b failed', 'b failed', 'b failed', 'undo b#1 undefined', 'undo a#1 "A"'])
    for (const { where, effects } of crashed) {
      const at = effects.log.findIndex((line) => line.startsWith('undo'))
      expect(
        effects.log.slice(at).filter((line) => !line.startsWith('undo')),
        where,
      ).toEqual([])
      expect([...new Set(undosOf(effects))], where).toEqual(['undo b#1 undefined', 'undo a#1 "A"'])
    }
  })

  test('undoes what a prune has dropped from its log, and what came before a checkpoint that it restored', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      let { page } = (await task.restoreCheckpoint<{ page: number }>())?.state ?? { page: 0 }
      while (page < 3) {
        await step(task, seen, 'a', page)
        page++
        await task.saveCheckpoint({ page }, { prune: true })
      }
      await step(task, seen, 'b')
      fails()
    })
    const undone = ['undo b#1 "B"', 'undo a#1 2', 'undo a#1 1', 'undo a#1 0']
    expect(undosOf(calm.effects)).toEqual(undone)
    for (const { where, effects } of crashed) {
      expect([...new Set(undosOf(effects))], where).toEqual(undone)
      expect(effects.view, where).toMatchObject({ cleanUp: 'done' })
      expect(effects.view?.undone, where).toHaveLength(4)
    }
  })

  test('runs a step again that a race undid under another key, and undoes it again under another', async () => {
    const { calm, crashed } = await play(
      async (task, seen) => {
        await task.race({
          slow: async (branch) => {
            await step(branch, seen, 'a', `A${task.attempt}`)
            await branch.sleep('nap', '3m')
          },
          quick: async (branch) => {
            await branch.sleep('nap', '30s')
            await branch.step('b', fails)
          },
        })
      },
      { retry: { maximumAttempts: 2, initialInterval: '2m' } },
    )
    // Undone when its branch lost, begun once more by the second attempt, and undone once more: four effects, four keys.
    expect(calm.effects.log.filter((line) => line.includes('a'))).toEqual(['a', 'undo a#1 "A1"', 'a', 'undo a#1 "A2"'])
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))].slice(0, 2), where).toEqual(['undo a#1 "A1"', 'undo a#1 "A2"'])
      expect(effects.keys.get('a')?.size, where).toBe(2)
      expect(effects.keys.get('undo a#1')?.size, where).toBe(2)
      expect(effects.view, where).toMatchObject({ status: 'failed', attempt: 2, cleanUp: 'done' })
      expect(statesOf(effects.view as TaskView).sort(), where).toEqual(['a#1 undone', 'b#1 undone'])
    }
  })

  test('that begins steps side by side undoes them against their order too', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await Promise.all(['c', 'a', 'b', 'a', 'c'].map((name) => step(task, seen, name)))
      fails()
    })
    const undone = ['undo c#2 "C"', 'undo a#2 "A"', 'undo b#1 "B"', 'undo a#1 "A"', 'undo c#1 "C"']
    expect(undosOf(calm.effects)).toEqual(undone)
    for (const { where, effects } of crashed) expect([...new Set(undosOf(effects))], where).toEqual(undone)
  })

  test('hands an undo what was found out of a step that was interrupted', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      const options = { onInterrupted: () => (seen.log.includes('a') ? 'found' : 'not found') }
      await task.step('a', () => seen.log.push('a') && 'A', options)
      await task.step('b', () => seen.log.push('b') && 'B', { onInterrupted: 'fail' }).catch(() => {})
      await step(task, seen, 'c')
      fails()
    })
    expect(undosOf(calm.effects)).toEqual(['undo c#1 "C"', 'undo b#1 "B"', 'undo a#1 "A"'])
    const handed = new Set<string>()
    for (const { where, effects } of crashed) {
      const [c, b, a, ...more] = [...new Set(undosOf(effects))]
      expect([c, more], where).toEqual(['undo c#1 "C"', []])
      expect(['undo b#1 "B"', 'undo b#1 undefined'], where).toContain(b)
      expect(effects.view, where).toMatchObject({ status: 'failed', cleanUp: 'done' })
      handed.add(String(a))
    }
    expect([...handed].sort()).toEqual(['undo a#1 "A"', 'undo a#1 "found"', 'undo a#1 "not found"'])
  })

  test('by its timeout undoes too, and by its deadline while nobody ran it', async () => {
    const { calm, crashed } = await play(
      async (task, seen) => {
        await step(task, seen, 'a')
        await task.sleep('nap', '30d')
        await step(task, seen, 'b')
      },
      { timeout: '3m' },
    )
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))], where).toEqual(['undo a#1 "A"'])
      expect(effects.view, where).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' }, cleanUp: 'done' })
    }
  })

  test('undoes nothing if it completes, also where a step of it failed', async () => {
    const { calm, crashed } = await play(async (task, seen) => {
      await step(task, seen, 'a')
      await task.step('b', fails).catch(() => {})
      return 'done'
    })
    for (const { where, effects } of [calm, ...crashed]) {
      expect(undosOf(effects), where).toEqual([])
      expect(effects.view, where).toMatchObject({ status: 'completed', cleanUp: 'none' })
      expect(effects.view, where).not.toHaveProperty('undone')
    }
  })

  test('tries an undo that throws again, with patience, in whatever life', async () => {
    let failures = 0
    const { calm, crashed } = await play(
      async (task, seen) => {
        if (seen.log.length === 0) failures = 0
        await step(task, seen, 'a')
        await step(task, seen, 'b')
        fails()
      },
      {
        cleanUp: { retry: { initialInterval: '2m', maximumAttempts: 4 } },
        undoes: (log) => {
          if (log.at(-1) === 'undo b#1 "B"' && failures++ < 2) throw new Error('not yet')
        },
      },
    )
    expect(undosOf(calm.effects)).toEqual(['undo b#1 "B"', 'undo b#1 "B"', 'undo b#1 "B"', 'undo a#1 "A"'])
    for (const { where, effects } of [calm, ...crashed]) {
      expect([...new Set(undosOf(effects))], where).toEqual(['undo b#1 "B"', 'undo a#1 "A"'])
      expect(effects.keys.get('undo b#1')?.size, where).toBe(1)
      expect(effects.view, where).toMatchObject({ cleanUp: 'done', undone: [{ step: 'b' }, { step: 'a' }] })
    }
  })
})

describe('an undo', () => {
  const opened = async (
    body: (task: TaskContext) => unknown,
    undo: (context: CleanUpContext, step: StepToUndo) => unknown,
    cleanUp: CleanUpOptions = {},
  ) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const define = () => defineTask({ name: 'main', undo: { a: undo, b: undo }, cleanUp }, (task) => body(task))
    const open = () => openInMemory({ disk, clock, tasks: [define()] })
    const holdfast = await open()
    const { taskId } = await holdfast.start('main', { file: 'x' }, { owner: 'alice' })
    await untilIdle(holdfast)
    return { clock, disk, holdfast, taskId, open, define }
  }

  test('is told of its step, its task and its key', async () => {
    const seen: unknown[] = []
    const keys: string[] = []
    const { holdfast, taskId } = await opened(
      async (task) => {
        await task.step('a', (step) => {
          keys.push(step.idempotencyKey)
          return 'A'
        })
        await task.sleep('nap', '30d')
      },
      ({ taskId, type, owner, attempt, idempotencyKey, signal }, step) => {
        keys.push(idempotencyKey)
        seen.push({ taskId, type, owner, attempt, aborted: signal.aborted }, step)
      },
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(seen).toEqual([
      { taskId, type: 'main', owner: 'alice', attempt: 1, aborted: false },
      { step: 'a', number: 1, input: { file: 'x' }, result: 'A' },
    ])
    expect(new Set(keys).size).toBe(2)
  })

  test('waits until the function of its step has ended, and is handed what that returned', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const { holdfast, taskId, clock, disk } = await opened((task) => task.step('a', () => ended), noting(log), {
      grace: '10s',
    })
    await holdfast.cancel(taskId)
    await clock.advance(9_000)
    expect(log).toEqual([])
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'cancelled',
      cleanUp: 'pending',
      undone: [{ step: 'a', state: 'pending', failedAttempts: 0 }],
    })
    const before = disk.writes
    open('late, but in time')
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 "late, but in time"'])
    // The result, the undo, the end of the clean-up.
    expect(disk.writes - before).toBe(3)
    // It is no answer of the log: the task is over.
    expect(await holdfast.steps(taskId)).toEqual([])
    expect((await holdfast.get(taskId)).completedSteps).toBe(0)
  })

  test('is handed a result that arrived while the cancel was being written', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const { holdfast, taskId, disk } = await opened((task) => task.step('a', () => ended), noting(log))
    const before = disk.writes
    const cancelled = holdfast.cancel(taskId)
    while (disk.writes === before) await turns(1)
    open('just then')
    await cancelled
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 "just then"'])
  })

  test('is handed what its step returned at whatever moment the cancel came', async () => {
    for (let delay = 0; delay < 8; delay++) {
      for (const cancelFirst of [false, true]) {
        const { open, opened: ended } = gate<string>()
        const log: string[] = []
        const { holdfast, taskId } = await opened(async (task) => {
          await task.step('a', () => ended)
          await task.sleep('nap', '30d')
        }, noting(log))
        const cancel = () => holdfast.cancel(taskId)
        let cancelled: Promise<unknown> = Promise.resolve()
        if (cancelFirst) cancelled = cancel()
        else open('A')
        await turns(delay)
        if (cancelFirst) open('A')
        else cancelled = cancel()
        await cancelled
        await errorOf(holdfast.result(taskId))
        expect(log, `${delay} ${cancelFirst}`).toEqual(['undo a#1 "A"'])
      }
    }
  })

  test('survives the crash with a result that arrived late', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const {
      holdfast,
      taskId,
      clock,
      disk,
      open: reopen,
    } = await opened((task) => task.step('a', () => ended), noting(log))
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    disk.dieAt({ atWrite: 2, applied: false })
    open('late')
    await untilIdle(holdfast)
    expect(disk.isOpen).toBe(false)
    await clock.advance(1)
    const second = await reopen()
    await errorOf(second.result(taskId))
    expect(log).toEqual(['undo a#1 "late"', 'undo a#1 "late"'])
  })

  test.each(['5s', 0] as const)(
    'waits for a function that ignores its signal for the grace of %s and no longer',
    async (grace) => {
      const { open, opened: ended } = gate<string>()
      const log: string[] = []
      const { holdfast, taskId, clock } = await opened(
        (task) => Promise.all([task.step('a', () => ended), task.step('b', never)]),
        noting(log),
        { grace },
      )
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      if (grace !== 0) {
        await clock.advance(4_999)
        expect(log).toEqual([])
        await clock.advance(1)
      }
      await errorOf(holdfast.result(taskId))
      expect(log).toEqual(['undo b#1 undefined', 'undo a#1 undefined'])
      open('too late')
      await untilIdle(holdfast)
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done', completedSteps: 0 })
      expect(log).toHaveLength(2)
    },
  )

  test('hands over what arrived although another function never ends', async () => {
    const { open, opened: ended } = gate<string>()
    const log: string[] = []
    const { holdfast, taskId, clock } = await opened(
      (task) => Promise.all([task.step('a', () => ended), task.step('b', never)]),
      noting(log),
    )
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    open('A')
    await untilIdle(holdfast)
    await clock.advance(5_000)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo b#1 undefined', 'undo a#1 "A"'])
  })

  test('of a step whose function heeds its signal comes at once, with nothing', async () => {
    const log: string[] = []
    const { holdfast, taskId } = await opened(
      (task) =>
        task.step(
          'a',
          ({ signal }: StepContext) =>
            new Promise((_, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason))
            }),
        ),
      noting(log),
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 undefined'])
  })

  test('of a step that timed out is handed what its function returns before the undo begins', async () => {
    const log: string[] = []
    const { open, opened: ended } = gate<string>()
    const { holdfast, taskId, clock } = await opened(async (task) => {
      await task.step('a', () => ended, { timeout: '1s' }).catch(() => {})
      await task.sleep('nap', '50s')
    }, noting(log))
    await clock.advance(1_000)
    open('charged after all')
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 "charged after all"'])
  })

  test('of a result that is no JSON comes with nothing', async () => {
    const log: string[] = []
    const { open, opened: ended } = gate<unknown>()
    const { holdfast, taskId } = await opened((task) => task.step('a', () => ended), noting(log))
    await holdfast.cancel(taskId)
    open(10n)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo a#1 undefined'])
  })

  test('of a step that was in doubt when the process died comes with nothing, without a run of its body', async () => {
    const log: string[] = []
    let bodies = 0
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const make = () =>
      defineTask({ name: 'main', undo: { a: noting(log), b: noting(log) } }, async (task) => {
        bodies++
        await task.step('a', () => 'A')
        await task.step('b', never)
      })
    const first = await openInMemory({ disk, clock, tasks: [make()] })
    const { taskId } = await first.start('main', null, { deadline: clock.now() + HOUR })
    await untilIdle(first)
    disk.crash()
    await clock.advance(2 * HOUR)
    const second = await openInMemory({ disk, clock, tasks: [make()] })
    expect((await errorOf(second.result(taskId))).code).toBe('TIMEOUT')
    expect(log).toEqual(['undo b#1 undefined', 'undo a#1 "A"'])
    expect(bodies).toBe(1)
  })

  test('out of attempts keeps no other back; the clean-up ends as failed, and says of what', async () => {
    const log: string[] = []
    const at: number[] = []
    const keys = new Set<string>()
    const { holdfast, taskId, clock } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.step('b', () => 'B')
        await task.sleep('nap', '30d')
      },
      ({ attempt, idempotencyKey }, { step }) => {
        log.push(`${step} ${attempt}`)
        if (step === 'a') return
        keys.add(idempotencyKey)
        at.push(clock.now())
        throw new Error(`the bank says no, time ${attempt}`)
      },
    )
    await holdfast.cancel(taskId, { reason: 'enough' })
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'pending',
      undone: [
        { step: 'b', state: 'pending', failedAttempts: 1, error: 'the bank says no, time 1' },
        { step: 'a', state: 'pending', failedAttempts: 0 },
      ],
    })
    await clock.advance(HOUR)
    expect((await errorOf(holdfast.result(taskId))).message).toContain('enough')
    expect(log).toEqual(['b 1', 'b 2', 'b 3', 'b 4', 'b 5', 'a 1'])
    expect(keys.size).toBe(1)
    // 1 s, 2 s, 4 s, 8 s, each shortened by up to half.
    for (const [n, most] of [1_000, 2_000, 4_000, 8_000].entries()) {
      const waited = (at[n + 1] as number) - (at[n] as number)
      expect(waited).toBeGreaterThanOrEqual(most / 2)
      expect(waited).toBeLessThanOrEqual(most)
    }
    const reason = "the undo of step 'b' failed: the bank says no, time 5"
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'cancelled',
      outcome: { kind: 'cancelled', reason: 'enough' },
      cleanUp: 'failed',
      cleanUpReason: reason,
      undone: [
        { step: 'b', state: 'failed', failedAttempts: 5, error: 'the bank says no, time 5' },
        { step: 'a', state: 'undone', failedAttempts: 0 },
      ],
    })
    const audit = (await holdfast.audit({ taskId })).map(({ action, why }) => [action, why]).slice(-4)
    expect(audit).toEqual([
      ['cancelled', 'enough'],
      ['undo-failed', 'b'],
      ['undone', 'a'],
      ['clean-up-failed', reason],
    ])
    // Nothing of it is tried again, ever.
    await clock.advance(10 * HOUR)
    expect(log).toHaveLength(6)
  })

  test('that throws what is not worth another try is out of attempts at once', async () => {
    const { holdfast, taskId } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.sleep('nap', '30d')
      },
      () => {
        throw Object.assign(new Error('closed account'), { name: 'NonRetryableError' })
      },
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      undone: [{ step: 'a', state: 'failed', failedAttempts: 1 }],
    })
  })

  test.each([
    ['null without a prototype', Object.create(null)],
    ['an object that can’t be text', { toString: null, valueOf: null }],
    [
      'an error that can’t be read',
      Object.defineProperty(new Error('x'), 'message', {
        get() {
          throw new Error('trap')
        },
      }),
    ],
    [
      'a proxy',
      new Proxy(
        {},
        {
          get() {
            throw new Error('trap')
          },
        },
      ),
    ],
  ])('that throws %s fails like any other: the clean-up goes on', async (_, thrown) => {
    const { holdfast, taskId, clock } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.sleep('nap', '30d')
      },
      () => {
        throw thrown
      },
    )
    await holdfast.cancel(taskId)
    await clock.advance(3_600_000)
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      parked: undefined,
      undone: [{ step: 'a', state: 'failed', failedAttempts: 5, error: expect.any(String) }],
    })
  })

  test.each(['text', null, undefined, 7])('that throws %j fails like any other', async (thrown) => {
    const { holdfast, taskId } = await opened(
      async (task) => {
        await task.step('a', () => 'A')
        await task.sleep('nap', '30d')
      },
      () => {
        throw thrown
      },
      { retry: { maximumAttempts: 1 } },
    )
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      cleanUpReason: `the undo of step 'a' failed: ${String(thrown)}`,
    })
  })

  test.each([0, '1s', '10m'] as const)(
    'that runs when the store is closed with a grace of %s is recorded, or made again',
    async (grace) => {
      const log: string[] = []
      const { open, opened: ended } = gate()
      const {
        holdfast,
        taskId,
        clock,
        open: reopen,
      } = await opened(
        async (task) => {
          await task.step('a', () => 'A')
          await task.step('b', () => 'B')
          await task.sleep('nap', '30d')
        },
        async ({ signal, attempt }, { step }) => {
          log.push(`${step} ${attempt}`)
          if (step === 'b') {
            await Promise.race([
              ended,
              new Promise((_, reject) => {
                signal.addEventListener('abort', () => reject(new Error('told to stop')))
              }),
            ])
            log.push('b is undone')
          }
        },
      )
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      expect(log).toEqual(['b 1'])
      const closing = holdfast.close({ grace })
      await untilIdle(holdfast)
      if (grace === '1s') await clock.advance(1_000)
      if (grace === '10m') open()
      await closing
      open()
      await untilIdle(holdfast)
      const second = await reopen()
      await errorOf(second.result(taskId))
      // What was interrupted counts for nothing: it is the first attempt again.
      expect(log).toEqual(grace === '10m' ? ['b 1', 'b is undone', 'a 1'] : ['b 1', 'b 1', 'b is undone', 'a 1'])
      expect(await second.get(taskId)).toMatchObject({ cleanUp: 'done', undone: [{ step: 'b' }, { step: 'a' }] })
    },
  )

  test.each([false, true])(
    'that succeeded runs no second time because a write failed, applied: %s',
    async (applied) => {
      for (let atWrite = 1; atWrite <= 4; atWrite++) {
        const log: string[] = []
        const { holdfast, taskId, clock, disk } = await opened(
          async (task) => {
            await task.step('a', () => 'A')
            await task.step('b', () => 'B')
            throw await task.sleep('nap', '10s').then(() => new Error('no'))
          },
          (_, { step }) => {
            log.push(step)
          },
        )
        await clock.advance(9_999)
        // The sleep's record, the failure, and then each undo.
        disk.failAt({ atWrite: atWrite + 1, applied })
        for (let wait = 0; wait < 5; wait++) await clock.advance(5_000)
        expect((await errorOf(holdfast.result(taskId))).message).toContain('no')
        expect(log, `write ${atWrite}`).toEqual(['b', 'a'])
        expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', cleanUp: 'done' })
      }
    },
  )

  test('that was removed from the code, of a step by any name, is said to be missing', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const undo = { constructor: () => 1, toString: () => 1 } as never
    const whole = defineTask({ name: 'main', undo }, async (task) => {
      await task.step('constructor', () => 'A')
      await task.sleep('nap', '30d')
    })
    const first = await openInMemory({ disk, clock, tasks: [whole] })
    const { taskId } = await first.start(whole, null)
    await untilIdle(first)
    await first.close()
    const cleanUp = { retry: { maximumAttempts: 1 } }
    const bare = defineTask({ name: 'main', cleanUp, undo: {} }, (task) => task.sleep('nap', '30d'))
    const second = await openInMemory({ disk, clock, tasks: [bare], recover: 'manual' })
    await second.cancel(taskId)
    await errorOf(second.result(taskId))
    expect(await second.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      undone: [{ step: 'constructor', state: 'failed' }],
    })
  })

  test('that was added to the code later has nothing to undo of a step from before', async () => {
    const log: string[] = []
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const body = async (task: TaskContext) => {
      await task.step('a', () => 'A')
      await task.sleep('nap', '30d')
    }
    const first = await openInMemory({ disk, clock, tasks: [defineTask({ name: 'main' }, body)] })
    const { taskId } = await first.start('main')
    await untilIdle(first)
    await first.close()
    const second: Holdfast = await openInMemory({
      disk,
      clock,
      tasks: [defineTask({ name: 'main', undo: { a: noting(log) } }, body)],
    })
    expect(await second.cancel(taskId)).toMatchObject({ cleanUp: 'none' })
    expect(log).toEqual([])
  })
})

describe('defineTask refuses', () => {
  test.each([
    [{ undo: 5 }, /^Expected `undo` to be an object of functions, by the names of steps, got 5/],
    [{ undo: null }, /^Expected `undo` to be an object of functions, .* got null/],
    [{ undo: [] }, /^Expected `undo` to be an object of functions, .* got an array/],
    [{ undo: () => 1 }, /^Expected `undo` to be an object of functions, .* got a function/],
    [{ undo: { charge: 'refund' } }, /^Expected `undo.charge` to be a function, got 'refund'/],
    [{ undo: { charge: undefined } }, /^Expected `undo.charge` to be a function, got undefined/],
  ])('%j', (options, message) => {
    const define = () => defineTask({ name: 'bad', ...options } as never, () => 1)
    expect(define).toThrow(TypeError)
    expect(define).toThrow(message)
  })
})
