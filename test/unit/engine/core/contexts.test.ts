// Goal: what the engine calls of a user's runs in one empty async context, whoever's call, timer or end of another task it
// was that let it begin; and what a body enters itself reaches the functions of its steps.
// Method: an AsyncLocalStorage that names the caller around every call from outside; functions that look who it names.
import { AsyncLocalStorage } from 'node:async_hooks'
import { afterEach, describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type HoldfastEvents, type TaskContext } from '../../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../../src/testing/index.js'

const caller = new AsyncLocalStorage<string>()
const as = <T>(who: string, act: () => T) => caller.run(who, act)

/** What ran, and the caller whose context it ran in. */
let seen: [what: string, who: string | undefined][] = []
const look = (what: string) => void seen.push([what, caller.getStore()])
const foreign = () => seen.filter(([, who]) => who !== undefined)
afterEach(() => {
  seen = []
})

const never = () => new Promise<never>(() => {})

describe('the context of a caller', () => {
  test('reaches no task that waited for a slot, nor its own, nor a listener', async () => {
    const work = defineTask({ name: 'work' }, async (task) => {
      look('body')
      await task.step('work', async () => {
        look('step')
        await new Promise((resolve) => setImmediate(resolve))
        look('step after a wait')
      })
      look('body after a step')
    })
    const holdfast = await openInMemory({ tasks: [work], concurrency: 1 })
    const heard: (keyof HoldfastEvents)[] = ['task:created', 'task:started', 'step:recorded', 'task:settled']
    for (const event of heard) holdfast.on(event, () => look(event))
    const names = ['a', 'b', 'c', 'd']
    const started = await Promise.all(names.map((who) => as(who, () => holdfast.start(work, undefined))))
    await Promise.all(started.map(({ taskId }) => holdfast.result(taskId)))
    expect(seen).toHaveLength(names.length * (4 + heard.length))
    expect(foreign()).toEqual([])
    await holdfast.close()
  })

  test('reaches no body, step or onInterrupted after a restart, whoever recovers or resumes', async () => {
    const disk = new MemoryDisk()
    let dies = true
    const body = async (task: TaskContext) => {
      look('body')
      await task.step('a', () => look('step'))
      const onInterrupted = () => look('onInterrupted')
      await task.step('b', () => (dies ? disk.crash() : never()), { onInterrupted })
    }
    const work = defineTask({ name: 'work' }, body)
    const first = await openInMemory({ disk, tasks: [work] })
    const died = new Promise<void>((resolve) => disk.onDeath(resolve))
    await as('a', () => first.start(work, undefined))
    await died
    dies = false
    const second = await openInMemory({ disk, recover: 'manual', tasks: [work] })
    await as('b', () => second.recover())
    await second.result((await second.list()).tasks[0]?.taskId as string)
    expect(seen.map(([what]) => what)).toEqual(['body', 'step', 'body', 'onInterrupted'])
    expect(foreign()).toEqual([])
    await second.close()
  })

  test('reaches no retry, no child, no branch and no wait that it ended', async () => {
    const clock = new ManualClock()
    const inner = defineTask({ name: 'inner' }, (task) => task.step('inner', () => look('child')))
    let tries = 0
    const work = defineTask({ name: 'work' }, async (task) => {
      const retry = { maximumAttempts: 2, initialInterval: '1s' } as const
      const flaky = () => {
        look('attempt')
        if (++tries === 1) throw new Error('once')
      }
      await task.step('flaky', flaky, { retry })
      await task.child(inner, undefined)
      await task.all({ one: (branch) => branch.step('one', () => look('branch')) })
      await task.receive('news')
      await task.step('after news', () => look('after news'))
    })
    const holdfast = await openInMemory({ tasks: [work, inner], clock })
    const { taskId } = await as('a', () => holdfast.start(work, undefined))
    await untilIdle(holdfast)
    await as('b', () => clock.advance(1_000))
    await untilIdle(holdfast)
    await as('c', () => holdfast.send(taskId, 'news', 1))
    await holdfast.result(taskId)
    expect(seen.map(([what]) => what)).toEqual(['attempt', 'attempt', 'child', 'branch', 'after news'])
    expect(foreign()).toEqual([])
    await holdfast.close()
  })

  test('of whoever cancels reaches no abort listener, undo or onCancel', async () => {
    const work = defineTask(
      {
        name: 'work',
        undo: {
          book: async (undo) => {
            look('undo')
            await undo.step('cancel the booking', () => look('step of an undo'))
          },
        },
        onCancel: () => look('onCancel'),
      },
      async (task) => {
        task.signal.addEventListener('abort', () => look('abort of the body'))
        await task.step('book', () => 'booked')
        await task.step('wait', ({ signal }) => {
          signal.addEventListener('abort', () => look('abort of the step'))
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        })
      },
    )
    const holdfast = await openInMemory({ tasks: [work] })
    const { taskId } = await as('a', () => holdfast.start(work, undefined))
    await untilIdle(holdfast)
    await as('b', () => holdfast.cancel(taskId))
    await untilIdle(holdfast)
    const what = ['abort of the body', 'abort of the step', 'undo', 'step of an undo', 'onCancel']
    expect(seen.map(([name]) => name)).toEqual(what)
    expect(foreign()).toEqual([])
    await holdfast.close()
  })
})

