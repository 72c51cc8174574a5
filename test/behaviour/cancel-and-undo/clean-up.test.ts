// Goal: from the commit that records a cancel the task is cancelled, for everybody and for good; behind it, clean-up runs to
// its end whatever happens. The same behind a timeout and a deadline.
// Method: time in hand. Tasks in every state are cancelled with a crash before and after every write that is made; what is
// left is held against a play without a crash. The rest looks at one moment at a time, as somebody outside would.

import { describe, expect, test } from 'vitest'
import {
  type AuditEntry,
  type Cancelled,
  type CleanUpOptions,
  type Duration,
  defineTask,
  type HoldfastError,
  type StepContext,
  type TaskContext,
  type TaskOptions,
  type TaskView,
} from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash, type Scenario } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'

const HOUR = 3_600_000

/** A promise, and how to end it. */
function gate<T = void>() {
  let open: (value: T) => void = () => {}
  const opened = new Promise<T>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

/** What a function of a step does that ends when it is told to, and not before. */
const untilAborted = ({ signal }: StepContext) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('stopped')))
  })

const undone = (step: string) => expect.objectContaining({ step, state: 'undone' })

const codeOf = (error: HoldfastError) => error.code

/** The error of a promise that must reject. */
const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it did not reject')
    },
    (error: HoldfastError) => error,
  )

