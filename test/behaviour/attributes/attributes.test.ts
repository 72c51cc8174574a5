// Goal: a title and attributes are durable and shown, change as the page says, and stay as they are once their task has settled.
// Method: an engine on a disk in memory, closed and opened again; the audit and the calls of an owner.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const waits = defineTask({ name: 'waits' }, (task) => task.receive('go'))
const ids = async (holdfast: Holdfast, attributes: Record<string, string | number | boolean>) =>
  (await holdfast.list({ attributes })).tasks.map(({ taskId }) => taskId)

describe('a task', () => {
  test('shows its title and attributes after a restart, unfinished and settled', async () => {
    const disk = new MemoryDisk()
    let holdfast = await openInMemory({ disk, tasks: [waits] })
    const given = { title: 'Lamp for Ann', attributes: { customer: 'a-17', priority: 3, urgent: false } }
    const { taskId } = await holdfast.start(waits, undefined, given)
    expect(await holdfast.get(taskId)).toMatchObject(given)
    await holdfast.close()
    holdfast = await openInMemory({ disk, tasks: [waits] })
    expect(await holdfast.get(taskId)).toMatchObject({ ...given, status: 'running' })
    await holdfast.send(taskId, 'go')
    await holdfast.result(taskId)
    await holdfast.close()
    holdfast = await openInMemory({ disk, tasks: [waits] })
    expect(await holdfast.get(taskId)).toMatchObject({ ...given, status: 'completed' })
    expect((await holdfast.list()).tasks).toMatchObject([given])
    await holdfast.close()
  })

  test('without attributes shows none, and so does one whose attributes were removed', async () => {
    const holdfast = await openInMemory({ tasks: [waits] })
    const { taskId } = await holdfast.start(waits, undefined, { attributes: { a: null, b: undefined } })
    expect(await holdfast.get(taskId)).toMatchObject({ title: undefined, attributes: undefined })
    await holdfast.setAttributes(taskId, { a: 1 })
    expect(await holdfast.setAttributes(taskId, { a: null })).toMatchObject({ attributes: undefined })
    await holdfast.close()
  })

  test('that is a session has them too', async () => {
    const holdfast = await openInMemory({})
    const given = { title: 'Talk', attributes: { customer: 'a-17' } }
    const { taskId } = await holdfast.createSessionTask({ type: 'talk', ...given })
    await holdfast.setAttributes(taskId, { phase: 2 })
    await holdfast.completeSessionTask(taskId, { kind: 'result' })
    expect(await holdfast.get(taskId)).toMatchObject({ title: 'Talk', attributes: { customer: 'a-17', phase: 2 } })
    expect(await ids(holdfast, { customer: 'a-17', phase: 2 })).toEqual([taskId])
    await holdfast.close()
  })
})

