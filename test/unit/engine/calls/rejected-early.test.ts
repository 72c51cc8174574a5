/**
 * Goal: a call whose answer is an error, and which its body awaits only later or never, raises no unhandled rejection,
 * which would end the process. Method: each kind of call fails while the body waits for another one. The process listens.
 */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../../src/index.js'
import { ManualClock, openInMemory, untilIdle } from '../../../../src/testing/index.js'

let unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)

beforeEach(() => {
  unhandled = []
  process.on('unhandledRejection', note)
})
afterEach(() => void process.off('unhandledRejection', note))

const no = () => Promise.reject(new Error('no'))
const once = { retry: { maximumAttempts: 1 } }
const fails = defineTask({ name: 'fails' }, no)

const CALLS: Record<string, (task: TaskContext) => Promise<unknown>> = {
  'a step': (task) => task.step('it', no, once),
  'a deferred step': (task) => task.step('it', no, { ...once, commit: 'deferred' }),
  'an input': (task) => task.input('it', {}, { timeout: '1s' }),
  'a receive': (task) => task.receive('it', { timeout: '1s' }),
  'a child': (task) => task.child('fails'),
  'a refused call': (task) => task.sleep('', '1s'),
  'a race': (task) => task.race({ one: no, other: (inner) => inner.sleep('long', '1h') }),
}

test.each(Object.entries(CALLS))('%s that fails before its body awaits it', async (_, call) => {
  const clock = new ManualClock()
  const body = defineTask({ name: 'body' }, async (task) => {
    const failing = call(task)
    await task.sleep('meanwhile', '1m')
    return failing.then(
      () => 'succeeded',
      () => 'failed',
    )
  })
  const holdfast = await openInMemory({ clock, tasks: [body, fails] })
  const { taskId } = await holdfast.start(body)
  await untilIdle(holdfast)
  await clock.advance(120_000)
  expect(await holdfast.result(taskId)).toBe('failed')
  await untilIdle(holdfast)
  expect(unhandled).toEqual([])
  await holdfast.close()
})

test('calls of a task that is cancelled, which its body never awaits', async () => {
  const body = defineTask({ name: 'body' }, async (task) => {
    void task.input('it')
    void task.receive('it')
    void task.sleep('short', '1h')
    await task.sleep('long', '2h').catch(() => {})
  })
  const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [body] })
  const { taskId } = await holdfast.start(body)
  await untilIdle(holdfast)
  await holdfast.cancel(taskId)
  await untilIdle(holdfast)
  expect(unhandled).toEqual([])
  await holdfast.close()
})
