// Goal: no more runs are in memory than `limits.loadedRunsMax`, and nothing waits because of that limit alone.
// Method: time in hand; what the disk says is unloaded; scenarios at the smallest limit with a crash at every write.
import { describe, expect, test } from 'vitest'
import { checkOptions } from '../../../src/engine/checks/open-options.js'
import { type AnyTaskDefinition, defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'

const SMALLEST = { concurrency: 1, limits: { loadedRunsMax: 1 } }

/** A machine with its time in hand, on which `loadedRunsMax` runs may be in memory. */
async function machine(concurrency: number, loadedRunsMax: number, tasks: readonly AnyTaskDefinition[]) {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const options: InMemoryOptions = { disk, clock, tasks, concurrency, limits: { loadedRunsMax } }
  const holdfast = await openInMemory(options)
  return { disk, clock, holdfast, options }
}

/** The unfinished tasks whose run is unloaded: their heads say when they wake. */
function unloadedOn(disk: MemoryDisk): string[] {
  const heads = [...disk.content].filter(([key]) => key.startsWith('live/') && key.length > 'live/'.length + 1)
  return heads.filter(([, text]) => text.includes('"wakeAt":')).map(([key]) => key.slice('live/'.length))
}

/** Steps that go on until they are let go, by name. */
function gates() {
  const open = new Map<string, () => void>()
  const order: string[] = []
  const hold = (task: TaskContext, name: string) =>
    task.step(name, () => {
      order.push(name)
      return new Promise<void>((resolve) => open.set(name, resolve))
    })
  return { order, hold, letGo: (name: string) => open.get(name)?.() }
}

const napper = (name: string, log: string[] = []) =>
  defineTask({ name }, async (task, [id, nap]: [string, string]) => {
    log.push(`${id} begins`)
    await task.sleep('nap', nap as '1s')
    log.push(`${id} woke`)
    return id
  })

describe('a wait whose time is over', () => {
  test('keeps its slot: tasks that came due together go on one after the other, as slots allow', async () => {
    let loaded = 0
    let most = 0
    const sleeper = defineTask({ name: 'sleeper' }, async (task, due: number) => {
      most = Math.max(most, ++loaded)
      await task.sleepUntil('due', new Date(due))
      loaded--
    })
    const { disk, clock, holdfast, options } = await machine(2, 1_000, [sleeper])
    const due = clock.now() + 600_000
    const ids = await Promise.all(Array.from({ length: 20 }, () => holdfast.start(sleeper, due)))
    await untilIdle(holdfast)
    disk.crash()
    await clock.advance(700_000)
    loaded = most = 0
    const second = await openInMemory(options)
    await Promise.all(ids.map(({ taskId }) => second.result(taskId)))
    expect(most).toBe(2)
  })

  test('keeps its slot also in branches, where the other waits are not over', async () => {
    const clock = new ManualClock()
    const log: string[] = []
    const main = defineTask({ name: 'main' }, async (task, id: string) => {
      await task.all({
        past: (branch) => branch.sleepUntil('past', new Date(clock.now() - 1)).then(() => log.push(`${id} goes on`)),
        nap: (branch) => branch.sleep('nap', '5s'),
      })
    })
    const holdfast = await openInMemory({ clock, tasks: [main], concurrency: 1 })
    const ids = await Promise.all(['a', 'b'].map((id) => holdfast.start(main, id)))
    await untilIdle(holdfast)
    expect(log).toEqual(['a goes on', 'b goes on'])
    await clock.advance(5_000)
    await Promise.all(ids.map(({ taskId }) => holdfast.result(taskId)))
  })
})

describe('at the limit', () => {
  test('a run that begins to wait is unloaded at once, however short its wait', async () => {
    const log: string[] = []
    const nap = napper('nap', log)
    const { disk, clock, holdfast } = await machine(1, 2, [nap])
    const ids: string[] = []
    for (const id of ['a', 'b', 'c', 'd']) {
      ids.push((await holdfast.start(nap, [id, '5s'])).taskId)
      await untilIdle(holdfast)
    }
    // One stays below the limit; each of the others was one too many to wait in memory.
    expect(unloadedOn(disk)).toEqual(ids.slice(1))
    log.length = 0
    await clock.advance(5_000)
    expect(await Promise.all(ids.map((id) => holdfast.result(id as never)))).toEqual(['a', 'b', 'c', 'd'])
    expect(log).toEqual(['a woke', ...['b', 'c', 'd'].flatMap((id) => [`${id} begins`, `${id} woke`])])
  })

  test('three hundred waiting tasks leave as many in memory as may be, and all of them wake', async () => {
    const nap = napper('nap')
    const { disk, clock, holdfast } = await machine(5, 20, [nap])
    const ids = await Promise.all(Array.from({ length: 300 }, (_, n) => holdfast.start(nap, [`${n}`, '30s'])))
    await untilIdle(holdfast)
    const { loadedRuns } = await holdfast.stats()
    expect(loadedRuns).toBe(300 - unloadedOn(disk).length)
    expect(loadedRuns).toBeLessThanOrEqual(20)
    expect(loadedRuns).toBeGreaterThan(20 - 5)
    await clock.advance(30_000)
    expect(await Promise.all(ids.map(({ taskId }) => holdfast.result(taskId)))).toHaveLength(300)
  })

  test('a free slot goes to a run in memory before another is loaded, and below it owners take turns', async () => {
    for (const [loadedRunsMax, expected] of [
      [2, ['a', 'b', 'c']],
      [3, ['a', 'c', 'b']],
    ] as const) {
      const { order, hold, letGo } = gates()
      const job = defineTask({ name: 'job' }, async (task, [name, before, after]: [string, string, string]) => {
        if (before) await task.sleep('before', before as '1s')
        await hold(task, name)
        if (after) await task.sleep('after', after as '1s')
      })
      const { clock, holdfast } = await machine(1, loadedRunsMax, [job])
      const start = async (name: string, before: string, after: string) => {
        await holdfast.start(job, [name, before, after], { owner: name })
        await untilIdle(holdfast)
      }
      await start('b', '5s', '')
      await start('a', '', '1h')
      await start('c', '', '')
      // b's wait is over, and it is the last who wants the slot, which a has.
      await clock.advance(5_000)
      letGo('a')
      await untilIdle(holdfast)
      letGo(expected[1])
      await untilIdle(holdfast)
      expect(order).toEqual(expected)
    }
  })

  test('where a slot is free, the run whose wait ends last is unloaded and a new start is let in at once', async () => {
    const { order, hold } = gates()
    const nap = napper('nap')
    const job = defineTask({ name: 'job' }, (task, name: string) => hold(task, name))
    const { disk, clock, holdfast } = await machine(2, 4, [nap, job])
    const ids: string[] = []
    for (const wait of ['10s', '40s', '20s']) {
      ids.push((await holdfast.start(nap, [wait, wait])).taskId)
      await untilIdle(holdfast)
    }
    await holdfast.start(job, 'first')
    await untilIdle(holdfast)
    expect(unloadedOn(disk)).toEqual([])
    const { taskId } = await holdfast.start(job, 'second')
    expect((await holdfast.get(taskId)).status).toBe('running')
    await untilIdle(holdfast)
    expect(order).toEqual(['first', 'second'])
    expect(unloadedOn(disk)).toEqual([ids[1]])
    // Both slots are held: those that wait wake into the queue.
    await clock.advance(40_000)
    expect(order).toHaveLength(2)
  })

  test('a new start is not refused for the length of the queue where a slot is free', async () => {
    const nap = napper('nap')
    const clock = new ManualClock()
    const limits = { loadedRunsMax: 1, queueLengthMax: 1 }
    const holdfast = await openInMemory({ clock, tasks: [nap], concurrency: 1, limits })
    for (let n = 0; n < 5; n++) {
      await holdfast.start(nap, [`${n}`, '5s'])
      await untilIdle(holdfast)
    }
    expect((await holdfast.stats()).tasks.running).toBe(5)
  })

  test('runs that the limit of their type keeps from a slot keep nobody else waiting', async () => {
    const { order, hold, letGo } = gates()
    const narrow = defineTask({ name: 'narrow', concurrency: 1 }, async (task, name: string) => {
      await task.sleep('nap', '5s')
      await hold(task, name)
    })
    const wide = defineTask({ name: 'wide' }, (task, name: string) => hold(task, name))
    const { disk, clock, holdfast } = await machine(3, 3, [narrow, wide])
    const ids = []
    for (const name of ['n1', 'n2']) {
      ids.push(await holdfast.start(narrow, name))
      await untilIdle(holdfast)
    }
    await clock.advance(5_000)
    await holdfast.start(wide, 'w1')
    await untilIdle(holdfast)
    // In memory: n1, which runs; n2, which may not; w1, which runs. One slot is free.
    expect([order, unloadedOn(disk)]).toEqual([['n1', 'w1'], []])
    await holdfast.start(wide, 'w2')
    await untilIdle(holdfast)
    expect([order, unloadedOn(disk)]).toEqual([['n1', 'w1', 'w2'], [ids[1]?.taskId]])
    letGo('n1')
    await untilIdle(holdfast)
    letGo('n2')
    await holdfast.result(ids[1]?.taskId as never)
  })

  test('another owner’s start begins after one more run, however many tasks of one owner nap in a loop', async () => {
    const begun: string[] = []
    const loop = defineTask({ name: 'loop' }, async (task) => {
      begun.push('crowd')
      for (;;) await task.sleep('nap', '1s')
    })
    const other = defineTask({ name: 'other' }, () => void begun.push('other'))
    const { clock, holdfast } = await machine(2, 4, [loop, other])
    await Promise.all(Array.from({ length: 40 }, () => holdfast.start(loop, null, { owner: 'crowd' })))
    await untilIdle(holdfast)
    for (let n = 0; n < 6; n++) {
      const moving = clock.advance(1_000)
      for (let turn = 0; turn < 23 * n; turn++) await new Promise((resolve) => setImmediate(resolve))
      const { taskId } = await holdfast.start(other, null, { owner: 'other' })
      begun.length = 0
      await holdfast.result(taskId)
      // Two may hold the slots and not have begun, since all tasks of an instant wake at once. One more has its turn.
      expect(begun.indexOf('other')).toBeLessThanOrEqual(3)
      await moving
    }
    await holdfast.close({ grace: 0 })
  })
})

describe('a run that waits for more than time', () => {
  test('a parent at the limit makes room for its child, and that for its own', async () => {
    const nest: AnyTaskDefinition = defineTask({ name: 'nest' }, async (task, depth: number): Promise<number> => {
      if (depth === 0) return 0
      const both = await task.all({
        one: (branch) => branch.child('nest', depth - 1),
        two: (branch) => branch.child('nest', 0),
      })
      return Number(both.one) + Number(both.two) + 1
    })
    const holdfast = await openInMemory({ tasks: [nest], ...SMALLEST })
    const ids = await Promise.all([6, 5, 4].map((depth) => holdfast.start('nest', depth)))
    expect(await Promise.all(ids.map(({ taskId }) => holdfast.result(taskId)))).toEqual([6, 5, 4])
  })

  test('a parent at the limit is replayed once for what ended while it was queued', async () => {
    let begun = 0
    const kid = defineTask({ name: 'kid' }, async (task, wait: number) => {
      if (wait > 0) await task.sleep('k', wait)
      return wait
    })
    const main = defineTask({ name: 'main' }, (task) => {
      begun++
      return task.all(Object.fromEntries([0, 0, 0, 5_000].map((wait, n) => [n, (branch) => branch.child('kid', wait)])))
    })
    const { clock, holdfast } = await machine(1, 1, [main, kid])
    const { taskId } = await holdfast.start(main, null)
    await untilIdle(holdfast)
    // The three ended one after the other, before it had its slot again.
    expect(begun).toBe(2)
    await clock.advance(5_000)
    expect(await holdfast.result(taskId)).toEqual({ 0: 0, 1: 0, 2: 0, 3: 5_000 })
    expect(begun).toBe(3)
    await untilIdle(holdfast)
    expect(await holdfast.stats()).toMatchObject({ loadedRuns: 0 })
  })

  test('a step beside a sleep keeps the run in memory, and only waits beside each other do not', async () => {
    const { order, hold, letGo } = gates()
    let begun = 0
    const main = defineTask({ name: 'main' }, async (task) => {
      begun++
      await task.race({ work: (branch) => hold(branch, 'work'), nap: (branch) => branch.sleep('nap', '1h') })
      return task.race({
        news: (branch) => branch.receive('news'),
        nap: (branch) => branch.sleep('nap', '5s').then(() => 'slept'),
      })
    })
    const { disk, clock, holdfast } = await machine(1, 1, [main])
    const { taskId } = await holdfast.start(main, null)
    await clock.advance(120_000)
    expect([order, begun, unloadedOn(disk)]).toEqual([['work'], 1, []])
    letGo('work')
    await untilIdle(holdfast)
    expect([begun, unloadedOn(disk)]).toEqual([1, [taskId]])
    await holdfast.send(taskId, 'other', 'not for it')
    await untilIdle(holdfast)
    expect([begun, unloadedOn(disk)]).toEqual([2, [taskId]])
    await clock.advance(5_000)
    expect(await holdfast.result(taskId)).toBe('slept')
  })

  test('an answer or a message that comes at any moment of the unloading is not lost', async () => {
    const main = defineTask({ name: 'main' }, async (task) => [
      await task.input('ok', null),
      await task.receive('news'),
      await task.input('ok', null),
    ])
    for (let at = 0; at < 40; at++) {
      const holdfast = await openInMemory({ tasks: [main], ...SMALLEST })
      const asked = (key: string) =>
        new Promise<void>((resolve) => {
          holdfast.on('task:input-required', (event) => event.key === key && resolve())
        })
      const later = async () => {
        for (let turn = 0; turn < at; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
      const [first, second] = [asked('ok'), asked('ok-2')]
      const { taskId } = await holdfast.start(main, null)
      await first
      await later()
      await holdfast.respond(taskId, { ok: 1 })
      await later()
      await holdfast.send(taskId, 'news', 2)
      await second
      await later()
      await holdfast.respond(taskId, { 'ok-2': 3 })
      expect(await holdfast.result(taskId), `after ${at} turns`).toEqual([1, 2, 3])
      await holdfast.close()
    }
  })

  test.each(['before', 'after'])('a cancel and a timeout reach a run that is unloaded, %s a restart', async (when) => {
    const stopped: unknown[] = []
    const nap = defineTask(
      { name: 'nap', timeout: '10s', onCancel: (_, { stoppedBy }) => void stopped.push(stoppedBy) },
      (task) => task.sleep('nap', '20s'),
    )
    const { disk, clock, holdfast, options } = await machine(1, 1, [nap])
    const ids = [await holdfast.start(nap, null), await holdfast.start(nap, null)].map(({ taskId }) => taskId)
    await untilIdle(holdfast)
    expect(unloadedOn(disk)).toEqual(ids)
    if (when === 'after') disk.crash()
    const now = when === 'after' ? await openInMemory(options) : holdfast
    await now.cancel(ids[0] as string)
    await clock.advance(10_000)
    const views = await Promise.all(ids.map((id) => now.get(id)))
    expect(views.map(({ status, cleanUp, error }) => [status, cleanUp, error?.code])).toEqual([
      ['cancelled', 'done', undefined],
      ['failed', 'done', 'TIMEOUT'],
    ])
    expect(stopped).toEqual(['cancel', 'timeout'])
  })
})

describe('with a crash at every write, at the smallest limit,', () => {
  const play = async (tasks: (log: string[], clock: ManualClock) => readonly AnyTaskDefinition[], act?: Act) => {
    const { calm, crashed } = await everyCrash<string[]>({
      effects: () => [],
      tasks,
      options: SMALLEST,
      drive: async (holdfast) => {
        const { taskId } = await holdfast.start('main', null, { idempotencyKey: 'k' })
        await act?.(holdfast, taskId)
        return taskId
      },
    })
    for (const { where, outcome } of crashed) expect(outcome, where).toEqual(calm.outcome)
    return calm
  }
  type Act = (holdfast: Holdfast, taskId: string) => Promise<unknown>

  test('sleeps, messages and children come to the same end', async () => {
    const { outcome, effects } = await play(
      (log) => [
        defineTask({ name: 'kid' }, async (task, n: number) => {
          await task.sleep('k', '5s')
          return n
        }),
        defineTask({ name: 'main' }, async (task) => {
          log.push('begins')
          await task.sleep('short', '2s')
          const kids = await task.all({ one: (b) => b.child('kid', 1), two: (b) => b.child('kid', 2) })
          return [kids, await task.receive('news'), await task.step('end', () => 'end')]
        }),
      ],
      (holdfast, taskId) => holdfast.send(taskId, 'news', 'heard', { idempotencyKey: 'm' }),
    )
    expect(outcome).toMatchObject({ value: [{ one: 1, two: 2 }, 'heard', 'end'], status: 'completed' })
    // After each of its waits it was loaded again: the sleep, and the end of one child or two.
    expect(effects.length).toBeGreaterThan(2)
  })

  test('a step and a task that are tried again wait unloaded, and count their attempts', async () => {
    const { outcome } = await play((log) => [
      defineTask({ name: 'main', retry: { maximumAttempts: 2, initialInterval: '20s' } }, async (task) => {
        log.push('begins')
        const retry = { maximumAttempts: 3, initialInterval: '3s' } as const
        const fails = ({ attempt }: { attempt: number }) => {
          if (attempt < 3) throw new Error('again')
          return attempt
        }
        const attempts = await task.step('flaky', fails, { retry })
        if (task.attempt === 1) throw new Error('once more')
        return [attempts, task.attempt]
      }),
    ])
    expect(outcome).toMatchObject({ value: [3, 2], status: 'completed', attempt: 2 })
  })

  test('a race of waits is decided alike, and its loser is cleaned up', async () => {
    const { outcome } = await play((log) => [
      defineTask({ name: 'kid', undo: { a: () => void log.push('undone') } }, async (task) => {
        await task.step('a', () => 1)
        await task.sleep('k', '1h')
      }),
      defineTask({ name: 'main' }, (task) =>
        task.race({
          kid: (branch) => branch.child('kid', null),
          nap: (branch) => branch.sleep('nap', '9s').then(() => 'slept'),
          news: (branch) => branch.receive('news'),
        }),
      ),
    ])
    expect(outcome).toMatchObject({ value: 'slept', status: 'completed' })
  })
})

test('suspects run one at a time at the smallest limit, and one that waits ends its turn', async () => {
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const running: string[] = []
  let hangs = true
  const job = defineTask({ name: 'job' }, async (task, name: string) => {
    running.push(name)
    if (name === 'sleeps' && !hangs) await task.sleep('nap', '10s')
    return task.step('work', () => (hangs ? new Promise(() => {}) : name))
  })
  const options = { disk, clock, tasks: [job], concurrency: 3, limits: { loadedRunsMax: 3 } }
  let holdfast = await openInMemory(options)
  const ids: string[] = []
  for (const name of ['sleeps', 'second', 'third']) {
    ids.push((await holdfast.start(job, name)).taskId)
    await untilIdle(holdfast)
  }
  for (let death = 0; death < 2; death++) {
    disk.crash()
    running.length = 0
    holdfast = await openInMemory(options)
    await untilIdle(holdfast)
  }
  // Two processes died of them. Now they run alone, and the first one only waits.
  expect(running).toEqual(['sleeps'])
  disk.crash()
  running.length = 0
  hangs = false
  holdfast = await openInMemory({ ...options, ...SMALLEST })
  await untilIdle(holdfast)
  expect(running).toEqual(['second', 'third', 'sleeps'])
  expect(unloadedOn(disk)).toEqual([ids[0]])
  await clock.advance(10_000)
  expect(await Promise.all(ids.map((id) => holdfast.result(id as never)))).toEqual(['sleeps', 'second', 'third'])
})

describe('the option', () => {
  test.each([
    [{}, 1_000],
    [{ concurrency: 7 }, 70],
    [{ concurrency: 7, limits: { loadedRunsMax: 20 } }, 20],
    [{ concurrency: 7, limits: { loadedRunsMax: 3 } }, 7],
    [{ concurrency: 7, limits: { loadedRunsMax: undefined } }, 70],
  ])('%j makes it %j', (options, expected) => {
    expect(checkOptions({ dir: 'x', ...options }).limits.loadedRunsMax).toBe(expected)
  })

  test.each([0, -1, 1.5, Number.NaN, '9', null])('of %j is refused by name', async (loadedRunsMax) => {
    const limits = { loadedRunsMax } as never
    await expect(openInMemory({ limits })).rejects.toThrow(/`limits\.loadedRunsMax`/)
  })
})
