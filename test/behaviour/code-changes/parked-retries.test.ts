// Goal: tasks that are parked because their code changed are not replayed in full at every open, and none is forgotten.
// Method: 150 of them, in processes with the same code, with other code, and with code whose fix its text does not show;
// what counts is which bodies are run.
import { beforeEach, describe, expect, test } from 'vitest'
import { defineTask, type Holdfast } from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const COUNT = 150
const TRIED = 100
const DAY = 24 * 3_600_000

/** The inputs of the bodies that ran, in this process. */
let ran: number[] = []
/** The name of the step that the body asks for: what it calls, and its own text does not show. */
let nameOfStep = () => 'first'

const make = ({ version, body = 'one' }: { version?: string; body?: 'one' | 'other' } = {}) =>
  defineTask(
    { name: 'job', ...(version === undefined ? {} : { version }) },
    body === 'one'
      ? async (task, n: number) => {
          ran.push(n)
          await task.step(nameOfStep(), () => n)
          await task.receive('go')
        }
      : async (task, n: number) => {
          ran.push(n)
          const name = nameOfStep()
          await task.step(name, () => n)
          await task.receive('go')
        },
  )

beforeEach(() => {
  ran = []
  nameOfStep = () => 'first'
})

/** A store with tasks that are parked, the first ones longer than the others. */
async function parked() {
  const [disk, clock] = [new MemoryDisk(), new ManualClock()]
  const open = async (options: Partial<InMemoryOptions> = { tasks: [make()] }) => {
    ran = []
    const holdfast = await openInMemory({ disk, clock, ...options })
    await untilIdle(holdfast)
    return holdfast
  }
  const first = await open()
  const taskIds: string[] = []
  for (let n = 0; n < COUNT; n++) taskIds.push((await first.start('job', n)).taskId)
  await untilIdle(first)
  disk.crash()
  nameOfStep = () => 'renamed'
  const second = await open()
  expect(ran).toHaveLength(COUNT)
  expect(await parkings(second)).toHaveLength(COUNT)
  await second.close()
  await clock.jump(DAY)
  return { disk, clock, taskIds, open }
}

/** Why tasks are parked, one for each. */
async function parkings(holdfast: Holdfast): Promise<string[]> {
  const { tasks } = await holdfast.list({ limit: 500 })
  return tasks.flatMap(({ parked }) => (parked ? [parked.code] : []))
}

const sorted = () => [...ran].sort((one, other) => one - other)
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n)

describe('tasks that are parked because their code changed', () => {
  test('are tried again 100 an open while their code is the same, those that were tried longest ago first', async () => {
    const { open, clock } = await parked()
    const third = await open()
    expect(sorted()).toEqual(range(0, TRIED))
    const report = await third.recovery.done
    expect(report.finishedAt).toBeDefined()
    expect(report.tasks).toHaveLength(COUNT)
    const reasons = report.tasks.map(({ action, reason }) => `${action} ${reason?.includes('not tried again')}`)
    expect(reasons.filter((reason) => reason === 'parked true')).toHaveLength(COUNT - TRIED)
    await third.close()
    await clock.jump(DAY)
    const fourth = await open()
    expect(sorted()).toEqual([...range(0, 50), ...range(TRIED, COUNT)])
    expect(await parkings(fourth)).toEqual(Array(COUNT).fill('CODE_CHANGED'))
  })

  test('go on over some opens where the fix lies in what their body calls', async () => {
    const { open } = await parked()
    nameOfStep = () => 'first'
    const third = await open()
    expect(await parkings(third)).toHaveLength(COUNT - TRIED)
    await third.close()
    const fourth = await open()
    expect(await parkings(fourth)).toEqual([])
  })

  test.each([
    ['version', { version: '2' }],
    ['body', { body: 'other' } as const],
  ])('are all tried again at once where the %s is another one', async (_, code) => {
    const { open } = await parked()
    await open({ tasks: [make(code)] })
    expect(sorted()).toEqual(range(0, COUNT))
  })

  test('are tried again on `resume`', async () => {
    const { open, taskIds } = await parked()
    const third = await open()
    nameOfStep = () => 'first'
    const last = taskIds.at(-1) ?? ''
    expect(ran).not.toContain(COUNT - 1)
    expect(await third.resume(last)).toMatchObject({ parked: undefined })
    await untilIdle(third)
    expect(ran).toContain(COUNT - 1)
    expect(await third.get(last)).toMatchObject({ status: 'running', parked: undefined })
  })

  test('stay as they are without their definition, and are tried in the same way once it is registered', async () => {
    const { open, disk } = await parked()
    const third = await open({})
    const { writes } = disk
    expect(await parkings(third)).toEqual(Array(COUNT).fill('CODE_CHANGED'))
    expect((await third.recovery.done).tasks.map(({ action }) => action)).toEqual(Array(COUNT).fill('parked'))
    third.register(make())
    await untilIdle(third)
    expect(sorted()).toEqual(range(0, TRIED))
    expect(disk.writes).toBeGreaterThan(writes)
    await third.close()
    // All of them, at once, with another version.
    const fourth = await open({})
    fourth.register(make({ version: '2' }))
    await untilIdle(fourth)
    expect(sorted()).toEqual(range(0, COUNT))
  })

  test('of types that are registered together share the 100, and the longest parked come first', async () => {
    const [disk, clock] = [new MemoryDisk(), new ManualClock()]
    const types = ['a', 'b'] as const
    const define = () =>
      types.map((name) =>
        defineTask({ name }, async (task, n: number) => {
          ran.push(n)
          await task.step(nameOfStep(), () => n)
          await task.receive('go')
        }),
      )
    const first = await openInMemory({ disk, clock, tasks: define() })
    for (let n = 0; n < COUNT; n++) await first.start(n < 75 ? 'a' : 'b', n)
    await untilIdle(first)
    disk.crash()
    nameOfStep = () => 'renamed'
    const second = await openInMemory({ disk, clock })
    const [a, b] = define()
    // Those of `b` are parked for a day longer.
    second.register(b as NonNullable<typeof b>)
    await untilIdle(second)
    await clock.jump(DAY)
    second.register(a as NonNullable<typeof a>)
    await untilIdle(second)
    await second.close()
    ran = []
    const third = await openInMemory({ disk, clock })
    for (const definition of define()) third.register(definition)
    await untilIdle(third)
    expect(sorted()).toEqual([...range(0, 25), ...range(75, COUNT)])
  })
})
