/**
 * Lists settled tasks, a page at a time, and merges them with the unfinished tasks that the caller found in memory.
 *
 * - The most selective index is read: by attribute, parent, owner or type, or of the failed or cancelled tasks. Without one
 *   of these filters, the heads under `done/` are. The other filters are compared with the entries.
 * - Of two attributes, both indexes are read, and each jumps to the next task that the other one has. After many entries of
 *   an attribute that other filters leave out, the index of those filters is looked at for the next task.
 * - A call reads a limited number of entries, in slices that each have an iterator of their own. So the event loop is
 *   not blocked, and no iterator is open while the database is compacted. The cursor names where the page ended.
 * - Memory is read before the disk. So a task that settles in between is found twice, and never missed.
 */
import type { TaskHead } from '../task/head.js'
import {
  type FoundTasks,
  idRangeOf,
  isListed,
  type ListQuery,
  type MergedPage,
  mergeFound,
} from '../task/list-query.js'
import {
  attributeIndexPrefix,
  childIndexPrefix,
  type IndexedStatus,
  idsUnder,
  ownerIndexPrefix,
  SETTLED_STATUSES,
  statusIndexPrefix,
  typeIndexPrefix,
} from './disk/index-keys.js'
import { DONE, doneKey, lastPart, taskKey, under } from './disk/layout.js'
import type { Level, LevelRange } from './disk/level.js'
import type { StoredEntry } from './disk/page.js'
import { after, beginningAt, JumpingReader, pages, type ReadBudget } from './disk/pages.js'
import { unsealJson } from './integrity/envelope.js'
import { decodeHead, decodeMoving } from './operations.js'
import type { AttributeEntry, ChildEntry, OwnerEntry } from './settled-index.js'

/** Limits of what is read in one turn of the event loop, about 1 to 2 ms, and by one call. */
export interface ListBounds {
  readonly entriesPerSlice: number
  readonly entriesPerCall: number
  readonly headsPerSlice: number
  readonly headsPerCall: number
}

export const LIST_BOUNDS: ListBounds = {
  entriesPerSlice: 500,
  entriesPerCall: 10_000,
  headsPerSlice: 100,
  headsPerCall: 2_000,
}

/** A task that was found: in memory with its head, on disk without. */
export interface FoundTask {
  readonly taskId: string
  readonly head?: TaskHead | undefined
}

/** Called with a task that is left out because a record of it is damaged. */
export type OnDamaged = (taskId: string, error: unknown) => void

/** A page of heads, and where the next one begins. */
export interface ListedHeads {
  readonly heads: readonly TaskHead[]
  readonly next: MergedPage<TaskHead>['next']
}

/**
 * One page of the list.
 * @param unfinished what was found in memory, before this was called
 */
export async function listHeads(
  level: Level,
  query: ListQuery,
  unfinished: readonly FoundTasks<FoundTask>[],
  onDamaged: OnDamaged,
  bounds: ListBounds = LIST_BOUNDS,
): Promise<ListedHeads> {
  const settled: FoundTasks<FoundTask>[] = []
  if (query.attributes) settled.push(await readAttributes(level, query, onDamaged, bounds))
  else for (const plan of plansOf(query, bounds)) settled.push(await readPlan(level, plan, query, onDamaged))
  const { tasks, next } = mergeFound([...settled, ...unfinished], query)
  return { heads: await headsOf(level, tasks, query, { onDamaged, bounds }), next }
}

/** A range to read. */
interface Plan {
  readonly prefix: string
  /** The task of an entry, if it is one that is asked for. @throws HoldfastError `RECORD_DAMAGED` */
  readonly take: (key: string, text: string) => FoundTask | undefined
  readonly perSlice: number
  readonly perCall: number
}

