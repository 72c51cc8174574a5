// Goal: a page costs the same however many tasks have settled. What a call reads, and what it does in one turn of the event loop, has
// a bound.
// Method: keys read are counted on a disk in memory that is filled without an engine.
import { describe, expect, test } from 'vitest'
import { listLive } from '../../../src/api/live-list.js'
import { createIds } from '../../../src/base/ids.js'
import { LiveTask } from '../../../src/engine/core/live-task.js'
import { LiveTasks } from '../../../src/engine/core/live-tasks.js'
import type { Holdfast, ListOptions } from '../../../src/index.js'
import type { Level, LevelRange } from '../../../src/store/disk/level.js'
import { LIST_BOUNDS, type ListBounds, listHeads } from '../../../src/store/list.js'
import { toWrites } from '../../../src/store/operations.js'
import type { TaskAttributes } from '../../../src/task/attributes.js'
import { createSettled, createTask } from '../../../src/task/decisions/create.js'
import type { TaskHead } from '../../../src/task/head.js'
import type { ListQuery } from '../../../src/task/list-query.js'
import type { Outcome } from '../../../src/task/log/outcome.js'
import { MemoryDisk, openInMemory } from '../../../src/testing/index.js'

const START = Date.UTC(2026, 0, 1)
const PARENT = `task-${'0'.repeat(36)}`
const OUTCOMES: readonly Outcome[] = [
  { kind: 'result', result: 1 },
  { kind: 'error', error: { name: 'Error', message: 'no' } },
  { kind: 'cancelled', reason: 'enough' },
]

/** A disk that counts what is read from it. */
class CountingDisk extends MemoryDisk {
  /** How many keys each call read, and how many of each kind. */
  reads: number[] = []
  kinds = new Map<string, number>()

  override async open(): Promise<Level> {
    const level = await super.open()
    const [page, getMany, get] = [level.page.bind(level), level.getMany.bind(level), level.get.bind(level)]
    const note = (keys: readonly string[]) => {
      this.reads.push(keys.length)
      for (const key of keys) {
        const kind = key.split('/')[0] as string
        this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1)
      }
    }
    return Object.assign(level, {
      page: async (range: LevelRange, size: number) => {
        const found = await page(range, size)
        note(found.map(([key]) => key))
        return found
      },
      getMany: (keys: string[]) => {
        note(keys)
        return getMany(keys)
      },
      get: (key: string) => {
        note([key])
        return get(key)
      },
    })
  }

  /** Settled tasks, one a second: of two owners, two types and three outcomes, most of them children. Every twenty are alike. */
  fill(count: number, { owner, type = 'a', outcomes = OUTCOMES, attributes }: Filled = {}): void {
    const ids = createIds()
    for (let n = 0; n < count; n++) {
      const at = START + n * 1_000
      const about = { seed: ids.seed(), kind: 'body', durability: 'synced', startNow: false, by: 'test' } as const
      const created = createTask(
        {
          ...about,
          taskId: ids.taskId(at),
          owner: owner ?? ['ann', 'bob'][n % 2],
          type: n % 20 < 10 ? type : 'b',
          parentId: n % 4 < 3 ? PARENT : undefined,
          attributes: attributes?.(n) ?? { even: n % 2 === 0, fifth: n % 5, customer: `c${n % 40}` },
        },
        at,
      )
      const outcome = outcomes[(Math.floor(n / 2) % 5) % outcomes.length] as Outcome
      const settle = { kind: 'settle', outcome, retentionMs: 1, onCancel: false, by: 'test' } as const
      for (const { key, value } of toWrites(createSettled(created, settle, at)).operations) {
        // What a list reads, and nothing else: the values of 20,000 tasks take a while to write.
        if (value !== undefined && /^(task|done|ix)\//.test(key)) this.damage(key, value)
      }
    }
  }
}

interface Filled {
  readonly owner?: string
  readonly type?: string
  readonly outcomes?: readonly Outcome[]
  readonly attributes?: (n: number) => TaskAttributes
}

async function opened(count: number, filled?: Filled): Promise<{ disk: CountingDisk; holdfast: Holdfast }> {
  const disk = new CountingDisk()
  disk.fill(count, filled)
  return { disk, holdfast: await openInMemory({ disk }) }
}

/** What a call reads. */
async function reading(disk: CountingDisk, list: () => Promise<unknown>): Promise<number[]> {
  disk.reads = []
  await list()
  return disk.reads
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)

