/**
 * Lists tasks in the order of their creation, a page at a time. Task IDs sort by creation (ids.ts), so the cursor is
 * the last ID of a page, and the cost of a page does not depend on the number of tasks in the store. A page of one
 * status or type also reads the tasks that do not match.
 */

import { byteCountOf } from '../task/byte-count.js'
import { isSettled, type TaskHead, type TaskStatus } from '../task/head.js'
import type { MovingPart } from '../task/head-codec.js'
import { DONE, doneKey, type KeyRange, LIVE, lastPart, liveKey, ownerPrefix, taskKey, under } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { pages } from './disk/pages.js'
import { decodeMoving, withFixedPart } from './operations.js'

/** Filter, cursor and size of a page. */
export interface ListQuery {
  readonly owner?: string | undefined
  readonly statuses?: readonly TaskStatus[] | undefined
  readonly type?: string | undefined
  /** The last ID of the previous page. */
  readonly after?: string | undefined
  readonly limit: number
}

/**
 * Reads up to `limit` heads. `more` is true if others follow. A head that cannot be read is passed to `onDamaged` and
 * left out.
 */
export async function listHeads(
  level: Level,
  query: ListQuery,
  onDamaged: (taskId: string, error: unknown) => void,
): Promise<{ heads: TaskHead[]; more: boolean }> {
  const { limit, type } = query
  const heads: TaskHead[] = []
  for await (const few of inGroups(movingParts(level, query, onDamaged), type === undefined ? limit + 1 : PAGE)) {
    const fixed = await level.getMany(few.map(({ taskId }) => taskKey(taskId)))
    for (const [index, moving] of few.entries()) {
      let head: TaskHead
      try {
        head = withFixedPart(moving, fixed[index])
      } catch (error) {
        onDamaged(moving.taskId, error)
        continue
      }
      if (type !== undefined && head.type !== type) continue
      if (heads.length === limit) return { heads, more: true }
      heads.push(head)
    }
  }
  return { heads, more: false }
}

/** The moving parts of the tasks that `query` may list: all but its type is compared. */
async function* movingParts(
  level: Level,
  query: ListQuery,
  onDamaged: (taskId: string, error: unknown) => void,
): AsyncGenerator<MovingPart> {
  const source = query.owner === undefined ? allHeads(level, query) : headsOf(level, query.owner, query)
  for await (const { taskId, key, text } of source) {
    let moving: MovingPart
    try {
      moving = decodeMoving(key, text)
    } catch (error) {
      onDamaged(taskId, error)
      continue
    }
    if (!moving.isSweeping && (!query.statuses || query.statuses.includes(moving.status))) yield moving
  }
}

async function* inGroups<T>(source: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = []
  for await (const one of source) {
    group.push(one)
    if (group.length < Math.min(size, PAGE)) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

/** Bytes that each settled task of an owner occupies, by task ID. */
export async function readSettledOf(level: Level, owner: string): Promise<Map<string, number>> {
  const bytes = new Map<string, number>()
  for await (const { taskId, key, text } of headsOf(level, owner, { limit: 0 })) {
    if (key !== doneKey(taskId)) continue
    try {
      bytes.set(taskId, byteCountOf(decodeMoving(key, text)).kept)
    } catch {
      // A damaged head has no size here. A read of that task reports the damage.
    }
  }
  return bytes
}

interface Found {
  readonly taskId: string
  readonly key: string
  readonly text: string
}

function afterwards(prefix: string, after: string | undefined): KeyRange {
  const range = under(prefix)
  return after === undefined ? range : { gte: `${prefix}${after}\u0000`, lt: range.lt }
}

const PAGE = 200

/**
 * Merges the live and the settled range by task ID. Each part of the live range is read before its settled part. So a
 * task that settles in between is seen twice, and never missed.
 */
async function* allHeads(level: Level, { statuses, after }: ListQuery): AsyncGenerator<Found> {
  // A settled task whose clean-up is not done is still in the live range, so that range is always read.
  const readsDone = !statuses || statuses.some(isSettled)
  let from = after
  for await (const page of pages(level, afterwards(LIVE, after), PAGE)) {
    const live = page.map(foundIn)
    const to = (live.at(-1) as Found).taskId
    if (readsDone) yield* merged(live, settledIn(level, from, to))
    else yield* live
    from = to
  }
  if (readsDone) yield* settledIn(level, from, undefined)
}

/** Settled heads with IDs after `from`, up to and including `to`. */
async function* settledIn(level: Level, from: string | undefined, to: string | undefined): AsyncGenerator<Found> {
  const { gte, lt } = afterwards(DONE, from)
  const range = { gte, lt: to === undefined ? lt : `${doneKey(to)}\u0000` }
  for await (const page of pages(level, range, PAGE)) for (const entry of page) yield foundIn(entry)
}

/** Merges both by task ID. A task that is in both is returned once, as settled. */
async function* merged(live: readonly Found[], settled: AsyncIterable<Found>): AsyncGenerator<Found> {
  let at = 0
  for await (const done of settled) {
    for (let next = live[at]; next && next.taskId <= done.taskId; next = live[++at]) {
      if (next.taskId !== done.taskId) yield next
    }
    yield done
  }
  yield* live.slice(at)
}

function foundIn([key, text]: readonly [string, string]): Found {
  return { taskId: lastPart(key), key, text }
}

async function* headsOf(level: Level, owner: string, { after }: ListQuery): AsyncGenerator<Found> {
  for await (const page of pages(level, afterwards(ownerPrefix(owner), after))) {
    const taskIds = page.map(([key]) => lastPart(key))
    for (let at = 0; at < taskIds.length; at += PAGE) yield* await headsById(level, taskIds.slice(at, at + PAGE))
  }
}

async function headsById(level: Level, taskIds: readonly string[]): Promise<Found[]> {
  const live = taskIds.map(liveKey)
  const done = taskIds.map(doneKey)
  // The live heads are read first. Without this, a task that settles in between could be missed.
  const fromLive = await level.getMany(live)
  const fromDone = await level.getMany(done)
  return taskIds.flatMap((taskId, index) => {
    const settled = fromDone[index]
    if (settled !== undefined) return [{ taskId, key: doneKey(taskId), text: settled }]
    const unfinished = fromLive[index]
    return unfinished === undefined ? [] : [{ taskId, key: liveKey(taskId), text: unfinished }]
  })
}