describe('a change from outside', () => {
  test('is merged, is on disk when it resolves, and moves the task in lists', async () => {
    const disk = new MemoryDisk()
    let holdfast = await openInMemory({ disk, tasks: [waits] })
    const { taskId } = await holdfast.start(waits, undefined, { attributes: { customer: 'a-17', phase: 1 } })
    const changed = { attributes: { customer: 'a-17', urgent: true } }
    expect(await holdfast.setAttributes(taskId, { phase: null, urgent: true })).toMatchObject(changed)
    expect(await ids(holdfast, { phase: 1 })).toEqual([])
    expect(await ids(holdfast, { urgent: true })).toEqual([taskId])
    disk.crash()
    holdfast = await openInMemory({ disk, tasks: [waits] })
    expect(await holdfast.get(taskId)).toMatchObject(changed)
    expect(await ids(holdfast, { phase: 1 })).toEqual([])
    expect(await ids(holdfast, { customer: 'a-17', urgent: true })).toEqual([taskId])
    await holdfast.cancel(taskId)
    await untilIdle(holdfast)
    expect(await ids(holdfast, { phase: 1 })).toEqual([])
    expect(await ids(holdfast, { customer: 'a-17', urgent: true })).toEqual([taskId])
    await holdfast.close()
  })

  test('to eight names and texts of full length fits, also while the task has other news', async () => {
    const holdfast = await openInMemory({ tasks: [waits] })
    const { taskId } = await holdfast.start(waits, undefined)
    // In JSON, a quote takes two bytes.
    const full = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`${n}`.padEnd(64, '"'), '"'.repeat(64)]))
    expect(await holdfast.setAttributes(taskId, full)).toMatchObject({ attributes: full })
    await holdfast.send(taskId, 'go')
    await holdfast.result(taskId)
    const [name = ''] = Object.keys(full)
    expect(await ids(holdfast, { [name]: full[name] as string })).toEqual([taskId])
    await holdfast.close()
  })

  test('of a settled task is refused, and changes nothing', async () => {
    const holdfast = await openInMemory({ tasks: [waits] })
    const { taskId } = await holdfast.start(waits, undefined, { attributes: { a: 1 } })
    await holdfast.cancel(taskId)
    await expect(holdfast.setAttributes(taskId, { a: 2 })).rejects.toMatchObject({ code: 'TASK_SETTLED' })
    expect(await holdfast.get(taskId)).toMatchObject({ attributes: { a: 1 } })
    await holdfast.close()
  })

  test('of a task whose clean-up is pending is refused', async () => {
    const cleans = defineTask({ name: 'cleans', onCancel: () => new Promise(() => {}) }, (task) => task.receive('go'))
    const holdfast = await openInMemory({ tasks: [cleans] })
    const { taskId } = await holdfast.start(cleans, undefined, { attributes: { a: 1 } })
    await untilIdle(holdfast)
    await holdfast.cancel(taskId)
    await expect(holdfast.setAttributes(taskId, { a: 2 })).rejects.toMatchObject({ code: 'TASK_SETTLED' })
    expect(await ids(holdfast, { a: 1 })).toEqual([taskId])
    await holdfast.close({ grace: 0 })
  })

  test('reaches only the tasks of the owner that it is limited to', async () => {
    const holdfast = await openInMemory({ tasks: [waits] })
    const ann = holdfast.forOwner('ann')
    const { taskId } = await ann.start(waits, undefined, { attributes: { a: 1 } })
    await holdfast.forOwner('bob').start(waits, undefined, { attributes: { a: 1 } })
    await expect(holdfast.forOwner('bob').setAttributes(taskId, { a: 2 })).rejects.toMatchObject({
      code: 'TASK_NOT_FOUND',
    })
    expect(await ann.setAttributes(taskId, { b: 2 })).toMatchObject({ attributes: { a: 1, b: 2 } })
    expect((await ann.list({ attributes: { a: 1 } })).tasks.map((task) => task.taskId)).toEqual([taskId])
    await holdfast.close()
  })

  test('above eight attributes, or over the budget of the owner, is refused', async () => {
    const holdfast = await openInMemory({ tasks: [waits], limits: { ownerBytesMax: 3_000 } })
    const eight = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`a${n}`, n]))
    const { taskId } = await holdfast.start(waits, undefined, { owner: 'ann', attributes: eight })
    await expect(holdfast.setAttributes(taskId, { more: 1 })).rejects.toThrow(/would have 9 attributes; 8 fit/)
    await holdfast.setAttributes(taskId, { more: 1, a0: null })
    const large = Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`a${n + 1}`, 'x'.repeat(64)]))
    await expect(holdfast.setAttributes(taskId, large)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { option: 'limits.ownerBytesMax' },
    })
    await holdfast.close()
  })

  test('is in the audit with its names and its actor, and without its values', async () => {
    const holdfast = await openInMemory({ tasks: [waits] })
    const { taskId } = await holdfast.start(waits, undefined, { owner: 'ann', attributes: { customer: 'a-17' } })
    await holdfast.forOwner('ann').setAttributes(taskId, { customer: null, phase: 'two' })
    await holdfast.setAttributes(taskId, { phase: 'two' })
    const entries = await holdfast.audit({ taskId })
    expect(entries).toMatchObject([
      { action: 'created', by: 'ann', why: 'attributes customer' },
      { action: 'attributes-set', by: 'ann', why: 'customer (removed), phase' },
    ])
    expect(JSON.stringify(entries)).not.toMatch(/a-17|two/)
    await holdfast.close()
  })
})

