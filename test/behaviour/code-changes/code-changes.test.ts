// Goal: a task whose code changed under it goes on on one side of the change, or waits for code that fits; no function
// begins twice on different answers of `patched`, and nothing is lost by a parking.
// Method: an old run is killed at every write it makes, and what it left is taken up by new code that is killed at every
// write it makes. The functions say on which answer they began.
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { AnyTaskDefinition, Holdfast, TaskContext } from '../../../src/index.js'
import { defineTask } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { bareWait, dies, play, refusal } from '../../helpers/play.js'

/** What one life of the process came to: the task's end, or nothing because it died. */
interface Life {
  readonly output?: unknown
  readonly parked?: string | undefined
}

let lives = 0

async function live(disk: MemoryDisk, definition: AnyTaskDefinition): Promise<Life | undefined> {
  // Later with each life: what one process noted sorts before what the next one notes.
  const clock = new ManualClock(Date.UTC(2026, 0, 1) + ++lives * 1_000)
  let dead = false
  const death = new Promise<void>((resolve) => {
    disk.onDeath(() => {
      dead = true
      resolve()
    })
  })
  let holdfast: Holdfast | undefined
  let life: Life | undefined
  const run = async () => {
    holdfast = await openInMemory({ disk, clock, tasks: [definition] })
    const { taskId } = await holdfast.start(definition.name, null, { idempotencyKey: 'k' })
    await holdfast.result(taskId).then(
      (output) => {
        life = { output }
      },
      async (error: { code: string }) => {
        const { parked } = await (holdfast as Holdfast).get(taskId)
        life = { parked: parked ? `${parked.code}: ${parked.reason}` : error.code }
      },
    )
  }
  void run()
  for (let turns = 0; !life && !dead; turns++) {
    if (turns % 100 === 99 && clock.nextDueAt !== undefined) await clock.advanceTo(clock.nextDueAt)
    if (turns > 20_000) throw new Error('Nothing more happens')
    await turn()
  }
  if (dead) return undefined
  // It may die while it notes that it is closed.
  await Promise.race([holdfast?.close({ grace: 0 }), death])
  return life
}

type Change = (task: TaskContext, id: string) => Promise<boolean>

/** Two chains side by side with a change in each, then one more behind a checkpoint. */
function twoChains(effects: Set<string>[], change: Change) {
  const began = new Map<string, Set<boolean>>()
  const segmentOf = { prefix: {}, 1: {} } as Record<string, Record<string, boolean>>
  const note =
    (segment: 'prefix' | '1', what: string, slow = 0) =>
    async () => {
      for (const [id, answer] of Object.entries(segmentOf[segment] ?? {})) {
        const key = `${segment} ${id}`
        began.set(key, (began.get(key) ?? new Set()).add(answer))
      }
      effects.at(-1)?.add(what)
      for (let turns = 0; turns < slow; turns++) await turn()
      return what
    }
  const asks = async (task: TaskContext, segment: 'prefix' | '1', id: string) => {
    const answer = await change(task, id)
    ;(segmentOf[segment] as Record<string, boolean>)[id] = answer
    return answer
  }
  const body = async (task: TaskContext) => {
    segmentOf['prefix'] = {}
    segmentOf['1'] = {}
    const answers: string[] = [await task.step('a', note('prefix', 'a'))]
    const one = async () => {
      const isNew = await asks(task, 'prefix', 'x')
      answers.push(await task.step(isNew ? 'new x' : 'old x', note('prefix', isNew ? 'new x' : 'old x', 12)))
      answers.push(await task.step('after x', note('prefix', 'after x')))
    }
    const other = async () => {
      answers.push(await task.step('b', note('prefix', 'b', 2)))
      const isNew = await asks(task, 'prefix', 'y')
      answers.push(await task.step(isNew ? 'new y' : 'old y', note('prefix', isNew ? 'new y' : 'old y', 3)))
    }
    await Promise.all([one(), other()])
    await task.saveCheckpoint(null)
    const isNew = await asks(task, '1', 'x')
    answers.push(await task.step(isNew ? 'new z' : 'old z', note('1', isNew ? 'new z' : 'old z')))
    answers.push(await task.step('end', note('1', 'end')))
    return answers.sort()
  }
  return { body, began }
}