describe('the first page', () => {
  const filters: ListOptions[] = [
    {},
    { owner: 'ann' },
    { type: 'a' },
    { owner: 'bob', type: 'b' },
    { status: 'completed' },
    { status: 'failed' },
    { status: 'cancelled' },
    { status: ['failed', 'running'] },
    { status: ['failed', 'cancelled'] },
    { owner: 'ann', status: 'failed' },
    { owner: 'ann', status: ['completed', 'failed'], type: 'a' },
    { type: 'b', status: 'completed' },
    { parent: PARENT },
    { parent: PARENT, owner: 'ann', type: 'a', status: 'completed' },
    { createdAfter: START + 20_000 },
    { createdAfter: START + 10_000, owner: 'ann' },
    { createdAfter: START + 5_000, createdBefore: START + 90_000, type: 'a' },
    { type: 'none' },
    { owner: 'none' },
    { parent: `task-${'1'.repeat(36)}` },
  ]

  test('reads as many keys of 20,000 settled tasks as of 100, whatever the filters and the order', async () => {
    const [few, many] = [await opened(100), await opened(20_000)]
    for (const order of ['oldest', 'newest'] as const) {
      for (const filter of filters) {
        const options = { ...filter, order, limit: 2 }
        const counts = [few, many].map(async ({ disk, holdfast }) =>
          sum(await reading(disk, () => holdfast.list(options))),
        )
        const [ofFew, ofMany] = await Promise.all(counts)
        expect(ofMany, JSON.stringify(options)).toBe(ofFew)
        expect(ofMany, JSON.stringify(options)).toBeLessThanOrEqual(70)
      }
    }
    await Promise.all([few, many].map(({ holdfast }) => holdfast.close()))
  })

  test('by attributes reads few keys of 20,000 settled tasks', async () => {
    const { disk, holdfast } = await opened(20_000)
    const lists: ListOptions[] = [
      { attributes: { even: true } },
      { attributes: { even: true, fifth: 2 } },
      { attributes: { even: true, fifth: 0 }, owner: 'ann', type: 'a' },
      { attributes: { fifth: 1 }, parent: PARENT, status: 'completed' },
      { attributes: { fifth: 1, even: 'true' } },
    ]
    for (const order of ['oldest', 'newest'] as const) {
      for (const filter of lists) {
        const options = { ...filter, order, limit: 2 }
        const keys = sum(await reading(disk, () => holdfast.list(options)))
        expect(keys, JSON.stringify(options)).toBeLessThanOrEqual(100)
      }
    }
    await holdfast.close()
  })

  test('reads no other heads than those of its tasks, where the index answers', async () => {
    const { disk, holdfast } = await opened(1_000)
    for (const filter of [{ owner: 'ann' }, { type: 'a' }, { status: 'failed' }, { parent: PARENT }] as const) {
      disk.kinds = new Map()
      const page = await holdfast.list({ ...filter, limit: 10 })
      expect(page.tasks).toHaveLength(10)
      const { ix, ...heads } = Object.fromEntries(disk.kinds)
      expect(ix).toBeGreaterThanOrEqual(11)
      expect(new Set(Object.values(heads)), JSON.stringify(heads)).toEqual(new Set([10]))
    }
    await holdfast.close()
  })
})

describe('two attributes', () => {
  test('that no task has both take little to find out, where the tasks of one follow those of the other', async () => {
    const attributes = (n: number): TaskAttributes => (n < 5_000 ? { old: true } : { young: true })
    const { disk, holdfast } = await opened(10_000, { attributes })
    for (const order of ['oldest', 'newest'] as const) {
      const reads = await reading(disk, async () => {
        const page = await holdfast.list({ attributes: { old: true, young: true }, order })
        expect(page).toEqual({ tasks: [], cursor: undefined })
      })
      expect(sum(reads)).toBeLessThan(300)
    }
    await holdfast.close()
  })

  test('that many tasks have, and none has both, take several calls that end, each of a limited number of entries', async () => {
    const { disk, holdfast } = await opened(12_000, { attributes: (n) => ({ [n % 2 === 0 ? 'a' : 'b']: 1 }) })
    let calls = 0
    let cursor: string | undefined
    do {
      const reads = await reading(disk, async () => {
        const page = await holdfast.list({ attributes: { a: 1, b: 1 }, cursor })
        expect(page.tasks).toEqual([])
        cursor = page.cursor
      })
      expect(Math.max(...reads)).toBeLessThanOrEqual(LIST_BOUNDS.entriesPerSlice)
      expect(sum(reads)).toBeLessThanOrEqual(LIST_BOUNDS.entriesPerCall + 3 * LIST_BOUNDS.entriesPerSlice)
      calls++
    } while (cursor !== undefined)
    expect(calls).toBeGreaterThan(1)
    expect(calls).toBeLessThan(4)
    await holdfast.close()
  })

  test('of an owner with few tasks are found by the index of the owner, among many tasks of others', async () => {
    const disk = new CountingDisk()
    const attributes = () => ({ region: 'eu' })
    disk.fill(6_000, { owner: 'ann', attributes })
    disk.fill(3, { owner: 'bob', attributes })
    const holdfast = await openInMemory({ disk })
    const found: string[] = []
    const reads = await reading(disk, async () => {
      const page = await holdfast.list({ attributes: { region: 'eu' }, owner: 'bob' })
      expect(page.cursor).toBeUndefined()
      found.push(...page.tasks.map(({ owner }) => `${owner}`))
    })
    expect(found).toEqual(['bob', 'bob', 'bob'])
    expect(sum(reads)).toBeLessThan(600)
    await holdfast.close()
  })

  test('are found in entries of which one is damaged, without its task', async () => {
    const { disk, holdfast } = await opened(20, { attributes: () => ({ a: 1 }) })
    const key = [...disk.content.keys()].filter((each) => each.startsWith('ix/a/'))[7] as string
    disk.damage(key, 'rot')
    const { tasks } = await holdfast.list({ attributes: { a: 1 } })
    expect(tasks).toHaveLength(19)
    await holdfast.close()
  })
})