/** The ranges that together have every settled task that is asked for. */
function plansOf(query: ListQuery, bounds: ListBounds): Plan[] {
  const { parent, owner, type, statuses } = query
  const wanted = SETTLED_STATUSES.filter((status) => !statuses || statuses.includes(status))
  if (wanted.length === 0) return []
  const { entriesPerSlice: perSlice, entriesPerCall } = bounds
  // Each range has its share of what the call may read.
  const perCall = Math.max(1, Math.floor(entriesPerCall / wanted.length))
  const plan = (prefix: string, take: Plan['take'] = takeAll): Plan => ({ prefix, take, perSlice, perCall })
  if (parent !== undefined) {
    const take = (key: string, text: string) => takeChild(key, text, query)
    return [{ prefix: childIndexPrefix(parent), take, perSlice, perCall: entriesPerCall }]
  }
  if (owner !== undefined) {
    const take = type === undefined ? takeAll : (key: string, text: string) => takeOfType(key, text, type)
    return wanted.map((status) => plan(ownerIndexPrefix(owner, status), take))
  }
  if (type !== undefined) return wanted.map((status) => plan(typeIndexPrefix(type, status)))
  if (!wanted.includes('completed')) {
    return wanted.map((status) => plan(statusIndexPrefix(status as IndexedStatus)))
  }
  const take = (key: string, text: string) => takeHead(key, text, query)
  return [{ prefix: DONE, take, perSlice: bounds.headsPerSlice, perCall: bounds.headsPerCall }]
}

function takeAll(key: string): FoundTask {
  return { taskId: lastPart(key) }
}

function takeChild(key: string, text: string, { owner, type, statuses }: ListQuery): FoundTask | undefined {
  const [isStatus, isType, isOwner] = unsealJson<ChildEntry>(key, text)
  if (statuses && !statuses.includes(isStatus)) return undefined
  if ((type !== undefined && isType !== type) || (owner !== undefined && isOwner !== owner)) return undefined
  return takeAll(key)
}

function takeOfType(key: string, text: string, type: string): FoundTask | undefined {
  return unsealJson<OwnerEntry>(key, text)[0] === type ? takeAll(key) : undefined
}

function takeHead(key: string, text: string, { statuses }: ListQuery): FoundTask | undefined {
  const { isSweeping, status } = decodeMoving(key, text)
  return isSweeping || (statuses && !statuses.includes(status)) ? undefined : takeAll(key)
}

function takeOfAttribute(key: string, text: string, query: ListQuery): FoundTask | undefined {
  const [isStatus, isType, isOwner, isParent] = unsealJson<AttributeEntry>(key, text)
  const { owner, type, parent, statuses } = query
  if ((statuses && !statuses.includes(isStatus)) || (type !== undefined && isType !== type)) return undefined
  if ((owner !== undefined && isOwner !== owner) || (parent !== undefined && isParent !== parent)) return undefined
  return takeAll(key)
}

// Entries in a row that other filters leave out, before their own index is looked at.
const LEFT_OUT_MAX = 64

/** Reads the indexes of attributes until one task more than a page was found, or until as much was read as a call may. */
async function readAttributes(
  level: Level,
  query: ListQuery,
  onDamaged: OnDamaged,
  bounds: ListBounds,
): Promise<FoundTasks<FoundTask>> {
  const { attributes = [], order, limit } = query
  const budget: ReadBudget = { left: bounds.entriesPerCall }
  const { entriesPerSlice } = bounds
  const [first, second] = attributes.map(
    ([name, value], index) =>
      new IndexReader(level, attributeIndexPrefix(name, value), index === 0, limit + 1, entriesPerSlice, budget),
  )
  // Without another filter, the plan is to read all heads, which are no index.
  const others = plansOf({ ...query, attributes: undefined }, bounds)
    .filter(({ prefix }) => prefix !== DONE)
    .map(({ prefix }) => new IndexReader(level, prefix, false, 1, entriesPerSlice, budget))
  const tasks: FoundTask[] = []
  let rest: IdRangeLeft = { ...idRangeOf(query), reverse: order === 'newest' }
  let last: string | undefined
  let leftOut = 0
  // A call looks at one task at least, so that a list always ends.
  while (first && (budget.left > 0 || last === undefined)) {
    const entry = await first.next(rest)
    if (!entry) return { tasks, upTo: undefined }
    const [key, text] = entry
    const taskId = lastPart(key)
    rest = beginningAt(rest, taskId)
    const other = second ? await second.next(rest) : entry
    if (!other) return { tasks, upTo: undefined }
    last = taskId
    rest = after(rest, taskId)
    if (lastPart(other[0]) !== taskId) {
      rest = beginningAt(rest, lastPart(other[0]))
      continue
    }
    leftOut++
    try {
      const task = takeOfAttribute(key, text, query)
      if (task) {
        tasks.push(task)
        leftOut = 0
      }
    } catch (error) {
      onDamaged(taskId, error)
    }
    if (tasks.length > limit) break
    if (leftOut < LEFT_OUT_MAX || others.length === 0) continue
    leftOut = 0
    const next = await earliest(others, rest)
    if (next === undefined) return { tasks, upTo: undefined }
    rest = beginningAt(rest, next)
  }
  return { tasks, upTo: last }
}