const asked: Change = (task, id) => task.patched(id)
const old: Change = async () => false

describe('patched', () => {
  test('is true for a task that new code started, and false while answers of old code are ahead', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const oldCode = async (task: TaskContext) => {
      await task.step('a', () => 1)
      await task.step('b', () => 2)
      return task.step('c', kill)
    }
    expect(await play(disk, oldCode)).toMatchObject({ died: true })
    const said: boolean[] = []
    const newCode = async (task: TaskContext) => {
      said.push(await task.patched('first'))
      await task.step('a', () => 1)
      said.push(await task.patched('second'))
      await task.step('b', () => 2)
      // Used up: what comes now comes for the first time.
      said.push(await task.patched('third'), await task.patched('first'))
      return task.step('c', () => 3)
    }
    expect(await play(disk, newCode)).toMatchObject({ output: 3 })
    expect(said).toEqual([false, false, true, false])
    said.length = 0
    expect(await play(new MemoryDisk(), newCode)).toMatchObject({ output: 3 })
    expect(said).toEqual([true, true, true, true])
  })

  const waits: [string, (task: TaskContext) => Promise<unknown>][] = [
    ['a sleep', (task) => task.sleep('wait', '30d')],
    ['an input', (task) => task.input('wait', null, { timeout: '30d' }).catch(() => 'nobody')],
    ['a message', (task) => task.receive('wait', { timeout: '30d' }).catch(() => 'nobody')],
    ['a child', (task) => task.child('sleeper', null, { name: 'wait' })],
    ['a race', (task) => task.race({ a: (t) => t.sleep('a', '30d'), b: (t) => t.sleep('b', '60d') })],
    [
      'a step between two attempts',
      async (task) => {
        const retry = { maximumAttempts: 2, initialInterval: '30d', maximumInterval: '30d' } as const
        const fails = ({ attempt }: { attempt: number }) => {
          if (attempt === 1) throw new Error('once')
        }
        await task.step('wait', fails, { retry })
      },
    ],
  ]
  test.each(waits)('is false while %s is ahead that had begun under old code, and true after it', async (_, wait) => {
    const clock = new ManualClock()
    const disk = new MemoryDisk()
    const sleeper = defineTask({ name: 'sleeper' }, (task) => task.sleep('wait', '30d'))
    const oldCode = defineTask({ name: 'job' }, async (task) => {
      await task.step('a', () => 1)
      await wait(task)
      return ['old']
    })
    const newCode = defineTask({ name: 'job' }, async (task) => {
      await task.step('a', () => 1)
      const said = [await task.patched('before')]
      if (said[0]) await task.step('check', () => 1)
      await wait(task)
      said.push(await task.patched('after'))
      if (said[1]) await task.step('more', () => 1)
      return said
    })
    const first = await openInMemory({ clock, disk, tasks: [oldCode, sleeper] })
    const { taskId } = await first.start(oldCode, null)
    await clock.advance(1_000)
    await first.close()
    const second = await openInMemory({ clock, disk, tasks: [newCode, sleeper] })
    const ended = second.result(taskId)
    await clock.advance(60 * 86_400_000)
    expect(await ended).toEqual([false, true])
    await second.close()
  })

  test('is on disk before the next function begins, and costs one commit', async () => {
    const disk = new MemoryDisk()
    const seen: string[][] = []
    const patches = () => [...disk.content].filter(([key]) => key.startsWith('patch/')).map(([, text]) => text)
    const body = async (task: TaskContext) => {
      await Promise.all([task.patched('x'), task.patched('y')])
      await task.step('a', () => seen.push(patches()))
      const before = disk.writes
      expect(await task.patched('x')).toBe(true)
      await task.step('b', () => seen.push([String(disk.writes - before)]))
    }
    expect(await play(disk, body)).toMatchObject({ output: undefined, died: false })
    expect(seen[0]).toHaveLength(1)
    for (const id of ['"x"', '"y"']) expect(seen[0]?.[0]).toContain(id)
    expect(seen[1]).toEqual(['0'])
  })

  test('a task that never asks has nothing of it', async () => {
    const disk = new MemoryDisk()
    await play(disk, (task) => task.step('a', () => 1))
    expect([...disk.content.values()].some((text) => text.includes('hasPatches'))).toBe(false)
  })

  test('after any crash of the old code and any of the new one, no function begins on different answers', {
    timeout: 120_000,
  }, async () => {
    const calmDisk = new MemoryDisk()
    const calmOld = await live(calmDisk, defineTask({ name: 'job' }, twoChains([new Set()], old).body))
    expect(calmOld?.output).toContain('old z')
    const oldWrites = calmDisk.writes
    const tally = { plays: 0, bothSides: 0 }
    for (let atWrite = 2; atWrite <= oldWrites; atWrite++) {
      for (let again = 0; ; again++) {
        const disk = new MemoryDisk()
        disk.dieAt({ atWrite, applied: true })
        if (await live(disk, defineTask({ name: 'job' }, twoChains([new Set()], old).body))) break
        const effects: Set<string>[] = [new Set()]
        const { body, began } = twoChains(effects, asked)
        const job = defineTask({ name: 'job' }, body)
        if (again > 0) disk.dieAt({ atWrite: Math.ceil(again / 2), applied: again % 2 === 0 })
        let life = await live(disk, job)
        const died = life === undefined
        life ??= await live(disk, job)
        tally.plays++
        const where = `old code died at write ${atWrite}, new code at ${again / 2}`
        expect(life?.parked, where).toBeUndefined()
        for (const [id, answers] of began) expect([...answers], `${where}: ${id}`).toHaveLength(1)
        const output = life?.output as string[]
        if (output.some((who) => who.startsWith('new')) && output.some((who) => who.startsWith('old'))) {
          tally.bothSides++
        }
        if (!died && again > 0) break
      }
    }
    expect(tally.plays).toBeGreaterThan(50)
    expect(tally.bothSides).toBeGreaterThan(10)
    process.stdout.write(`patched: ${tally.plays} plays, ${tally.bothSides} of them on both sides of a change\n`)
  })

  test('holds for its segment, and the next segment of an old task is on the new side', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const loop = (isNew: Change) => async (task: TaskContext) => {
      const said: boolean[] = []
      let state = (await task.restoreCheckpoint<{ at: number; said: boolean[] }>())?.state ?? { at: 0, said }
      while (state.at < 4) {
        const { at } = state
        const patched = await isNew(task, 'x')
        await task.step(patched ? 'new' : 'old', () => at)
        await task.step('last', () => (at === 1 ? kill() : Promise.resolve('')))
        state = { at: at + 1, said: [...state.said, patched] }
        await task.saveCheckpoint(state, { prune: true })
      }
      return state.said
    }
    expect(await play(disk, loop(old))).toMatchObject({ died: true })
    expect(await play(disk, loop(asked))).toMatchObject({ output: [false, false, true, true] })
    // Pruned with its segments: only what the last one was answered could be left.
    expect([...disk.content.keys()].filter((key) => key.startsWith('patch/')).length).toBeLessThanOrEqual(1)
  })

  test('is kept through a retry of the task where records rest on it', async () => {
    const disk = new MemoryDisk()
    const said: boolean[] = []
    let attempts = 0
    const job = defineTask(
      { name: 'job', retry: { maximumAttempts: 2, initialInterval: 0 } },
      async (task: TaskContext) => {
        said.push(await task.patched('x'))
        await task.step('new', () => 1)
        await task.step('fails', () => {
          if (++attempts === 1) throw new Error('once')
        })
        return 'done'
      },
    )
    expect(await live(disk, job)).toEqual({ output: 'done' })
    expect(said).toEqual([true, true])
  })

  test('goes with a segment that a retry of the task drops', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    let attempts = 0
    const code = (isNew: Change) =>
      defineTask({ name: 'job', retry: { maximumAttempts: 2, initialInterval: 0 } }, async (task: TaskContext) => {
        const failure = await task
          .step('fails', () => {
            if (++attempts === 1) throw new Error('once')
          })
          .catch((error: unknown) => error)
        await task.saveCheckpoint('after it')
        const patched = await isNew(task, 'x')
        await task.step(patched ? 'new' : 'old', () => 1)
        await task.step('last', kill)
        if (failure) throw failure
        return patched
      })
    expect(await live(disk, code(old))).toBeUndefined()
    expect(await live(disk, code(asked))).toEqual({ output: true })
  })

  test('is refused where a replay could not repeat it', async () => {
    const codes: string[] = []
    const nested = async (task: TaskContext) => {
      await task.step('a', async () => {
        codes.push(await refusal(() => task.patched('x')))
      })
    }
    expect(await play(new MemoryDisk(), nested)).toMatchObject({ code: 'STEP_AMBIGUOUS' })
    expect(codes).toEqual(['STEP_AMBIGUOUS'])
    const late = async (task: TaskContext) => {
      await bareWait()
      return task.patched('x')
    }
    expect(await play(new MemoryDisk(), late)).toMatchObject({ code: 'STEP_AMBIGUOUS' })
  })

  test.each([undefined, null, 5, '', 'a\nb', 'x'.repeat(201), {}])('with %j for an ID is refused', async (id) => {
    const ended = await play(new MemoryDisk(), (task) => task.patched(id as never))
    expect(ended.message).toMatch(/`id`/)
    expect(ended.error?.cause).toMatchObject({ name: 'TypeError' })
  })

  test('with more IDs than a segment keeps is refused, in the first run and in a replay', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const codes: string[] = []
    const body = async (task: TaskContext) => {
      for (let id = 0; id < 256; id++) await task.patched(`change ${id}`)
      codes.push(await refusal(() => task.patched('one more')))
      return task.step('a', kill)
    }
    expect(await play(disk, body)).toMatchObject({ died: true })
    expect(await play(disk, body)).toMatchObject({ output: 'survived' })
    expect(codes).toEqual(['LIMIT_EXCEEDED', 'LIMIT_EXCEEDED'])
  })

  test('a disk that fails under the answer leaves nothing half done', async () => {
    for (const applied of [false, true]) {
      const disk = new MemoryDisk()
      let calls = 0
      const body = async (task: TaskContext) => {
        const patched = await task.patched('x')
        disk.failAt({ atWrite: 1, applied })
        return task.step(patched ? 'new' : 'old', () => ++calls)
      }
      expect(await play(disk, body)).toMatchObject({ output: 1 })
    }
  })

  test('a task that is cancelled while its answer is written begins nothing', async () => {
    const disk = new MemoryDisk()
    const calls: string[] = []
    const job = defineTask({ name: 'job' }, async (task) => {
      await task.step('a', () => calls.push('a'))
      await task.patched('x')
      return task.step('b', () => calls.push('b'))
    })
    const holdfast = await openInMemory({ disk, tasks: [job] })
    const cancelled = new Promise((resolve) => {
      holdfast.on('step:recorded', async ({ taskId }) => resolve(await holdfast.cancel(taskId)))
    })
    const { taskId } = await holdfast.start(job, null)
    await cancelled
    await expect(holdfast.result(taskId)).rejects.toMatchObject({ code: 'TASK_CANCELLED' })
    await untilIdle(holdfast)
    expect(calls).toEqual(['a'])
    expect([...disk.content.keys()].filter((key) => key.startsWith('patch/'))).toEqual([])
  })

  test.each(Array.from({ length: 16 }, (_, at) => at))(
    'what ends %i turns later, while an answer is written, begins nothing before it is',
    async (later) => {
      const disk = new MemoryDisk()
      const order: string[] = []
      const body = async (task: TaskContext) => {
        await task.step('a', () => 1)
        const slow = task.step('slow', async () => {
          for (let turns = 0; turns < later; turns++) await turn()
        })
        const first = async () => {
          await task.step('quick', () => 1)
          await task.patched('x')
          await task.step('after x', () =>
            order.push([...disk.content.keys()].some((key) => key.startsWith('patch/')) ? 'kept' : 'not kept'),
          )
        }
        const second = async () => {
          await slow
          await task.step('after slow', () =>
            order.push([...disk.content.keys()].some((key) => key.startsWith('patch/')) ? 'kept' : 'not kept'),
          )
        }
        await Promise.all([first(), second()])
      }
      expect(await play(disk, body)).toMatchObject({ died: false, message: '' })
      expect(order).toEqual(['kept', 'kept'])
    },
  )
})