describe('a task that is cancelled', () => {
  interface Seen {
    readonly log: string[]
    view?: TaskView
    audit?: readonly AuditEntry[]
    reason?: string
  }

  /** Tasks in a state, what is seen of them from outside when they are in it, and what the clean-up does then. */
  interface State {
    readonly body: (task: TaskContext, log: string[]) => Promise<unknown>
    readonly options?: Partial<TaskOptions<undefined, undefined>>
    readonly isSo: (view: TaskView, log: readonly string[]) => boolean
    readonly cleaned: readonly string[]
    /** States of the steps that have an undo, the newest first. */
    readonly undone?: readonly string[]
  }

  const first = (task: TaskContext, log: string[]) =>
    task.step('a', ({ idempotencyKey }) => {
      log.push(`a ${idempotencyKey}`)
      return 'A'
    })
  const hasFirst = (view: TaskView) => view.completedSteps === 1

  const states: Record<string, State> = {
    running: {
      body: async (task, log) => {
        await first(task, log)
        await task.step('b', (step) => {
          log.push('b runs')
          return untilAborted(step)
        })
      },
      isSo: (view, log) => hasFirst(view) && log.includes('b runs'),
      cleaned: ['undo b undefined', 'undo a A', 'onCancel: enough'],
      undone: ['b undone', 'a undone'],
    },
    'asleep in memory': {
      body: async (task, log) => {
        await first(task, log)
        await task.sleep('nap', '50s')
        log.push('NEVER')
      },
      isSo: hasFirst,
      cleaned: ['undo a A', 'onCancel: enough'],
    },
    'asleep for long': {
      body: async (task, log) => {
        await first(task, log)
        await task.sleep('nap', '30d')
        log.push('NEVER')
      },
      isSo: hasFirst,
      cleaned: ['undo a A', 'onCancel: enough'],
    },
    'waiting for an input': {
      body: async (task, log) => {
        await first(task, log)
        await task.input('sure', { message: 'sure?' }, { timeout: '30d' })
        log.push('NEVER')
      },
      isSo: ({ status }) => status === 'input_required',
      cleaned: ['undo a A', 'onCancel: enough'],
    },
    'waiting for a message': {
      body: async (task, log) => {
        await first(task, log)
        await task.receive('go', { timeout: '30d' })
        log.push('NEVER')
      },
      isSo: hasFirst,
      cleaned: ['undo a A', 'onCancel: enough'],
    },
    'between two attempts of its body': {
      options: { retry: { maximumAttempts: 2, initialInterval: '30d' } },
      body: async (task, log) => {
        await first(task, log)
        if (task.attempt > 1) log.push('NEVER')
        throw new Error('later')
      },
      isSo: ({ attempt }) => attempt === 2,
      cleaned: ['undo a A', 'onCancel: enough'],
    },
    'between two attempts of a step': {
      body: async (task, log) => {
        await first(task, log)
        const fn = ({ attempt }: StepContext) => {
          log.push(attempt === 1 ? 'b failed' : 'NEVER')
          throw new Error('later')
        }
        await task.step('b', fn, { retry: { maximumAttempts: 2, initialInterval: '30d' } })
      },
      isSo: (view, log) => hasFirst(view) && log.includes('b failed'),
      cleaned: ['undo b undefined', 'undo a A', 'onCancel: enough'],
      undone: ['b undone', 'a undone'],
    },
    'in a race': {
      body: async (task, log) => {
        await first(task, log)
        await task.race({
          one: async (branch) => {
            await branch.step('b', () => 'B')
            await branch.sleep('nap', '30d')
          },
          two: (branch) => branch.sleep('nap', '31d'),
        })
        log.push('NEVER')
      },
      isSo: ({ completedSteps }) => completedSteps === 2,
      cleaned: ['undo b B', 'undo a A', 'onCancel: enough'],
      undone: ['b undone', 'a undone'],
    },
    'with a child': {
      body: async (task, log) => {
        await first(task, log)
        await task.child('child')
        log.push('NEVER')
      },
      isSo: (_, log) => log.includes('child began'),
      // The child is cleaned up first.
      cleaned: ['child undo b B', 'child onCancel', 'undo a A', 'onCancel: enough'],
    },
  }

  function scenario({ body, options, isSo }: State): { seen: () => Seen; scenario: Scenario<Seen> } {
    let seen: Seen = { log: [] }
    return {
      seen: () => seen,
      scenario: {
        effects: () => {
          seen = { log: [] }
          return seen
        },
        tasks: ({ log }) => [
          defineTask(
            {
              name: 'main',
              undo: {
                a: (_, { result }) => log.push(`undo a ${result}`),
                b: (_, { result }) => log.push(`undo b ${result}`),
              },
              onCancel: async (context, { reason }) => {
                await context.step('tell', () => log.push('tell'))
                log.push(`onCancel: ${reason}`)
              },
              ...options,
            },
            (task) => body(task, log),
          ),
          defineTask(
            {
              name: 'child',
              undo: { b: (_, { result }) => log.push(`child undo b ${result}`) },
              onCancel: () => log.push('child onCancel'),
            },
            async (task) => {
              await task.step('b', () => 'B')
              log.push('child began')
              await task.sleep('nap', '30d')
              log.push('NEVER')
            },
          ),
        ],
        drive: async (holdfast) => {
          const mine = seen
          const { taskId } = await holdfast.start('main', null, { idempotencyKey: 'k' })
          let view = await holdfast.get(taskId)
          for (let turn = 0; turn < 200 && !view.settledAt && !isSo(view, mine.log); turn++) {
            await turns(1)
            view = await holdfast.get(taskId)
          }
          // Whatever it notes when it comes to rest is on its way.
          await turns(8)
          const cancelled = holdfast.cancel(taskId, { reason: 'enough' })
          await cancelled.catch((error: HoldfastError) => {
            if (error.code !== 'TASK_SETTLED') throw error
          })
          mine.reason = (await errorOf(holdfast.result(taskId))).message
          mine.view = await holdfast.get(taskId)
          mine.audit = await holdfast.audit({ taskId })
          return taskId
        },
      },
    }
  }

  const isCleanUp = (line: string) => /undo|onCancel/.test(line)
  const undoneOf = ({ undone = [] }: TaskView) => undone.map(({ step, state }) => `${step} ${state}`)
  const actions = (audit: readonly AuditEntry[] = []) =>
    audit.filter(({ by, action }) => by === 'engine' || action === 'cancelled').map(({ action, why }) => [action, why])

  test.each(Object.entries(states))(
    'while it is %s is cleaned up, whatever write the process dies at',
    async (_, state) => {
      const { scenario: played } = scenario(state)
      const { calm, crashed } = await everyCrash(played)
      const { cleaned, undone = ['a undone'] } = state
      expect(calm.effects.log.filter(isCleanUp)).toEqual(cleaned)
      expect(calm.effects.view).toMatchObject({ status: 'cancelled', cleanUp: 'done', cleanUpReason: undefined })
      expect(calm.effects.reason).toContain('enough')
      expect(crashed.length).toBeGreaterThan(6)
      for (const { where, effects } of crashed) {
        const { log, view, audit } = effects
        expect(view, where).toMatchObject({ status: 'cancelled', cleanUp: 'done', outcome: { reason: 'enough' } })
        expect(log, where).not.toContain('NEVER')
        const ran = log.filter(isCleanUp)
        expect([...new Set(ran)], where).toEqual(cleaned)
        // What is recorded as done doesn't run again, so one death repeats one thing at the most, and nothing comes between.
        expect(ran.length, where).toBeLessThanOrEqual(cleaned.length + 1)
        expect(log.filter((line) => line === 'tell').length, where).toBeLessThanOrEqual(2)
        expect(undoneOf(view as TaskView), where).toEqual(undone)
        // The step that is undone is the step that was begun: one key, in every life.
        expect(new Set(log.filter((line) => line.startsWith('a '))).size, where).toBe(1)
        const ended = actions(audit).filter(([action]) => action !== 'started' && action !== 'retried')
        const steps = undone.map((step) => ['undone', step.split(' ')[0]])
        // In no order: entries of two processes within one millisecond have none.
        const expected = [['cancelled', 'enough'], ...steps, ['cleaned-up', undefined]]
        expect(ended.map(String).sort(), where).toEqual(expected.map(String).sort())
      }
    },
  )

  test('in the queue never begins, at whatever write the process dies', async () => {
    const play = async (fault?: { atWrite: number; applied: boolean }) => {
      const clock = new ManualClock()
      const disk = new MemoryDisk()
      const log: string[] = []
      const { opened } = gate()
      let writes = 0
      for (let life = 0; life < 2; life++) {
        const hog = defineTask({ name: 'hog' }, (task) => task.step('hog', () => opened))
        const onCancel = (_: unknown, { reason }: Cancelled) => log.push(`onCancel: ${reason}`)
        const queued = defineTask({ name: 'queued', onCancel }, () => log.push('NEVER'))
        let dead = false
        disk.onDeath(() => {
          dead = true
        })
        const holdfast = await openInMemory({ disk, clock, concurrency: 1, tasks: [hog, queued] })
        const live = async () => {
          await holdfast.start(hog, undefined, { idempotencyKey: 'hog' })
          const before = disk.writes
          if (fault && life === 0) disk.dieAt(fault)
          // Who is older is taken up first.
          await clock.advance(1)
          const { taskId } = await holdfast.start(queued, undefined, { idempotencyKey: 'queued' })
          await holdfast.cancel(taskId, { reason: 'enough' }).catch((error: HoldfastError) => {
            if (error.code !== 'TASK_SETTLED') throw error
          })
          await errorOf(holdfast.result(taskId))
          writes = disk.writes - before
          return holdfast.get(taskId)
        }
        const view = await Promise.race([
          live(),
          (async () => {
            for (let turn = 0; turn < 500; turn++) {
              await turns(1)
              if (dead) return undefined
            }
            throw new Error('Nothing more happens')
          })(),
        ])
        if (view) return { log, view, writes }
      }
      throw new Error('It died twice')
    }
    const calm = await play()
    expect(calm.log).toEqual(['onCancel: enough'])
    for (let atWrite = 1; atWrite <= calm.writes; atWrite++) {
      for (const applied of [false, true]) {
        const { log, view } = await play({ atWrite, applied })
        expect([...new Set(log)], `${atWrite} ${applied}`).toEqual(['onCancel: enough'])
        expect(view).toMatchObject({ status: 'cancelled', cleanUp: 'done', startedAt: undefined })
      }
    }
  })

  test('is cancelled for everybody at once, and whoever waits for its result waits for the clean-up', async () => {
    const { open, opened } = gate()
    const task = defineTask({ name: 'slow', onCancel: () => opened }, (task) => task.sleep('nap', '1h'))
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    const told: string[] = []
    holdfast.on('task:settled', ({ status }) => told.push(status))
    holdfast.on('task:cleaned-up', ({ cleanUp }) => told.push(cleanUp))
    expect(await holdfast.cancel(taskId, { reason: 'enough' })).toMatchObject({
      status: 'cancelled',
      cleanUp: 'pending',
    })
    let rejected: HoldfastError | undefined
    const result = errorOf(holdfast.result(taskId)).then((error) => {
      rejected = error
    })
    await untilIdle(holdfast)
    expect(rejected).toBeUndefined()
    expect(told).toEqual(['cancelled'])
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'cancelled',
      cleanUp: 'pending',
      outcome: { kind: 'cancelled', reason: 'enough' },
    })
    expect((await holdfast.list()).tasks).toMatchObject([{ status: 'cancelled', cleanUp: 'pending' }])
    await expect(holdfast.result(taskId, { timeout: 0 })).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' })
    open()
    await result
    expect(rejected?.message).toContain('enough')
    expect(told).toEqual(['cancelled', 'done'])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
  })

  test('without an undo and an `onCancel` has nothing to clean up', async () => {
    const task = defineTask({ name: 'plain' }, (task) => task.sleep('nap', '1h'))
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    expect(await holdfast.cancel(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'none' })
    const session = await holdfast.createSessionTask({ type: 'talk' })
    expect(await holdfast.cancel(session.taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'none' })
    expect((await errorOf(holdfast.result(session.taskId))).code).toBe('TASK_CANCELLED')
  })

  test('twice says that it is settled, also while the first clean-up goes on, and disturbs nothing', async () => {
    const { open, opened } = gate()
    let calls = 0
    const onCancel = () => {
      calls++
      return opened
    }
    const task = defineTask({ name: 'slow', onCancel }, (task) => task.sleep('nap', '1h'))
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    const both = [holdfast.cancel(taskId, { reason: 'one' }), holdfast.cancel(taskId, { reason: 'two' })]
    const told = await Promise.allSettled(both)
    expect(told.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect((told[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'TASK_SETTLED' })
    await untilIdle(holdfast)
    for (const force of [false, true])
      expect(await errorOf(holdfast.cancel(taskId, { force }))).toMatchObject({ code: 'TASK_SETTLED' })
    open()
    await errorOf(holdfast.result(taskId))
    expect(await errorOf(holdfast.cancel(taskId))).toMatchObject({ code: 'TASK_SETTLED' })
    expect(calls).toBe(1)
    expect(await holdfast.get(taskId)).toMatchObject({ outcome: { reason: 'one' } })
  })

  test('is cancelled by its owner or an admin, and nobody else learns that it is there', async () => {
    const task = defineTask({ name: 'mine' }, (task) => task.sleep('nap', '1h'))
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [task] })
    const start = async () => (await holdfast.start(task, null, { owner: 'alice' })).taskId
    const [one, two, three] = [await start(), await start(), await start()]
    const unknown = await errorOf(holdfast.cancel('task-01ARZ3NDEKTSV4RRFFQ69G5FAV'))
    for (const refused of [holdfast.cancel(one, { owner: 'bob' }), holdfast.forOwner('bob').cancel(one)]) {
      const error = await errorOf(refused)
      expect(error.code).toBe('TASK_NOT_FOUND')
      expect(error.message.replace(one, '')).toBe(unknown.message.replace('task-01ARZ3NDEKTSV4RRFFQ69G5FAV', ''))
    }
    // A mistake in a program, and the same whether the task is there.
    for (const id of [one, 'task-none']) {
      await expect(holdfast.cancel(id, { owner: '' })).rejects.toThrow(/`owner` to be/)
      await expect(holdfast.cancel(id, { owner: 'alice', force: true })).rejects.toThrow(/`force` without `owner`/)
    }
    expect(await holdfast.get(one)).toMatchObject({ status: 'running' })
    await holdfast.cancel(one, { owner: 'alice' })
    await holdfast.forOwner('alice').cancel(two)
    await holdfast.cancel(three)
    const by = (await holdfast.audit()).filter(({ action }) => action === 'cancelled').map((entry) => entry.by)
    expect(by).toEqual(['alice', 'alice', 'admin'])
    // Settled, it is still nobody else's.
    expect((await errorOf(holdfast.cancel(one, { owner: 'bob' }))).code).toBe('TASK_NOT_FOUND')
  })

  test('while its body goes on stays cancelled: what the body returns is dropped, and that is audited', async () => {
    const { open, opened } = gate()
    const seen: unknown[] = []
    const stubborn = defineTask({ name: 'stubborn' }, async (task) => {
      try {
        await task.step('busy', () => new Promise(() => {}))
      } catch (error) {
        seen.push((error as HoldfastError).code, task.signal.aborted)
      }
      const again = await task.step('more', () => seen.push('NEVER')).catch((error: HoldfastError) => error.code)
      seen.push(again)
      await opened
      return 'done after all'
    })
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [stubborn] })
    const { taskId } = await holdfast.start(stubborn, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId, { reason: 'enough' })
    await untilIdle(holdfast)
    open()
    await untilIdle(holdfast)
    expect(seen).toEqual(['TASK_INTERRUPTED', true, 'TASK_INTERRUPTED'])
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', outcome: { kind: 'cancelled' } })
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    expect((await holdfast.audit({ taskId })).map(({ action, by }) => `${action} by ${by}`).slice(-2)).toEqual([
      'cancelled by admin',
      'result-dropped by body',
    ])
  })

  test('while its body returns, before that is on disk, has one end, and the audit says what was dropped', async () => {
    const { open, opened } = gate<string>()
    const task = defineTask({ name: 'close' }, async (task) => {
      await task.step('a', () => 1)
      return opened
    })
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    const cancelled = holdfast.cancel(taskId, { reason: 'enough' })
    // The cancel is decided, and on its way to the disk.
    const before = disk.writes
    while (disk.writes === before) await turns(1)
    open('too late')
    await cancelled
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', outcome: { reason: 'enough' } })
    expect((await holdfast.audit({ taskId })).map(({ action }) => action).slice(-2)).toEqual([
      'cancelled',
      'result-dropped',
    ])
  })

  test('and the body that returns at the same moment come to one end', async () => {
    for (let delay = 0; delay < 8; delay++) {
      const { open, opened } = gate()
      const task = defineTask({ name: 'close', onCancel: () => {} }, async (task) => {
        await task.step('a', () => opened)
        return 'returned'
      })
      const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [task] })
      const { taskId } = await holdfast.start(task, null)
      await untilIdle(holdfast)
      open()
      await turns(delay)
      const said = await holdfast.cancel(taskId).catch(codeOf)
      const outcome = await holdfast.result(taskId).catch(codeOf)
      expect([said, outcome]).toEqual(
        said === 'TASK_SETTLED' ? ['TASK_SETTLED', 'returned'] : [expect.anything(), 'TASK_CANCELLED'],
      )
      const ends = (await holdfast.audit({ taskId })).filter(({ to }) => to === 'completed' || to === 'cancelled')
      expect(ends).toHaveLength(1)
    }
  })

  test.each([5, {}, [], 'x'.repeat(2_001)])('for a reason such as %j is refused', async (reason) => {
    const task = defineTask({ name: 'plain' }, (task) => task.sleep('nap', '1h'))
    const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await expect(holdfast.cancel(taskId, { reason: reason as never })).rejects.toThrow(
      /^Expected `reason` to be a text of at most 2000 bytes, got /,
    )
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
  })
})

