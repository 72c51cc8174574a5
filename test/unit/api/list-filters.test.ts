// Goal: a list has the tasks that its filters ask for, in order and each of them once, in every combination of filters.
// Method: a random population (unfinished, being cleaned up, settled, swept; of owners, types and parents) is listed page by page,
// and compared with all tasks of the test, each read by its ID. Tasks change between the pages, and the process restarts.
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type ListOptions, type TaskStatus, type TaskView } from '../../../src/index.js'
import type { Level, LevelRange } from '../../../src/store/disk/level.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'

const START = Date.UTC(2026, 0, 1)
const OWNERS = [undefined, 'ann', 'bob/%'] as const
const TYPES = ['a', 'b/c', 'parent', 'undoes', 'busy'] as const
/** Attributes of a task by a number: most have some. */
const attributesBy = (n: number) => ({
  colour: ['red', 'blue/%', null][n % 3],
  size: [1, 2, '1', undefined][n % 4],
  even: n % 2 === 0,
})
const WANTED: readonly NonNullable<ListOptions['attributes']>[] = [
  { colour: 'red' },
  { size: 1 },
  { size: '1' },
  { even: true, colour: 'red' },
  { size: 2, even: false },
  { even: true, size: 1 },
  { colour: 'blue/%', size: 'none' },
]
const STATUSES = ['pending', 'running', 'input_required', 'completed', 'failed', 'cancelled'] as const

/** Waits for the message that says how it ends. */
const ends = async (task: { receive: (name: string) => Promise<unknown> }) => {
  if ((await task.receive('end')) === 'fail') throw new Error('told to')
}
const tasks = [
  defineTask({ name: 'a' }, ends),
  defineTask({ name: 'b/c' }, async (task) => {
    await task.input('question', { message: '?' })
  }),
  defineTask({ name: 'parent' }, async (task) => {
    await Promise.all([task.child('a', null), task.child('b/c', null)]).catch(() => {})
    await ends(task)
  }),
  // One at a time, and it never ends by itself: the others are pending.
  defineTask({ name: 'busy', concurrency: 1 }, (task) => task.step('forever', () => new Promise(() => {}))),
  // Its clean-up does not end, so it stays in memory after it has settled.
  defineTask({ name: 'undoes', onCancel: () => new Promise(() => {}) }, ends),
]

class World {
  readonly clock = new ManualClock(START)
  readonly #disk = new MemoryDisk()
  holdfast!: Holdfast
  /** Every task that ever was, by ID. */
  readonly #known = new Set<string>()
  /** Number of the tasks of `startOneOfEach`, which are the first. No action changes them. */
  #fixed = 0

