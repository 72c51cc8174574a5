// Goal: from the commit that records a cancel the task is cancelled, for every caller and for good.
// Method: time in hand. Tasks in every state are cancelled with a crash before and after every write that is made.
import { describe, expect, test } from 'vitest'
import {
  type AuditEntry,
  type Cancelled,
  defineTask,
  type HoldfastError,
  type StepContext,
  type TaskContext,
  type TaskOptions,
  type TaskView,
} from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { codeOf, errorOf } from '../../helpers/clean-up.js'
import { everyCrash, type Scenario } from '../../helpers/every-crash.js'
import { turns } from '../../helpers/turns.js'

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