describe('onCancel', () => {
  const asked = async (options: {
    timeout?: Duration
    deadline?: number
    reason?: string
    saves?: boolean
    down?: boolean
  }) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const calls: Cancelled[] = []
    const { timeout, deadline, reason, saves = true, down = false } = options
    const task = defineTask(
      {
        name: 'job',
        ...(timeout ? { timeout } : {}),
        onCancel: (_, cancelled) => calls.push(cancelled as Cancelled),
      },
      async (task, _: { n: number }) => {
        await task.step('a', () => 1)
        if (saves) {
          await task.saveCheckpoint({ page: 1 })
          await task.saveCheckpoint({ page: 2 }, { label: 'two' })
        }
        await task.sleep('nap', '30d')
      },
    )
    let holdfast = await openInMemory({ disk, clock, tasks: [task] })
    const due = deadline === undefined ? {} : { deadline: clock.now() + deadline }
    const { taskId } = await holdfast.start(task, { n: 7 }, due)
    await untilIdle(holdfast)
    // A client's checkpoint is not the body's.
    await holdfast.saveCheckpoint(taskId, { client: true })
    if (down) {
      disk.crash()
      await clock.advance(2 * HOUR)
      holdfast = await openInMemory({ disk, clock, tasks: [task] })
    }
    if (timeout === undefined && deadline === undefined)
      await holdfast.cancel(taskId, reason === undefined ? {} : { reason })
    else if (!down) await clock.advance(2 * HOUR)
    const error = await errorOf(holdfast.result(taskId))
    return { calls, error, view: await holdfast.get(taskId), holdfast, taskId }
  }

  const lastCheckpoint = {
    checkpointId: expect.stringMatching(/^cp-/),
    state: { page: 2 },
    completedSteps: 1,
    createdAt: expect.any(Number),
  }

  test('is told of the cancel, its reason, the input and the last checkpoint of the body', async () => {
    const { calls, error, view } = await asked({ reason: 'enough' })
    expect(calls).toEqual([{ input: { n: 7 }, lastCheckpoint, reason: 'enough', stoppedBy: 'cancel' }])
    expect(error).toMatchObject({ code: 'TASK_CANCELLED', message: expect.stringContaining('enough') })
    expect(view).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
  })

  test('is told of a cancel without a reason, and of a task without a checkpoint', async () => {
    const { calls } = await asked({ saves: false })
    expect(calls).toEqual([{ input: { n: 7 }, lastCheckpoint: undefined, reason: undefined, stoppedBy: 'cancel' }])
  })

  test.each([
    [{ timeout: '1h' }, 'timeout'],
    [{ deadline: HOUR }, 'deadline'],
    [{ timeout: '1h', deadline: 5 * HOUR }, 'timeout'],
    [{ timeout: '5h', deadline: HOUR }, 'deadline'],
    [{ timeout: '1h', down: true }, 'timeout'],
    [{ deadline: HOUR, down: true }, 'deadline'],
  ] as const)('runs when time is over: %j', async (options, stoppedBy) => {
    const { calls, error, view } = await asked(options)
    expect(calls).toEqual([{ input: { n: 7 }, lastCheckpoint, reason: 'TIMEOUT', stoppedBy }])
    expect(error).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining(stoppedBy) })
    expect(view).toMatchObject({ status: 'failed', cleanUp: 'done', error: { code: 'TIMEOUT' } })
  })

  test('does not run when the body ends the task itself', async () => {
    const calls: unknown[] = []
    const onCancel = () => calls.push('NEVER')
    const fails = defineTask({ name: 'fails', onCancel }, () => {
      throw new Error('no')
    })
    const ends = defineTask({ name: 'ends', onCancel }, () => 'yes')
    const holdfast = await openInMemory({ tasks: [fails, ends] })
    await errorOf(holdfast.result((await holdfast.start(fails, null)).taskId))
    await holdfast.result((await holdfast.start(ends, null)).taskId)
    expect(calls).toEqual([])
  })

  test('that fails is tried again; its steps are recorded once, under keys of their own', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const keys = new Set<string>()
    const make = () =>
      defineTask(
        {
          name: 'job',
          onCancel: async (context) => {
            keys.add(context.idempotencyKey)
            const ids: unknown[] = []
            for (const n of [1, 2]) {
              const id = await context.step('mail', ({ idempotencyKey }) => {
                log.push(`mail ${n}`)
                keys.add(idempotencyKey)
                return { id: n }
              })
              ids.push(id)
            }
            ids.push(await context.step('nothing', () => undefined))
            log.push(`attempt ${context.attempt} ${JSON.stringify(ids)}`)
            if (context.attempt < 3) throw new Error('not yet')
          },
        },
        (task) => task.sleep('nap', '30d'),
      )
    const first = await openInMemory({ disk, clock, tasks: [make()] })
    const { taskId } = await first.start('job')
    await untilIdle(first)
    await first.cancel(taskId)
    await untilIdle(first)
    expect(log).toHaveLength(3)
    disk.crash()
    await clock.advance(HOUR)
    const second = await openInMemory({ disk, clock, tasks: [make()] })
    await untilIdle(second)
    expect(log).toHaveLength(4)
    await clock.advance(HOUR)
    await errorOf(second.result(taskId))
    const answers = '[{"id":1},{"id":2},null]'
    expect(log).toEqual(['mail 1', 'mail 2', `attempt 1 ${answers}`, `attempt 2 ${answers}`, `attempt 3 ${answers}`])
    expect(keys.size).toBe(3)
    expect(await second.get(taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('out of attempts leaves the clean-up as failed, and says why; the task stays cancelled', async () => {
    const clock = new ManualClock()
    let calls = 0
    const onCancel = () => {
      calls++
      throw new Error('the mail server is gone')
    }
    const task = defineTask({ name: 'job', onCancel }, (task) => task.sleep('nap', '30d'))
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const cleaned: unknown[] = []
    holdfast.on('task:cleaned-up', (event) => cleaned.push(event))
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    for (let wait = 0; wait < 10; wait++) await clock.advance(60_000)
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    expect(calls).toBe(5)
    const reason = 'onCancel failed: the mail server is gone'
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'failed', cleanUpReason: reason })
    expect(cleaned).toEqual([{ taskId, type: 'job', cleanUp: 'failed', reason }])
    expect((await holdfast.audit({ taskId })).at(-1)).toMatchObject({ action: 'clean-up-failed', why: reason })
  })

  test('that hangs is given up after its timeout, its signal aborted', async () => {
    const clock = new ManualClock()
    const aborted: unknown[] = []
    const cleanUp: CleanUpOptions = { timeout: '10s', retry: { maximumAttempts: 2, initialInterval: '1s' } }
    const task = defineTask(
      {
        name: 'job',
        cleanUp,
        onCancel: ({ signal }) =>
          new Promise(() => {
            signal.addEventListener('abort', () => aborted.push(signal.reason.code))
          }),
      },
      (task) => task.sleep('nap', '30d'),
    )
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    await clock.advance(30_000)
    await errorOf(holdfast.result(taskId))
    expect(aborted).toEqual(['STEP_TIMEOUT', 'STEP_TIMEOUT'])
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      cleanUpReason: expect.stringContaining('10000 ms'),
    })
  })

  test('of a step whose function is none is a TypeError that says so', async () => {
    const clock = new ManualClock()
    const seen: unknown[] = []
    const task = defineTask(
      {
        name: 'job',
        onCancel: async (context) => {
          for (const [name, fn] of [
            ['', () => 1],
            [5, () => 1],
            ['ok', 'no function'],
          ])
            await context.step(name as never, fn as never).catch((error: Error) => seen.push(error))
          const cyclic: Record<string, unknown> = {}
          cyclic['self'] = cyclic
          await context.step('cyclic', () => cyclic).catch((error: HoldfastError) => seen.push(error.code))
        },
      },
      (task) => task.sleep('nap', '30d'),
    )
    const holdfast = await openInMemory({ clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await errorOf(holdfast.result(taskId))
    expect(seen.map(String)).toEqual([
      expect.stringMatching(/^TypeError: Expected `name`/),
      expect.stringMatching(/^TypeError: Expected `name`/),
      expect.stringMatching(/^TypeError: Expected `fn` to be a function, got 'no function'/),
      'NOT_SERIALIZABLE',
    ])
  })
})

