// Goal: `explain` has an answer for every state of a task, and the answer agrees with `get`.
// Method: a task is brought into each state by hand; a random play asks at every moment of a mixed load.
import { afterEach, describe, expect, test } from 'vitest'
import { defineTask, type Explanation, type Holdfast, type TaskView } from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const opened: Holdfast[] = []
afterEach(async () => {
  for (const holdfast of opened.splice(0)) await holdfast.close({ grace: 0 })
})
const open = async (options: InMemoryOptions) => {
  const holdfast = await openInMemory(options)
  opened.push(holdfast)
  return holdfast
}

const gate = () => new Promise<void>(() => {})
class QuotaError extends Error {
  override readonly name = 'QuotaError'
}
const SECRET = 'the-secret-value'

const gated = defineTask({ name: 'gated', concurrency: 1 }, (task) => task.step('hold', gate))
const sleeper = defineTask({ name: 'sleeper' }, (task) => task.sleep('night', '8h'))
const asker = defineTask({ name: 'asker' }, (task) => task.input('approve', { question: SECRET }, { timeout: '1h' }))
const receiver = defineTask({ name: 'receiver' }, (task) => task.receive('go'))
const parent = defineTask({ name: 'parent' }, (task) => task.child('sleeper', null))
const stepRetry = defineTask({ name: 'step-retry' }, (task) =>
  task.step(
    'pay',
    () => {
      throw new QuotaError(SECRET)
    },
    { retry: { maximumAttempts: 3, initialInterval: '1h' } },
  ),
)
const taskRetry = defineTask(
  { name: 'task-retry', retry: { maximumAttempts: 3, initialInterval: '2h' } },
  async (task) => {
    await task.step('ok', () => 1)
    throw new QuotaError(SECRET)
  },
)
const both = defineTask({ name: 'both' }, (task) =>
  Promise.all([task.step('hold', gate), task.receive('go')]).then(() => 1),
)
const quick = defineTask({ name: 'quick' }, () => SECRET)
const tasks = [gated, sleeper, asker, receiver, parent, stepRetry, taskRetry, both, quick]

/** Starts a task, waits until nothing moves, and explains it. */
async function explained(name: string, options: InMemoryOptions = {}) {
  const clock = new ManualClock()
  const holdfast = await open({ clock, tasks, ...options })
  const { taskId } = await holdfast.start(name, SECRET)
  await untilIdle(holdfast)
  return { holdfast, clock, taskId, at: clock.now(), explanation: await holdfast.explain(taskId) }
}

