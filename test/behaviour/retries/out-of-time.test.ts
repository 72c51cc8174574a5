// Goal: once a task's deadline, timeout or ttl has passed, no function of a step, child or isolated step begins.
// Method: an event loop that is behind, so that the clock is past the limit and the timer of the limit has not fired; the
// task comes to its next function by each of the ways that it may have waited.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type HoldfastError, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { BusyClock } from '../../helpers/waiting.js'

const SECOND = 1_000
const HOUR = 3_600 * SECOND

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'completed',
    (error: HoldfastError) => error.code,
  )

/** A promise, and how to resolve it. */
function gate() {
  let open = () => {}
  const passed = new Promise<void>((resolve) => {
    open = () => resolve()
  })
  return { passed, open }
}

describe('a start whose deadline has passed', () => {
  const began: string[] = []
  const job = defineTask({ name: 'job' }, async (task) => {
    began.push('body')
    await task.step('effect', () => began.push('step'))
  })

  test('is written as failed in the commit that creates it, and nothing of it runs', async () => {
    began.length = 0
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, clock, tasks: [job] })
    const seen: string[] = []
    holdfast.on('task:created', () => seen.push('created'))
    holdfast.on('task:started', () => seen.push('started'))
    holdfast.on('task:settled', ({ status, code }) => seen.push(`${status} ${code}`))
    const before = disk.writes
    const options = { owner: 'ann', idempotencyKey: 'once', deadline: clock.now() - HOUR }
    const { taskId } = await holdfast.start(job, null, options)
    expect(disk.writes - before).toBe(1)
    await untilIdle(holdfast)
    expect(disk.writes - before).toBe(1)
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' }, cleanUp: 'none' })
    expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toEqual(['created', 'failed'])
    expect(seen).toEqual(['created', 'failed TIMEOUT'])
    expect(began).toEqual([])
    expect(await holdfast.start(job, null, options)).toEqual({ taskId, created: false })

    disk.crash()
    const again = await openInMemory({ disk, clock, tasks: [job] })
    expect(again.recovery.found).toBe(0)
    expect(await codeOf(again.result(taskId))).toBe('TIMEOUT')
    expect(await again.start(job, null, options)).toEqual({ taskId, created: false })
  })

  test('takes no slot and no place in the queue, and gives back all that it took', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ clock, tasks: [job], concurrency: 1, limits: { liveTasksMax: 1 } })
    for (let start = 0; start < 3; start++) {
      const { taskId } = await holdfast.start(job, null, { deadline: clock.now() })
      expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    }
    const { taskId } = await holdfast.start(job, null, { deadline: clock.now() + 1 })
    expect(await codeOf(holdfast.result(taskId))).toBe('completed')
  })

  test('runs its `onCancel`, like any task whose time is over', async () => {
    const clock = new ManualClock()
    const stopped: string[] = []
    const cleaned = defineTask(
      { name: 'cleaned', onCancel: (_, { stoppedBy, reason }) => stopped.push(`${stoppedBy} ${reason}`) },
      () => began.push('body'),
    )
    const holdfast = await openInMemory({ clock, tasks: [cleaned] })
    const { taskId } = await holdfast.start(cleaned, null, { deadline: clock.now() - 1 })
    expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    expect(stopped).toEqual(['deadline TIMEOUT'])
    expect(await holdfast.get(taskId)).toMatchObject({ cleanUp: 'done' })
  })

  test('by `fork` is written as failed too', async () => {
    began.length = 0
    const clock = new ManualClock()
    const holdfast = await openInMemory({ clock, tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await holdfast.result(taskId)
    const fork = await holdfast.fork(taskId, { afterStep: { name: 'effect' } }, { deadline: clock.now() })
    expect(await codeOf(holdfast.result(fork.taskId))).toBe('TIMEOUT')
    expect(began).toEqual(['body', 'step'])
  })

  test.each([true, false])('is settled also if the disk fails at its commit (it was on disk: %s)', async (applied) => {
    began.length = 0
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, clock, tasks: [job] })
    disk.failAt({ atWrite: 1, applied })
    const options = { idempotencyKey: 'once', deadline: clock.now() - 1 }
    expect(await codeOf(holdfast.start(job, null, options))).toBe('START_UNKNOWN')
    for (let wait = 0; wait < 3; wait++) await clock.advance(10 * SECOND)
    const { taskId, created } = await holdfast.start(job, null, options)
    expect(created).toBe(!applied)
    expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    expect(began).toEqual([])
    expect((await holdfast.stats()).tasks).toMatchObject({ pending: 0, running: 0, failed: 1 })
  })
})