  async open(): Promise<void> {
    this.holdfast = await openInMemory({ disk: this.#disk, clock: this.clock, tasks, concurrency: 30 })
    this.holdfast.on('task:created', ({ taskId }) => this.#known.add(taskId))
    await untilIdle(this.holdfast)
  }

  /** Starts a task of each type for each owner, and brings them into every status there is. */
  async startOneOfEach(): Promise<void> {
    const { holdfast } = this
    let n = 0
    for (const type of TYPES) {
      for (const owner of OWNERS) await holdfast.start(type, null, { owner, attributes: attributesBy(n++) })
    }
    await untilIdle(holdfast)
    const [completes, fails, cancelled] = (await holdfast.list({ type: 'a' })).tasks
    await holdfast.send(completes?.taskId as string, 'end', 'complete')
    await holdfast.send(fails?.taskId as string, 'end', 'fail')
    await holdfast.cancel(cancelled?.taskId as string)
    await untilIdle(holdfast)
    this.#fixed = this.#known.size
  }

  async act({ kind, at, owner, type }: Action): Promise<void> {
    const { holdfast } = this
    const known = [...this.#known].slice(this.#fixed)
    const taskId = known[at % known.length] ?? 'task-none'
    const ignore = () => {}
    if (kind === 'start') {
      const ttl = at % 3 === 0 ? ('3m' as const) : undefined
      const options = { owner: OWNERS[owner], ttl, attributes: attributesBy(at) }
      await holdfast.start(TYPES[type] as string, null, options)
    } else if (kind === 'cancel') await holdfast.cancel(taskId).catch(ignore)
    else if (kind === 'end') await holdfast.send(taskId, 'end', at % 2 === 0 ? 'fail' : 'complete').catch(ignore)
    else if (kind === 'set') await holdfast.setAttributes(taskId, attributesBy(at)).catch(ignore)
    else if (kind === 'answer') await holdfast.respond(taskId, { question: 1 }).catch(ignore)
    else if (kind === 'wait') await this.clock.advance((at % 90) * 1_000)
    else {
      await holdfast.close({ grace: 0 })
      await this.open()
    }
    await untilIdle(this.holdfast)
  }

  /** Every task that is there, read by its ID, in order. */
  async all(): Promise<TaskView[]> {
    const views: TaskView[] = []
    for (const taskId of [...this.#known].sort()) {
      const view = await this.holdfast.get(taskId).catch(() => undefined)
      if (view) views.push(view)
    }
    return views
  }
}

interface Action {
  readonly kind: 'start' | 'cancel' | 'end' | 'set' | 'answer' | 'wait' | 'restart'
  readonly at: number
  readonly owner: number
  readonly type: number
}

const action = (kinds: readonly Action['kind'][]): fc.Arbitrary<Action> =>
  fc.record({
    kind: fc.constantFrom(...kinds),
    at: fc.nat(1_000),
    owner: fc.nat(OWNERS.length - 1),
    type: fc.nat(TYPES.length - 1),
  })
const MOST_START = ['start', 'start', 'start', 'end', 'cancel', 'set', 'answer', 'wait'] as const

/** The tasks that these options ask for, as anybody would find them. */
function asked(
  all: readonly TaskView[],
  { owner, status, type, parent, createdAfter, createdBefore, attributes = {}, order }: ListOptions,
) {
  const statuses = status === undefined ? STATUSES : ([status].flat() as TaskStatus[])
  const found = all.filter(
    (task) =>
      (owner === undefined || task.owner === owner) &&
      statuses.includes(task.status) &&
      (type === undefined || task.type === type) &&
      (parent === undefined || task.parentId === parent) &&
      (createdAfter === undefined || task.createdAt >= Number(createdAfter)) &&
      (createdBefore === undefined || task.createdAt < Number(createdBefore)) &&
      Object.entries(attributes).every(([name, value]) => task.attributes?.[name] === value),
  )
  return (order === 'newest' ? found.reverse() : found).map(({ taskId }) => taskId)
}

async function pagesOf(world: World, options: ListOptions, between = async (): Promise<void> => {}) {
  const found: string[] = []
  let cursor: string | undefined
  do {
    const page = await world.holdfast.list({ ...options, cursor })
    expect(page.tasks.length).toBeLessThanOrEqual(options.limit ?? 100)
    found.push(...page.tasks.map(({ taskId }) => taskId))
    cursor = page.cursor
    await between()
  } while (cursor !== undefined)
  return found
}

const optional = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined })
const someStatuses = fc.oneof(fc.constantFrom(...STATUSES), fc.subarray([...STATUSES]))
const instant = fc.nat(600).map((seconds) => new Date(START + seconds * 1_000))

describe('list', () => {
  const worlds: World[] = []
  afterAll(() => Promise.all(worlds.map(({ holdfast }) => holdfast.close({ grace: 0 }))))

  test('has what every combination of filters asks for', async () => {
    const seen = new Set<string | undefined>()
    const population = fc.array(action(MOST_START), { minLength: 60, maxLength: 90 })
    const values = fc.record({
      owner: fc.constantFrom('ann', 'bob/%'),
      status: someStatuses,
      type: fc.constantFrom(...TYPES),
      parent: fc.nat(1_000),
      createdAfter: instant,
      createdBefore: instant,
      attributes: fc.constantFrom(...WANTED),
    })
    const trial = fc.tuple(population, fc.array(values, { minLength: 8, maxLength: 8 }), fc.integer({ min: 1, max: 9 }))
    await fc.assert(
      fc.asyncProperty(trial, async ([actions, values, limit]) => {
        const world = new World()
        worlds.push(world)
        await world.open()
        await world.startOneOfEach()
        for (const one of actions) await world.act(one)
        const all = await world.all()
        for (const { status, owner, type, parentId } of all)
          seen
            .add(status)
            .add(owner)
            .add(type)
            .add(parentId && 'child')
        const parents = all.filter(({ type }) => type === 'parent')
        for (let combination = 0; combination < 256; combination++) {
          const has = (filter: number) => (combination & (1 << filter)) !== 0
          for (const value of values.slice(combination % 4, (combination % 4) + 2)) {
            const options: ListOptions = {
              owner: has(0) ? value.owner : undefined,
              status: has(1) ? value.status : undefined,
              type: has(2) ? value.type : undefined,
              parent: has(3) ? parents[value.parent % parents.length]?.taskId : undefined,
              createdAfter: has(4) ? value.createdAfter : undefined,
              createdBefore: has(5) ? value.createdBefore : undefined,
              attributes: has(7) ? value.attributes : undefined,
              order: has(6) ? 'newest' : 'oldest',
              limit,
            }
            expect(await pagesOf(world, options), JSON.stringify(options)).toEqual(asked(all, options))
          }
        }
      }),
      { numRuns: 4, endOnFailure: true },
    )
    expect([...seen]).toEqual(expect.arrayContaining([...STATUSES, ...OWNERS, ...TYPES, 'child']))
  })

  test('has each task once that fits all the time, and none that never fits, while tasks change between pages', async () => {
    const options = fc.record({
      owner: optional(fc.constantFrom('ann', 'bob/%')),
      status: optional(someStatuses),
      type: optional(fc.constantFrom(...TYPES)),
      attributes: optional(fc.constantFrom(...WANTED)),
      order: fc.constantFrom('oldest' as const, 'newest' as const),
      limit: fc.integer({ min: 1, max: 6 }),
    })
    const population = fc.array(action(MOST_START), { minLength: 30, maxLength: 60 })
    const changes = fc.array(action([...MOST_START, 'end', 'cancel', 'answer', 'wait', 'restart']), {
      minLength: 10,
      maxLength: 30,
    })
    await fc.assert(
      fc.asyncProperty(population, options, changes, async (actions, options, changes) => {
        const world = new World()
        worlds.push(world)
        await world.open()
        for (const one of actions) await world.act(one)
        const queue = [...changes]
        let fitting = asked(await world.all(), options)
        let always = new Set(fitting)
        const ever = new Set(fitting)
        const found = await pagesOf(world, options, async () => {
          const next = queue.shift()
          if (next) await world.act(next)
          fitting = asked(await world.all(), options)
          always = new Set(fitting.filter((taskId) => always.has(taskId)))
          for (const taskId of fitting) ever.add(taskId)
        })
        const sorted = [...new Set(found)].sort()
        expect(found).toEqual(options.order === 'newest' ? sorted.reverse() : sorted)
        expect([...always].filter((taskId) => !found.includes(taskId))).toEqual([])
        expect(found.filter((taskId) => !ever.has(taskId))).toEqual([])
      }),
      { numRuns: 25, endOnFailure: true },
    )
  })
})

/** A disk on which something happens before or after each range is read. */
class BusyDisk extends MemoryDisk {
  before = async (): Promise<void> => {}
  after = async (): Promise<void> => {}

  override async open(): Promise<Level> {
    const level = await super.open()
    const page = level.page.bind(level)
    return Object.assign(level, {
      page: async (range: LevelRange, size: number) => {
        await this.before()
        const found = await page(range, size)
        await this.after()
        return found
      },
    })
  }
}

test.each([
  ['before', 'completed'],
  ['after', 'running'],
] as const)('a task that settles right %s the disk is read is listed once, as %s', async (when, status) => {
  const disk = new BusyDisk()
  const holdfast = await openInMemory({ disk, tasks })
  const { taskId } = await holdfast.start('a', null, { owner: 'ann' })
  await untilIdle(holdfast)
  disk[when] = async () => {
    disk[when] = async () => {}
    await holdfast.send(taskId, 'end', 'complete')
    await holdfast.result(taskId)
  }
  const page = await holdfast.list({ owner: 'ann' })
  expect(page.tasks.map((task) => `${task.taskId} ${task.status}`)).toEqual([`${taskId} ${status}`])
  await holdfast.close()
})