describe('a call', () => {
  test('reads a limited number of entries where no entry fits, and the calls after it come to an end', async () => {
    const { disk, holdfast } = await opened(12_000, { owner: 'ann', outcomes: [{ kind: 'result' }] })
    const calls: number[] = []
    let cursor: string | undefined
    do {
      const reads = await reading(disk, async () => {
        const page = await holdfast.list({ owner: 'ann', type: 'none', status: 'completed', cursor })
        expect(page.tasks).toEqual([])
        cursor = page.cursor
      })
      expect(Math.max(...reads)).toBeLessThanOrEqual(LIST_BOUNDS.entriesPerSlice)
      calls.push(sum(reads))
    } while (cursor !== undefined)
    expect(calls).toEqual([10_000, 2_000])
    await holdfast.close()
  })

  test('reads a limited number of heads where those are compared', async () => {
    const { disk, holdfast } = await opened(3_000, { outcomes: OUTCOMES.slice(1) })
    const calls: number[] = []
    let cursor: string | undefined
    do {
      const reads = await reading(disk, async () => {
        const page = await holdfast.list({ status: ['completed', 'running'], order: 'newest', cursor })
        expect(page.tasks).toEqual([])
        cursor = page.cursor
      })
      // Both parts of a head are read for the tasks of the page.
      expect(Math.max(...reads)).toBeLessThanOrEqual(LIST_BOUNDS.headsPerSlice)
      calls.push(sum(reads))
    } while (cursor !== undefined)
    expect(calls).toEqual([2_000, 1_000])
    await holdfast.close()
  })

  test('reads the heads of a large page in slices', async () => {
    const { disk, holdfast } = await opened(3_000)
    const reads = await reading(disk, async () => {
      expect((await holdfast.list({ owner: 'ann', limit: 1_000 })).tasks).toHaveLength(1_000)
    })
    expect(Math.max(...reads)).toBeLessThanOrEqual(LIST_BOUNDS.entriesPerSlice)
    await holdfast.close()
  })

  test('has pages that together have every task, however little each of them may read', async () => {
    const disk = new CountingDisk()
    disk.fill(60)
    const level = await disk.open()
    const bounds: ListBounds = { entriesPerSlice: 2, entriesPerCall: 9, headsPerSlice: 3, headsPerCall: 7 }
    const all = await listHeads(level, { order: 'oldest', limit: 1_000 }, [], failing)
    const filters: Omit<ListQuery, 'order' | 'limit'>[] = [
      {},
      { owner: 'ann', type: 'a' },
      { statuses: ['completed'] },
      { statuses: ['failed', 'cancelled'] },
      { parent: PARENT, type: 'b' },
      { type: 'a' },
    ]
    for (const order of ['oldest', 'newest'] as const) {
      for (const filter of filters) {
        const found: TaskHead[] = []
        let empty = 0
        for (let after: string | undefined; ; ) {
          const { heads, next } = await listHeads(level, { ...filter, order, limit: 4, after }, [], failing, bounds)
          found.push(...heads)
          if (heads.length === 0) empty++
          if (!next) break
          after = next.after
        }
        const { owner, type, statuses, parent } = filter
        const fits = all.heads.filter(
          (head) =>
            (!owner || head.owner === owner) &&
            (!type || head.type === type) &&
            (!statuses || statuses.includes(head.status)) &&
            (!parent || head.parentId === parent),
        )
        expect(found, JSON.stringify(filter)).toEqual(order === 'oldest' ? fits : fits.reverse())
        expect(empty, JSON.stringify(filter)).toBeLessThan(20)
      }
    }
  })

  test('looks at a limited number of tasks in memory, and lets others run in between', async () => {
    const tasks = new LiveTasks({ note() {}, leave() {} } as never)
    const ids = createIds()
    const about = {
      taskId: '',
      seed: '',
      type: '',
      kind: 'body',
      durability: 'synced',
      startNow: true,
      by: 'test',
    } as const
    const { head } = createTask(about, START)
    for (let n = 0; n < 260; n++) {
      const [owner, type] = n % 2 === 0 ? ['ann', 'a'] : ['bob', 'b']
      const taskId = ids.taskId(START)
      tasks.set(taskId, new LiveTask({ ...head, taskId, owner, type }))
    }
    const bounds = { tasksPerSlice: 10, tasksPerCall: 100 }
    const query: ListQuery = { owner: 'ann', type: 'b', order: 'oldest', limit: 5 }
    let turns = 0
    let isOver = false
    const countTurns = () => {
      turns++
      if (!isOver) setImmediate(countTurns)
    }
    setImmediate(countTurns)
    const [first] = await listLive(tasks, query, bounds)
    isOver = true
    expect(turns).toBeGreaterThanOrEqual(9)
    expect(first?.tasks).toEqual([])
    const [second] = await listLive(tasks, { ...query, after: first?.upTo }, bounds)
    expect(second).toEqual({ tasks: [], upTo: undefined })

    const missing = await listLive(tasks, { owner: 'none', order: 'oldest', limit: 5 }, bounds)
    expect(missing).toEqual([{ tasks: [], upTo: undefined }])
    const some = await listLive(
      tasks,
      { statuses: ['running', 'failed'], type: 'b', order: 'newest', limit: 5 },
      bounds,
    )
    expect(some.flatMap(({ tasks }) => tasks)).toHaveLength(6)
  })
})

