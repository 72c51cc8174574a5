// Goal: the metrics of docs/operations/telemetry.md have right values, and no attribute that a client chooses.
// Method: a real SDK, whose reader is asked at once.
import { defineTask } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { TestSdk } from '../../helpers/telemetry.js'

const quick = defineTask({ name: 'quick' }, (task) => task.step('a', () => 1))
const waits = defineTask({ name: 'waits' }, (task) => task.input('go'))
const fails = defineTask({ name: 'fails' }, async (task) => {
  await task.sleep('nap', '90s')
  await task.step('a', () => {
    throw new Error('no')
  })
})

const ofTask = (type: string, outcome: string, more = {}) => ({
  'holdfast.task.type': type,
  'holdfast.outcome': outcome,
  ...more,
})

test('durations of tasks and steps are counted by type and outcome, in seconds of the clock of the engine', async () => {
  const sdk = new TestSdk()
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock, tasks: [quick, fails], telemetry: sdk.telemetry })
  await holdfast.result((await holdfast.start(quick, undefined)).taskId)
  const { taskId } = await holdfast.start(fails, undefined)
  await untilIdle(holdfast)
  await clock.advance(90_000)
  await expect(holdfast.result(taskId)).rejects.toThrow()
  const durations = await sdk.pointsOf('holdfast.task.duration')
  expect(durations.map(({ attributes, unit }) => [attributes, unit])).toEqual([
    [ofTask('quick', 'completed'), 's'],
    [ofTask('fails', 'failed', { 'error.type': 'TASK_FAILED' }), 's'],
  ])
  expect(durations.map(({ value }) => value)).toMatchObject([
    { count: 1, sum: 0 },
    { count: 1, sum: 90 },
  ])
  expect((await sdk.pointsOf('holdfast.step.duration')).map(({ attributes }) => attributes)).toEqual([
    ofTask('quick', 'completed'),
    ofTask('fails', 'failed'),
  ])
  await holdfast.close()
})

test('unfinished tasks are counted by status and type, parked ones too, and session tasks without their type', async () => {
  const sdk = new TestSdk()
  const disk = new MemoryDisk()
  const first = await openInMemory({ disk, tasks: [waits, quick] })
  await first.start(waits, undefined)
  await first.start(waits, undefined)
  await first.createSessionTask({ type: 'chosen by a client', owner: 'ann' })
  await untilIdle(first)
  await first.close()
  const holdfast = await openInMemory({ disk, tasks: [quick], telemetry: sdk.telemetry })
  await untilIdle(holdfast)
  await holdfast.result((await holdfast.start(quick, undefined)).taskId)
  const figures = async (name: string) =>
    (await sdk.pointsOf(name)).map(({ attributes, value }) => [...Object.values(attributes), value])
  expect(await figures('holdfast.tasks')).toEqual([
    ['waits', 'input_required', 2],
    ['running', 1],
  ])
  expect(await figures('holdfast.tasks.parked')).toEqual([
    ['waits', 'input_required', 2],
    ['running', 0],
  ])
  expect(await figures('holdfast.recovery.tasks')).toEqual([
    ['kept', 1],
    ['parked', 2],
  ])
  const { tasks } = await holdfast.list({ type: 'waits' })
  for (const { taskId } of tasks) await holdfast.cancel(taskId, { force: true })
  expect(await figures('holdfast.tasks')).toEqual([
    ['waits', 'input_required', 0],
    ['running', 1],
  ])
  await holdfast.close()
})

test('each batch of commits is counted with its size and its time', async () => {
  const sdk = new TestSdk()
  const holdfast = await openInMemory({ tasks: [quick], telemetry: sdk.telemetry })
  const ids = await Promise.all(Array.from({ length: 20 }, () => holdfast.start(quick, undefined)))
  await Promise.all(ids.map(({ taskId }) => holdfast.result(taskId)))
  const valueIn = async (name: string) => {
    const [point] = await sdk.pointsOf(name)
    return point?.value
  }
  const size = await valueIn('holdfast.commit.batch_size')
  const { count, sum, max } = size as { count: number; sum: number; max: number }
  // A creation, a step and the end of each task, and the record of the opening.
  expect(sum).toBe(20 * 3 + 1)
  expect(max).toBeGreaterThan(10)
  expect(await valueIn('holdfast.commit.duration')).toMatchObject({ count })
  await holdfast.close()
})

test('the time that runs wait for a slot is counted by type', async () => {
  const sdk = new TestSdk()
  const clock = new ManualClock()
  let end = () => {}
  const holds = defineTask({ name: 'holds' }, (task) =>
    task.step('hold', () => new Promise<void>((resolve) => (end = resolve))),
  )
  const holdfast = await openInMemory({ clock, tasks: [holds], concurrency: 1, telemetry: sdk.telemetry })
  const ids = [await holdfast.start(holds, undefined), await holdfast.start(holds, undefined)]
  await untilIdle(holdfast)
  await clock.advance(5_000)
  end()
  await untilIdle(holdfast)
  end()
  for (const { taskId } of ids) await holdfast.result(taskId)
  const [wait] = await sdk.pointsOf('holdfast.queue.wait')
  expect(wait?.attributes).toEqual({ 'holdfast.task.type': 'holds' })
  expect(wait?.value).toMatchObject({ count: 2, min: 0, max: 5, sum: 5 })
  await holdfast.close()
})

test('the bytes of the store are read by kind', async () => {
  const sdk = new TestSdk()
  const holdfast = await openInMemory({ tasks: [quick], telemetry: sdk.telemetry })
  const points = await sdk.pointsOf('holdfast.store.bytes')
  const { bytes } = await holdfast.stats()
  expect(points.map(({ attributes }) => attributes['holdfast.store.kind'])).toEqual(Object.keys(bytes.onDisk))
  expect(points.every(({ unit }) => unit === 'By')).toBe(true)
  await holdfast.close()
})