describe('a clean-up whose definition is not registered', () => {
  const log: string[] = []
  const make = () =>
    defineTask({ name: 'job', undo: { a: (_, { result }) => log.push(`undo a ${result}`) } }, async (task) => {
      await task.step('a', () => 'A')
      await task.sleep('nap', '30d')
    })
  const begun = async (options: InMemoryOptions = {}) => {
    log.length = 0
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const first = await openInMemory({ disk, clock, tasks: [make()], ...options })
    const { taskId } = await first.start('job', undefined, { deadline: clock.now() + HOUR })
    await untilIdle(first)
    disk.crash()
    return { clock, disk, taskId }
  }

  test('waits for it, shows as parked, and goes on when it is registered', async () => {
    const { clock, disk, taskId } = await begun()
    await clock.advance(2 * HOUR)
    const holdfast = await openInMemory({ disk, clock })
    await holdfast.recovery.done
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({
      status: 'failed',
      error: { code: 'TIMEOUT' },
      cleanUp: 'pending',
      parked: { code: 'TASK_TYPE_UNKNOWN', reason: expect.stringContaining("'job'") },
    })
    expect(await errorOf(holdfast.result(taskId))).toMatchObject({ code: 'TASK_PARKED' })
    for (const force of [true, false])
      expect(await errorOf(holdfast.cancel(taskId, { force }))).toMatchObject({ code: 'TASK_SETTLED' })
    const waiting = errorOf(holdfast.result(taskId, { waitParked: true }))
    holdfast.register(make())
    expect((await waiting).code).toBe('TIMEOUT')
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', cleanUp: 'done', parked: undefined })
    expect(log).toEqual(['undo a A'])
  })

  test('goes on in a later process that knows it', async () => {
    const { clock, disk, taskId } = await begun()
    await clock.advance(2 * HOUR)
    const second = await openInMemory({ disk, clock })
    await untilIdle(second)
    await second.close()
    const third = await openInMemory({ disk, clock, tasks: [make()] })
    expect((await errorOf(third.result(taskId))).code).toBe('TIMEOUT')
    expect(log).toEqual(['undo a A'])
    expect(third.recovery.tasks).toMatchObject([{ action: 'cleaning-up' }])
  })

  test('goes on when a listener registers it at the moment it is parked', async () => {
    const { clock, disk, taskId } = await begun()
    const holdfast = await openInMemory({ disk, clock, recover: 'manual' })
    holdfast.on('task:parked', () => holdfast.register(make()))
    await clock.advance(2 * HOUR)
    await holdfast.recover()
    await untilIdle(holdfast)
    expect(log).toEqual(['undo a A'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', parked: undefined })
  })

  test.each([true, false])(
    'of a task cancelled before `recover()` goes on with it; registered first: %s',
    async (known) => {
      const { clock, disk, taskId } = await begun()
      const holdfast = await openInMemory({ disk, clock, recover: 'manual' })
      if (known) holdfast.register(make())
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      if (!known) holdfast.register(make())
      const report = await holdfast.recover()
      await untilIdle(holdfast)
      expect(log).toEqual(['undo a A'])
      expect(await holdfast.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
      expect(report.finishedAt).toBeDefined()
    },
  )

  test('of a task whose code has no undo for the step any more fails, and says so', async () => {
    const { clock, disk, taskId } = await begun()
    const bare = defineTask({ name: 'job' }, (task) => task.sleep('nap', '30d'))
    await clock.advance(2 * HOUR)
    const holdfast = await openInMemory({ disk, clock, tasks: [bare] })
    for (let wait = 0; wait < 10; wait++) await clock.advance(60_000)
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TIMEOUT')
    expect(await holdfast.get(taskId)).toMatchObject({
      cleanUp: 'failed',
      cleanUpReason: expect.stringMatching(/^the undo of step 'a' failed: .*no `undo` for step 'a' any more$/),
      undone: [{ step: 'a', state: 'failed', failedAttempts: 5 }],
    })
  })
})

describe('a parked task', () => {
  const parked = async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const make = () =>
      defineTask(
        { name: 'job', undo: { a: () => log.push('undo') }, onCancel: () => log.push('onCancel') },
        async (task) => {
          await task.step('a', () => 'A')
          await task.sleep('nap', '30d')
        },
      )
    const first = await openInMemory({ disk, clock, tasks: [make()] })
    const { taskId } = await first.start('job', null, { owner: 'alice' })
    await untilIdle(first)
    disk.crash()
    const holdfast = await openInMemory({ disk, clock })
    await holdfast.recovery.done
    return { clock, disk, holdfast, taskId, log, make }
  }

  test('says how to go on', async () => {
    const { holdfast, taskId } = await parked()
    const message = expect.stringMatching(/`resume` tries it again, and `cancel` settles it/)
    expect(await errorOf(holdfast.result(taskId))).toMatchObject({ code: 'TASK_PARKED', message })
    expect((await errorOf(holdfast.cancel(taskId, { owner: 'bob' }))).code).toBe('TASK_NOT_FOUND')
  })

  test.each(['alice', undefined])(
    'is cancelled by a plain cancel (owner: %s), and cleaned up once its type is there',
    async (owner) => {
      const { holdfast, taskId, log, make } = await parked()
      const parkings: string[] = []
      holdfast.on('task:parked', ({ code }) => parkings.push(code))
      expect(await holdfast.cancel(taskId, { reason: 'enough', owner })).toMatchObject({
        status: 'cancelled',
        cleanUp: 'pending',
        cleanUpReason: undefined,
      })
      await untilIdle(holdfast)
      expect(await holdfast.get(taskId)).toMatchObject({
        status: 'cancelled',
        outcome: { kind: 'cancelled', reason: 'enough' },
        cleanUp: 'pending',
        parked: { code: 'TASK_TYPE_UNKNOWN' },
      })
      expect([parkings, log]).toEqual([['TASK_TYPE_UNKNOWN'], []])
      expect((await errorOf(holdfast.cancel(taskId))).code).toBe('TASK_SETTLED')
      holdfast.register(make())
      expect((await errorOf(holdfast.result(taskId, { waitParked: true }))).code).toBe('TASK_CANCELLED')
      expect(log).toEqual(['undo', 'onCancel'])
      expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', parked: undefined })
    },
  )

  test('that was cancelled is cleaned up in a later process that knows its type', async () => {
    const { holdfast, taskId, log, make, disk, clock } = await parked()
    await holdfast.cancel(taskId, { owner: 'alice' })
    await untilIdle(holdfast)
    disk.crash()
    const again = await openInMemory({ disk, clock, tasks: [make()] })
    expect((await errorOf(again.result(taskId))).code).toBe('TASK_CANCELLED')
    expect(log).toEqual(['undo', 'onCancel'])
    expect(await again.get(taskId)).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
  })

  test('because its code changed is cancelled and cleaned up at once', async () => {
    const log: string[] = []
    const make = (step: string) =>
      defineTask(
        { name: 'job', undo: { a: () => log.push('undo') }, onCancel: () => log.push('onCancel') },
        async (task) => {
          await task.step('a', () => 'A')
          await task.step(step, () => step)
          await task.sleep('nap', '30d')
        },
      )
    const [clock, disk] = [new ManualClock(), new MemoryDisk()]
    const first = await openInMemory({ disk, clock, tasks: [make('b')] })
    const { taskId } = await first.start('job', null, { owner: 'alice' })
    await untilIdle(first)
    disk.crash()
    const holdfast = await openInMemory({ disk, clock, tasks: [make('renamed')] })
    // The sleep is due in a month: only a run shows that the code does not fit.
    await clock.jump(31 * 24 * HOUR)
    expect(await holdfast.get(taskId)).toMatchObject({ parked: { code: 'CODE_CHANGED' } })
    await holdfast.cancel(taskId, { owner: 'alice' })
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    expect(log).toEqual(['undo', 'onCancel'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', parked: undefined })
  })

  test('is given up with `force`: nothing is cleaned up, and that is said', async () => {
    const { holdfast, taskId, log, make, disk, clock } = await parked()
    const given = { status: 'cancelled', cleanUp: 'failed', cleanUpReason: 'NOT_RUN', parked: undefined }
    expect(await holdfast.cancel(taskId, { force: true, reason: 'enough' })).toMatchObject(given)
    expect((await errorOf(holdfast.result(taskId))).code).toBe('TASK_CANCELLED')
    holdfast.register(make())
    await untilIdle(holdfast)
    await holdfast.close()
    const again = await openInMemory({ disk, clock, tasks: [make()] })
    await untilIdle(again)
    expect(await again.get(taskId)).toMatchObject({
      ...given,
      undone: [{ step: 'a', state: 'failed', error: 'NOT_RUN' }],
    })
    expect(log).toEqual([])
  })

  test('that goes on is cancelled like any other, `force` or not', async () => {
    const { holdfast, taskId, log, make } = await parked()
    holdfast.register(make())
    await untilIdle(holdfast)
    expect(await holdfast.cancel(taskId, { force: true })).toMatchObject({ status: 'cancelled', cleanUp: 'pending' })
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo', 'onCancel'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done', cleanUpReason: undefined })
  })
})

describe('a clean-up', () => {
  test('that waits for its next attempt keeps no other waiting', async () => {
    const clock = new ManualClock()
    const cleanUp: CleanUpOptions = { retry: { initialInterval: '1h' } }
    const never = () => {
      throw new Error('not yet')
    }
    const failing = defineTask({ name: 'failing', onCancel: never, cleanUp }, (task) => task.sleep('nap', '30d'))
    const quick = defineTask({ name: 'quick', onCancel: () => {} }, (task) => task.sleep('nap', '30d'))
    const holdfast = await openInMemory({ clock, tasks: [failing, quick], concurrency: 1 })
    const one = await holdfast.start(failing, null)
    const two = await holdfast.start(quick, null)
    await untilIdle(holdfast)
    await holdfast.cancel(one.taskId)
    await untilIdle(holdfast)
    await holdfast.cancel(two.taskId)
    await untilIdle(holdfast)
    expect(await holdfast.get(one.taskId)).toMatchObject({ cleanUp: 'pending' })
    expect(await holdfast.get(two.taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('of many tasks runs as many at once as bodies may, and all of them', async () => {
    const clock = new ManualClock()
    let [running, most, ran] = [0, 0, 0]
    const onCancel = async () => {
      most = Math.max(most, ++running)
      await turns(3)
      running--
      ran++
    }
    const task = defineTask({ name: 'job', onCancel }, (task) => task.sleep('nap', '30d'))
    const holdfast = await openInMemory({ clock, tasks: [task], concurrency: 4 })
    const started = await Promise.all(Array.from({ length: 20 }, () => holdfast.start(task, null)))
    await untilIdle(holdfast)
    await Promise.all(started.map(({ taskId }) => holdfast.cancel(taskId)))
    await Promise.all(started.map(({ taskId }) => errorOf(holdfast.result(taskId))))
    expect([most, ran]).toEqual([4, 20])
  })

  test('waits while the disk is full, repeats nothing that succeeded, and ends once', async () => {
    for (const applied of [false, true]) {
      for (let atWrite = 1; atWrite <= 7; atWrite++) {
        const clock = new ManualClock()
        const disk = new MemoryDisk()
        const log: string[] = []
        const task = defineTask(
          {
            name: 'job',
            undo: { a: () => log.push('undo a'), b: () => log.push('undo b') },
            onCancel: async (context) => {
              await context.step('tell', () => log.push('tell'))
              log.push('onCancel')
            },
          },
          async (task) => {
            await task.step('a', () => 'A')
            await task.step('b', () => 'B')
            await task.sleep('nap', '30d')
          },
        )
        const holdfast = await openInMemory({ disk, clock, tasks: [task] })
        holdfast.on('task:cleaned-up', () => log.push('cleaned up'))
        const { taskId } = await holdfast.start(task, null)
        await untilIdle(holdfast)
        const where = `write ${atWrite}${applied ? ', applied' : ''}`
        disk.failAt({ atWrite, applied })
        const said = await holdfast.cancel(taskId, { reason: 'enough' }).catch(codeOf)
        for (let wait = 0; wait < 3; wait++) await clock.advance(5_000)
        if (atWrite === 1) {
          // The caller was refused, and told that he can't know.
          expect(said, where).toBe('STORE_UNAVAILABLE')
          if (!applied) expect(await holdfast.get(taskId), where).toMatchObject({ status: 'running', cleanUp: 'none' })
          if (!applied) await holdfast.cancel(taskId, { reason: 'enough' })
        }
        await errorOf(holdfast.result(taskId))
        await untilIdle(holdfast)
        expect(await holdfast.get(taskId), where).toMatchObject({ status: 'cancelled', cleanUp: 'done' })
        expect(log, where).toEqual(['undo b', 'undo a', 'tell', 'onCancel', 'cleaned up'])
      }
    }
  })

  test('that a later process goes on with runs once, whichever of its writes the disk refuses', async () => {
    for (const applied of [false, true]) {
      for (let atWrite = 1; atWrite <= 6; atWrite++) {
        const clock = new ManualClock()
        const disk = new MemoryDisk()
        const log: string[] = []
        // Each of them takes a while, so that a second clean-up beside it would be seen.
        const slowly = (what: string) => async () => {
          log.push(what)
          await turns(10)
        }
        const task = defineTask(
          { name: 'job', undo: { a: slowly('undo a'), b: slowly('undo b') }, onCancel: slowly('onCancel') },
          async (task) => {
            await task.step('a', () => 'A')
            await task.step('b', () => 'B')
            await task.sleep('nap', '30d')
          },
        )
        const first = await openInMemory({ disk, clock, tasks: [task] })
        const { taskId } = await first.start(task, null)
        await untilIdle(first)
        await first.cancel(taskId)
        disk.crash()
        const second = await openInMemory({ disk, clock, tasks: [task] })
        log.splice(0)
        second.on('task:settled', () => log.push('settled'))
        second.on('task:cleaned-up', () => log.push('cleaned up'))
        disk.failAt({ atWrite, applied })
        for (let wait = 0; wait < 4; wait++) await clock.advance(5_000)
        await errorOf(second.result(taskId))
        const where = `write ${atWrite}${applied ? ', applied' : ''}`
        expect(log, where).toEqual(['undo b', 'undo a', 'onCancel', 'cleaned up'])
        expect(await second.get(taskId), where).toMatchObject({ cleanUp: 'done', undone: [undone('b'), undone('a')] })
      }
    }
  })

  test('begins nothing while the disk is full, and goes on when there is room', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const task = defineTask(
      {
        name: 'job',
        undo: {
          a: () => log.push('undo a'),
          b: () => {
            log.push('undo b')
            disk.full = true
          },
        },
      },
      async (task) => {
        await task.step('a', () => 'A')
        await task.step('b', () => 'B')
        await task.sleep('nap', '30d')
      },
    )
    const holdfast = await openInMemory({ disk, clock, tasks: [task] })
    const { taskId } = await holdfast.start(task, null)
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    for (let wait = 0; wait < 5; wait++) await clock.advance(10_000)
    expect(log).toEqual(['undo b'])
    disk.full = false
    for (let wait = 0; wait < 3; wait++) await clock.advance(10_000)
    await errorOf(holdfast.result(taskId))
    expect(log).toEqual(['undo b', 'undo a'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('is left for the next open by a close, which waits for what runs and not for what waits', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const log: string[] = []
    const make = (fails: boolean) => [
      defineTask(
        {
          name: 'child',
          onCancel: () => {
            log.push('child onCancel')
            if (fails) throw new Error('not yet')
          },
          cleanUp: { retry: { initialInterval: '1h' } },
        },
        (task) => task.sleep('nap', '30d'),
      ),
      defineTask({ name: 'main', onCancel: () => log.push('main onCancel') }, (task) => task.child('child')),
    ]
    const first = await openInMemory({ disk, clock, tasks: make(true) })
    const { taskId } = await first.start('main')
    await untilIdle(first)
    await first.cancel(taskId)
    await untilIdle(first)
    let closed = false
    const closing = first.close({ grace: '10m' }).then(() => {
      closed = true
    })
    await untilIdle(first)
    expect(closed, 'a clean-up that only waits for its child, which waits for its next attempt').toBe(true)
    await clock.advance(11 * 60_000)
    await closing
    await clock.advance(2 * HOUR)
    const second = await openInMemory({ disk, clock, tasks: make(false) })
    await errorOf(second.result(taskId))
    expect(log).toEqual(['child onCancel', 'child onCancel', 'main onCancel'])
  })
})

describe('defineTask refuses', () => {
  const body = () => 1
  test.each([
    ['onCancel', { onCancel: 'x' }, /^Expected `onCancel` to be a function, got 'x' \(string\)/],
    ['onCancel', { onCancel: null }, /^Expected `onCancel` to be a function, got null/],
    ['cleanUp', { cleanUp: 5 }, /^Expected `cleanUp` to be an object of retry, timeout, grace, got 5/],
    ['cleanUp', { cleanUp: null }, /^Expected `cleanUp` to be an object of .*, got null/],
    ['cleanUp', { cleanUp: 'soon' }, /^Expected `cleanUp` to be an object of .*, got 'soon'/],
    ['cleanUp', { cleanUp: [] }, /^Expected `cleanUp` to be an object of .*, got an array/],
    ['cleanUp.grace', { cleanUp: { grace: -1 } }, /^Expected `cleanUp\.grace` .* zero or more, got -1/],
    ['cleanUp.grace', { cleanUp: { grace: '5 parsecs' } }, /^Expected `cleanUp\.grace` .* got '5 parsecs'/],
    ['cleanUp.grace', { cleanUp: { grace: Number.POSITIVE_INFINITY } }, /^Expected `cleanUp\.grace` .* got Infinity/],
    ['cleanUp.timeout', { cleanUp: { timeout: 0 } }, /^Expected `cleanUp\.timeout` .* above zero, got 0/],
    ['cleanUp.timeout', { cleanUp: { timeout: Number.NaN } }, /^Expected `cleanUp\.timeout` .* got NaN/],
    ['cleanUp.timeout', { cleanUp: { timeout: {} } }, /^Expected `cleanUp\.timeout` to be .*, got an object/],
    ['cleanUp.retry', { cleanUp: { retry: 3 } }, /^Expected `cleanUp\.retry` to be an object of .*, got 3/],
    [
      'cleanUp.retry',
      { cleanUp: { retry: { maximumAttempts: 0 } } },
      /^Expected `cleanUp\.retry\.maximumAttempts` to be an integer >= 1 or 'unlimited', got 0/,
    ],
    [
      'cleanUp.retry',
      { cleanUp: { retry: { backoffCoefficient: 0.5 } } },
      /^Expected `cleanUp\.retry\.backoffCoefficient` to be a number >= 1, got 0.5/,
    ],
    ['cleanUp.retry', { cleanUp: { retry: { initialInterval: -1 } } }, /^Expected `cleanUp\.retry\.initialInterval`/],
    ['cleanUp.retry', { cleanUp: { retry: { retryIf: 1 } } }, /^Expected `cleanUp\.retry\.retryIf` to be a function/],
  ])('a wrong `%s`: %j', (_, options, message) => {
    const define = () => defineTask({ name: 'bad', ...options } as never, body)
    expect(define).toThrow(TypeError)
    expect(define).toThrow(message)
  })

  test('nothing that is merely left out', () => {
    const cleanUp = { retry: { maximumAttempts: undefined }, grace: undefined, timeout: undefined }
    const whole = defineTask({ name: 'good', undo: undefined, onCancel: undefined, cleanUp } as never, body)
    expect(whole.cleanUp).toMatchObject({ retry: { maximumAttempts: 5 }, graceMs: 5_000, timeoutMs: 60_000 })
    expect(defineTask({ name: 'good', cleanUp: { grace: 0 } }, body).cleanUp.graceMs).toBe(0)
  })
})