describe('explain', () => {
  test.each<[string, (at: number) => object]>([
    [
      'gated',
      (at) => ({
        state: 'running',
        attempt: 1,
        calls: [{ kind: 'step', name: 'hold', number: 1, attempt: 1, since: at }],
      }),
    ],
    [
      'sleeper',
      (at) => ({ state: 'waiting', waits: [{ for: 'sleep', name: 'night', since: at, until: at + 8 * 3_600_000 }] }),
    ],
    [
      'asker',
      (at) => ({
        state: 'waiting',
        status: 'input_required',
        waits: [{ for: 'answer', name: 'approve', key: 'approve', since: at, until: at + 3_600_000 }],
      }),
    ],
    ['receiver', (at) => ({ state: 'waiting', waits: [{ for: 'message', name: 'go', since: at, until: undefined }] })],
    [
      'parent',
      () => ({ state: 'waiting', waits: [{ for: 'child', name: 'sleeper', taskId: expect.stringMatching(/^task-/) }] }),
    ],
    [
      'step-retry',
      (at) => ({
        state: 'waiting',
        waits: [
          { for: 'attempt', name: 'pay', attempt: 2, since: at, lastError: 'QuotaError', until: expect.any(Number) },
        ],
      }),
    ],
    [
      'task-retry',
      (at) => ({ state: 'next-attempt', attempt: 2, since: at, lastError: 'QuotaError', until: expect.any(Number) }),
    ],
    ['both', () => ({ state: 'running', calls: [{ name: 'hold' }], waits: [{ for: 'message', name: 'go' }] })],
    ['quick', (at) => ({ state: 'settled', status: 'completed', settledAt: at, cleanUp: { state: 'none' } })],
  ])('has the state of %s in memory, and after an unload, and after a restart', async (name, expectation) => {
    const disk = new MemoryDisk()
    const { holdfast, clock, taskId, at, explanation } = await explained(name, { disk })
    expect(explanation).toMatchObject(expectation(at))
    expect(JSON.stringify(explanation)).not.toContain(SECRET)
    await clock.advance(61_000)
    await untilIdle(holdfast)
    expect(await holdfast.explain(taskId)).toMatchObject(expectation(at))
    await holdfast.close({ grace: 0 })
    const next = await open({ disk, clock, tasks })
    await untilIdle(next)
    const restarted = await next.explain(taskId)
    expect(restarted).toMatchObject({ state: explanation.state, status: explanation.status })
    expect(JSON.stringify(restarted)).not.toContain(SECRET)
    if (explanation.state === 'waiting') expect(restarted).toMatchObject(expectation(at))
  })

  test.each([
    ['concurrency', { concurrency: 1 }, undefined, 'sleepless'],
    ['owner', { concurrencyPerOwner: 1 }, 'ann', 'sleepless'],
    ['type', {}, 'ann', 'gated'],
  ] as const)(
    'names the limit %s that keeps a task from a slot, and its place',
    async (limit, options, owner, type) => {
      const sleepless = defineTask({ name: 'sleepless' }, (task) => task.step('hold', gate))
      const holdfast = await open({ tasks: [sleepless, gated], ...options })
      const started = []
      for (let n = 0; n < 3; n++) started.push(await holdfast.start(type, null, { owner }))
      const [first, second, third] = started.map(({ taskId }) => taskId) as [string, string, string]
      await untilIdle(holdfast)
      expect(await holdfast.explain(first)).toMatchObject({ state: 'running' })
      const queued = { state: 'queued', queued: 2, limits: [{ limit, max: 1, running: 1 }] }
      expect(await holdfast.explain(second)).toMatchObject({ ...queued, ahead: 0 })
      expect(await holdfast.explain(third)).toMatchObject({ ...queued, ahead: 1 })
    },
  )

  test('names the reason of a parked task, and what to do', async () => {
    const disk = new MemoryDisk()
    const { holdfast, taskId } = await explained('sleeper', { disk })
    await holdfast.close()
    const next = await open({ disk, tasks: [quick] })
    await next.recovery.done
    expect(await next.explain(taskId)).toMatchObject({
      state: 'parked',
      code: 'TASK_TYPE_UNKNOWN',
      advice: expect.stringContaining('Register'),
    })
  })

  test('ends the summary of a parked task with one full stop', async () => {
    const disk = new MemoryDisk()
    const before = defineTask({ name: 'changed' }, async (task) => {
      await task.step('first', () => 1)
      await task.step('hang', () => new Promise(() => {}))
    })
    const holdfast = await open({ disk, tasks: [before] })
    const { taskId } = await holdfast.start(before, null)
    await untilIdle(holdfast)
    await holdfast.close({ grace: 0 })
    const after = defineTask({ name: 'changed' }, (task) => task.step('second', () => 1))
    const next = await open({ disk, tasks: [after] })
    await next.recovery.done
    const explanation = await next.explain(taskId)
    expect(explanation).toMatchObject({ state: 'parked', code: 'CODE_CHANGED' })
    expect(explanation.summary).toMatch(/[^.]\.$/)
  })

  test('says that a recovery is not begun', async () => {
    const disk = new MemoryDisk()
    const { holdfast, clock, taskId } = await explained('sleeper', { disk })
    await holdfast.close()
    const next = await open({ disk, clock, tasks, recover: 'manual' })
    expect(await next.explain(taskId)).toMatchObject({ state: 'not-recovered', cause: 'manual' })
    await next.recover()
    await untilIdle(next)
    expect(await next.explain(taskId)).toMatchObject({ state: 'waiting' })
  })

  test('says that a session task waits for its client', async () => {
    const holdfast = await open({})
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    expect(await holdfast.explain(taskId)).toMatchObject({ state: 'waiting', waits: [{ for: 'client' }] })
  })

  test('does not show a task to another owner, and refuses what is no option', async () => {
    const holdfast = await open({ tasks })
    const { taskId } = await holdfast.start('sleeper', null, { owner: 'ann' })
    await expect(holdfast.forOwner('bob').explain(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    expect(await holdfast.forOwner('ann').explain(taskId)).toMatchObject({ taskId })
    await expect(holdfast.explain('task-none')).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await expect(holdfast.explain(taskId, { own: 'ann' } as never)).rejects.toThrow(TypeError)
  })
})

/** What `get` says of the state. */
function agrees(view: TaskView, { state, status }: Explanation): boolean {
  if (status !== view.status) return false
  const isSettled = view.settledAt !== undefined
  if (isSettled !== (state === 'settled')) return false
  return isSettled || (view.parked !== undefined) === (state === 'parked')
}

test('explain agrees with get at every moment of a mixed load', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const holdfast = await open({ clock, disk, tasks, concurrency: 3, limits: { loadedRunsMax: 4 }, unloadAfter: '1m' })
  const names = ['sleeper', 'asker', 'receiver', 'parent', 'step-retry', 'task-retry', 'quick']
  const ids: string[] = []
  const seen = new Set<string>()
  for (let round = 0; round < 60; round++) {
    const name = names[round % names.length] as string
    if (round < 28) ids.push((await holdfast.start(name, null)).taskId)
    if (round % 7 === 3) await clock.advance(25 * 60_000)
    if (round % 11 === 5) await holdfast.cancel(ids[round % ids.length] as string).catch(() => {})
    for (const taskId of ids) {
      const [view, explanation] = await Promise.all([holdfast.get(taskId), holdfast.explain(taskId)])
      seen.add(explanation.state)
      const again = agrees(view, explanation) ? view : await holdfast.get(taskId)
      expect(agrees(again, explanation), `${view.type} ${view.status} ${explanation.state}`).toBe(true)
      expect(explanation.summary).toMatch(/\.$/)
    }
  }
  for (const state of ['waiting', 'next-attempt', 'settled']) expect([...seen]).toContain(state)
})
