// Goal: functions that ignore their signal are counted and told, whatever told them to stop; those that heed it are not.
// Method: in memory, under a simulated clock.
import { describe, expect, test } from 'vitest'
import { defineTask, type StepContext, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { turns } from '../../helpers/turns.js'

const deaf = () => new Promise<never>(() => {})
const heeds = ({ signal }: StepContext) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** Runs `body`, has the task stopped by `stop`, and says how many functions go on ten seconds later, and what was told. */
async function leaksOf(body: (task: TaskContext) => unknown, stop: 'cancel' | 'timeout' | 'close' | 'nobody') {
  const clock = new ManualClock()
  const said: string[] = []
  const say = (message: string) => {
    // The end of the task itself has a line of its own.
    if (!message.startsWith('A task failed.')) said.push(message)
  }
  const logger = { debug: () => {}, info: () => {}, warn: say, error: say }
  const task = defineTask({ name: 'task', ...(stop === 'timeout' ? { timeout: '1s' } : {}) }, body)
  const holdfast = await openInMemory({ clock, tasks: [task], logger })
  const { taskId } = await holdfast.start(task, null)
  await clock.advance(500)
  if (stop === 'cancel') await holdfast.cancel(taskId)
  if (stop === 'close') await holdfast.close({ grace: 0 })
  await clock.advance(10_000)
  return { leaked: stop === 'close' ? undefined : (await holdfast.stats()).leakedFunctions, said }
}

const ofStep = 'A step ignores its signal and continues; its effects are not recorded'
const ofBody = 'The body of a settled task ignores its signal and continues; its effects are not recorded'

describe('what goes on although it was told to stop', () => {
  test.each(['cancel', 'timeout'] as const)('is counted: a step’s function, after a %s', async (stop) => {
    expect(await leaksOf((task) => task.step('deaf', deaf), stop)).toEqual({ leaked: 1, said: [ofStep] })
  })

  test.each(['cancel', 'timeout'] as const)('is counted: a body, after a %s', async (stop) => {
    expect(await leaksOf(deaf, stop)).toEqual({ leaked: 1, said: [ofBody] })
  })

  test('is counted: a step of a branch that lost', async () => {
    const body = async (task: TaskContext) => {
      await task.race({ deaf: (t) => t.step('deaf', deaf), quick: (t) => t.step('quick', () => 1) })
      await task.sleep('on', '1h')
    }
    expect(await leaksOf(body, 'nobody')).toEqual({ leaked: 1, said: [ofStep] })
  })

  test('is counted once: a step with a timeout of its own, of a task that is then cancelled', async () => {
    const body = async (task: TaskContext) => {
      await task.step('deaf', deaf, { timeout: 100 }).catch(() => {})
      await task.sleep('on', '1h')
    }
    expect(await leaksOf(body, 'cancel')).toEqual({ leaked: 1, said: [ofStep] })
  })

  test('is counted until it ends', async () => {
    const clock = new ManualClock()
    let end = () => {}
    const slow = defineTask({ name: 'slow' }, (task) =>
      task.step('slow', () => new Promise<void>((resolve) => (end = resolve))),
    )
    const holdfast = await openInMemory({ clock, tasks: [slow] })
    const { taskId } = await holdfast.start(slow, null)
    await clock.advance(10)
    await holdfast.cancel(taskId)
    await clock.advance(10_000)
    expect(await holdfast.stats()).toMatchObject({ leakedFunctions: 1 })
    end()
    await clock.advance(0)
    expect(await holdfast.stats()).toMatchObject({ leakedFunctions: 0 })
  })
})

test.each(['cancel', 'timeout'] as const)('a step that heeds its signal is not counted, after a %s', async (stop) => {
  expect(await leaksOf((task) => task.step('heeds', heeds), stop)).toEqual({ leaked: 0, said: [] })
})

test('a close counts and says nothing', async () => {
  expect(await leaksOf((task) => task.step('deaf', deaf), 'close')).toEqual({ leaked: undefined, said: [] })
})

describe('a body that catches its interruption and goes round', () => {
  const loops: [string, (task: TaskContext) => Promise<unknown>][] = [
    ['a step', (task) => task.step('poll', () => 1)],
    ['a sleep', (task) => task.sleep('nap', '1s')],
    ['an input', (task) => task.input('q')],
    ['the time', (task) => task.now()],
    ['branches', (task) => task.all({ a: (t) => t.sleep('nap', '1s') })],
    ['a checkpoint', (task) => task.saveCheckpoint(1)],
  ]
  test.each(loops)('is left where it waits, and holds up no other task: %s', async (_, ask) => {
    const clock = new ManualClock()
    const said: string[] = []
    const say = (message: string) => void said.push(message)
    let caught = 0
    const looping = defineTask({ name: 'looping' }, async (task) => {
      await task.sleep('first', '1s')
      for (;;) {
        try {
          await ask(task)
          await task.sleep('round', '1s')
        } catch (error) {
          if (caught++ > 10_000) throw error
        }
      }
    })
    const logger = { debug: () => {}, info: () => {}, warn: say, error: say }
    const holdfast = await openInMemory({ clock, tasks: [looping], logger })
    const { taskId } = await holdfast.start(looping, null)
    await clock.advance(2_500)
    expect(await holdfast.cancel(taskId)).toMatchObject({ status: 'cancelled' })
    await clock.advance(1)
    await clock.advance(10_000)
    expect(caught).toBeGreaterThan(1)
    expect(caught).toBeLessThan(300)
    expect(said).toEqual([expect.stringMatching(/caught TaskInterruptedError 100 times/)])
    // It is over as far as anybody can tell: nothing of it runs.
    expect(await holdfast.stats()).toMatchObject({ leakedFunctions: 0, tasks: { cancelled: 1 } })
    await holdfast.close()
  })
})

describe('a body whose task is cancelled at any moment', () => {
  const kid = defineTask({ name: 'kid' }, (task) => task.step('k', () => 1))
  const bodies: [string, (task: TaskContext) => Promise<unknown>][] = [
    [
      'restores and saves',
      async (task) => {
        await task.restoreCheckpoint()
        await task.saveCheckpoint(1)
        return task.restoreCheckpoint()
      },
    ],
    [
      'asks for the time and what is patched',
      async (task) => [await task.now(), await task.uuid(), await task.patched('x'), await task.step('a', () => 1)],
    ],
    ['runs a child', (task) => task.child(kid, null)],
    [
      'races',
      (task) =>
        task.race({
          a: (t) => t.step('x', () => 1),
          b: (t) => t.race({ c: (t) => t.step('y', () => 2), d: (t) => t.sleep('s', '30s') }),
        }),
    ],
    [
      'has a branch that fails',
      (task) =>
        task
          .all({ a: (t) => t.step('x', () => Promise.reject(new Error('no'))), b: (t) => t.sleep('s', '30s') })
          .catch(() => {}),
    ],
  ]
  test.each(bodies)('comes to its end where it %s', async (_, body) => {
    for (let at = 0; at < 30; at++) {
      const clock = new ManualClock()
      let began = false
      let ended = false
      const task = defineTask({ name: 'task' }, async (task) => {
        began = true
        try {
          await body(task)
          await task.sleep('on', '30s')
        } finally {
          ended = true
        }
      })
      const disk = new MemoryDisk(() => turns(1))
      const holdfast = await openInMemory({ disk, clock, tasks: [task, kid] })
      const { taskId } = await holdfast.start(task, null)
      await turns(at)
      await holdfast.cancel(taskId)
      await untilIdle(holdfast)
      expect(ended, `cancelled after ${at} turns`).toBe(began)
      await clock.advance(10_000)
      expect(await holdfast.stats()).toMatchObject({ leakedFunctions: 0 })
      await holdfast.close({ grace: 0 })
    }
  })
})
