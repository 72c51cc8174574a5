// Goal: the context of a body can be copied and taken apart, and all contexts have one shape.
// Method: the property descriptors of the contexts of two tasks, and copies of one.
import { expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../../src/index.js'
import { openInMemory, untilIdle } from '../../../../src/testing/index.js'

test('a copy of a context has its signal, and contexts share the function that returns it', async () => {
  const contexts: TaskContext[] = []
  const job = defineTask({ name: 'job' }, (task) => {
    contexts.push(task)
    return task.step('wait', () => new Promise<void>(() => {}))
  })
  const holdfast = await openInMemory({ tasks: [job] })
  const { taskId } = await holdfast.start(job, undefined)
  await holdfast.start(job, undefined)
  await untilIdle(holdfast)
  const [first, second] = contexts as [TaskContext, TaskContext]

  const { signal, step } = first
  expect(step).toBe(first.step)
  expect({ ...first }.signal).toBe(signal)
  expect(Object.create(first).signal).toBe(signal)
  expect(second.signal).not.toBe(signal)
  const getters = contexts.map((context) => Object.getOwnPropertyDescriptor(context, 'signal')?.get)
  expect(getters[0]).toBeTypeOf('function')
  expect(getters[1]).toBe(getters[0])

  await holdfast.cancel(taskId)
  expect([signal.aborted, second.signal.aborted]).toEqual([true, false])
  await holdfast.close()
})
