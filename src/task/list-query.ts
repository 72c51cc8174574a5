/**
 * The query of a list, and the merge of tasks from several places into one page. Pure.
 *
 * list-1. Tasks are in the order of their IDs, which is the order of their creation (ids-1). So a bound on the time of
 *   creation is a bound on the ID, and a page continues after an ID.
 * list-2. A place that was not read to its end names the last ID that was looked at. The page ends there, since tasks
 *   after it may be missing.
 * list-3. If two places have the same task, the first place counts. Settled tasks come first: a settled task never
 *   changes again.
 */
import { firstTaskIdAt } from '../base/ids.js'
import { hasAttributes, type WantedAttribute } from './attributes.js'
import { attributesOf, type TaskHead, type TaskStatus } from './head.js'

/** `oldest`: the task that was created first comes first; `newest`: the one that was created last. */
export type ListOrder = 'oldest' | 'newest'

/** Which tasks to list; what is `undefined` excludes none. */
export interface ListFilter {
  readonly owner?: string | undefined
  readonly statuses?: readonly TaskStatus[] | undefined
  readonly type?: string | undefined
  /** ID of the task that started them as its children. */
  readonly parent?: string | undefined
  /** Created at this instant or later, and before that one; by the time in their IDs. */
  readonly createdAfter?: number | undefined
  readonly createdBefore?: number | undefined
  /** One or two attributes that they have, in the order of the names. */
  readonly attributes?: readonly WantedAttribute[] | undefined
}

/** One page of a list. */
export interface ListQuery extends ListFilter {
  readonly order: ListOrder
  /** The ID that the page before ended with, or the beginning of IDs that it was read to. */
  readonly after?: string | undefined
  readonly limit: number
}

/** Task IDs from `gte` up to, and without, `lt`. */
export interface IdRange {
  readonly gte: string
  readonly lt: string
}

const FIRST_ID = 'task-'
// The character after `-`: sorts after every task ID.
const AFTER_LAST_ID = 'task.'
// Sorts after every character of an ID.
const AFTER_ID = '~'

/** The IDs of the tasks that a page may hold, by the creation times and by the page before. */
export function idRangeOf({ createdAfter, createdBefore, order, after }: ListQuery): IdRange {
  const gte = createdAfter === undefined ? FIRST_ID : firstTaskIdAt(createdAfter)
  const lt = createdBefore === undefined ? AFTER_LAST_ID : firstTaskIdAt(createdBefore)
  return after === undefined ? { gte, lt } : rangeAfter({ gte, lt }, order, after)
}

/** The part of a range behind an ID, or behind all IDs that begin with `after`. */
export function rangeAfter({ gte, lt }: IdRange, order: ListOrder, after: string): IdRange {
  if (order === 'newest') return { gte, lt: after < lt ? after : lt }
  const next = `${after}${AFTER_ID}`
  return { gte: next > gte ? next : gte, lt }
}

/** True if the task of this head is one that is asked for. Its ID is not compared: see `idRangeOf`. */
export function isListed(head: TaskHead, { owner, statuses, type, parent, attributes }: ListFilter): boolean {
  return (
    (owner === undefined || head.owner === owner) &&
    (statuses === undefined || statuses.includes(head.status)) &&
    (type === undefined || head.type === type) &&
    (parent === undefined || head.parentId === parent) &&
    (attributes === undefined || hasAttributes(attributesOf(head), attributes)) &&
    !head.sweeping
  )
}

/** Tasks that one place has, in the order of the query. */
export interface FoundTasks<T> {
  readonly tasks: readonly T[]
  /** The last ID that was looked at; `undefined` if all were. Tasks behind it may be missing. */
  readonly upTo: string | undefined
}

/** One page, and after which ID the next one begins; `undefined` after the last one. */
export interface MergedPage<T> {
  readonly tasks: T[]
  readonly next: { readonly after: string; readonly isListed: boolean } | undefined
}

/** Merges what was found into one page (list-2, list-3). */
export function mergeFound<T extends { readonly taskId: string }>(
  places: readonly FoundTasks<T>[],
  { order, limit }: Pick<ListQuery, 'order' | 'limit'>,
): MergedPage<T> {
  const isBefore = (one: string, other: string) => (order === 'oldest' ? one < other : one > other)
  let upTo: string | undefined
  for (const place of places) {
    if (place.upTo !== undefined && (upTo === undefined || isBefore(place.upTo, upTo))) upTo = place.upTo
  }
  const byId = new Map<string, T>()
  for (const { tasks } of places) {
    for (const task of tasks) {
      if (upTo !== undefined && isBefore(upTo, task.taskId)) break
      if (!byId.has(task.taskId)) byId.set(task.taskId, task)
    }
  }
  const all = [...byId.values()].sort((one, other) => (isBefore(one.taskId, other.taskId) ? -1 : 1))
  const tasks = all.slice(0, limit)
  const last = all.length > limit ? tasks.at(-1) : undefined
  if (last) return { tasks, next: { after: last.taskId, isListed: true } }
  return { tasks, next: upTo === undefined ? undefined : { after: upTo, isListed: false } }
}