function failing(_: string, error: unknown): never {
  throw error
}

describe('a cursor', () => {
  test('of other options is refused with INVALID_CURSOR, and one of another limit is not', async () => {
    const { holdfast } = await opened(40)
    const options: ListOptions = {
      owner: 'ann',
      status: ['failed', 'completed'],
      type: 'a',
      createdAfter: START,
      createdBefore: new Date(START + 3_600_000),
      limit: 2,
    }
    const { tasks, cursor } = await holdfast.list(options)
    expect(tasks).toHaveLength(2)
    const same: ListOptions = { ...options, status: ['completed', 'failed', 'failed'], createdAfter: new Date(START) }
    expect((await holdfast.list({ ...same, limit: 3, cursor })).tasks).toHaveLength(3)
    const others: ListOptions[] = [
      { owner: 'bob' },
      { owner: undefined },
      { status: 'failed' },
      { status: undefined },
      { type: 'b' },
      { parent: PARENT },
      { attributes: { even: true } },
      { createdAfter: START + 1 },
      { createdBefore: undefined },
      { order: 'newest' },
    ]
    for (const other of others) {
      const refused = holdfast.list({ ...options, ...other, cursor })
      await expect(refused, JSON.stringify(other)).rejects.toMatchObject({
        code: 'INVALID_CURSOR',
        message: expect.stringContaining('other options'),
      })
    }
    await expect(holdfast.forOwner('bob').list({ ...options, cursor })).rejects.toMatchObject({
      code: 'INVALID_CURSOR',
    })
    await holdfast.close()
  })

  test('has the whole ID of a task only if the page before lists that task', async () => {
    const { holdfast } = await opened(10_100, { owner: 'ann', outcomes: [{ kind: 'result' }] })
    const decoded = async (options: ListOptions) => {
      const { tasks, cursor } = await holdfast.list({ owner: 'ann', status: 'completed', ...options })
      return { last: tasks.at(-1)?.taskId, text: Buffer.from(cursor as string, 'base64url').toString() }
    }
    const listed = await decoded({ limit: 5 })
    expect(listed.text).toContain(listed.last)
    const passedOver = await decoded({ type: 'none' })
    expect(passedOver.text).toMatch(/ task-[0-9A-Z]{12}$/)
    await holdfast.close()
  })
})

test('an owner lists no other owner’s tasks, also not as the children of a task', async () => {
  const { holdfast } = await opened(60)
  const ann = holdfast.forOwner('ann')
  for (const options of [{}, { parent: PARENT }, { type: 'a' }, { status: 'failed' }] as const) {
    const { tasks } = await ann.list(options)
    expect(tasks.length).toBeGreaterThan(0)
    expect(new Set(tasks.map(({ owner }) => owner))).toEqual(new Set(['ann']))
  }
  await holdfast.close()
})
