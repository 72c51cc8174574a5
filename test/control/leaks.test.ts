// Goal: functions that ignore their signal are counted and told, whatever told them to stop; those that heed it are not.
// Method: in memory, under a simulated clock.
import { describe, expect, test } from 'vitest'
import { defineTask, type StepContext, type TaskContext } from '../../src/index.js'
import { ManualClock, openInMemory } from '../../src/testing/index.js'

const deaf = () => new Promise<never>(() => {})
const heeds = ({ signal }: StepContext) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** Runs `body`, has the task stopped by `stop`, and says how many functions go on ten seconds later, and what was told. */
async function leaksOf(body: (task: TaskContext) => unknown, stop: 'cancel' | 'timeout' | 'close' | 'nobody') {
  const clock = new ManualClock()
  const said: string[] = []
  const say = (message: string) => void said.push(message)
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

const ofStep = 'A step ignores its signal and goes on; what it does is not recorded'
const ofBody = 'The body of a settled task ignores its signal and goes on; what it does is not recorded'

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