describe('a context that a body enters', () => {
  async function run(body: (task: TaskContext) => Promise<unknown>, times = 1): Promise<Holdfast> {
    const work = defineTask({ name: 'work' }, body)
    const holdfast = await openInMemory({ tasks: [work] })
    for (let at = 0; at < times; at++) {
      const { taskId } = await as('a caller', () => holdfast.start(work, undefined))
      await holdfast.result(taskId)
    }
    await holdfast.close()
    return holdfast
  }

  test('reaches the functions of the steps it calls there, all their attempts, and of no other', async () => {
    let tries = 0
    await run(async (task) => {
      const flaky = async () => {
        look('attempt')
        if (++tries === 1) throw new Error('once')
        await new Promise((resolve) => setImmediate(resolve))
        look('attempt after a wait')
      }
      const retry = { maximumAttempts: 2, initialInterval: 0 }
      const inside = as('trace', () => task.step('inside', flaky, { retry }))
      const outside = task.step('outside', () => look('outside'))
      await Promise.all([inside, outside])
      await task.step('later', () => look('later'))
    })
    expect(seen).toContainEqual(['attempt after a wait', 'trace'])
    expect(seen.filter(([, who]) => who === 'trace')).toHaveLength(3)
    expect(seen.filter(([, who]) => who === undefined).map(([what]) => what)).toEqual(['outside', 'later'])
  })

  test('reaches its branches, and what it goes on with after an answer', async () => {
    await run((task) =>
      as('trace', async () => {
        await task.all({
          one: async (branch) => {
            await branch.step('one', () => look('step of a branch'))
            look('branch')
          },
        })
        look('body')
      }),
    )
    expect(seen).toEqual(['step of a branch', 'branch', 'body'].map((what) => [what, 'trace']))
  })

  test('for good, with `enterWith`, ends with the call that entered it', async () => {
    let tries = 0
    const enters = async (task: TaskContext) => {
      look('body')
      await task.step('first', () => look('first'))
      caller.enterWith('entered by the body')
      const flaky = () => {
        look('flaky')
        caller.enterWith('entered by a step')
        if (++tries % 2 === 1) throw new Error('once')
      }
      await task.step('flaky', flaky, { retry: { maximumAttempts: 2, initialInterval: 0 } })
    }
    await run(enters, 2)
    const once = [
      ['body', undefined],
      ['first', undefined],
      ['flaky', 'entered by the body'],
      ['flaky', 'entered by the body'],
    ]
    expect(seen).toEqual([...once, ...once])
  })
})
