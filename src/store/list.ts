/**
 * Lists settled tasks, a page at a time, and merges them with the unfinished tasks that the caller found in memory.
 *
 * - The most selective index is read: by parent, owner or type, or of the failed or cancelled tasks. Without one of
 *   these filters, the heads under `done/` are. The other filters are compared with the entries.
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
  childIndexPrefix,
  type IndexedStatus,
  idsUnder,
  ownerIndexPrefix,
  SETTLED_STATUSES,
  statusIndexPrefix,
  typeIndexPrefix,
} from './disk/index-keys.js'
import { DONE, doneKey, lastPart, taskKey, under } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { pages } from './disk/pages.js'
import { unsealJson } from './integrity/envelope.js'
import { decodeHead, decodeMoving } from './operations.js'
import type { ChildEntry, OwnerEntry } from './settled-index.js'

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
  for (const plan of plansOf(query, bounds)) settled.push(await readPlan(level, plan, query, onDamaged))
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
