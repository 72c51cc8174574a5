/**
 * Reads when an owner's newest tasks were created: the unfinished ones in memory, and then the settled ones on disk. A
 * task that settles in between is found twice, and counts once.
 */
import { type OwnerStartsQuery, readOwnerStarts } from '../../store/reads.js'
import type { Store } from '../../store/store.js'
import type { TaskHead } from '../../task/head.js'
import { type IdRange, idRangeOf, type ListOrder } from '../../task/list-query.js'
import type { ReadStarts } from './rate-limit.js'

/** The unfinished tasks of owners, in the order of their IDs. */
export interface TasksOfOwners {
  ofOwner(owner: string): {
    inOrder(
      range: IdRange,
      order: ListOrder,
    ): Iterable<{ readonly taskId: string; readonly committed: TaskHead | undefined }>
  }
}

/** Reads the starts from these tasks and this store. */
export function startsReader(store: Pick<Store, 'read'>, tasks: TasksOfOwners): ReadStarts {
  return async (owner, query) => {
    const starts = unfinishedStarts(tasks, owner, query)
    for (const [taskId, createdAt] of await store.read((level) => readOwnerStarts(level, owner, query)))
      starts.set(taskId, createdAt)
    return [...starts.values()].sort((one, other) => other - one).slice(0, query.limit)
  }
}

function unfinishedStarts(
  tasks: TasksOfOwners,
  owner: string,
  { since, limit }: OwnerStartsQuery,
): Map<string, number> {
  const starts = new Map<string, number>()
  const range = idRangeOf({ createdAfter: since, order: 'newest', limit })
  for (const { taskId, committed } of tasks.ofOwner(owner).inOrder(range, 'newest')) {
    if (starts.size === limit) break
    if (!committed || committed.parentId !== undefined || committed.createdAt < since) continue
    starts.set(taskId, committed.createdAt)
  }
  return starts
}
