// Goal: the table of docs/guides/cancel-and-undo.md that says what of a body runs at its end: `catch` and `finally`, `task.signal`, the clean-up.
// Method: one body that notes each of them, in every state in which a task can end, be left or be stopped.
import { expect, test } from 'vitest'
import { deferred } from '../../../src/base/promises.js'
import { defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const BODY = ['signal', 'catch', 'finally']
const CLEAN_UP = ['undo', 'onCancel']

/** A task that waits as `wait` says, with everything that can be noted at its end. */
function watched(wait: (task: TaskContext) => Promise<unknown>) {
  const seen: string[] = []
  const body = async (task: TaskContext) => {
    task.signal.addEventListener('abort', () => seen.push('signal'))
    await task.step('book', () => 'booked')
    try {
      return await wait(task)
    } catch (error) {
      seen.push('catch')
      throw error
    } finally {
      seen.push('finally')
    }
  }
  const task = defineTask(
    { name: 'watched', undo: { book: () => void seen.push('undo') }, onCancel: () => void seen.push('onCancel') },
    body,
  )
  return { task, seen }
}

const forever = () => deferred<void>().promise
const inMemory: [string, (task: TaskContext) => Promise<unknown>][] = [
  ['in a step', (task) => task.step('wait', forever)],
  ['in a sleep of half a minute', (task) => task.sleep('nap', '30s')],
  ['in a wait for an answer', (task) => task.input('ask', {})],
]
const unloaded: [string, (task: TaskContext) => Promise<unknown>, number][] = [
  ['in a sleep of an hour', (task) => task.sleep('night', '1h'), 0],
  ['in a wait for an answer, after `unloadAfter`', (task) => task.input('ask', {}), 61_000],
]

async function begin(wait: (task: TaskContext) => Promise<unknown>, timeout?: number) {
  const { task, seen } = watched(wait)
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk, clock, tasks: [task] })
  const deadline = timeout === undefined ? {} : { deadline: clock.now() + timeout }
  const { taskId } = await holdfast.start(task, null, deadline)
  await untilIdle(holdfast)
  return { disk, clock, holdfast, taskId, seen }
}

async function cleanedUp(holdfast: Holdfast, taskId: string): Promise<void> {
  await holdfast.result(taskId).catch(() => {})
  await untilIdle(holdfast)
}

test.each(inMemory)('a cancel of a body %s aborts its signal, and its `catch` and `finally` run', async (_, wait) => {
  const { holdfast, taskId, seen } = await begin(wait)
  await holdfast.cancel(taskId)
  await cleanedUp(holdfast, taskId)
  expect(seen.sort()).toEqual([...BODY, ...CLEAN_UP].sort())
})

test.each(inMemory)('so does the end of its time %s', async (_, wait) => {
  const { holdfast, taskId, clock, seen } = await begin(wait, 20_000)
  await clock.advance(20_000)
  await cleanedUp(holdfast, taskId)
  expect(seen.sort()).toEqual([...BODY, ...CLEAN_UP].sort())
})

test.each(unloaded)('a cancel of a body that is unloaded, %s, runs the clean-up only', async (_, wait, ms) => {
  const { holdfast, taskId, clock, seen } = await begin(wait)
  await clock.advance(ms)
  await holdfast.cancel(taskId)
  await cleanedUp(holdfast, taskId)
  expect(seen.sort()).toEqual([...CLEAN_UP].sort())
})

test.each(unloaded)('and so does the end of its time, %s', async (_, wait) => {
  const { holdfast, taskId, clock, seen } = await begin(wait, 1_800_000)
  await clock.advance(1_800_000)
  await cleanedUp(holdfast, taskId)
  expect(seen.sort()).toEqual([...CLEAN_UP].sort())
})

test('a body that throws runs its `catch` and `finally`, then its undos; its signal is not aborted', async () => {
  const { holdfast, taskId, seen } = await begin(() => Promise.reject(new Error('no')))
  await cleanedUp(holdfast, taskId)
  expect(seen).toEqual(['catch', 'finally', 'undo'])
})

test('a branch that loses sees its own signal aborted, and runs neither `catch` nor `finally`', async () => {
  const seen: string[] = []
  const task = defineTask({ name: 'race', undo: { book: () => void seen.push('undo') } }, async (task) => {
    task.signal.addEventListener('abort', () => seen.push('signal of the task'))
    return task.race({
      loser: async (branch) => {
        branch.signal.addEventListener('abort', () => seen.push('signal'))
        try {
          await branch.step('book', () => 'booked')
          await branch.sleep('long', '30s')
        } finally {
          seen.push('finally')
        }
      },
      winner: (branch) => branch.sleep('short', '1s'),
    })
  })
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock, tasks: [task] })
  const { taskId } = await holdfast.start(task, null)
  await untilIdle(holdfast)
  await clock.advance(1_000)
  await cleanedUp(holdfast, taskId)
  expect(seen.sort()).toEqual(['signal', 'undo'])
})

test('a crash runs nothing', async () => {
  const { disk, holdfast, seen } = await begin((task) => task.step('wait', forever))
  disk.crash()
  await untilIdle(holdfast)
  expect(seen).toEqual([])
})

test('a body that is parked sees its signal aborted, and nothing else runs', async () => {
  const { disk, clock, holdfast } = await begin((task) => task.step('wait', forever))
  await holdfast.close({ grace: 0 })
  const seen: string[] = []
  const changed = defineTask({ name: 'watched' }, async (task) => {
    task.signal.addEventListener('abort', () => seen.push('signal'))
    try {
      await task.step('another name', () => 1)
    } finally {
      seen.push('finally')
    }
  })
  const second = await openInMemory({ disk, clock, tasks: [changed] })
  await second.recovery.done
  await untilIdle(second)
  expect((await second.list()).tasks).toMatchObject([{ parked: { code: 'CODE_CHANGED' } }])
  expect(seen).toEqual(['signal'])
})

test('a close aborts the signal of a body in memory, and runs nothing else', async () => {
  const { holdfast, seen } = await begin((task) => task.sleep('nap', '30s'))
  await holdfast.close()
  await untilIdle(holdfast)
  expect(seen).toEqual(['signal'])
})
