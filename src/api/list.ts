/** Lists tasks for a caller: checks the options, and returns views of the caller's tasks. */
import { checkOptionsOf, type Names } from '../base/expected.js'
import { faultOf } from '../base/fault.js'
import { checkLimit, checkStatuses, decodeCursor, encodeCursor } from '../engine/checks/arguments.js'
import { checkOwner } from '../engine/checks/call-options.js'
import type { Engine } from '../engine/core/engine.js'
import { type ListQuery, listHeads } from '../store/list.js'
import { isSettled, type TaskHead, type TaskStatus } from '../task/head.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
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
   * Number of tasks of a page at most, from 1 to 1,000.
   * @default 100
   */
  readonly limit?: number | undefined
  /**
   * The `cursor` of the previous page.
   * @default the first page
   */
  readonly cursor?: string | undefined
}

/** A page of tasks, in the order of their creation; children and forks may be created behind a cursor. */
export interface TaskPage {
  readonly tasks: readonly TaskView[]
  /** Cursor of the next page; `undefined` on the last one. */
  readonly cursor: string | undefined
}

const LIST_LIMIT_MAX = 1_000

/** Names of the options. */
export const LIST_OPTIONS: Names<ListOptions> = { owner: true, status: true, type: true, limit: true, cursor: true }

/**
 * Reads a page of tasks.
 * @throws HoldfastError `INVALID_CURSOR`
 */
export async function listTasks(engine: Engine, options: ListOptions): Promise<TaskPage> {
  checkOptionsOf('list', options, LIST_OPTIONS)
  const { owner, status, type, limit = 100, cursor } = options
  const { store, logger, tasks } = engine
  checkOwner(owner)
  if (type !== undefined) checkName(type, 'type', NAME_BYTES_MAX.type)
  const after = cursor === undefined ? undefined : decodeCursor(cursor)
  const statuses = status === undefined ? undefined : checkStatuses(status)
  checkLimit(limit, LIST_LIMIT_MAX)
  const query = { owner, statuses, type, after, limit }
  const { heads, more } = statuses?.every((status) => !isSettled(status))
    ? listUnfinished(engine, query)
    : await store.read((level) =>
        listHeads(level, query, (taskId, error) =>
          logger.warn('A task is left out of a list: its head is damaged', { taskId, error: faultOf(error) }),
        ),
      )
  const last = heads.at(-1)
  return {
    tasks: heads.map((head) => viewOf(head, tasks.get(head.taskId))),
    cursor: more && last ? encodeCursor(last.taskId) : undefined,
  }
}

/**
 * Heads of unfinished tasks, as they are on disk. All of them are in memory, so nothing is read, and the cost does not
 * depend on the number of settled tasks.
 */
function listUnfinished(
  engine: Pick<Engine, 'isClosed' | 'assertOpen' | 'tasks'>,
  { owner, statuses, type, after = '', limit }: ListQuery,
): { heads: TaskHead[]; more: boolean } {
  if (engine.isClosed) engine.assertOpen()
  // The first tasks by ID, one more than the limit. The tasks are nearly in this order already, so few are moved.
  const first: TaskHead[] = []
  for (const { committed: head } of engine.tasks.values()) {
    if (!head || head.taskId <= after || head.sweeping) continue
    if (owner !== undefined && head.owner !== owner) continue
    if (type !== undefined && head.type !== type) continue
    if (statuses && !statuses.includes(head.status)) continue
    const last = first.at(-1)
    if (first.length > limit && last && head.taskId > last.taskId) continue
    let at = first.length
    while (at > 0 && (first[at - 1] as TaskHead).taskId > head.taskId) at--
    first.splice(at, 0, head)
    if (first.length > limit + 1) first.pop()
  }
  return { heads: first.slice(0, limit), more: first.length > limit }
}
