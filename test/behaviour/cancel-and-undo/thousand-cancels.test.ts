// Goal: whatever a task is doing when it is cancelled, and wherever the process dies, it settles once, its clean-up runs to
// its end, and nothing of that runs again once it is recorded as done.
// Method: twenty stores in memory with fifty tasks each, in every state a task can be in; all are cancelled at random
// moments while the process dies, and the disk refuses writes, at random ones. The disk is looked at, not the engine.
import { encodeTime } from 'ulid'
import { expect, test } from 'vitest'
import type { Ids } from '../../../src/base/ids.js'
import {
  type AnyTaskDefinition,
  type CleanUpContext,
  defineTask,
  type Holdfast,
  type HoldfastError,
  type StepContext,
  type TaskContext,
} from '../../../src/index.js'
import { doneKey, intentPrefix, LIVE, lastPart, liveKey, taskKey } from '../../../src/store/disk/layout.js'
import { unseal } from '../../../src/store/integrity/envelope.js'
import { decodeHead } from '../../../src/store/operations.js'
import type { TaskHead } from '../../../src/task/head.js'
import { decodeUndoRecord, type UndoRecord } from '../../../src/task/log/undo-record.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory } from '../../../src/testing/index.js'
import { randomOf, seedFor } from '../../helpers/simulation.js'
import { turns } from '../../helpers/turns.js'

const WORLDS = 20
const TASKS_EACH = 50
const DEATHS_MAX = 6

/** All that happened, over all worlds. */
interface Tally {
  cancelled: number
  cleaned: number
  deaths: number
  outages: number
  undos: number
  repeated: number
  readonly states: Map<string, number>
  readonly broken: string[]
}

/** One process. Nothing that it still does once it is dead counts: a real one would not do it. */
interface Life {
  dead: boolean
  /** Settled on disk when it began. */
  readonly settled: ReadonlySet<string>
}

class World {
  readonly disk = new MemoryDisk()
  /** That of the process. It stands still once that is dead, so that nothing of it stirs again. */
  clock = new ManualClock()
  moving: Promise<void> = Promise.resolve()
  /** What ran how often: undos and calls of `onCancel`, by task and name. */
  readonly ran = new Map<string, number>()
  readonly toCancel = new Set<number>()
  readonly ids: string[] = []

  readonly seeded: Ids

  constructor(
    readonly random: () => number,
    readonly tally: Tally,
  ) {
    for (let n = 0; n < TASKS_EACH; n++) this.toCancel.add(n)
    this.seeded = seededIds(random)
  }

  /** Lets time pass. */
  advance(ms: number): Promise<void> {
    this.moving = this.clock.advance(ms)
    return this.moving
  }

  /** One of the next writes fails, whether it lands or not. */
  refuseSoon(within: number): void {
    this.disk.failAt({ atWrite: 1 + this.upTo(within), applied: this.random() < 0.5 })
    this.tally.outages++
  }

  upTo(most: number): number {
    return Math.floor(this.random() * most)
  }

  head(taskId: string): TaskHead | undefined {
    const { content } = this.disk
    for (const key of [liveKey(taskId), doneKey(taskId)]) {
      const text = content.get(key)
      if (text !== undefined) return decodeHead(key, text, content.get(taskKey(taskId)))
    }
    return undefined
  }

  intents(taskId: string): UndoRecord[] {
    const prefix = intentPrefix(taskId)
    return [...this.disk.content].flatMap(([key, text]) =>
      key.startsWith(prefix) ? [decodeUndoRecord(unseal(key, text).body)] : [],
    )
  }

  get heads(): TaskHead[] {
    const { content } = this.disk
    return [...content].flatMap(([key, text]) =>
      /^(live|done)\//.test(key) ? [decodeHead(key, text, content.get(taskKey(lastPart(key))))] : [],
    )
  }

  /** Something of a clean-up begins. */
  cleans(life: Life, taskId: string, name: string, number: number): void {
    if (life.dead) return
    const { tally } = this
    const what = `${taskId} ${name}#${number}`
    const type = this.head(taskId)?.type
    const intent = this.intents(taskId).find((one) => one.name === name && one.number === number)
    if (intent?.undoing?.doneAt !== undefined) tally.broken.push(`${what} (${type}) ran after it was recorded as done`)
    if (this.head(taskId)?.cleanUp === 'done') tally.broken.push(`${what} (${type}) ran after the clean-up was done`)
    if (this.head(taskId)?.cleanUp === 'pending') {
      const alive = this.heads.filter((head) => head.parentId === taskId && head.cleanUp !== 'done')
      tally.broken.push(...alive.map((child) => `${what} ran before its child ${child.taskId} was over`))
    }
    this.ran.set(what, (this.ran.get(what) ?? 0) + 1)
    tally.undos++
  }

