/** Lists tasks for a caller: checks what he asks for, and shows what he may see. */
import { checkOptionsOf, type Names } from '../expected.js'
import { listHeads } from '../store/list.js'
import type { TaskStatus } from '../task/head.js'
import { checkName, NAME_BYTES_MAX } from '../task/names.js'
import { checkLimit, checkStatuses, decodeCursor, encodeCursor } from './arguments.js'
import { checkOwner } from './call-options.js'
import type { Engine } from './engine.js'
import { type TaskView, viewOf } from './view.js'

/** What `list` shows. */
export interface ListOptions {
  /** Only this owner's. Default: everybody's. */
  readonly owner?: string | undefined
  /** One status, or several. Default: every one. */
  readonly status?: TaskStatus | readonly TaskStatus[] | undefined
  readonly type?: string | undefined
  /** How many at the most, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined
  /** `cursor` of the page before. */
  readonly cursor?: string | undefined
}

/** A page of tasks, in the order of their creation; children and forks may be created behind a cursor. */
export interface TaskPage {
  readonly tasks: readonly TaskView[]
  /** Names the next page; `undefined` on the last one. */
  readonly cursor: string | undefined
}

const LIST_LIMIT_MAX = 1_000

/** The names of the options. */
export const LIST_OPTIONS: Names<ListOptions> = { owner: true, status: true, type: true, limit: true, cursor: true }

/** A page of tasks. @throws HoldfastError `INVALID_CURSOR` */
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
  const { heads, more } = await store.read((level) =>
    listHeads(level, query, (taskId, error) =>
      logger.warn('A task is left out of a list: its head is damaged', { taskId, error: String(error) }),
    ),
  )
  const last = heads.at(-1)
  return {
    tasks: heads.map((head) => viewOf(head, tasks.get(head.taskId))),
    cursor: more && last ? encodeCursor(last.taskId) : undefined,
  }
}
