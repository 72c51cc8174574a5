/**
 * Finds the unfinished tasks of a list, and the settled ones with a pending clean-up. All of them are in memory, so
 * nothing is read. A call looks at a limited number of tasks, and at fewer in one turn of the event loop.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { LiveTask } from '../engine/core/live-task.js'
import type { LiveTasks } from '../engine/core/live-tasks.js'
import type { TaskHead } from '../task/head.js'
import { type FoundTasks, type IdRange, idRangeOf, isListed, type ListQuery, rangeAfter } from '../task/list-query.js'
import type { SortedTasks } from '../task/sorted-tasks.js'

/** Limits of the tasks that are looked at in one turn of the event loop, which takes about 1 ms, and by one call. */
export interface LiveListBounds {
  readonly tasksPerSlice: number
  readonly tasksPerCall: number
}

const LIVE_LIST_BOUNDS: LiveListBounds = { tasksPerSlice: 5_000, tasksPerCall: 100_000 }

/** An unfinished task, as it is on disk. */
export interface FoundLive {
  readonly taskId: string
  readonly head: TaskHead
}

/** The tasks that are asked for: at most one more than a page has. */
export async function listLive(
  tasks: LiveTasks,
  query: ListQuery,
  { tasksPerSlice, tasksPerCall }: LiveListBounds = LIVE_LIST_BOUNDS,
): Promise<FoundTasks<FoundLive>[]> {
  const sets = tasks.smallest(query, tasksPerSlice)
  const range = idRangeOf(query)
  const first = sets.map((set) => lookAt(set, query, range, tasksPerSlice))
  const [set, ...others] = sets
  const [start] = first
  // Several sets are small, and were looked at in one turn: between turns a task can move from one to another.
  if (!set || !start || others.length > 0) return first
  const found = [...start.tasks]
  let { upTo } = start
  for (let looked = tasksPerSlice; upTo !== undefined && found.length <= query.limit; looked += tasksPerSlice) {
    if (looked >= tasksPerCall) break
    await turn()
    const rest = { ...query, limit: query.limit - found.length }
    const more = lookAt(set, rest, rangeAfter(range, query.order, upTo), tasksPerSlice)
    found.push(...more.tasks)
    upTo = more.upTo
  }
  return [{ tasks: found, upTo }]
}

/** Looks at `max` tasks of a set at most, and stops once there is one task more than a page has. */
function lookAt(set: SortedTasks<LiveTask>, query: ListQuery, range: IdRange, max: number): FoundTasks<FoundLive> {
  const found: FoundLive[] = []
  for (const { taskId, committed: head } of set.inOrder(range, query.order)) {
    const isMatch = head !== undefined && isListed(head, query)
    if (isMatch) found.push({ taskId, head })
    if (--max === 0 || found.length > query.limit) return { tasks: found, upTo: taskId }
  }
  return { tasks: found, upTo: undefined }
}