describe('the time of a task is over when the next function would begin', () => {
  /** Runs a task with a limit of a second, and falls behind by more once it stands where `body` waits. */
  async function late(
    body: (task: TaskContext, began: string[]) => Promise<unknown>,
    {
      limit = 'deadline',
      meanwhile = () => {},
      options = {},
    }: {
      limit?: 'deadline' | 'timeout' | 'ttl'
      meanwhile?: (holdfast: Holdfast, clock: BusyClock) => unknown
      options?: Parameters<typeof openInMemory>[0]
    } = {},
  ) {
    const clock = new BusyClock()
    const began: string[] = []
    const leaf = defineTask({ name: 'leaf' }, () => began.push('child'))
    const job = defineTask({ name: 'job', ...(limit === 'timeout' ? { timeout: SECOND } : {}) }, (task) =>
      body(task, began),
    )
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, clock, tasks: [job, leaf], ...options })
    const times = { deadline: { deadline: clock.now() + SECOND }, ttl: { ttl: SECOND }, timeout: {} }[limit]
    const { taskId } = await holdfast.start(job, null, times)
    await untilIdle(holdfast)
    clock.fallBehind(SECOND)
    await meanwhile(holdfast, clock)
    const code = await codeOf(holdfast.result(taskId))
    await untilIdle(holdfast)
    return { began, code, holdfast, disk, taskId }
  }

  test.each([
    ['deadline', 'TIMEOUT'],
    ['timeout', 'TIMEOUT'],
    ['ttl', 'EXPIRED'],
  ] as const)('by its %s: a step does not begin, and the task fails with %s', async (limit, code) => {
    const first = gate()
    const { code: ended, began } = await late(
      async (task, began) => {
        await task.step('first', () => first.passed)
        await task.step('second', () => began.push('second'))
      },
      { limit, meanwhile: first.open },
    )
    expect(ended).toBe(code)
    expect(began).toEqual([])
  })

  test('a child does not begin, and is not created', async () => {
    const first = gate()
    const { code, began, holdfast } = await late(
      async (task) => {
        await task.step('first', () => first.passed)
        await task.child('leaf')
      },
      { meanwhile: first.open },
    )
    expect(code).toBe('TIMEOUT')
    expect(began).toEqual([])
    expect((await holdfast.list()).tasks.map(({ type }) => type)).toEqual(['job'])
  })

  test('after the wait of a retry no attempt begins', async () => {
    const { code, began } = await late(
      async (task, began) => {
        const fail = () => {
          began.push('attempt')
          throw new Error('not yet')
        }
        await task.step('flaky', fail, { retry: { maximumAttempts: 3, initialInterval: 100 } })
      },
      // The timer of the retry fires, and that of the deadline is behind.
      { meanwhile: (_, clock) => clock.advance(200) },
    )
    expect(code).toBe('TIMEOUT')
    expect(began).toEqual(['attempt'])
  })

  test('after the wait for a slot, no step begins, and no run starts', async () => {
    const first = gate()
    const clock = new BusyClock()
    const began: string[] = []
    const blocker = defineTask({ name: 'blocker' }, (task) => task.step('first', () => first.passed))
    const job = defineTask({ name: 'job' }, async (task) => {
      began.push('body')
      await task.step('effect', () => began.push('step'))
    })
    const holdfast = await openInMemory({ clock, tasks: [job, blocker], concurrency: 1 })
    await holdfast.start(blocker, null)
    const { taskId } = await holdfast.start(job, null, { deadline: clock.now() + SECOND })
    await untilIdle(holdfast)
    clock.fallBehind(SECOND)
    first.open()
    expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    expect(began).toEqual([])
    expect((await holdfast.audit({ taskId })).map(({ action }) => action)).toEqual(['created', 'failed'])
  })

  test('a step that waits again for a slot, after its wait, does not begin', async () => {
    const first = gate()
    const blocked = gate()
    const clock = new BusyClock()
    const began: string[] = []
    const job = defineTask({ name: 'job' }, async (task) => {
      await task.sleep('nap', 100)
      await task.step('effect', () => began.push('step'))
    })
    const blocker = defineTask({ name: 'blocker' }, (task) => task.step('first', () => first.passed))
    const holdfast = await openInMemory({ clock, tasks: [job, blocker], concurrency: 1 })
    const { taskId } = await holdfast.start(job, null, { deadline: clock.now() + SECOND })
    await untilIdle(holdfast)
    // The sleeper gave its slot back, and the blocker has it when the sleep is over.
    await holdfast.start(blocker, null)
    await clock.advance(100)
    clock.fallBehind(SECOND)
    first.open()
    blocked.open()
    expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    expect(began).toEqual([])
  })

  test('neither `onInterrupted` nor the step that was interrupted begins', async () => {
    const clock = new BusyClock()
    const disk = new MemoryDisk()
    const began: string[] = []
    const make = (hangs: boolean) =>
      defineTask({ name: 'job' }, (task) =>
        task.step('pay', () => (hangs ? new Promise(() => {}) : began.push('step')), {
          onInterrupted: () => began.push('onInterrupted'),
        }),
      )
    const first = await openInMemory({ disk, clock, tasks: [make(true)] })
    const { taskId } = await first.start('job', null, { deadline: clock.now() + SECOND })
    await untilIdle(first)
    disk.crash()
    const second = await openInMemory({ disk, clock, tasks: [make(false)], recover: 'manual' })
    // The look whether the step was begun waits for the disk to say so; the deadline passes meanwhile.
    await second.recover()
    clock.fallBehind(SECOND)
    expect(await codeOf(second.result(taskId))).toBe('TIMEOUT')
    expect(began).toEqual([])
  })

  test('the settled task is cleaned up: what was begun before is undone', async () => {
    const first = gate()
    const clock = new BusyClock()
    const seen: string[] = []
    const job = defineTask({ name: 'job', undo: { book: () => seen.push('undo book') } }, async (task) => {
      await task.step('book', () => first.passed)
      await task.step('pay', () => seen.push('pay'))
    })
    const holdfast = await openInMemory({ clock, tasks: [job] })
    const { taskId } = await holdfast.start(job, null, { deadline: clock.now() + SECOND })
    await untilIdle(holdfast)
    clock.fallBehind(SECOND)
    first.open()
    expect(await codeOf(holdfast.result(taskId))).toBe('TIMEOUT')
    expect(seen).toEqual(['undo book'])
  })
})