  /** A step of a body begins. */
  begins(life: Life, taskId: string): void {
    if (!life.dead && life.settled.has(taskId)) this.tally.broken.push(`a step of ${taskId} began after its end`)
  }
}

/** IDs that are the same for the same seed. */
function seededIds(random: () => number): Ids {
  let count = 0
  const unique = (now: number, chars: number) => {
    const dice = Math.floor(random() * 2 ** 32)
      .toString(16)
      .toUpperCase()
      .padStart(8, '0')
    return encodeTime(now, 10) + String(count++).padStart(chars - 8, '0') + dice
  }
  return {
    taskId: (now) => `task-${unique(now, 26)}`,
    newestOrder: undefined,
    continueAfter() {},
    checkpointId: (now) => `cp-${unique(now, 16)}`,
    orderedId: (now) => unique(now, 16),
    fraction: random,
    seed: () => unique(0, 22).toLowerCase(),
  }
}

/** A body for each state. None of them ever comes to an end by itself. */
type Body = (task: TaskContext, step: Steps, world: World) => Promise<unknown>
type Steps = (task: TaskContext, name: string, fn?: (context: StepContext) => unknown) => Promise<unknown>

const hold: Body = async (task, step) => {
  await step(task, 'a')
  await step(task, 'b')
}
const forever = (task: TaskContext) => task.sleep('for ever', '300d')
const fails = () => {
  throw new Error('later')
}

const BODIES: Record<string, Body> = {
  running: async (task, step) => {
    await step(task, 'a')
    await step(task, 'b', ({ signal }) => {
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))))
    })
  },
  stubborn: async (task, step, { clock }) => {
    await Promise.all([
      step(task, 'a', () => new Promise((resolve) => clock.setTimer(clock.now() + 60_000, () => resolve('late')))),
      step(task, 'b', () => new Promise(() => {})),
    ])
  },
  'asleep in memory': async (task, step, world) => {
    await hold(task, step, world)
    for (;;) await task.sleep('nap', '40s')
  },
  'asleep for long': async (task, step, world) => {
    await hold(task, step, world)
    await task.saveCheckpoint({ at: 'rest' })
    await forever(task)
  },
  'waiting for an input': async (task, step, world) => {
    await hold(task, step, world)
    await task.all({ one: (branch) => branch.input('sure'), two: (branch) => branch.input('really') })
  },
  'waiting for a message': async (task, step, world) => {
    await hold(task, step, world)
    await task.receive('go')
  },
  'between attempts of its body': async (task, step) => {
    await step(task, 'a')
    await step(task, 'b', fails)
  },
  'between attempts of a step': async (task, step) => {
    await step(task, 'a')
    await task.step('b', fails, { retry: { maximumAttempts: 2, initialInterval: '100d' } })
  },
  'with children': async (task, step) => {
    await step(task, 'a')
    await Promise.all([task.child('child', 'one'), task.child('child', 'two', { name: 'other' })])
  },
  'in a race': async (task, step, world) => {
    await task.race({
      one: async (branch) => {
        await hold(branch, step, world)
        await forever(branch)
      },
      two: forever,
    })
  },
  'past a race': async (task, step, world) => {
    await task.race({
      loser: async (branch) => {
        await hold(branch, step, world)
        await forever(branch)
      },
      parent: (branch) => branch.child('child', 'of a branch'),
      winner: (branch) => branch.sleep('short', '1s'),
    })
    await step(task, 'c')
    await forever(task)
  },
}

const KINDS = Object.keys(BODIES)

