// Goal: a finished step shows its last ten attempts with start, end and error code, also those before a crash.
// Method: a manual clock. Scenarios are played with a crash before and after every write that they make.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, HoldfastError, type StepInfo, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

/** A call of the function of a step. */
interface Call {
  readonly attempt: number
  readonly at: number
}

const drive = async (holdfast: Holdfast) => (await holdfast.start('pays', null, { idempotencyKey: 'the one' })).taskId

async function stepOf(holdfast: Holdfast, taskId: string, step: string): Promise<StepInfo | undefined> {
  const segments = await holdfast.steps(taskId)
  return segments.flatMap(({ steps }) => steps).find(({ name }) => name === step)
}

const wait = (clock: ManualClock, ms: number) =>
  new Promise<void>((resolve) => void clock.setTimer(clock.now() + ms, resolve))

/** A task with a step whose attempts take a second each, and fail until the last one. */
function paying(calls: Call[], clock: ManualClock, attempts: number, options: object = {}) {
  return defineTask({ name: 'pays' }, async (task: TaskContext) => {
    await task.step('before', () => wait(clock, 500))
    return task.step(
      'pay',
      async ({ attempt }) => {
        calls.push({ attempt, at: clock.now() })
        await wait(clock, 1_000)
        if (attempt < attempts)
          throw Object.assign(new TypeError(`secret ${attempt}`), attempt === 1 && { code: 'EBUSY' })
        return 'paid'
      },
      { retry: { maximumAttempts: attempts, initialInterval: '1h', maximumInterval: '1h' }, ...options },
    )
  })
}

