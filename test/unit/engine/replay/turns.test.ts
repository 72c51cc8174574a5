// Goal: a body that waits for something that is not a step, or calls its context inside a step, is refused.
// Method: bodies on a disk in memory, with whatever they wait for.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { defineTask, type TaskContext } from '../../../../src/index.js'
import { MemoryDisk, openInMemory } from '../../../../src/testing/index.js'
import { type Body, bareWait, dies, play, refusal } from '../../../helpers/play.js'

const unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)

let disk: MemoryDisk
beforeAll(() => void process.on('unhandledRejection', note))
beforeEach(() => {
  disk = new MemoryDisk()
})
afterAll(async () => {
  await bareWait()
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

describe('a wait that is not a step', () => {
  test('fails the task the first time it comes before a step, even if the body catches that', async () => {
    let effects = 0
    const ended = await play(disk, async (task) => {
      await task.step('a', () => 1)
      await bareWait()
      await task.step('b', () => effects++).catch(() => {})
      return 'went on'
    })
    expect(ended.code).toBe('STEP_AMBIGUOUS')
    expect(ended.message).toContain("task.step('b', …)")
    expect(ended.message).toContain("await task.step('a name', () => theWait())")
    expect(effects).toBe(0)
  })

  test.each<[string, (task: TaskContext) => Promise<unknown>]>([
    ['saveCheckpoint', (task) => task.saveCheckpoint({})],
    ['restoreCheckpoint', (task) => task.restoreCheckpoint()],
    ['now', (task) => task.now()],
    ['uuid', (task) => task.uuid()],
  ])('fails the task before %s too', async (call, ask) => {
    const ended = await play(disk, async (task) => {
      await bareWait()
      await ask(task)
    })
    expect(ended.code).toBe('STEP_AMBIGUOUS')
    expect(ended.message).toContain(`task.${call}(`)
  })

  test('is nobody’s business when nothing is asked for after it', async () => {
    const ended = await play(disk, async (task) => {
      const one = await task.step('a', () => 1)
      await bareWait()
      return one
    })
    expect(ended.output).toBe(1)
  })

  test('inside a step is what steps are for', async () => {
    const ended = await play(disk, async (task) => {
      await task.step('wait', bareWait)
      return task.step('b', () => 'b')
    })
    expect(ended.output).toBe('b')
  })
})

describe('a call on the context inside a step', () => {
  const calls: [string, (task: TaskContext) => Promise<unknown>][] = [
    ['step', (task) => task.step('inner', () => 1)],
    ['saveCheckpoint', (task) => task.saveCheckpoint({})],
    ['restoreCheckpoint', (task) => task.restoreCheckpoint()],
    ['now', (task) => task.now()],
    ['uuid', (task) => task.uuid()],
  ]

  test.each(calls)(
    'fails the task when it is %s, at once and after a wait, even if that is caught',
    async (name, call) => {
      for (const wait of [async () => {}, bareWait]) {
        disk = new MemoryDisk()
        const codes: string[] = []
        let effects = 0
        const ended = await play(disk, async (task) => {
          await task.step('outer', async () => {
            await wait()
            codes.push(await refusal(() => call(task)))
          })
          await task.step('after', () => effects++)
        })
        expect([codes, ended.code, effects]).toEqual([['STEP_AMBIGUOUS'], 'STEP_AMBIGUOUS', 0])
        expect(ended.message).toContain(`task.${name}(`)
        expect(ended.message).toContain("or inside a step's function")
        expect(ended.message).toContain('call in the body, before or after the step')
      }
    },
  )

  test('within the turn of another answer passes for the body’s, and a replay parks the task', async () => {
    // Nothing tells the two apart. The docs say so.
    const kill = dies(disk)
    const body: Body = async (task) => {
      const other = task.step('other', () => 'other')
      const outer = task.step('outer', async () => `${await other}, ${await task.step('inner', () => 'inner')}`)
      await outer
      await task.step('die', kill)
    }
    expect((await play(disk, body)).died).toBe(true)
    const ended = await play(disk, body)
    expect(ended.code).toBe('TASK_PARKED')
    expect(ended.message).toContain("CODE_CHANGED: the log continues with step 'inner'")
  })

  test('may report progress and log', async () => {
    const ended = await play(disk, (task) =>
      task.step('outer', () => {
        task.progress({ done: 1, total: 2 })
        task.log.info('half way')
        return 'fine'
      }),
    )
    expect(ended.output).toBe('fine')
  })

  test('is fine for a task that is started there', async () => {
    const inner = defineTask({ name: 'inner' }, async (task) => [
      await task.step('a', () => 'a'),
      await task.step('b', async () => {
        await bareWait()
        return 'b'
      }),
      await task.step('c', () => 'c'),
    ])
    const outer = defineTask({ name: 'outer' }, (task) =>
      task.step('start', async () => {
        const { taskId } = await holdfast.start(inner, undefined)
        return holdfast.result(taskId)
      }),
    )
    const holdfast = await openInMemory({ disk, tasks: [outer, inner] })
    const { taskId } = await holdfast.start(outer, undefined)
    expect(await holdfast.result(taskId)).toEqual(['a', 'b', 'c'])
    await holdfast.close()
  })
})