function definitions(world: World, life: Life): AnyTaskDefinition[] {
  const step: Steps = (task, name, fn = () => ({ of: name })) =>
    task.step(name, (context) => {
      world.begins(life, task.taskId)
      return fn(context)
    })
  const flaky = async ({ taskId, attempt }: CleanUpContext, name: string, number: number) => {
    world.cleans(life, taskId, name, number)
    await turns(world.upTo(3))
    // Within the attempts that there are.
    if (attempt <= 2 && world.random() < 0.15) throw new Error('not yet')
  }
  const undo = (context: CleanUpContext, { step: name, number }: { step: string; number: number }) =>
    flaky(context, name, number)
  const onCancel = async (context: CleanUpContext) => {
    const name = 'onCancel'
    await context.step('tell', () => {
      if (life.dead) return
      const told = world.intents(context.taskId).find((one) => one.name === name)?.undoing?.steps?.['tell#1']
      if (told !== undefined) world.tally.broken.push(`a step of onCancel of ${context.taskId} ran again`)
    })
    await flaky(context, name, 1)
  }
  const define = (name: string, body: Body) =>
    defineTask(
      { name, undo: { a: undo, b: undo, c: undo }, onCancel, retry: { maximumAttempts: 2, initialInterval: '100d' } },
      (task) => body(task, step, world),
    )
  const child: Body = async (task, steps, it) => {
    await hold(task, steps, it)
    await forever(task)
  }
  return [...Object.entries(BODIES).map(([name, body]) => define(name, body)), define('child', child)]
}

/** Opens the store; where the disk refuses the note with which a process begins, it is opened again, as a server is. */
async function open(options: InMemoryOptions): Promise<Holdfast> {
  for (;;) {
    try {
      return await openInMemory(options)
    } catch (error) {
      if ((error as HoldfastError).code !== 'STORE_UNAVAILABLE') throw error
    }
  }
}

/** One process: it starts what is not started, cancels what is not cancelled, and waits for the clean-ups. */
async function live(world: World, life: Life, concurrency: number, died: Promise<'died'>): Promise<'done' | 'died'> {
  const { disk, clock, tally, toCancel, ids } = world
  const alive = async <T>(doing: Promise<T>): Promise<T> => {
    const ended = await Promise.race([doing.then((value) => ({ value })), died])
    if (ended === 'died') throw new Died()
    return ended.value
  }
  try {
    const tasks = definitions(world, life)
    // Killed from outside, again and again: that is nobody's fault, and nobody is to be parked for it.
    const maximumRecoveries = DEATHS_MAX + 1
    const holdfast = await alive(open({ disk, clock, ids: world.seeded, concurrency, maximumRecoveries, tasks }))
    await alive(
      Promise.all(
        [...toCancel].map(async (n) => {
          const kind = KINDS[n % KINDS.length] as string
          const start = () => holdfast.start(kind, n, { idempotencyKey: `${n}` })
          // A disk that refused it takes it soon.
          for (;;) {
            const started = await start().catch((error: HoldfastError) => error.code)
            if (life.dead) return
            if (typeof started === 'object') {
              ids[n] = started.taskId
              return
            }
            await turns(5)
            await world.advance(10)
          }
        }),
      ),
    )
    while (toCancel.size > 0) {
      await alive(turns(world.upTo(12)))
      if (world.random() < 0.3) await alive(world.advance(world.upTo(1_500)))
      if (world.random() < 0.15) world.refuseSoon(3)
      const next = [...toCancel].sort(() => world.random() - 0.5).slice(0, 1 + world.upTo(6))
      await alive(Promise.all(next.map((n) => cancel(world, life, holdfast, n))))
    }
    for (let moves = 0; moves < 2_000; moves++) {
      await alive(turns(10))
      if (![...disk.content.keys()].some((key) => key.startsWith(LIVE))) return 'done'
      if (clock.nextDueAt !== undefined) await alive(world.advance(clock.nextDueAt - clock.now()))
    }
    const left = world.heads.filter(({ cleanUp, status }) => cleanUp === 'pending' || status === 'running')
    tally.broken.push(...left.map(({ taskId, type, status }) => `${taskId} (${type}) is ${status}, and hangs`))
    return 'done'
  } catch (error) {
    if (error instanceof Died) return 'died'
    throw error
  }
}

class Died extends Error {}

async function cancel({ toCancel, ids, tally }: World, life: Life, holdfast: Holdfast, n: number): Promise<void> {
  const taskId = ids[n] as string
  const view = await holdfast.get(taskId).catch((error: HoldfastError) => {
    if (error.code !== 'STORE_UNAVAILABLE') throw error
  })
  if (!view) return
  const { status, type, settledAt } = view
  const said = await holdfast.cancel(taskId, { reason: `enough of ${n}` }).then(
    () => 'cancelled',
    (error: HoldfastError) => error.code,
  )
  // Refused by the disk, or by a process that is dying, it may have landed or not: it is asked again.
  if (said === 'STORE_UNAVAILABLE' || life.dead) return
  if (said !== 'cancelled' && said !== 'TASK_SETTLED') tally.broken.push(`the cancel of ${taskId} was answered ${said}`)
  toCancel.delete(n)
  if (settledAt !== undefined) return
  const state = status === 'pending' ? 'in the queue' : type
  tally.states.set(state, (tally.states.get(state) ?? 0) + 1)
}

