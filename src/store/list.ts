/**
 * Lists tasks in the order of their creation, a page at a time. Task IDs sort by creation (ids.ts), so the cursor is the last ID
 * of a page, and a page costs what it holds however many tasks the store has; but one of a status or a type reads past
 * all that doesn't match.
 */

import { byteCountOf } from '../task/byte-count.js'
import { isSettled, type TaskHead, type TaskStatus } from '../task/head.js'
import { DONE, doneKey, type KeyRange, LIVE, lastPart, liveKey, ownerPrefix, under } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { pages } from './disk/pages.js'
import { unseal } from './integrity/envelope.js'
import { decodeHead } from './operations.js'

/** What to list. */
export interface ListQuery {
  readonly owner?: string | undefined
  readonly statuses?: readonly TaskStatus[] | undefined
  readonly type?: string | undefined
  /** The last ID of the page before. */
  readonly after?: string | undefined
  readonly limit: number
}

/** Up to `limit` heads, and whether there are more. A head that can't be read is passed to `onDamaged` and left out. */
export async function listHeads(
  level: Level,
  query: ListQuery,
  onDamaged: (taskId: string, error: unknown) => void,
): Promise<{ heads: TaskHead[]; more: boolean }> {
  const heads: TaskHead[] = []
  const source = query.owner === undefined ? allHeads(level, query) : headsOf(level, query.owner, query)
  for await (const { taskId, key, text } of source) {
    let head: TaskHead
    try {
      head = decodeHead(key, unseal(key, text).body)
    } catch (error) {
      onDamaged(taskId, error)
      continue
    }
    if (head.sweeping) continue
    if (query.statuses && !query.statuses.includes(head.status)) continue
    if (query.type !== undefined && head.type !== query.type) continue
    if (heads.length === query.limit) return { heads, more: true }
    heads.push(head)
  }
  return { heads, more: false }
}

/** What each settled task of an owner takes up, by ID. */
export async function readSettledOf(level: Level, owner: string): Promise<Map<string, number>> {
  const bytes = new Map<string, number>()
  for await (const { taskId, key, text } of headsOf(level, owner, { limit: 0 })) {
    if (key !== doneKey(taskId)) continue
    try {
      bytes.set(taskId, byteCountOf(decodeHead(key, unseal(key, text).body)).kept)
    } catch {
      // A damaged head says nothing; whoever reads that task is told.
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
 * The live and the settled range, merged by ID. For each stretch of IDs the live range is read first: a task that settles
 * in between is then seen twice, and never not at all.
 */
async function* allHeads(level: Level, { statuses, after }: ListQuery): AsyncGenerator<Found> {
  // A task that is settled and not cleaned up is live still, so that range is always walked.
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

/** Both in the order of their IDs. Of one that is in both, the settled one. */
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
  // Live first, for the same reason as above.
  const fromLive = await level.getMany(live)
  const fromDone = await level.getMany(done)
  return taskIds.flatMap((taskId, index) => {
    const settled = fromDone[index]
    if (settled !== undefined) return [{ taskId, key: doneKey(taskId), text: settled }]
    const unfinished = fromLive[index]
    return unfinished === undefined ? [] : [{ taskId, key: liveKey(taskId), text: unfinished }]
  })
}