describe('the version', () => {
  test('is the one that the task was started with', async () => {
    const disk = new MemoryDisk()
    const kill = dies(disk)
    const code = (version?: string) =>
      defineTask({ name: 'job', ...(version ? { version } : {}) }, async (task: TaskContext) => {
        await task.step('a', kill)
        return task.version ?? 'none'
      })
    expect(await live(disk, code('1'))).toBeUndefined()
    expect(await live(disk, code('2'))).toEqual({ output: '1' })
    expect(await live(new MemoryDisk(), code('2'))).toEqual({ output: '2' })
    expect(await live(new MemoryDisk(), code())).toEqual({ output: 'none' })
  })
})

describe('a task whose log does not fit its code', () => {
  const code = (effects: string[], first: string, second: string) =>
    defineTask({ name: 'job' }, async (task: TaskContext) => {
      const answers: string[] = []
      for (const name of [first, second, 'last']) {
        answers.push(
          await task.step(name, () => {
            effects.push(name)
            return name
          }),
        )
      }
      return answers
    })

  test('waits parked, without an effect, and goes on by itself when a process opens with code that fits', async () => {
    const calm = new MemoryDisk()
    await live(calm, code([], 'a', 'b'))
    let parkings = 0
    for (let atWrite = 2; atWrite <= calm.writes; atWrite++) {
      const disk = new MemoryDisk()
      const effects: string[] = []
      disk.dieAt({ atWrite, applied: true })
      if (await live(disk, code(effects, 'a', 'b'))) break
      const misfit: string[] = []
      const changed = code(misfit, 'renamed', 'b')
      const life = await live(disk, changed)
      if (!life?.parked) {
        // Nothing was recorded yet, or it is settled: then any code fits.
        expect(life, `write ${atWrite}`).toBeDefined()
        continue
      }
      parkings++
      expect(life.parked).toMatch(/^CODE_CHANGED: .*step 'a'.*step 'renamed'/)
      expect(misfit, `write ${atWrite}`).toEqual([])
      // Opened again with the same code it stays as it is.
      expect(await live(disk, changed)).toEqual(life)
      expect(await live(disk, code(effects, 'a', 'b'))).toEqual({ output: ['a', 'b', 'last'] })
      expect(misfit).toEqual([])
    }
    expect(parkings).toBe(3)
  })

  test('goes on after a crash at any write while it is parked, or taken up again', async () => {
    for (let atWrite = 1; atWrite <= 8; atWrite++) {
      for (const applied of [false, true]) {
        const disk = new MemoryDisk()
        disk.dieAt({ atWrite: 3, applied: true })
        expect(await live(disk, code([], 'a', 'b'))).toBeUndefined()
        disk.dieAt({ atWrite, applied })
        const misfit: string[] = []
        const parked = await live(disk, code(misfit, 'renamed', 'b'))
        const ended = parked ? await live(disk, code([], 'a', 'b')) : undefined
        expect(ended ?? (await live(disk, code([], 'a', 'b')))).toEqual({ output: ['a', 'b', 'last'] })
        expect(misfit).toEqual([])
      }
    }
  })

  test('shows why, and is whole again once it runs', async () => {
    const disk = new MemoryDisk()
    disk.dieAt({ atWrite: 3, applied: true })
    await live(disk, code([], 'a', 'b'))
    await live(disk, code([], 'renamed', 'b'))
    const holdfast = await openInMemory({ disk, tasks: [code([], 'a', 'b')] })
    const { tasks } = await holdfast.list()
    expect(await holdfast.result(tasks[0]?.taskId ?? '')).toEqual(['a', 'b', 'last'])
    expect(await holdfast.get(tasks[0]?.taskId ?? '')).toMatchObject({ status: 'completed', parked: undefined })
    const actions = (await holdfast.audit({ taskId: tasks[0]?.taskId })).map(({ action }) => action)
    expect(actions).toEqual(['created', 'recovered', 'parked', 'recovered', 'completed'])
  })
})
