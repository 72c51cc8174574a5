/**
 * Goal: a recorded step makes no event without a listener.
 * Method: a count of the events that the engine emits, with and without a listener.
 */
import { expect, test, vi } from 'vitest'
import { Events } from '../../../../src/base/events.js'
import { defineTask } from '../../../../src/index.js'
import { openInMemory } from '../../../../src/testing/index.js'

test('a recorded step is emitted while an event of it has a listener, and not before or after', async () => {
  const emit = vi.spyOn(Events.prototype, 'emit')
  const task = defineTask({ name: 'two' }, async (task) => {
    await task.step('one', () => 1)
    await task.step('two', () => 2)
  })
  const holdfast = await openInMemory({ tasks: [task] })
  const emitted = async () => {
    emit.mockClear()
    await holdfast.result((await holdfast.start(task)).taskId)
    return emit.mock.calls.filter(([name]) => name === 'step:recorded').length
  }
  expect(await emitted()).toBe(0)
  const heard: string[] = []
  const stop = holdfast.on('step:recorded', ({ step }) => heard.push(step))
  expect(await emitted()).toBe(2)
  expect(heard).toEqual(['one', 'two'])
  stop()
  expect(await emitted()).toBe(0)
  await holdfast.close()
  emit.mockRestore()
})
