/** Lists tasks for a caller: checks the options, and merges the tasks in memory with the settled ones on disk. */
import { instantOf } from '../base/duration.js'
import { checkOptionsOf, expected, type Names, oneOf } from '../base/expected.js'
import { faultOf } from '../base/fault.js'
import { checkLimit, checkStatuses, isTaskId } from '../engine/checks/arguments.js'
import { checkOwner } from '../engine/checks/call-options.js'
import { decodeCursor, encodeCursor } from '../engine/checks/cursor.js'
import type { Engine } from '../engine/core/engine.js'
import { listHeads } from '../store/list.js'
import { type AttributeValue, checkWanted } from '../task/attributes.js'
import { isSettled, type TaskHead, type TaskStatus } from '../task/head.js'
import { type ListFilter, type ListOrder, type ListQuery, type MergedPage, mergeFound } from '../task/list-query.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import { listLive } from './live-list.js'
import { type TaskView, viewOf } from './task-view.js'

/** The options of `list`. */
export interface ListOptions {
  /**
   * Owner whose tasks are listed.
   * @default tasks of every owner, and of none
   */
  readonly owner?: string | undefined
  /**
   * One status, or several.
   * @default every status
   */
  readonly status?: TaskStatus | readonly TaskStatus[] | undefined
  /**
   * Name of the definition, or the type of a session task.
   * @default every type
   */
  readonly type?: string | undefined
  /**
   * ID of a task: its children are listed.
   * @default children of every task, and tasks that are no children
   */
  readonly parent?: string | undefined
  /**
   * Tasks created at this instant or later: a `Date`, or milliseconds since the epoch. The time in the task ID is
   * compared. It is `createdAt`, or later than that if the clock had been set back before the task was created.
   * @default no bound
   */
  readonly createdAfter?: Date | number | undefined
  /**
   * Tasks created before this instant, compared in the same way. The instant itself is excluded, so that two ranges
   * with a common bound have no task in common.
   * @default no bound
   */
  readonly createdBefore?: Date | number | undefined
  /**
   * One or two attributes that the tasks have, such as `{ customer: 'a-17' }`. `3` and `'3'` are different values.
   * @default tasks with any attributes, and with none
   */
  readonly attributes?: Readonly<Record<string, AttributeValue>> | undefined
  /**
   * Order of the tasks by creation: the oldest one first, or the newest one.
   * @default 'oldest'
   */
  readonly order?: ListOrder | undefined
  /**
   * Number of tasks of a page at most, from 1 to 1,000.
   * @default 100
   */
  readonly limit?: number | undefined
  /**
   * The `cursor` of the previous page. Every other option has to be as it was for that page, except `limit`.
   * @default the first page
   */
  readonly cursor?: string | undefined
}

/**
 * A page of tasks, in the order of their creation. A page may have fewer tasks than `limit`, or none, although there are
 * more: a call looks at a limited number of tasks. The last page is the one without a `cursor`.
 */
export interface TaskPage {
  readonly tasks: readonly TaskView[]
  /** Cursor of the next page; `undefined` on the last one. */
  readonly cursor: string | undefined
}

const LIST_LIMIT_MAX = 1_000

/** Names of the options. */
export const LIST_OPTIONS: Names<ListOptions> = {
  owner: true,
  status: true,
  type: true,
  parent: true,
  createdAfter: true,
  createdBefore: true,
  attributes: true,
  order: true,
  limit: true,
  cursor: true,
}

/**
 * Reads a page of tasks.
 * @throws HoldfastError `INVALID_CURSOR`
 */
export async function listTasks(engine: Engine, options: ListOptions): Promise<TaskPage> {
  const { query, filter } = checkList(options)
  const { store, logger, tasks } = engine
  if (engine.isClosed) engine.assertOpen()
  // Every unfinished task is in memory. Memory is read first: a task that settles meanwhile is then on disk.
  const unfinished = await listLive(tasks, query)
  const onDamaged = (taskId: string, error: unknown) =>
    logger.warn('A task is left out of a list: a record of it is damaged', { taskId, error: faultOf(error) })
  const { heads, next } = query.statuses?.every((status) => !isSettled(status))
    ? listed(mergeFound(unfinished, query))
    : await store.read((level) => listHeads(level, query, unfinished, onDamaged))
  return {
    tasks: heads.map((head) => viewOf(head, tasks.get(head.taskId))),
    cursor: next && encodeCursor(next, filter, query.order),
  }
}

function listed({ tasks, next }: MergedPage<{ readonly taskId: string; readonly head: TaskHead }>) {
  return { heads: tasks.map(({ head }) => head), next }
}

/** @throws TypeError naming the option; HoldfastError `INVALID_CURSOR` */
function checkList(options: ListOptions): { query: ListQuery; filter: ListFilter } {
  checkOptionsOf('list', options, LIST_OPTIONS)
  const { owner, status, type, parent, createdAfter, createdBefore, attributes } = options
  const { order = 'oldest', limit = 100, cursor } = options
  checkOwner(owner)
  if (type !== undefined) checkName(type, 'type', NAME_BYTES_MAX.type)
  if (parent !== undefined && !isTaskId(parent)) throw expected('parent', 'the ID of a task', parent)
  oneOf('order', order, ['oldest', 'newest'])
  checkLimit(limit, LIST_LIMIT_MAX)
  const filter: ListFilter = {
    owner,
    statuses: status === undefined ? undefined : checkStatuses(status),
    type,
    parent,
    createdAfter: createdAfter === undefined ? undefined : instantOf(createdAfter, 'createdAfter'),
    createdBefore: createdBefore === undefined ? undefined : instantOf(createdBefore, 'createdBefore'),
    attributes: attributes === undefined ? undefined : checkWanted(attributes),
  }
  const after = cursor === undefined ? undefined : decodeCursor(cursor, filter, order)
  return { filter, query: { ...filter, order, limit, after } }
}
