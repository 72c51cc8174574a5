// Goal: `limits.recordsPerTaskMax` holds for every kind of record, from the moment a call is made, in the first run and in
// every later one. Method: bodies that ask for more records than fit, one after the other and all at once.
import { describe, expect, test } from 'vitest'
import { defineTask, type HoldfastError, type TaskContext } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { answerAll } from '../../helpers/waiting.js'

const MAX = 10
const limits = { recordsPerTaskMax: MAX }
const leaf = defineTask({ name: 'leaf' }, () => 1)

const endOf = (promise: Promise<unknown>) =>
  promise.then(
    (value) => ({ value }),
    (error: HoldfastError) => ({ code: error.code, message: error.message }),
  )

const unlessLate = (error: HoldfastError) => {
  if (error.code !== 'RECEIVE_TIMEOUT') throw error
}

const kinds: Record<string, (task: TaskContext, n: number) => Promise<unknown>> = {
  step: (task, n) => task.step('s', () => n),
  sleep: (task) => task.sleep('z', 0),
  receive: (task) => task.receive('m', { timeout: 0 }).catch(unlessLate),
  input: (task) => task.input('i'),
  child: (task) => task.child(leaf, null),
  decision: (task) => task.race({ won: async () => 1, lost: (branch) => branch.receive('never') }),
  checkpoint: (task, n) => task.saveCheckpoint(n),
}

describe('a body with more records than are kept', () => {
  test.each(Object.keys(kinds))('fails with LIMIT_EXCEEDED at the next one: %s', async (kind) => {
    let made = 0
    const many = defineTask({ name: 'many' }, async (task) => {
      for (let n = 0; n < MAX + 5; n++) {
        await kinds[kind]?.(task, n)
        made++
      }
    })
    const holdfast = await openInMemory({ tasks: [many, leaf], limits })
    const { taskId } = await holdfast.start(many, null)
    answerAll(holdfast, taskId, () => 'yes')
    const message = expect.stringMatching(/would be record 11 of its log.*limits\.recordsPerTaskMax/)
    expect(await endOf(holdfast.result(taskId))).toEqual({ code: 'LIMIT_EXCEEDED', message })
    expect(made).toBe(MAX)
    // A checkpoint is no step of a segment: it opens one.
    const steps = (await holdfast.steps(taskId)).flatMap((segment) => segment.steps)
    const shown = kind === 'checkpoint' ? (await holdfast.listCheckpoints(taskId)).length : steps.length
    expect(shown).toBe(MAX)
  })

  test('fails when they are asked for at once, before any of them begins, and cannot catch it', async () => {
    const began: number[] = []
    const atOnce = defineTask({ name: 'at once' }, async (task, count: number) => {
      const asked = Array.from({ length: count }, (_, n) => task.step('s', () => began.push(n)))
      await Promise.allSettled(asked)
      return 'caught'
    })
    const holdfast = await openInMemory({ tasks: [atOnce], limits })
    const one = async (count: number) => endOf(holdfast.result((await holdfast.start(atOnce, count)).taskId))
    expect(await one(MAX + 1)).toMatchObject({ code: 'LIMIT_EXCEEDED' })
    expect(began).toEqual([])
    expect(await one(MAX)).toEqual({ value: 'caught' })
    expect(began).toHaveLength(MAX)
  })

  test('fails at the same call where records of calls that were made together come back one by one', async () => {
    const began: string[] = []
    const chains = defineTask({ name: 'chains' }, async (task, length: number) => {
      const chain = async (name: string) => {
        for (let n = 0; n < length; n++) await task.step(name, () => began.push(name))
      }
      await Promise.all([chain('a'), chain('b')])
    })
    const holdfast = await openInMemory({ tasks: [chains], limits })
    const one = async (length: number) => endOf(holdfast.result((await holdfast.start(chains, length)).taskId))
    expect(await one(MAX / 2)).toEqual({ value: undefined })
    expect(began).toHaveLength(MAX)
    expect(await one(MAX / 2 + 1)).toMatchObject({ code: 'LIMIT_EXCEEDED' })
  })
})

test('a save with `prune` makes room, also in a log that is full', async () => {
  const pruning = defineTask({ name: 'pruning' }, async (task) => {
    const { state: round } = (await task.restoreCheckpoint<number>()) ?? { state: 0 }
    for (let next = round; next < 4; next++) {
      for (let n = 0; n < (next === 0 ? MAX : MAX - 1); n++) await task.step('s', () => n)
      await task.saveCheckpoint(next + 1, { prune: true })
    }
    return 'through'
  })
  const holdfast = await openInMemory({ tasks: [pruning], limits })
  const { taskId } = await holdfast.start(pruning, null)
  expect(await endOf(holdfast.result(taskId))).toEqual({ value: 'through' })
})

test('what is recorded is replayed under a lower limit, and the next call is refused', async () => {
  const [disk, clock] = [new MemoryDisk(), new ManualClock()]
  const began: string[] = []
  const long = defineTask({ name: 'long' }, async (task) => {
    for (let n = 0; n < MAX; n++) await task.step('s', () => began.push('s'))
    const napped = task.sleep('nap', '30d')
    await napped
    await task.step('last', () => began.push('last'))
    return 'through'
  })
  const first = await openInMemory({ disk, clock, tasks: [long], limits: { recordsPerTaskMax: MAX + 2 } })
  const { taskId } = await first.start(long, null)
  await untilIdle(first)
  disk.crash()
  const lower = await openInMemory({ disk, clock, tasks: [long], limits: { recordsPerTaskMax: 3 } })
  await clock.jump(31 * 24 * 3_600_000)
  // The sleep had begun: it is a call like any other, and no more fit.
  expect(await endOf(lower.result(taskId))).toMatchObject({
    code: 'LIMIT_EXCEEDED',
    message: expect.stringMatching(/sleep 'nap'.*record 11/),
  })
  expect(began).toHaveLength(MAX)
})

test('a replay of a log that is just full fits', async () => {
  const [disk, clock] = [new MemoryDisk(), new ManualClock()]
  const full = defineTask({ name: 'full' }, async (task) => {
    const steps = Array.from({ length: MAX - 1 }, (_, n) => task.step('s', () => n))
    await Promise.all(steps)
    await task.sleep('nap', '30d')
    return 'through'
  })
  const first = await openInMemory({ disk, clock, tasks: [full], limits })
  const { taskId } = await first.start(full, null)
  await untilIdle(first)
  disk.crash()
  const second = await openInMemory({ disk, clock, tasks: [full], limits })
  await clock.jump(31 * 24 * 3_600_000)
  expect(await endOf(second.result(taskId))).toEqual({ value: 'through' })
})