/** The first task that one of the indexes has. */
async function earliest(readers: readonly IndexReader[], rest: IdRangeLeft): Promise<string | undefined> {
  const ids: string[] = []
  for (const reader of readers) {
    const entry = await reader.next(rest)
    if (entry) ids.push(lastPart(entry[0]))
  }
  ids.sort()
  return rest.reverse ? ids.at(-1) : ids[0]
}

/** The rest of the IDs of a list, and its direction. */
interface IdRangeLeft extends LevelRange {
  readonly reverse: boolean
}

/** Reads an index whose keys end in task IDs. */
class IndexReader {
  readonly #reader: JumpingReader

  constructor(
    level: Level,
    private readonly prefix: string,
    private readonly values: boolean,
    firstMax: number,
    pageMax: number,
    budget: ReadBudget,
  ) {
    this.#reader = new JumpingReader(level, budget, pageMax, firstMax)
  }

  /** The entry of the first task of the rest. */
  next(rest: IdRangeLeft): Promise<StoredEntry | undefined> {
    return this.#reader.first({ ...idsUnder(this.prefix, rest), reverse: rest.reverse, values: this.values })
  }
}

/** Reads a range until one task more than a page was found, or until as much was read as a call may. */
async function readPlan(
  level: Level,
  { prefix, take, perSlice, perCall }: Plan,
  query: ListQuery,
  onDamaged: OnDamaged,
): Promise<FoundTasks<FoundTask>> {
  const { order, limit } = query
  const tasks: FoundTask[] = []
  const range = idsUnder(prefix, idRangeOf(query))
  let left = perCall
  let last = ''
  const first = Math.min(perSlice, limit + 1)
  for await (const page of pages(level, { ...range, reverse: order === 'newest', limit: left }, perSlice, first)) {
    for (const [key, text] of page) {
      last = lastPart(key)
      try {
        const task = take(key, text)
        if (task) tasks.push(task)
      } catch (error) {
        onDamaged(last, error)
      }
      if (tasks.length > limit) return { tasks, upTo: last }
    }
    left -= page.length
  }
  return { tasks, upTo: left > 0 ? undefined : last }
}

/** The heads of a page, in slices. A task that was deleted meanwhile is left out. */
async function headsOf(
  level: Level,
  tasks: readonly FoundTask[],
  query: ListQuery,
  { onDamaged, bounds: { headsPerSlice } }: { readonly onDamaged: OnDamaged; readonly bounds: ListBounds },
): Promise<TaskHead[]> {
  const heads: TaskHead[] = []
  for (let at = 0; at < tasks.length; at += headsPerSlice) {
    const few = tasks.slice(at, at + headsPerSlice)
    const read = few.filter(({ head }) => !head).map(({ taskId }) => taskId)
    // One call reads one state of the database.
    const texts =
      read.length === 0 ? [] : await level.getMany(read.flatMap((taskId) => [taskKey(taskId), doneKey(taskId)]))
    for (const { taskId, head: found } of few) {
      const [fixed, done] = found ? [] : texts.splice(0, 2)
      try {
        const head = found ?? (done === undefined ? undefined : decodeHead(doneKey(taskId), done, fixed))
        if (head && isListed(head, query)) heads.push(head)
      } catch (error) {
        onDamaged(taskId, error)
      }
    }
  }
  return heads
}

/** Bytes that each settled task of an owner keeps, by ID. */
export async function readSettledOf(level: Level, owner: string): Promise<Map<string, number>> {
  const bytes = new Map<string, number>()
  for (const status of SETTLED_STATUSES) {
    for await (const page of pages(level, under(ownerIndexPrefix(owner, status)))) {
      for (const [key, text] of page) {
        try {
          bytes.set(lastPart(key), unsealJson<OwnerEntry>(key, text)[1])
        } catch {
          // A damaged entry counts nothing.
        }
      }
    }
  }
  return bytes
}