async function play(world: World): Promise<void> {
  const { disk, tally } = world
  // As many as there are tasks that hold a slot for good, or fewer: then what comes after them stays in the queue.
  const concurrency = [4, 12, 100][world.upTo(3)] as number
  for (let lives = 0; ; lives++) {
    const settled = world.heads.filter(({ settledAt }) => settledAt !== undefined).map(({ taskId }) => taskId)
    const life: Life = { dead: false, settled: new Set(settled) }
    const died = new Promise<'died'>((resolve) => {
      disk.onDeath(() => {
        life.dead = true
        resolve('died')
      })
    })
    if (lives < DEATHS_MAX) disk.dieAt({ atWrite: 5 + world.upTo(45), applied: world.random() < 0.5 })
    if (lives > 0 && world.random() < 0.5) world.refuseSoon(30)
    if ((await live(world, life, concurrency, died)) === 'done') break
    tally.deaths++
    // One that died while it opened the disk again may have it open now.
    await world.moving
    await turns(20)
    disk.crash()
    world.clock = new ManualClock(world.clock.now() + 1)
  }
  await judge(world)
}

/** What is on the disk at the end. */
async function judge(world: World): Promise<void> {
  const { disk, tally, ids, ran } = world
  disk.crash()
  const holdfast = await open({ disk, clock: world.clock })
  for (const [n, taskId] of ids.entries()) {
    const view = await holdfast.get(taskId)
    const { status, outcome, cleanUp, undone = [] } = view
    tally.cancelled += status === 'cancelled' ? 1 : 0
    if (outcome?.kind !== 'cancelled' || outcome.reason !== `enough of ${n}`) tally.broken.push(`${taskId}: ${status}`)
    if (undone.some(({ state }) => state !== 'undone')) tally.broken.push(`${taskId}: ${JSON.stringify(undone)}`)
    tally.cleaned += cleanUp === 'done' && undone.every(({ state }) => state === 'undone') ? 1 : 0
  }
  for (const { taskId, type, status, cleanUp } of world.heads) {
    const audit = await holdfast.audit({ taskId })
    const ends = audit.filter(({ action }) => ['cancelled', 'completed', 'failed'].includes(action)).length
    if (ends !== 1) tally.broken.push(`${taskId} settled ${ends} times`)
    if (status !== 'cancelled' || cleanUp !== 'done') tally.broken.push(`${taskId} (${type}): ${status}, ${cleanUp}`)
    for (const { name, number } of [...world.intents(taskId), { name: 'onCancel', number: 1 }]) {
      const times = ran.get(`${taskId} ${name}#${number}`) ?? 0
      if (times === 0) tally.broken.push(`${name} of ${taskId} was never cleaned up`)
      tally.repeated += Math.max(0, times - 1)
    }
  }
  await holdfast.close()
}

test('a thousand tasks in mixed states are cancelled while the process dies, and every one is cleaned up', async () => {
  const random = randomOf(seedFor('CANCELS_SEED'))
  const tally: Tally = {
    cancelled: 0,
    cleaned: 0,
    deaths: 0,
    outages: 0,
    undos: 0,
    repeated: 0,
    states: new Map(),
    broken: [],
  }
  const began = performance.now()
  for (let world = 0; world < WORLDS; world++) await play(new World(random, tally))
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const { cancelled, cleaned, deaths, outages, undos, repeated, states, broken } = tally
  console.info(
    [
      `${cancelled} cancels, ${deaths} deaths and ${outages} outages in ${seconds} s: clean-up rate ${((100 * cleaned) / (WORLDS * TASKS_EACH)).toFixed(1)} %`,
      `${undos} undos and calls of onCancel, ${repeated} of them again because the one before failed or was not recorded`,
      [...states].map(([state, count]) => `${state}: ${count}`).join(', '),
    ].join('\n'),
  )
  expect(broken.slice(0, 10)).toEqual([])
  expect(cancelled).toBe(WORLDS * TASKS_EACH)
  expect(cleaned).toBe(WORLDS * TASKS_EACH)
  // It means something only if there was something to survive.
  expect(deaths).toBeGreaterThan(WORLDS)
  expect([...states.keys()].sort()).toEqual([...KINDS, 'in the queue'].sort())
}, 60_000)