describe('the last attempts of a step', () => {
  test('have the instants and error codes of all attempts, wherever the process was killed', async () => {
    const { calm, crashed } = await everyCrash({
      effects: () => [] as Call[],
      tasks: (calls, clock) => [paying(calls, clock, 3)],
      drive,
      look: (holdfast, taskId) => stepOf(holdfast, taskId, 'pay'),
    })
    for (const { where, effects, outcome } of [calm, ...crashed]) {
      const { seen } = outcome as { seen: StepInfo }
      // An interrupted attempt is made again under its number.
      const startedAt = (attempt: number) => effects.findLast((call) => call.attempt === attempt)?.at as number
      expect(seen.attempts, where).toBe(3)
      expect(seen.lastAttempts, where).toEqual([
        { attempt: 1, startedAt: startedAt(1), endedAt: startedAt(1) + 1_000, errorCode: 'EBUSY' },
        { attempt: 2, startedAt: startedAt(2), endedAt: startedAt(2) + 1_000, errorCode: 'TypeError' },
        { attempt: 3, startedAt: startedAt(3), endedAt: seen.recordedAt, errorCode: undefined },
      ])
    }
    expect(calm.effects).toHaveLength(3)
    expect(crashed.some(({ effects }) => effects.length > 3)).toBe(true)
  })

  test('are ten at most, on disk too', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const retry = { maximumAttempts: 13, initialInterval: 0 }
    const holdfast = await openInMemory({ clock, disk, tasks: [paying([], clock, 13, { retry })] })
    const taskId = await drive(holdfast)
    await clock.advance(500 + 12_000 + 100)
    const listOf = (prefix: string) => {
      const bodies = [...disk.content].filter(([key, text]) => key.startsWith(prefix) && text.includes('[10,'))
      return bodies.map(([, text]) => (/"lastAttempts":(\[\[.*?\]\])/.exec(text)?.[1] ?? '').split('],[').length)
    }
    expect(listOf(`note/${taskId}/`)).toEqual([10])
    await clock.advance(1_000)
    const step = await stepOf(holdfast, taskId, 'pay')
    expect(step).toMatchObject({ state: 'completed', attempts: 13 })
    expect(step?.lastAttempts?.map(({ attempt }) => attempt)).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
    expect(listOf(`log/${taskId}/`)).toEqual([10])
    await holdfast.close()
  })

  test('of a step that ends in its first attempt are that attempt, and the store keeps no list', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const failing = defineTask({ name: 'pays' }, async (task) => {
      await task.step('good', () => wait(clock, 500))
      await task.step('bad', () => Promise.reject(new HoldfastError('TOO_LARGE', 'too large'))).catch(() => {})
      await task.step('deferred', () => wait(clock, 250), { commit: 'deferred' })
      return task.step('once', () => wait(clock, 50), { onInterrupted: 'fail' })
    })
    const holdfast = await openInMemory({ clock, disk, tasks: [failing] })
    const begun = clock.now()
    const taskId = await drive(holdfast)
    await clock.advance(1_000)
    const [{ steps } = { steps: [] }] = await holdfast.steps(taskId)
    expect(steps.map(({ name, lastAttempts }) => [name, lastAttempts])).toEqual([
      ['good', [{ attempt: 1, startedAt: begun, endedAt: begun + 500, errorCode: undefined }]],
      ['bad', [{ attempt: 1, startedAt: begun + 500, endedAt: begun + 500, errorCode: 'TOO_LARGE' }]],
      ['deferred', [{ attempt: 1, startedAt: begun + 500, endedAt: begun + 750, errorCode: undefined }]],
      ['once', [{ attempt: 1, startedAt: begun + 750, endedAt: begun + 800, errorCode: undefined }]],
    ])
    expect([...disk.content.values()].filter((text) => text.includes('lastAttempts'))).toEqual([])
    await holdfast.close()
  })

  test('of a step in doubt begin with the attempt that was interrupted', async () => {
    const { crashed } = await everyCrash({
      effects: () => [] as Call[],
      tasks: (calls, clock) => [paying(calls, clock, 2, { onInterrupted: 'fail' })],
      drive,
      look: (holdfast, taskId) => stepOf(holdfast, taskId, 'pay'),
    })
    let doubts = 0
    for (const { where, effects, outcome } of crashed) {
      const { seen } = outcome as { seen: StepInfo }
      if (seen.state === 'completed') continue
      doubts++
      const last = seen.lastAttempts?.at(-1)
      expect(last, where).toMatchObject({
        attempt: seen.attempts,
        errorCode: 'STEP_IN_DOUBT',
        endedAt: seen.recordedAt,
      })
      // The crash may fall between the begin on disk and the call.
      const called = effects.find(({ attempt }) => attempt === last?.attempt)
      if (called) expect(last?.startedAt, where).toBe(called.at)
      expect(seen.lastAttempts, where).toHaveLength(seen.attempts)
    }
    expect(doubts).toBeGreaterThan(1)
  })

  test('of a step that begins again after an answer begin after the answer', async () => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const tasks = () => [paying([], clock, 1, { onInterrupted: 'ask' })]
    const killed = await openInMemory({ clock, disk, tasks: tasks() })
    const taskId = await drive(killed)
    await clock.advance(800)
    disk.crash()
    const holdfast = await openInMemory({ clock, disk, tasks: tasks() })
    await clock.advance(1_000)
    const [key = ''] = Object.keys((await holdfast.get(taskId)).inputRequests ?? {})
    const answeredAt = clock.now()
    await holdfast.respond(taskId, { [key]: { tookPlace: false } })
    await clock.advance(5_000)
    expect((await stepOf(holdfast, taskId, 'pay'))?.lastAttempts).toEqual([
      { attempt: 1, startedAt: answeredAt, endedAt: answeredAt + 1_000, errorCode: undefined },
    ])
    await holdfast.close()
  })

  test('are copied by a fork', async () => {
    const clock = new ManualClock()
    const holdfast = await openInMemory({ clock, tasks: [paying([], clock, 3)] })
    const taskId = await drive(holdfast)
    await clock.advance(3 * 3_600_000)
    const { taskId: forked } = await holdfast.fork(taskId, { afterStep: 'pay' })
    await untilIdle(holdfast)
    const step = await stepOf(holdfast, taskId, 'pay')
    expect(step?.lastAttempts).toHaveLength(3)
    expect(await stepOf(holdfast, forked, 'pay')).toEqual(step)
    await holdfast.close()
  })
})
