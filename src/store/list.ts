/**
 * Lists tasks in the order of their creation, a page at a time. Task IDs sort by creation (ids.ts), so the cursor is the last ID
 * of a page, and a page costs what it holds however many tasks the store has; but one of a status or a type reads past
 * all that doesn't match.
 */
import { isSettled, type TaskHead, type TaskStatus } from '../task/head.js'
import { usageOf } from '../task/usage.js'
import { unseal } from './envelope.js'
import { DONE, doneKey, type KeyRange, LIVE, lastPart, liveKey, ownerPrefix, under } from './layout.js'
import type { Level } from './level.js'
import { decodeHead } from './operations.js'
import { pages } from './reads.js'

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
      bytes.set(taskId, usageOf(decodeHead(key, unseal(key, text).body)).kept)
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

/** The live and the settled range, walked side by side. */
async function* allHeads(level: Level, { statuses, after }: ListQuery): AsyncGenerator<Found> {
  // The live range is opened first: a task that settles in between is then seen twice, and never not at all.
  const live = walk(level, LIVE, after)
  // A task that is settled and not cleaned up is live still, so that range is always walked.
  const done = !statuses || statuses.some(isSettled) ? walk(level, DONE, after) : undefined
  try {
    let fromLive = await live.next()
    let fromDone = await done?.next()
    while (fromLive || fromDone) {
      if (fromLive && (!fromDone || fromLive.taskId < fromDone.taskId)) {
        yield fromLive
        fromLive = await live.next()
      } else if (fromDone) {
        if (fromLive?.taskId === fromDone.taskId) fromLive = await live.next()
        yield fromDone
        fromDone = await done?.next()
      }
    }
  } finally {
    await live.close()
    await done?.close()
  }
}

const PAGE = 200

function walk(level: Level, prefix: string, after: string | undefined) {
  const iterator = level.iterator(afterwards(prefix, after))
  let page: [string, string][] = []
  let at = 0
  return {
    async next(): Promise<Found | undefined> {
      if (at === page.length) {
        page = await iterator.nextv(PAGE)
        at = 0
      }
      const entry = page[at++]
      return entry && { taskId: lastPart(entry[0]), key: entry[0], text: entry[1] }
    },
    close: () => iterator.close(),
  }
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