describe('a change of a body', () => {
  test('is on disk when it resolves, is a call of the log, and is made in branches too', async () => {
    const seen: unknown[] = []
    const body = defineTask({ name: 'body' }, async (task: TaskContext) => {
      await task.setAttributes({ phase: 'one' })
      await task.step('look', async () => void seen.push((await holdfast.get(task.taskId)).attributes))
      await task.all({
        a: (branch) => branch.setAttributes({ a: 1 }),
        b: (branch) => branch.setAttributes({ b: true, phase: null }),
      })
    })
    const holdfast = await openInMemory({ tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined)
    await holdfast.result(taskId)
    expect(seen).toEqual([{ phase: 'one' }])
    expect(await holdfast.get(taskId)).toMatchObject({ attributes: { a: 1, b: true }, completedSteps: 1 })
    const [{ steps = [] } = {}] = await holdfast.steps(taskId)
    expect(steps.map(({ kind, name, number, branch }) => [kind, name, number, branch])).toEqual([
      ['set', 'attributes', 1, undefined],
      ['step', 'look', 1, undefined],
      ['set', 'attributes', 1, 'all#1.a'],
      ['set', 'attributes', 1, 'all#1.b'],
    ])
    await holdfast.close()
  })

  test('is not made again by a replay, so that a value of another caller stays', async () => {
    const disk = new MemoryDisk()
    const body = defineTask({ name: 'body' }, async (task: TaskContext) => {
      await task.setAttributes({ phase: 'body', mine: 1 })
      await task.receive('go')
      await task.setAttributes({ last: true })
    })
    let holdfast = await openInMemory({ disk, tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined)
    await untilIdle(holdfast)
    await holdfast.setAttributes(taskId, { phase: 'outside', mine: null })
    disk.crash()
    holdfast = await openInMemory({ disk, tasks: [body] })
    await untilIdle(holdfast)
    expect(await holdfast.get(taskId)).toMatchObject({ attributes: { phase: 'outside' } })
    await holdfast.send(taskId, 'go')
    await holdfast.result(taskId)
    expect(await holdfast.get(taskId)).toMatchObject({ attributes: { last: true, phase: 'outside' } })
    await holdfast.close()
  })

  test('that does not fit rejects, in every replay, and the body continues', async () => {
    const disk = new MemoryDisk()
    const caught: unknown[] = []
    const eight = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`a${n}`, n]))
    const body = defineTask({ name: 'body' }, async (task: TaskContext) => {
      await task.setAttributes(eight)
      await task.setAttributes({ more: 1 }).catch((error: unknown) => caught.push(error))
      await task.receive('go')
    })
    let holdfast = await openInMemory({ disk, tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined)
    await untilIdle(holdfast)
    // There is room now, but the call was refused.
    await holdfast.setAttributes(taskId, { a0: null })
    disk.crash()
    holdfast = await openInMemory({ disk, tasks: [body] })
    await untilIdle(holdfast)
    const refusal = { code: 'LIMIT_EXCEEDED', details: { taskId, max: 8 } }
    expect(caught).toMatchObject([refusal, refusal])
    await holdfast.send(taskId, 'go')
    await holdfast.result(taskId)
    expect(Object.keys((await holdfast.get(taskId)).attributes ?? {})).toEqual(Object.keys(eight).slice(1))
    await holdfast.close()
  })
})

describe('a fork', () => {
  const body = defineTask({ name: 'body' }, async (task: TaskContext) => {
    await task.setAttributes({ phase: 'one' })
    await task.step('work', () => 1)
    await task.receive('go')
  })

  test('has the title and the attributes of its source, unless others are given', async () => {
    const holdfast = await openInMemory({ tasks: [body] })
    const { taskId } = await holdfast.start(body, undefined, { title: 'first', attributes: { customer: 'a-17' } })
    await untilIdle(holdfast)
    const { taskId: same } = await holdfast.fork(taskId, { afterStep: 'work' })
    const options = { title: 'second', attributes: { customer: null, again: true } }
    const { taskId: other } = await holdfast.fork(taskId, { afterStep: 'work' }, options)
    await untilIdle(holdfast)
    const attributes = { customer: 'a-17', phase: 'one' }
    expect(await holdfast.get(same)).toMatchObject({ title: 'first', attributes })
    expect(await holdfast.get(other)).toMatchObject({ title: 'second', attributes: { again: true, phase: 'one' } })
    expect(await holdfast.get(taskId)).toMatchObject({ title: 'first', attributes })
    await holdfast.close()
  })
})

test('calls on many tasks take attributes, and an empty object is no filter', async () => {
  const clock = new ManualClock()
  const holdfast = await openInMemory({ clock, tasks: [waits] })
  await holdfast.start(waits, undefined, { attributes: { customer: 'a' } })
  await holdfast.start(waits, undefined, { attributes: { customer: 'b' } })
  await holdfast.start(waits, undefined)
  expect(await holdfast.cancelMany({ attributes: { customer: 'a' } })).toMatchObject({ counts: { done: 1 } })
  await expect(holdfast.cancelMany({ attributes: {} })).rejects.toThrow(/`attributes` of a list to have 1 to 2/)
  expect((await holdfast.list({ status: 'running' })).tasks).toHaveLength(2)
  await holdfast.close()
})
